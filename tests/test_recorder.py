"""Writing logs with common/runs, on disks that are full, slow or broken, and when programs are killed."""

import asyncio
import csv
import errno
import json
import math
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import psutil
import pytest

from common.runs import recorder as module
from common.runs import writer
from common.runs.files import read_info
from common.runs.index import Index
from common.runs.recorder import Recorder
from common.runs.recording import MAX_FIELDS, Recording, recordings
from common.runs.repair import repair
from tests.rows import DISTURBANCES, disturb, read_from
from tests.support import ROOT, Disk, wait_until

Patch, Capture = pytest.MonkeyPatch, pytest.CaptureFixture[str]

FIELDS = {"x": "m/s²", "y": ""}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: Patch) -> None:
    monkeypatch.setattr(writer, "WRITE_EVERY", 0.001)
    monkeypatch.setattr(writer, "RETRY_EVERY", 0.02)
    monkeypatch.setattr(writer, "SYNC_EVERY", 0.02)


@pytest.fixture
def disk(monkeypatch: Patch) -> Disk:
    """What every log of the test is written to."""
    disk, path_open = Disk(), Path.open

    def open_on_disk(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = path_open(path, mode, *args, **kwargs)
        if mode != "xb":
            return file
        disk.file = file
        return disk

    monkeypatch.setattr(Path, "open", open_on_disk)
    return disk


@asynccontextmanager
async def recording_in(folder: Path, **how: Any) -> AsyncIterator[Recorder]:
    log = Recorder(folder / "logs", FIELDS, 1000.0)
    log.start(**how)
    try:
        yield log
    finally:
        await asyncio.to_thread(log.close)
        log.close()


def add(log: Recorder, *values: float) -> None:
    for value in values:
        log.add(time.time_ns(), [value, None])


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.002)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def info_of(log: Recorder) -> dict[str, Any]:
    return json.loads(log.path.with_suffix(".json").read_text(encoding="utf-8"))


def notes(log: Recorder) -> list[str]:
    return [event["what"] for event in info_of(log)["events"]]


class TestWriting:
    async def test_a_run(self, tmp_path: Path, capsys: Capture) -> None:
        async with recording_in(tmp_path) as log:
            log.note("start")
            assert not log.path.parent.exists(), "there is no file without a reading"
            values = [(1.5, -2), (None, math.nan), (math.inf, -math.inf), (1e-300, 0.1), (True, False)]
            assert [log.add(time.time_ns(), pair) for pair in values] == [1, 2, 3, 4, 5]
            await asyncio.wait_for(log.more_than(4), 30)
            assert log.path.read_text().splitlines()[0] == "seq,time_ns,x,y"
            info = info_of(log)
            assert info["process"][0] == os.getpid()
            assert (info["fields"], info["units"], info["rate"]) == (["x", "y"], ["m/s²", ""], 1000)
            assert info["epoch"] == log.epoch
            assert abs(time.time_ns() - info["start_ns"]) < 60e9
            await until(lambda: notes(log) == ["start"], "noted each second")
            with pytest.raises(ValueError, match="a reading has 2 values, not 1"):
                log.add(time.time_ns(), [1.0])
            with pytest.raises(TypeError):
                log.add(time.time_ns(), ["1", 2])
            assert (log.acquired, log.logged, log.lost, log.error) == (5, 5, 0, None)
        rows = [(row["seq"], row["x"], row["y"]) for row in rows_of(log.path)]
        assert rows == [
            ("1", "1.5", "-2"), ("2", "", ""), ("3", "", ""), ("4", "1e-300", "0.1"), ("5", "1.0", "0.0"),
        ]  # fmt: skip
        assert "process" not in info_of(log)
        assert notes(log) == ["start", "end"]
        with closing(Recording(log.path)) as again:
            assert (again.epoch, again.fields, again.rate, again.head) == (log.epoch, FIELDS, 1000, 5)
        assert capsys.readouterr().out.startswith("Logging to logs/")
        assert repair(tmp_path / "logs") == []

    async def test_a_run_that_ends_with_its_first_reading(self, tmp_path: Path) -> None:
        for number in range(5):
            log = Recorder(tmp_path / f"logs{number}", FIELDS, 10)
            log.start()
            log.add(time.time_ns(), [1, 2])
            log.close()
            assert [row["seq"] for row in rows_of(log.path)] == ["1"]
            assert notes(log) == ["end"]
            assert not {"process", "locked"} & set(info_of(log)), "it is not being written any more"

    async def test_close_before_start_and_without_readings(self, tmp_path: Path) -> None:
        log = Recorder(tmp_path / "logs", FIELDS, 10)
        log.close()
        log.close()
        assert log.view(0, 10**18, 5) == {"width": 0, "lines": ""}
        assert log.extremes(0, 0, 5) == (None, 0)
        assert b"".join(log.export(1, 2)[1]) == b"".join(log.export()[1])
        async with recording_in(tmp_path):
            pass
        assert not (tmp_path / "logs").exists()
        assert repair(tmp_path / "logs") == []

    @pytest.mark.parametrize(("fields", "words"), [
        (["a\nb"], "one line"), (["a\n"], "one line"), (["a\r"], "one line"), (["a\u2028b"], "one line"),
        ([""], "one line"),
        (["x", "seq"], "cannot be called 'seq'"), (["time_ns"], "cannot be called 'time_ns'"),
        (["\ud800"], "cannot be called"), ([], "1 to 4,096 fields, not 0"),
        ([f"p{i}" for i in range(MAX_FIELDS + 1)], "1 to 4,096 fields, not 4,097"),
        ([f"a name as long as a sentence, number {i}" for i in range(4000)], "can be read back"),
    ])  # fmt: skip
    def test_what_could_not_be_read_back_is_refused(
        self, tmp_path: Path, fields: list[str], words: str
    ) -> None:
        with pytest.raises(ValueError, match=words):
            Recorder(tmp_path, dict.fromkeys(fields, ""), 10)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("fields", [
        ["a,b", 'say "c"', " d ", "=e", "\tf", "ä", "温度", "\x1b[31m", "0", "SEQ", "\ufeff"],
        ["\ufeffx"], ['"'], [" "], ["a" * 60_000, "b" * 60_000],
    ])  # fmt: skip
    async def test_what_it_takes_can_be_read_back(self, tmp_path: Path, fields: list[str]) -> None:
        log = Recorder(tmp_path, dict.fromkeys(fields, "u"), 10)
        log.start()
        log.add(time.time_ns(), [1.5] * len(fields))
        await log.more_than(0)
        await asyncio.to_thread(log.close)
        with closing(Recording(log.path)) as again:
            assert again.fields == dict.fromkeys(fields, "u")
            assert (again.head, again.view(0, 2**62, 9)["lines"].count("1.5")) == (1, len(fields))

    async def test_a_sensor_of_many_fields(self, tmp_path: Path) -> None:
        fields, readings, begin_us = MAX_FIELDS, 70, 1_767_225_600_000_000
        names = {f"pixel {i}": "counts" for i in range(fields)}
        log = Recorder(tmp_path / "logs", names, 100)
        log.start()
        # The longest numbers that there are, and an hour's worth of the busiest clock.
        values = [-2.2250738585072014e-308 if i % 2 else None for i in range(fields)]
        for i in range(readings):
            log.add(begin_us * 1000 + i * 10**7, values)
            if i % 10 == 0:
                await log.more_than(i)
        numbers, text, gone = await read_from(log, 0, readings)
        assert (numbers, gone) == (list(range(1, readings + 1)), 0)
        assert log.error is None
        view = await asyncio.to_thread(log.view, begin_us, 2**62, 1)
        assert sum(entry[1] for entry in view["bins"]) == readings
        assert all(entry[2:] == [None, None, values[1], values[1]] * (fields // 2) for entry in view["bins"])
        await asyncio.to_thread(log.close)
        again = Recording(log.path)
        assert again.fields == names
        assert again.head == readings
        numbers, newest, _ = await read_from(again, readings - 10, readings)
        assert (len(numbers), text.endswith(newest)) == (10, True)
        bins = again.view(begin_us, 2**62, 2048)["bins"]
        assert (len(bins) <= 2 * 16, sum(entry[1] for entry in bins)) == (True, readings)
        assert recordings(tmp_path / "logs")[0]["readings"] == readings
        again.close()

    async def test_values_as_they_are_written(self, tmp_path: Path) -> None:
        cells: list[tuple[Any, str]] = [
            (2**62, str(2**62)), (1 - 2**63, str(1 - 2**63)), (2**63, "9.223372036854776e+18"),
            (10**308, "1e+308"), (10**309, ""), (10**400, ""), (-(10**5000), ""), (True, "1.0"),
            (Decimal("1.50"), "1.5"), (Decimal("1e400"), ""), (Decimal("NaN"), ""), (Decimal("sNaN"), ""),
            (Fraction(1, 4), "0.25"), (Fraction(10**400), ""), (5e-324, "5e-324"),
            (np.float64(1.5), "1.5"), (np.float64("nan"), ""),
        ]  # fmt: skip
        async with recording_in(tmp_path) as log:
            for value, _ in cells:
                log.add(time.time_ns(), [value, 1])
        assert [row["x"] for row in rows_of(log.path)] == [text for _, text in cells]

    async def test_a_clock_that_is_set_back(self, tmp_path: Path, monkeypatch: Patch) -> None:
        clock = 10**18
        monkeypatch.setattr(module.time, "time_ns", lambda: clock)
        async with recording_in(tmp_path) as log:
            # A clock that stands still is only coarse.
            for step in [0, 0, 0, 10**6, -3600 * 10**9, 10**6, 10**6, -(10**5), 10**6]:
                clock += step
                log.add(clock, [1.0, 2.0])
                assert abs(log.now_ns() - log._last_ns) < 10**6
        times = [int(row["time_ns"]) for row in rows_of(log.path)]
        assert times == sorted(set(times))
        assert times[:4] == [10**18, 10**18 + 1, 10**18 + 2, 10**18 + 10**6]
        assert times[-1] - times[0] < 10**7
        assert notes(log) == ["clock", "end"]
        event = info_of(log)["events"][0]
        assert event["text"].startswith("set back by 3600.000 s")
        assert event["seq"] == 5

    async def test_notes_do_not_grow_without_end(self, tmp_path: Path, monkeypatch: Patch) -> None:
        monkeypatch.setattr(writer, "MOST_EVENTS", 100)
        async with recording_in(tmp_path) as log:
            log.add(time.time_ns(), [1.0, 2.0])
            for _ in range(500):
                log.note("start")
        assert notes(log) == ["start"] * 100 + ["end"]

    @pytest.mark.parametrize("recent", [1, 20_000, 2**20])
    async def test_catching_up_while_it_is_written(
        self, tmp_path: Path, monkeypatch: Patch, recent: int
    ) -> None:
        monkeypatch.setattr(module, "RECENT", recent)
        count = 6000
        chance = random.Random(recent)
        async with recording_in(tmp_path) as log:

            async def write() -> None:
                for i in range(count):
                    add(log, i / 7)
                    if i % 100 == 0:
                        await asyncio.sleep(0.001)

            async def client() -> tuple[int, tuple[list[int], str, int]]:
                await log.more_than(chance.randrange(count // 2))
                have = chance.randrange(log.head)
                return have, await read_from(log, have, count)

            writing = asyncio.create_task(write())
            results = await asyncio.gather(*[client() for _ in range(8)])
            await writing
            lines = log.path.read_text().splitlines(keepends=True)[1:]
            for have, (numbers, text, gone) in results:
                assert numbers == list(range(have + 1, count + 1))
                assert text == "".join(lines[have:])
                assert gone == 0

    async def test_what_clients_see_is_in_the_log(self, tmp_path: Path) -> None:
        async with recording_in(tmp_path) as log:
            for i in range(300):
                add(log, i)
                if i % 10 == 0:
                    await log.more_than(i)
                    assert int(log.path.read_bytes().splitlines()[-1].split(b",")[0]) >= log.head


class TestDisks:
    @pytest.mark.parametrize("room", [0, 3, 17, 100, 1001])
    async def test_a_disk_that_is_full_for_a_while(
        self, tmp_path: Path, disk: Disk, capsys: Capture, room: int
    ) -> None:
        alarms: list[str | None] = []
        async with recording_in(tmp_path, changed=lambda: alarms.append(log.error)) as log:
            disk.room, disk.most = room, 7
            add(log, *range(500))
            numbers, text, gone = await read_from(log, 0, 500)
            assert (numbers, gone) == (list(range(1, 501)), 0), "clients get what the disk refuses"
            await until(lambda: log.error, "an alarm")
            assert log.logged < 500
            whole = log.path.read_bytes()[: log.reader.end]
            if room > 16:
                assert whole.endswith(b"\n")
                assert log.reader.end == room - log._writer.log.torn
            if log.logged > 4:
                shown = log.view(0, 10**18, 1)["bins"]
                assert sum(entry[1] for entry in shown) == log.logged
            disk.most = disk.room = math.inf
            await until(lambda: log.error is None and log.logged == 500, "all is written")
            assert alarms == ["ERROR: cannot write the log in logs: No space left on device", None]
            assert log.path.read_text() == "seq,time_ns,x,y\n" + text
            assert (await read_from(log, 0, 500))[1] == text
        assert log._writer.waiting == 0
        assert capsys.readouterr().out.splitlines()[1:] == [alarms[0], "OK: the log is written again"]

    async def test_a_disk_that_stays_full(
        self, tmp_path: Path, disk: Disk, monkeypatch: Patch, capsys: Capture
    ) -> None:
        monkeypatch.setattr(writer, "MAX_UNWRITTEN", 10_000)
        monkeypatch.setattr(module, "RECENT", 3000)
        alarms: list[int] = []
        async with recording_in(tmp_path, changed=lambda: alarms.append(log.lost)) as log:
            add(log, 0)
            await until(lambda: log.logged == 1, "written")
            disk.room = 5
            add(log, *range(1, 1000))
            lost = log.lost
            assert log.acquired == 1000
            assert 500 < lost < 900
            assert log._writer.waiting <= 10_000
            assert log.error == "ERROR: readings are lost; the disk is too slow for the log in logs"
            head = 1000 - lost
            await until(lambda: log.head == head, "told, though not written")
            assert log.error == "ERROR: cannot write the log in logs: No space left on device"
            assert (await read_from(log, 0, head))[0] == list(range(1, head + 1))
            assert log._recent_size <= 20_000
            disk.room = math.inf
            await until(lambda: log.error is None, "written again")
            add(log, *range(10))
            numbers, _, gone = await read_from(log, 0, 1010)
            assert numbers == [*range(1, head + 1), *range(1001, 1011)]
            assert gone == lost == log.lost
            assert 1 in alarms, "told at once"
            await until(lambda: log.logged == 1010 - lost, "written")
            # The second time it is noted again.
            disk.room = 0
            add(log, *range(1000))
            await until(lambda: log.error, "an alarm")
        events = [event for event in info_of(log)["events"] if event["what"] == "lost"]
        assert [event["text"].split(",")[0] for event in events] == [
            f"readings from {event['seq'] - 1} on" for event in events
        ]
        assert len(events) == 2
        assert "bytes of readings could not be written and are lost" in capsys.readouterr().out

    async def test_a_disk_that_hangs(
        self, tmp_path: Path, disk: Disk, monkeypatch: Patch, capsys: Capture
    ) -> None:
        monkeypatch.setattr(module, "WRITE_TIMEOUT", 0.05)
        monkeypatch.setattr(writer, "MAX_UNWRITTEN", 200_000)
        alarms: list[str | None] = []
        async with recording_in(tmp_path, changed=lambda: alarms.append(log.error)) as log:
            add(log, 0)
            await log.more_than(0)
            disk.is_free.clear()
            slowest = 0.0

            def add_one() -> str | None:
                nonlocal slowest
                begin = time.perf_counter()
                add(log, 0.123456789)
                slowest = max(slowest, time.perf_counter() - begin)
                return log.error

            await until(add_one, "an alarm")
            assert alarms == ["ERROR: the disk is slow; readings wait for the log in logs"]
            assert log.head == 1, "what is not written is not told"
            while log.lost < 100:
                add_one()
            assert slowest < 5, "not until the disk takes something, which it does not"
            assert log._writer.waiting <= 200_000
            last = log.acquired - log.lost
            disk.is_free.set()
            await until(lambda: log.error is None and log.head == last, "all that was kept is told")
            assert (await read_from(log, 0, last))[0] == list(range(1, last + 1))
            add_one()
            assert (await read_from(log, last, log.acquired))[2] == 100
        assert notes(log) == ["lost", "end"]
        assert "OK: the log is written again" in capsys.readouterr().out

    async def test_close_while_the_disk_is_slow_loses_nothing(self, tmp_path: Path, disk: Disk) -> None:
        async with recording_in(tmp_path) as log:
            disk.is_free.clear()
            add(log, *range(100))
            await until(lambda: disk.writes, "writing")
            threading.Timer(0.2, disk.is_free.set).start()
        assert len(rows_of(log.path)) == 100
        assert notes(log) == ["end"]

    async def test_a_disk_that_fails_to_sync(
        self, tmp_path: Path, monkeypatch: Patch, capsys: Capture
    ) -> None:
        broken = threading.Event()
        fsync = os.fsync

        def fail(file: Any) -> None:
            if broken.is_set():
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(file)

        monkeypatch.setattr(os, "fsync", fail)
        async with recording_in(tmp_path) as log:
            broken.set()
            add(log, 1)
            await until(lambda: log.error, "an alarm")
            assert log.error == "ERROR: cannot write the log in logs: Input/output error"
            assert log.logged == 1
            broken.clear()
            await until(lambda: log.error is None, "no alarm any more, though no reading came")
            broken.set()
            add(log, 1)
            await until(lambda: log.error, "an alarm")
        assert capsys.readouterr().out.splitlines()[-1].startswith("ERROR: cannot write the log in logs")

    @pytest.mark.parametrize("error", [
        sqlite3.OperationalError("too many columns on bins"), MemoryError("no memory"),
        OSError(errno.EIO, os.strerror(errno.EIO)),
    ])  # fmt: skip
    @pytest.mark.parametrize("where", ["__init__", "update"])
    async def test_whatever_an_index_raises_the_log_goes_on(
        self, tmp_path: Path, monkeypatch: Patch, error: Exception, where: str
    ) -> None:
        monkeypatch.setattr(writer, "RETRY_EVERY", 0.1)
        tries = 0

        def fail(*_: Any) -> None:
            nonlocal tries
            tries += 1
            raise error

        alarms: list[str | None] = []
        async with recording_in(tmp_path, changed=lambda: alarms.append(log.error)) as log:
            with monkeypatch.context() as patched:
                patched.setattr(writer.Index, where, fail)
                begin = time.monotonic()
                for i in range(100):
                    add(log, i)
                    await asyncio.sleep(0.001)
                await until(lambda: log.logged == 100, "all is written")
                assert tries <= 1 + (time.monotonic() - begin) / 0.1, "not with each reading"
                assert log.error.startswith("ERROR: cannot write the index of the log in logs, which is")
                assert (await read_from(log, 0, 100))[0] == list(range(1, 101))
                log.view(0, 2**62, 5), log.extremes(0, 5, 5), b"".join(log.export(0, 2**62)[1])
            await until(lambda: log.error is None, "an index again")
            assert sum(entry[1] for entry in log.view(0, 2**62, 1)["bins"]) == 100
        assert len(rows_of(log.path)) == 100
        assert len(alarms) == 2

    async def test_a_folder_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "logs").write_text("")
        async with recording_in(tmp_path) as log:
            add(log, 1)
            assert (await read_from(log, 0, 1))[0] == [1]
            assert log.error == "ERROR: cannot write the log in logs: File exists"
            assert log.view(0, 10**18, 5) == {"width": 0, "lines": ""}
            (tmp_path / "logs").unlink()
            await until(lambda: log.error is None and log.logged == 1, "written")

    @pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
    @pytest.mark.parametrize("has_reading", [True, False])
    @pytest.mark.parametrize("how", DISTURBANCES)
    async def test_a_log_that_somebody_takes_away_while_it_is_written(
        self, tmp_path: Path, monkeypatch: Patch, how: str, has_reading: bool
    ) -> None:
        monkeypatch.setattr(module, "RECENT", 1000)
        heard: list[str | None] = []
        async with recording_in(tmp_path, changed=lambda: heard.append(log.error)) as log:
            for i in range(1000):
                add(log, i)
                if i % 100 == 99:
                    await log.more_than(i)
            old, alarms = log.path, len(heard)
            disturb(old, how)
            left = old.read_bytes() if old.exists() else None
            begin = time.monotonic()
            if has_reading:
                add(log, 0)
            await until(lambda: log.error, "an alarm")
            assert time.monotonic() - begin < 1
            verb = "deleted or renamed" if left is None else "replaced or changed"
            assert log.error == (
                f"ERROR: somebody has {verb} logs/{old.name}, with 1,000 of this run's readings; "
                "it goes on in a new file"
            )
            assert heard[alarms:] == [log.error]
            assert (log.acquired, log.gone, log.lost) == (1000 + has_reading, 1000, 0)
            add(log, *range(1000 + has_reading, 1101))
            await until(lambda: log.logged == 101, "it goes on")
            assert log.path != old
            assert [int(row["seq"]) for row in rows_of(log.path)] == list(range(1001, 1102))
            assert (await read_from(log, 1000, 1101))[0] == list(range(1001, 1102))
            numbers, _, gone = await read_from(log, 0, 1101)
            assert gone == 1101 - len(numbers) > 900
            assert sum(entry[1] for entry in log.view(0, 10**18, 1)["bins"]) == 101
            assert b"".join(log.export()[1]).count(b"\n") == 102
            log.extremes(0, 5, 5)
            assert log.error.startswith("ERROR: somebody has"), "to be read by who comes later"
            assert heard[alarms:] == [log.error]
            assert (old.read_bytes() if old.exists() else None) == left, "it is somebody else's now"
            assert old.with_suffix(".index").exists() == old.exists(), "an index of nothing"
            left_info = json.loads(old.with_suffix(".json").read_text())
            assert left_info["fields"] == ["x", "y"]
            assert not {"process", "locked", "epoch"} & set(left_info)
        assert notes(log) == ["log", "end"]
        assert repair(tmp_path / "logs") == []
        with closing(Recording(log.path)) as again:
            assert (again.first, again.head) == (1001, 1101)

    @pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
    async def test_a_run_that_is_deleted_again_and_again(self, tmp_path: Path, capsys: Capture) -> None:
        async with recording_in(tmp_path) as log:
            for time_over in range(1, 4):
                add(log, *range(10))
                # In this file, and in its index: `logged` may still be that of the one before.
                await until(lambda: log.reader.index and log.reader.index._rows == 10, "written")
                await log.more_than(log.acquired - 1)
                # Whoever comes now sees what there is.
                numbers, _, gone = await read_from(log, 0, log.acquired)
                assert (len(numbers), gone) == (10, log.gone)
                before, path = log.gone, log.path
                for file in (path.with_suffix(".json"), *path.parent.glob("*.index*"), path):
                    file.unlink(missing_ok=True)
                if time_over < 3:
                    await until(lambda before=before: log.gone == before + 10, "noticed")
        assert log.gone == log.acquired == 30
        assert recordings(tmp_path / "logs") == [], "nothing of what was deleted comes back"
        output = capsys.readouterr().out
        assert output.count("ERROR: somebody has deleted or renamed logs/") == 3
        assert "with 10 of this run's readings (30 by now); it goes on in a new file" in output

    @pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
    async def test_a_log_that_is_taken_away_while_it_is_put_on_the_disk(
        self, tmp_path: Path, monkeypatch: Patch
    ) -> None:
        monkeypatch.setattr(writer, "SYNC_EVERY", 0.3)
        heard: list[str | None] = []
        synced: list[bool] = []
        async with recording_in(tmp_path, changed=lambda: heard.append(log.error)) as log:
            add(log, 1)
            await log.more_than(0)
            old, fsync = log._writer.log.file, os.fsync

            def sync(file: BinaryIO) -> None:
                if file is old:
                    log.path.unlink()
                    wait_until(lambda: log._writer.log.file is not old, "noticed")
                    synced.append(False)
                fsync(file)  # which fails, because the file is closed
                synced.append(True)

            monkeypatch.setattr(os, "fsync", sync)
            await until(lambda: False in synced, "it is taken away")
            add(log, 2)
            await until(lambda: True in synced, "the new one is on the disk")
        assert not any("cannot write" in error for error in heard if error)

    @pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
    async def test_a_log_that_is_taken_away_while_it_is_put_into_the_index(
        self, tmp_path: Path, monkeypatch: Patch
    ) -> None:
        heard: list[str | None] = []
        update = Index.update
        async with recording_in(tmp_path, changed=lambda: heard.append(log.error)) as log:
            add(log, 1)
            await log.more_than(0)

            def fail(index: Index, begin: int, end: int) -> None:
                log.path.unlink()
                monkeypatch.setattr(Index, "update", update)
                raise FileNotFoundError(errno.ENOENT, "No such file or directory")

            monkeypatch.setattr(Index, "update", fail)
            await until(lambda: log._loss, "noticed")
            add(log, 2)
            await until(lambda: log.reader.index and log.reader.index._rows == 1, "in the new one's index")
        assert log._loss in heard
        assert not any("cannot write" in error for error in heard if error)

    @pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
    @pytest.mark.parametrize("room", [0, 1, 15, 16, 25, 60])
    async def test_half_a_line_does_not_get_into_the_new_file(
        self, tmp_path: Path, disk: Disk, room: int
    ) -> None:
        async with recording_in(tmp_path) as log:
            disk.room = room
            add(log, *range(5))
            await until(lambda: log.error, "an alarm")
            log.path.unlink()
            await until(lambda: log._loss, "noticed")
            disk.room = math.inf
            add(log, 5)
            await until(lambda: log._writer.waiting == 0 and log.error == log._loss, "all is written")
            rows = rows_of(log.path)
            assert [int(row["seq"]) for row in rows] == list(range(log._writer.log.gone_to + 1, 7))
            assert [row["x"] for row in rows] == [str(i) for i in range(log._writer.log.gone_to, 6)]
            assert log._writer.log.gone_to - log.gone in (0, 1), "one that was half written"
        assert log._writer.waiting == 0

    async def test_views_and_downloads_while_it_is_written(self, tmp_path: Path) -> None:
        async with recording_in(tmp_path) as log:
            done = asyncio.Event()
            times = 0

            async def look() -> None:
                nonlocal times
                while not done.is_set():
                    head, end_us = log.head, log.end_ns // 1000
                    view = await asyncio.to_thread(log.view, 0, end_us, 100)
                    assert sum(entry[1] for entry in view.get("bins", [])) >= head or view["width"] == 0
                    message, last = await asyncio.to_thread(log.extremes, head // 3, 50, 20)
                    if message:
                        assert sum(entry[1] for entry in message["bins"]) == last - head // 3
                    size, chunks = log.export()
                    data = b"".join(chunks)
                    assert len(data) == size
                    assert data.endswith(b"\n")
                    assert data.count(b"\n") - 1 >= head
                    times += 1
                    await asyncio.sleep(0)

            looking = asyncio.create_task(look())
            added = 0
            while added < 8000 or (times <= 5 and not looking.done()):
                add(log, math.sin(added))
                added += 1
                if added % 50 == 0:
                    await asyncio.sleep(0.001)
            done.set()
            await looking


# Records as fast as it can, and says what clients have been told.
PROGRAM = """
import asyncio, sys, time
from pathlib import Path
from common.runs import recorder

async def main():
    log = recorder.Recorder(Path(sys.argv[1]), {"x": "V", "y": "A"}, 1000)
    log.start()
    while True:
        for i in range(20):
            log.add(time.time_ns(), [i / 7, None])
        await log.more_than(log.acquired - 1)
        print(log.head, flush=True)

asyncio.run(main())
"""


class TestRepair:
    @pytest.fixture
    def killed(self, tmp_path: Path) -> Path:
        """A log of a program that is not there any more."""
        path = tmp_path / "logs" / "2026-01-01T00-00-00.000000.csv"
        path.parent.mkdir()
        lines = [f"{i},{10**18 + i * 10**6},{i / 7!r},{i}\n" for i in range(1, 21)]
        path.write_text("seq,time_ns,x,y\n" + "".join(lines))
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            gone = [process.pid, psutil.Process(process.pid).create_time()]
        info = {"fields": ["x", "y"], "units": ["V", "A"], "rate": 1000.0, "process": gone, "events": []}
        path.with_suffix(".json").write_text(json.dumps(info))
        return path

    def program(self, folder: Path) -> subprocess.Popen[str]:
        """Start a program that records."""
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, folder],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def test_killed_at_any_moment(self, tmp_path: Path) -> None:
        chance = random.Random(4)
        for number in range(4):
            folder = tmp_path / f"logs{number}"
            with self.program(folder) as process:
                lines = [process.stdout.readline() for _ in range(1 + number * chance.randint(1, 20))]
                process.kill()
                lines += process.stdout.readlines()
            told = max(int(line) for line in lines if line.strip().isdigit()) if len(lines) > 1 else 0
            assert len(repair(folder)) == 1
            assert repair(folder) == []
            (path,) = folder.glob("*.csv")
            rows = rows_of(path)
            assert [int(row["seq"]) for row in rows] == list(range(1, len(rows) + 1))
            assert len(rows) >= told, "what was told is in the log"
            if told:
                with closing(Recording(path)) as recording:
                    assert recording.fields == {"x": "V", "y": "A"}
                    assert recording.head == len(rows)

    def test_every_length_of_a_torn_header_or_tail(self, killed: Path) -> None:
        whole = killed.read_bytes()
        info = killed.with_suffix(".json").read_text()
        begin = whole.rfind(b"\n19,") + 1
        for tail in (b"", bytes(10), bytes(5000)):
            for size in (*range(16), *range(begin, len(whole) + 1)):
                killed.write_bytes(whole[:size] + tail)
                killed.with_suffix(".json").write_text(info)
                (message,) = repair(killed.parent)
                kept = whole[: whole.rfind(b"\n", 0, size) + 1]
                assert killed.read_bytes() == kept
                cut = size + len(tail) - len(kept)
                assert (f"{cut} bytes of a torn row" if cut else "nothing was torn") in message
                assert repair(killed.parent) == []
                if not kept:
                    assert recordings(killed.parent) == []
                    with pytest.raises(ValueError, match="is not a log"):
                        Recording(killed)

    def test_what_it_says_and_removes(self, killed: Path) -> None:
        for left in (".index", ".index-journal", ".json.new"):
            killed.with_suffix(left).write_text("rubbish")
        with killed.open("ab") as file:
            file.write(b"21,1")
        assert repair(killed.parent) == [
            f"Mended logs/{killed.name}, whose run was killed: 4 bytes of a torn row cut off"
        ]
        info = json.loads(killed.with_suffix(".json").read_text())
        assert "process" not in info
        assert [event["what"] for event in info["events"]] == ["killed"]
        assert sorted(path.suffix for path in killed.parent.iterdir()) == [".csv", ".json"]

    @pytest.mark.parametrize(
        "rubbish", [None, "", '{"process": [1', "[]", "7", '{"fields": ["x", "y"]}', '{"events": []}']
    )
    def test_a_log_of_which_nobody_knows_who_wrote_it_is_left_alone(
        self, killed: Path, rubbish: str | None
    ) -> None:
        with killed.open("ab") as file:
            file.write(b"21,1")
        before = killed.read_bytes()
        killed.with_suffix(".json").unlink()
        if rubbish is not None:
            killed.with_suffix(".json").write_text(rubbish)
        assert repair(killed.parent) == []
        assert killed.read_bytes() == before
        with closing(Recording(killed)) as recording:
            assert recording.head == 20

    @pytest.mark.parametrize("info", [
        {"process": None}, {"process": 3}, {"process": ["a", "b"]}, {"process": [-5, 1]},
        {"process": [os.getpid(), 0.0], "events": "none"}, {"process": [10**30, 1], "fields": 4},
        # Half a character, which no text has.
        {"process": None, "units": ["\ud800"], "note": "\ud800"}, {"process": None, "units": ["a\udfffb"]},
    ])  # fmt: skip
    def test_a_json_file_with_rubbish_in_it(self, killed: Path, info: dict[str, Any]) -> None:
        killed.with_suffix(".json").write_text(json.dumps(info))
        assert len(repair(killed.parent)) == 1
        assert read_info(killed).get("units") == info.get("units")
        assert repair(killed.parent) == []

    @pytest.mark.skipif(sys.platform == "win32", reason="the same is done there without a lock")
    def test_a_run_that_is_written_is_known_by_its_lock(self, tmp_path: Path) -> None:
        folder = tmp_path / "logs"
        with self.program(folder) as server:
            while server.stdout.readline() != "20\n":
                pass
            (path,) = folder.glob("*.json")
            info = json.loads(path.read_text())
            # Its own process; and one that nobody knows: the clock was set, or it is in another container.
            for process in (info["process"], [2**22 - 1, 5.5]):
                path.write_text(json.dumps(info | {"process": process}))
                assert repair(folder) == []
            assert server.poll() is None
            server.kill()
        # Its number belongs to somebody else now, who is there.
        path.write_text(json.dumps(info | {"process": [os.getpid(), psutil.Process().create_time()]}))
        assert len(repair(folder)) == 1
        assert not {"process", "locked"} & set(json.loads(path.read_text()))
        assert repair(folder) == []

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
    async def test_a_disk_that_has_no_locks(self, tmp_path: Path, monkeypatch: Patch) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr("fcntl.flock", fail)
        async with recording_in(tmp_path) as log:
            add(log, 1)
            await log.more_than(0)
            assert info_of(log)["locked"] is False
            assert repair(log.path.parent) == [], "its process is there"
            assert log.error is None
