"""Reading logs with common/runs, for clients too, by common/runs/serving.py and common/http.py."""

import asyncio
import csv
import io
import json
import math
import os
import random
import re
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pandas
import pytest
from playwright.sync_api import Browser, Page
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from common.clients import MAX_BACKLOG
from common.http import HttpConnection, attachment, download
from common.runs.files import row_at
from common.runs.index import Index
from common.runs.recorder import Recorder
from common.runs.recording import CHUNK_SIZE, MAX_FIELDS, Chunk, LogReader, Recording, Run, recordings
from common.runs.replay import Replay
from common.runs.rows import MAX_ROW, plain
from common.runs.serving import Runs
from tests.rows import CELLS, DISTURBANCES, LOGS, ROWS, START_NS, TIMES, disturb, read_from
from tests.rows import FIELDS as LOG_FIELDS
from tests.support import PORT, ROOT, reset, run, wait_until

FIELDS = {"x": "m/s²", "y": ""}
RATE = 1000.0
Row = tuple[int, int, list[float | None]]


def random_rows(count: int, seed: int = 1, holes: bool = False) -> list[Row]:
    """Readings at irregular times, with bursts, long gaps and missing values, and holes in their numbers."""
    chance = random.Random(seed)
    rows, seq, time_ns = [], 0, START_NS
    for _ in range(count):
        seq += chance.randint(1, 50) if holes and chance.random() < 0.02 else 1
        time_ns += chance.choice([1, 900, 10**6, 10**6, 10**6, 3 * 10**6])
        if chance.random() < 0.003:
            time_ns += chance.choice([10**8, 10**10, 10**12])
        rows.append((seq, time_ns, [None if chance.random() < 0.1 else chance.gauss(0, 9), chance.random()]))
    return rows


def lines_of(rows: list[Row]) -> bytes:
    return "".join(
        f"{seq},{time_ns},{','.join('' if value is None else repr(value) for value in values)}\n"
        for seq, time_ns, values in rows
    ).encode()


def write_log(path: Path, rows: list[Row], **info: Any) -> bytes:
    """Write a log with the JSON file beside it, and return its lines."""
    names, data = list(FIELDS), lines_of(rows)
    path.write_bytes(f"seq,time_ns,{','.join(names)}\n".encode() + data)
    info = {"epoch": "E", "fields": names, "units": list(FIELDS.values()), "rate": RATE, "events": []} | info
    path.with_suffix(".json").write_text(json.dumps(info), encoding="utf-8")
    return data


def bins_of(rows: list[Row], start_us: int, stop_us: int, shift: int) -> list[list[Any]]:
    """What Index.bins() has to return, found by looking at every row."""
    found: dict[int, list[Any]] = {}
    for _, time_ns, values in rows:
        time_us = time_ns // 1000
        if start_us >> shift << shift <= time_us < stop_us:
            entry = found.setdefault(time_us >> shift, [time_us >> shift, 0, *[None, None] * len(values)])
            entry[1] += 1
            for slot, value in enumerate(values):
                if value is not None:
                    low, high = entry[2 + 2 * slot : 4 + 2 * slot]
                    entry[2 + 2 * slot] = value if low is None else min(low, value)
                    entry[3 + 2 * slot] = value if high is None else max(high, value)
    return [found[number] for number in sorted(found)]


def check_bins(index: Index, rows: list[Row], seed: int, tries: int = 25) -> None:
    chance = random.Random(seed)
    times = [time_ns // 1000 for _, time_ns, _ in rows]
    for _ in range(tries):
        start, stop = sorted(chance.choice(times) + chance.randint(-5000, 5000) for _ in range(2))
        shift = chance.randint(0, index.base + 20)
        assert index.bins(start, stop, shift) == bins_of(rows, start, stop, shift), (start, stop, shift)
    everything = (times[0], times[-1] + 1, index.base + 3)
    assert index.bins(*everything) == bins_of(rows, *everything)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "2026-01-01T00-00-00.000000.csv"


# What the fixture opened is: it opens a log, and closes it at the end of the test.
Open = Callable[..., Any]


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    """Open a log, after these rows have been written to it, if there are any; with a speed, its replay."""
    with ExitStack() as stack:

        def open_log(rows: list[Row] | None = None, log: Path = path, speed: float | None = None) -> Run:
            if rows is not None:
                write_log(log, rows)
            return stack.enter_context(closing(Replay(log, speed) if speed else Recording(log)))

        yield open_log


class TestIndex:
    @pytest.mark.parametrize("seed", range(3))
    def test_bins_while_the_log_grows(self, path: Path, seed: int) -> None:
        rows = random_rows(4000, seed)
        data = write_log(path, [])
        begin = path.stat().st_size
        data = write_log(path, rows)
        ends = [begin + i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
        index = Index(path, 2, RATE)
        chance = random.Random(seed)
        for count in sorted({*chance.sample(range(1, 4000), 12), 4000}):
            index.update(begin, ends[count - 1])
            check_bins(index, rows[:count], count, tries=5)
            if chance.random() < 0.5:
                index.commit()
        check_bins(index, rows, seed)
        index.close()

    def open_again(self, path: Path, rows: list[Row]) -> None:
        recording = Recording(path)
        check_bins(recording.reader.index, rows, 1)
        assert (recording.first, recording.head) == (rows[0][0], rows[-1][0])
        recording.close()

    def test_bins_of_an_index_that_was_lost_spoilt_or_of_an_older_log(self, path: Path) -> None:
        rows = random_rows(3000)
        write_log(path, rows[:1000])
        index = path.with_suffix(".index")
        self.open_again(path, rows[:1000])
        old = index.read_bytes()
        write_log(path, rows)  # the log has grown
        other = sqlite3.connect(index, timeout=0)
        other.execute("BEGIN IMMEDIATE")  # another program writes the index
        self.open_again(path, rows)
        other.rollback()
        other.close()
        self.open_again(path, rows)
        self.open_again(path, rows)
        index.unlink()
        self.open_again(path, rows)
        good = index.read_bytes()
        index.write_bytes(old)
        self.open_again(path, rows)
        write_log(path, rows[:500])
        self.open_again(path, rows[:500])  # the log is a shorter one now
        write_log(path, rows)
        for rubbish in (b"", b"no database at all" * 100, good[:5000], good[: len(good) // 2]):
            index.write_bytes(rubbish)
            self.open_again(path, rows)
        with sqlite3.connect(index) as other:
            other.execute("UPDATE about SET layout = 'of another program'")
        other.close()
        self.open_again(path, rows)
        index.unlink()
        index.mkdir()  # what cannot be written is kept in memory
        self.open_again(path, rows)

    @pytest.mark.parametrize("age", [0, 100])
    @pytest.mark.parametrize(
        "how", ["CRLF", "one value", "one value, and more", "quotes", "other fields", "other rows"]
    )
    def test_an_index_of_a_log_that_somebody_has_saved_anew(self, path: Path, how: str, age: int) -> None:
        rows: list[Row] = [(i, START_NS + i * 10**6, [float(i % 7), 0.25]) for i in range(1, 3001)]
        write_log(path, rows)
        self.make_older(path, age)
        self.open_again(path, rows)
        text = path.read_bytes()
        before = path.stat()
        header, *lines, _ = text.split(b"\n")
        if how == "CRLF":
            text = text.replace(b"\n", b"\r\n")
        elif how == "quotes":
            text = b"\n".join([header, *(b'"' + line.replace(b",", b'","') + b'"' for line in lines), b""])
        elif how == "other fields":
            text = text.replace(b"x,y", b"a,b")
        elif how == "other rows":
            rows = [(seq + 5, time_ns + 5, values) for seq, time_ns, values in rows]
            text = header + b"\n" + write_log(path, rows)
        else:
            rows[1499][2][1] = 9.75
            line = f"1500,{rows[1499][1]},{rows[1499][2][0]}".encode()
            text = text.replace(line + b",0.25", line + b",9.75")
            assert len(text) == before.st_size
        if how.endswith("more"):
            rows.append((3001, START_NS + 10**10, [1.0, 2.0]))
            text += f"3001,{rows[-1][1]},1.0,2.0\n".encode()
        path.write_bytes(text)
        # Even if it pretends to be as old as it was.
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        for _ in range(2):
            self.open_again(path, rows)
            self.make_older(path, age)

    def make_older(self, path: Path, seconds: float) -> None:
        about = path.stat()
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns - int(seconds * 1e9)))

    def test_a_log_that_goes_on_or_is_copied_is_not_put_into_bins_again(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken = 0
        take = Index._take

        def count(index: Index, data: bytes) -> None:
            nonlocal taken
            taken += data.count(b"\n")
            take(index, data)

        monkeypatch.setattr(Index, "_take", count)
        rows: list[Row] = [(i, START_NS + i * 10**6, [float(i % 7), 0.25]) for i in range(1, 2001)]
        write_log(path, rows[:1900])
        self.open_again(path, rows[:1900])
        assert taken == 1900
        write_log(path, rows)
        self.open_again(path, rows)
        assert taken < 2100, "only what is new, and the bin before it"
        self.make_older(path, 1000)
        self.open_again(path, rows)
        assert taken < 2200
        # From another folder, with its index.
        other = path.parent / "other"
        other.mkdir()
        for file in (path, path.with_suffix(".index"), path.with_suffix(".json")):
            (other / file.name).write_bytes(file.read_bytes())
        self.open_again(other / path.name, rows)
        assert taken < 2300

    def test_a_log_that_is_as_it_was_is_not_read_again(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("common.runs.index.SETTLED", -(10**12))
        rows = random_rows(5000)
        write_log(path, rows)
        self.open_again(path, rows)
        checked = 0

        def count(data: bytes, before: int = 0) -> int:
            nonlocal checked
            checked += len(data)
            return 0

        monkeypatch.setattr("zlib.crc32", count)
        self.open_again(path, rows)
        assert checked < 5000, "but for the last bin"

    def test_as_many_fields_as_a_log_can_have(self, path: Path, opened: Open) -> None:
        for fields in (1, 401, MAX_FIELDS):
            path = path.with_name(f"{fields}.csv")
            chance = random.Random(fields)
            rows: list[Row] = []
            for i in range(1, 11):
                values = [None if chance.random() < 0.2 else chance.gauss(0, 9) for _ in range(fields)]
                rows.append((i, START_NS + i * 2 * 10**7, values))
            names = ",".join(f"p{i}" for i in range(fields))
            path.write_bytes(f"seq,time_ns,{names}\n".encode() + lines_of(rows))
            path.with_suffix(".json").write_text('{"rate": 1000}')  # so that these are many bins
            for _ in range(2):
                recording = opened(log=path)
                times = (rows[0][1] // 1000, rows[-1][1] // 1000 + 1)
                index = recording.reader.index
                for shift in (index.base, index.base + 2, index.base + 4):
                    assert index.bins(*times, shift) == bins_of(rows, *times, shift)
                assert read_all(recording, 0)[2] == lines_of(rows)
                recording.close()

    def test_an_index_that_fails_is_made_up_for_from_the_log(self, opened: Open) -> None:
        rows = random_rows(1500, holes=True)
        recording = opened(rows)
        for table in ("about", "bins"):
            recording.reader.index._db.execute(f"DROP TABLE {table}")
        check_bins(recording.reader.index, rows, 1, tries=5)
        assert read_all(recording, 0)[0] == [seq for seq, _, _ in rows]
        assert recording.view(0, 10**18, 10)["width"] > 0
        recording.close()
        assert read_all(recording, 700)[0] == [seq for seq, _, _ in rows if seq > 700]

    def test_ten_million_rows_would_answer_at_once(self, path: Path, opened: Open) -> None:
        # How much is read is what takes time, and that does not grow with the log.
        rows: list[Row] = [(i, START_NS + i * 10**6, [float(i % 97), 0.5]) for i in range(1, 150_001)]
        recording = opened(rows)
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        recording.reader.index._db.set_progress_handler(count, 10)
        view = recording.view(0, 10**18, 100)
        assert len(view["bins"]) <= 201
        assert sum(entry[1] for entry in view["bins"]) == 150_000
        assert recording.extremes(70_000, 1000, 100)[0]["gone"] == 0
        assert steps < 5000
        steps = 0
        assert row_at(path, recording.reader.offset(0, 140_000))[0] == 140_000
        assert exported(recording, START_NS // 1000, START_NS // 1000 + 10**6).count(b"\n") == 1001
        assert recording.reader.rows_before(recording.reader.offset(0, 140_000)) == 139_999
        assert steps < 50


def read_all(recording: Run, have: int) -> tuple[list[int], int, bytes]:
    """Read a log as a client does; return the numbers of what came, how many were gone, and the lines."""
    found = []

    async def read() -> None:
        found.append(await read_from(recording, have, recording.head))

    run(read())
    ((numbers, text, gone),) = found
    return numbers, gone, text.encode()


class TestCatchingUp:
    def test_from_anywhere(self, opened: Open) -> None:
        rows = random_rows(3000, holes=True)
        recording = opened(rows)
        assert recording.head == rows[-1][0] > len(rows)
        for have in [0, 1, recording.head - 1, *random.Random(1).sample(range(recording.head), 10)]:
            numbers, gone, lines = read_all(recording, have)
            assert numbers == [seq for seq, _, _ in rows if seq > have]
            assert gone == recording.head - have - len(numbers)
            assert lines_of(rows).endswith(lines)

    def test_a_log_that_is_touched_while_it_is_read_is_the_same(
        self, path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = random_rows(300)
        recording = opened(rows)
        os.utime(path, ns=(0, 5 * 10**9))
        assert read_all(recording, 0)[0] == [seq for seq, _, _ in rows]
        # All of it has been read once to see that, and is not for each question.
        with monkeypatch.context() as patch:
            patch.setattr(recording.reader.index, "is_of_log", lambda: pytest.fail("it is read again"))
            recording.check()
        path.write_bytes(path.read_bytes()[:-3] + b"42\n")
        for _ in range(2):
            assert read_all(recording, 0) == ([], 300, b"")
            os.utime(path, ns=(0, 5 * 10**9))  # even if it pretends to be as old as it was

    def test_a_log_that_is_cut_just_when_it_is_read(
        self, path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recording = opened(random_rows(300))
        monkeypatch.setattr(recording, "check", lambda: os.truncate(path, recording.reader.begin))
        # In a thread that holds nothing up, should it look for the rest for ever.
        found: list[Chunk] = []
        reader = threading.Thread(target=lambda: found.append(recording._chunk_of_file(299)), daemon=True)
        reader.start()
        reader.join(10)
        assert found == [Chunk((300, 300), "", 300, 0)]

    @pytest.mark.parametrize("holes", [False, True])
    def test_extremes_account_for_every_reading(self, opened: Open, holes: bool) -> None:
        rows = random_rows(3000, holes=holes)
        recording = opened(rows)
        head = recording.head
        chance = random.Random(1)
        found = 0
        for have in [0, 1, head, head - 1, *[chance.randrange(head) for _ in range(60)]]:
            recent, columns = chance.choice([0, 100, 1000]), chance.choice([1, 7, 300])
            message, last = recording.extremes(have, recent, columns)
            if message is None:
                assert last == have
                continue
            found += 1
            assert have < last == message["last"] <= head - recent
            assert len(message["bins"]) <= columns + 1
            assert message["first"] == have + 1
            shift = message["width"].bit_length() - 1
            assert message["width"] == 2**shift
            told = [row for row in rows if have < row[0] <= last]
            assert message["gone"] == last - have - len(told)
            counts = {entry[0]: entry[1] for entry in message["bins"]}
            assert counts == {entry[0]: entry[1] for entry in bins_of(told, 0, 2**62, shift)}
            # The first bin is whole, so that it can be merged with the part that the page has.
            whole = bins_of(rows, told[0][1] // 1000, told[-1][1] // 1000 + 1, shift)
            assert [entry[2:] for entry in message["bins"]] == [entry[2:] for entry in whole]
            # And it goes on from there.
            assert read_all(recording, last)[0] == [seq for seq, _, _ in rows if seq > last]
        assert found > 20

    def test_of_many_fields_there_are_fewer_bins_and_readings(self, path: Path, opened: Open) -> None:
        fields = 1024
        # Three to one of the narrowest bins, so that those are more than there may be.
        lines = [f"{i},{START_NS + i * 10**7}{',0.5' * fields}\n" for i in range(1, 1001)]
        path.write_text(f"seq,time_ns,{','.join(f'p{i}' for i in range(fields))}\n" + "".join(lines))
        path.with_suffix(".json").write_text('{"rate": 1000}')
        recording = opened()
        assert recording.most_rows < 4000
        message, last = recording.extremes(0, 10_000, 2048)
        assert sum(entry[1] for entry in message["bins"]) == last
        assert 1000 - recording.most_rows // 5 - 10 < last <= 1000 - recording.most_rows // 5
        assert 32 <= len(message["bins"]) <= 65
        view = recording.view(0, 10**18, 2048)
        assert len(view["bins"]) <= 130
        assert sum(entry[1] for entry in view["bins"]) == 1000
        assert len(json.dumps(view)) < 2**21


class TestView:
    def test_every_reading_or_extremes(self, opened: Open) -> None:
        rows = random_rows(3000, holes=True)
        recording = opened(rows)
        chance = random.Random(2)
        for _ in range(60):
            first, last = sorted(chance.sample(range(3000), 2))
            start, stop = rows[first][1] // 1000, rows[last][1] // 1000
            columns = chance.choice([1, 10, 200, 700])
            wanted = [i for i, row in enumerate(rows) if start <= row[1] // 1000 <= stop]
            view = recording.view(start, stop, columns)
            if len(wanted) <= 4 * columns:
                text = lines_of(rows[wanted[0] : wanted[-1] + 1]).decode()
                assert view == {"width": 0, "lines": text}
            else:
                shift = view["width"].bit_length() - 1
                assert view == {"width": 2**shift, "bins": bins_of(rows, start, stop + 1, shift)}
                assert (stop - start) / view["width"] <= 2 * columns

    def test_any_numbers(self, opened: Open) -> None:
        rows = random_rows(500)
        recording = opened(rows)
        nothing = {"width": 0, "lines": ""}
        huge = 10**4000
        assert recording.view(-huge, huge, huge) == {"width": 0, "lines": lines_of(rows).decode()}
        assert sum(entry[1] for entry in recording.view(-huge, huge, -huge)["bins"]) == 500
        assert recording.view(huge, -huge, 5) == nothing
        assert recording.view(huge, huge, 5) == nothing
        assert recording.view(0, START_NS // 1000 - 10, 5) == nothing


def exported(recording: Run, *times: int | None) -> bytes:
    size, chunks = recording.export(*times)
    data = b"".join(chunks)
    assert len(data) == size
    return data


HEADER = "\ufeffseq,time_ns,x (m/s²),y\n".encode()


class TestExport:
    def test_ranges_to_the_byte(self, opened: Open) -> None:
        rows = random_rows(3000, holes=True)
        recording = opened(rows)
        assert exported(recording) == HEADER + lines_of(rows)
        chance = random.Random(3)
        for _ in range(40):
            times = [chance.choice(rows)[1] // 1000 + chance.randint(-2, 2) for _ in range(2)]
            start, stop = (None if chance.random() < 0.2 else time_us for time_us in times)
            wanted = [row for row in rows if (start or 0) <= row[1] // 1000 <= (stop or math.inf)]
            assert exported(recording, start, stop) == HEADER + lines_of(wanted)

    def test_pandas_reads_it_as_it_is(self, path: Path, opened: Open) -> None:
        rows = random_rows(500)
        recording = opened(rows)
        table = pandas.read_csv(io.BytesIO(exported(recording)))
        assert list(table.columns) == ["seq", "time_ns", "x (m/s²)", "y"]
        assert [str(kind) for kind in table.dtypes] == ["int64", "int64", "float64", "float64"]
        assert list(table["time_ns"]) == [time_ns for _, time_ns, _ in rows]
        x = [None if math.isnan(value) else value for value in table["x (m/s²)"]]
        assert x == pytest.approx([values[0] for _, _, values in rows])
        path.with_name("again.csv").write_bytes(exported(recording))
        again = opened(log=path.with_name("again.csv"))  # a download is a log too
        assert again.head == 500
        assert again.fields == {"x (m/s²)": "", "y": ""}


class TestRowsOfOthers:
    """What a value is, is the same for the index, a page, an export and a replay."""

    @pytest.mark.parametrize("how", LOGS)
    def test_every_reader_has_the_same_readings(
        self, tmp_path: Path, opened: Open, how: str, page: Page
    ) -> None:
        path = tmp_path / "of another program.csv"
        path.write_bytes(LOGS[how])
        for _ in range(2):  # without an index, and with one
            recording = opened(log=path)
            assert (list(recording.fields), recording.first, recording.head) == (LOG_FIELDS, 1, 7)
            view = recording.view(0, 10**18, 1000)
            chunks = read_all(recording, 0)
            assert (chunks[0], chunks[1]) == ([1, 2, 3, 5, 6, 7], 1)
            for text in (view["lines"], chunks[2].decode(), exported(recording).decode().partition("\n")[2]):
                assert in_python(text) == ROWS
                assert in_page(page, text) == ROWS
            for first, last in [(0, 1), (1, 4), (2, 5), (5, 5)]:
                part = exported(recording, ROWS[first][1], ROWS[last][1]).decode().partition("\n")[2]
                assert in_python(part) == ROWS[first : last + 1]
            assert recording.reader.index.bins(0, 2**60, 60)[0][1:] == [6, -0.5, 1e15, -7, 50.25]
            assert sum(entry[1] for entry in recording.view(0, 10**18, 1)["bins"]) == 6
            message, last = recording.extremes(0, 0, 1)
            counted = sum(entry[1] for entry in message["bins"]) if message else 0
            assert counted == len([row for row in ROWS if row[0] <= last])
            table = pandas.read_csv(io.BytesIO(exported(recording)))
            assert [str(kind) for kind in table.dtypes] == ["int64", "int64", "float64", "float64"]
            recording.close()
        assert recordings(tmp_path) == [
            {
                "run": path.stem, "start": TIMES[0] / 1e9, "end": TIMES[-1] / 1e9, "readings": 7,
                "fields": dict.fromkeys(LOG_FIELDS, ""),
            }
        ]  # fmt: skip
        replay = opened(log=path, speed=1000)
        play(replay)
        assert (replay.head, replay.logged, replay.error) == (7, 6, None)
        assert read_all(replay, 0)[:2] == ([1, 2, 3, 5, 6, 7], 1)
        assert in_python(exported(replay).decode().partition("\n")[2]) == ROWS

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_more_empty_lines_than_are_read_at_once(
        self, path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        for size in ("recording.CHUNK_SIZE", "replay.CHUNK_SIZE", "index.CHUNK", "index.PART"):
            monkeypatch.setattr(f"common.runs.{size}", 1000)
        many = end * 1000
        rows = [(i, START_NS // 1000 + i * 1000, [i]) for i in (1, 2, 3)]
        first, second, third = (f"{seq},{time_us * 1000},{x}{end}" for seq, time_us, (x,) in rows)
        path.write_bytes(f"seq,time_ns,x{end}{many}{first}{second}{many}{third}{many}".encode())
        recording, replay = opened(), opened(speed=1000)
        assert (recording.first, recording.head, recording.rate) == (1, 3, 1000)
        play(replay)
        assert (replay.head, replay.logged, replay.error) == (3, 3, None)
        for read in (recording, replay):
            assert all(read.export()[1]), "to a download, nothing is the end"
            assert in_python(exported(read).decode().partition("\n")[2]) == rows
            assert in_python(read_all(read, 0)[2].decode()) == rows
            assert in_python(read.view(0, 10**18, 100)["lines"]) == rows
            assert read.view(0, 10**18, 1)["lines"] == read.view(0, 10**18, 100)["lines"]
            assert [entry[1] for entry in read.reader.index.bins(0, 2**60, 10)] == [1, 1, 1]
            offsets = [read.reader.offset(0, seq) for seq in (1, 2, 3, 4)]
            assert [read.reader.rows_before(offset) for offset in offsets] == [0, 1, 2, 3]
        (entry,) = recordings(path.parent)
        assert (entry["readings"], entry["start"]) == (3, rows[0][1] / 1e6)

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_what_a_cell_says(self, path: Path, opened: Open, page: Page, end: str) -> None:
        lines = [f"{i},{START_NS + i * 10**9},{cell},1" for i, cell in enumerate(CELLS, 1)]
        path.write_bytes(end.join(["seq,time_ns,x,y", *lines, ""]).encode())
        recording = opened()
        for text in (
            recording.view(0, 10**18, 1000)["lines"],
            read_all(recording, 0)[2].decode(),
            exported(recording).decode().partition("\n")[2],
        ):
            for rows in (in_python(text), in_page(page, text)):
                told = {cell: values[0] for cell, (_, _, values) in zip(CELLS, rows, strict=True)}
                assert told == CELLS
        for place, (cell, value) in enumerate(CELLS.items(), 1):
            time_us = (START_NS + place * 10**9) // 1000
            assert recording.reader.index.bins(time_us, time_us + 1, 10)[0][2] == value, cell

    def test_cells_one_by_one(self, tmp_path: Path, opened: Open, page: Page) -> None:
        # A log in which nothing else is unusual.
        for number, (cell, value) in enumerate(CELLS.items()):
            path = tmp_path / f"{number}.csv"
            path.write_bytes(f"seq,time_ns,x\n1,{START_NS},{cell}\n2,{START_NS + 1000},4\n".encode())
            recording = opened(log=path)
            for text in (recording.view(0, 10**18, 9)["lines"], read_all(recording, 0)[2].decode()):
                assert in_page(page, text)[0][2] == [value], cell
            kept = exported(recording).decode().splitlines()[1].split(",")[2:]
            assert (kept == [""]) == (value is None), cell
            assert recording.reader.index.bins(0, 2**60, 60)[0][2:] == [
                min(4, value) if value is not None else 4, max(4, value or 0)
            ], cell  # fmt: skip

    def test_a_torn_row_is_none_only_where_a_server_writes(self, tmp_path: Path, opened: Open) -> None:
        text = f"seq,time_ns,x\n1,{START_NS},50.3\n2,{START_NS + 1000},5"
        for name, head in [("2026-01-01T00-00-00.000000", 1), ("from elsewhere", 2), ("2026-01-01", 2)]:
            path = tmp_path / f"{name}.csv"
            path.write_text(text)
            assert opened(log=path).head == head, name
        # Zeros, and what begins like no row, are none there either.
        for rest, head in [("\0\0\0", 1), ("\nsum,,55", 2)]:
            path.write_text(text + rest)
            assert opened(log=path).head == head, rest
        # And such a file can go on.
        path.write_text(f"{text}1\n3,{START_NS + 2000},6\n")
        lines = read_all(opened(log=path), 0)[2].decode()
        assert [values for _, _, values in in_python(lines)] == [[50.3], [51.0], [6.0]]

    def test_worst_cells_take_no_more_than_linear_time(self) -> None:
        for worst in (
            b"1" * 100_000 + b"x",
            b"1e" + b"1" * 100_000 + b"x",
            b" " * 100_000 + b"x",
            b'"' * 100_000,
        ):
            begin = time.perf_counter()
            plain(b"1,1000," + worst + b"\n")
            assert time.perf_counter() - begin < 0.5


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A page with the reader that the dashboards have."""
    page = browser.new_page()
    page.add_script_tag(path=ROOT / "common" / "static" / "runs" / "bins.js")
    yield page
    page.close()


def in_python(text: str) -> list[tuple[int, int, list[float | None]]]:
    """What Python's own reader makes of rows that a page gets."""
    return [
        (int(seq), int(time_ns) // 1000, [float(value) if value else None for value in values])
        for seq, time_ns, *values in csv.reader(io.StringIO(text))
    ]


def in_page(page: Page, text: str) -> list[tuple[int, int, list[float | None]]]:
    """What the page makes of them."""
    ask = "(lines) => lines.map(parseLine).map(({ seq, time, values }) => [seq, time, values])"
    return [tuple(row) for row in page.evaluate(ask, text.splitlines())]


def test_a_log_that_was_taken_away_has_nothing_from_any_time(tmp_path: Path) -> None:
    assert LogReader(tmp_path / "gone.csv", 10, 10).offset(1, 5) == 10


class TestOpening:
    def test_names_and_units(self, path: Path, opened: Open) -> None:
        header = 'seq,time_ns,"force, left","the ""big"" one"\n'
        path.write_text(header + "1,1000000,1,2\n", encoding="utf-8")
        info = {"fields": ["force, left", 'the "big" one'], "units": ["N", "kN, about"], "rate": 5}
        path.with_suffix(".json").write_text(json.dumps(info), encoding="utf-8")
        recording = opened()
        assert recording.fields == {"force, left": "N", 'the "big" one': "kN, about"}
        table = pandas.read_csv(io.BytesIO(exported(recording)))
        assert list(table.columns) == ["seq", "time_ns", "force, left (N)", 'the "big" one (kN, about)']
        assert recordings(path.parent)[0]["fields"] == recording.fields

    @pytest.mark.parametrize("rubbish", [
        None, "", "{", "[1, 2]", "null", "\0" * 50, "[" * 100_000, '{"fields": 3, "units": 4, "rate": "x"}',
        '{"fields": ["x", "y"], "units": ["m"], "rate": -1}', '{"rate": NaN, "fields": ["x"]}',
        '{"rate": 1e300, "units": {"x": 1}}', '{"rate": true, "events": 7, "process": 3}',
    ])  # fmt: skip
    def test_without_what_the_json_file_says(self, path: Path, opened: Open, rubbish: str | None) -> None:
        rows: list[Row] = [(i, START_NS + i * 2 * 10**6, [float(i), None]) for i in range(1, 1001)]
        data = write_log(path, rows)
        path.with_suffix(".json").unlink()
        if rubbish is not None:
            path.with_suffix(".json").write_text(rubbish, encoding="utf-8")
        recording = opened()
        assert recording.fields == {"x": "", "y": ""}
        if "true" not in (rubbish or ""):
            assert recording.rate == 500
        assert recording.head == 1000
        assert read_all(recording, 0)[2] == data
        (entry,) = recordings(path.parent)
        assert entry == {
            "run": path.stem, "start": rows[0][1] / 1e9, "end": rows[-1][1] / 1e9, "readings": 1000,
            "fields": {"x": "", "y": ""},
        }  # fmt: skip

    def test_half_a_character_in_the_json_file(self, path: Path, opened: Open) -> None:
        write_log(path, random_rows(3), units=["\ud800", "m\udfff"], epoch="\udc80")
        recording = opened()
        assert recording.fields == {"x": "\ud800", "y": "m\udfff"}
        assert exported(recording).startswith("\ufeffseq,time_ns,x (?),y (m?)\n".encode())
        json.dumps(recordings(path.parent)).encode()

    @pytest.mark.parametrize(
        "number", ["9" * 20, "9" * 400, "9" * 5000, "1e400", "-5", "²", "1_0", "", "0x1"]
    )
    def test_one_log_does_not_break_the_list(self, path: Path, number: str) -> None:
        write_log(path.with_name("b.csv"), random_rows(3))
        for place, line in enumerate([f"{number},1000,1\n", f"1,{number},1\n", f"3,9000,1\n4,{number},1\n"]):
            path.write_text(f"seq,time_ns,x\n{line}", encoding="utf-8")
            assert "b" in [entry["run"] for entry in recordings(path.parent)], place
            json.dumps(recordings(path.parent), allow_nan=False)
            with suppress(ValueError):
                Recording(path).close()

    @pytest.mark.parametrize("mark", ["=", "+", "-", "@", "\t=", " =", "\r="])
    def test_a_spreadsheet_computes_nothing_of_a_header(self, path: Path, opened: Open, mark: str) -> None:
        names = [f"{mark}cmd()", "y"]
        path.write_text(f'seq,time_ns,"{mark}cmd()",y\n1,1000,1,=1+1\n', newline="")
        path.with_suffix(".json").write_text(json.dumps({"fields": names, "units": ["=2+2", "=V"]}))
        (header, row) = csv.reader(io.StringIO(exported(opened()).decode("utf-8-sig"), newline=""))
        assert header == ["seq", "time_ns", f"'{mark}cmd() (=2+2)", "y (=V)"]
        assert row == ["1", "1000", "1", ""]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "does not begin with"),
            ("hello\n1,2\n", "does not begin with"),
            ("seq,time_ns\n1,2\n", "does not begin with"),
            ("seq,time_ns,x", "does not begin with"),
            ("seq,time_ns,x,x\n", "the same name"),
            ("seq,time_ns,x\na,b,c\n1,2,3\n", "invalid literal"),
            ("seq,time_ns,x\n+1,1000,1\n2,2000,3\n", "invalid literal"),
            ("seq,time_ns,x\n1,1e18,1\n2,2000,3\n", "invalid literal"),
            ("seq,time_ns,x\r\n1,-1000,1\r\n2,2000,3\r\n", "invalid literal"),
            ("seq,time_ns,x\n1,1.76723E+18,1\n2,1.76723E+18,3\n", "invalid literal"),
            ('seq,time_ns,x\n1,1000,"1\n2"\n2,2000,3\n', "has 0 values|invalid literal"),
            ("seq,time_ns,x\n1,1000,3\n2,2000\n3,3000,1\n", "reading 2 has 0 values, not 1"),
            ("seq,time_ns,x\n1,1000,3\n2,2000,1,2\n3,3000,1\n", "reading 2 has 2 values, not 1"),
            (
                "seq,time_ns,x\n1,9000000000,3\n2,9001000000,3\n3,9002000000,3\n4,9000,4\n",
                "goes back at reading 4",
            ),
            ("seq,time_ns,x\n2,1000,3\n1,2000,4\n", "reading 1 comes after reading 2"),
            (f"seq,time_ns,x\n1,{10**40},3\n2,{10**41},3\n", "too large"),
            # At the end of a file as in its middle: only what has no end of line can be torn.
            ("seq,time_ns,x\n1,1000,3\n2,2000,1\n3,3000\n", "reading 3 has 0 values, not 1"),
            ("seq,time_ns,x\n1,1000,3\n2,2000\n3,3000\n4,4000\n", "reading 2 has 0 values, not 1"),
            ("seq,time_ns,x\n1,1000,3\n2,2000,1,\n\n", "reading 2 has 2 values, not 1"),
            ("seq,time_ns,x\n1,1000,3\n# the end\n", "invalid literal"),
            ('seq,time_ns,x\n1,1000,"2"\r3\n4,4000,1\n', "new-line character"),
            # Within one bin of the index, too, however little it is.
            ("seq,time_ns,x\n1,1000,3\n2,3000,1\n3,2999,1\n", "goes back at reading 3"),
            (f"seq,time_ns,x\n1,1000,3\n2,2000,{'x' * 2**17}\n3,3000,1\n", "131,072 can be read"),
            (f"seq,time_ns,x\n1,1000,3\n2,2000,1\n3,3000,{'1' * 2**17}\n", "131,072 can be read"),
            (f"seq,time_ns,x\n1,1000,3\n2,2000,1\n3,3000,{'x' * 2**19}\n", "131,072 can be read"),
            ("PK\x03\x04\0\0\0", "does not begin with"),
            ("seq,time_ns\rx\n", "does not begin with"),
        ],
    )
    def test_what_is_no_log(self, path: Path, text: str, words: str) -> None:
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"{path.name} is not a log.*{words}"):
            Recording(path)
        assert all(entry["run"] == path.stem for entry in recordings(path.parent))

    def test_a_torn_tail_is_not_read(self, path: Path, opened: Open) -> None:
        rows = random_rows(50)
        tails = [b"51,17672", b"51", b"\0" * 5000, b"51,1,2\n\0\0\n", b"\n\n", b"x" * 200_000]
        # Many zeros, so that the row before them begins anywhere in what is read at once.
        tails += [bytes(2 * MAX_ROW + more) + b"\n" for more in (-100, -50, -20, -1, 0, 1, 100)]
        for tail in tails:
            data = write_log(path, rows)
            with path.open("ab") as file:
                file.write(tail)
            recording = opened()
            assert (recording.head, read_all(recording, 0)[2]) == (50, data)
            assert exported(recording) == HEADER + data
            recording.close()
            assert recordings(path.parent)[0]["readings"] == 50

    @pytest.mark.parametrize("cell", ['"a\rb"', "a\rb", '"\r"'])
    def test_a_carriage_return_within_a_cell_ends_no_line(self, path: Path, opened: Open, cell: str) -> None:
        path.write_text(f"seq,time_ns,x\n1,1000,1\n2,2000,{cell}\n3,3000,3\n", newline="")
        assert read_all(opened(), 0)[2] == b"1,1000,1\n2,2000,\n3,3000,3\n"
        replay = opened(speed=1000)
        play(replay)
        assert (replay.error, replay.head, replay.logged) == (None, 3, 3)

    def test_two_who_open_a_run_at_once(self, path: Path, opened: Open) -> None:
        """One makes the index; the other one must not take the rows for what they are not."""
        text = "".join(f'"{seq}","{seq}000000","{seq}.5"\r\n' for seq in range(1, 1001))
        path.write_text(f'"seq","time_ns","x"\r\n{text}', newline="")
        Index(path, 1, 1000).close()
        with sqlite3.connect(path.with_suffix(".index")) as other:
            other.execute("BEGIN IMMEDIATE")
            recording = opened()
            assert read_all(recording, 0)[2].splitlines()[-1] == b"1000,1000000000,1000.5"
            assert exported(recording).endswith(b"\n1000,1000000000,1000.5\n")
            assert recording.view(0, 10**9, 10)["bins"][-1][3] == 1000.5
            recording.close()
            other.rollback()
            path.write_text(f'seq,time_ns,x\r\n{text}"1001","1001000000"\r\n', newline="")
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(ValueError, match="reading 1001 has 0 values"):
                Recording(path)
        other.close()

    def test_an_empty_log(self, path: Path, opened: Open) -> None:
        recording = opened([])
        assert (recording.first, recording.head, recording.end_ns) == (1, 0, 0)
        assert exported(recording) == exported(recording, 5, 6) == HEADER
        assert recording.view(0, 10**18, 5) == {"width": 0, "lines": ""}
        assert recording.extremes(0, 0, 5) == (None, 0)
        assert recordings(path.parent) == []
        with pytest.raises(ValueError, match="has no readings"):
            Replay(path, 1)

    def test_the_list_of_runs(self, path: Path) -> None:
        assert recordings(path.parent / "not there") == []
        for name in ("a", "b", "c"):
            write_log(path.with_name(f"{name}.csv"), random_rows(20, holes=True))
        path.with_name("notes.csv").write_text("what,when\n")
        path.with_name("folder.csv").mkdir()
        runs = recordings(path.parent)
        assert [entry["run"] for entry in runs] == ["c", "b", "a"]
        assert runs[0]["readings"] == random_rows(20, holes=True)[-1][0]
        assert runs[0]["fields"] == FIELDS


def play(
    replay: Replay, follow: Callable[[Replay, asyncio.Event], Any] | None = None, running: bool = True
) -> list[tuple[int, float]]:
    """Play a recording to its end; return the numbers of its readings, and when each was seen."""
    seen: list[tuple[int, float]] = []

    async def main() -> None:
        is_running = asyncio.Event()
        if running:
            is_running.set()
        playing = asyncio.create_task(replay.play(is_running))
        following = asyncio.create_task(follow(replay, is_running)) if follow else None
        have = replay.head
        while not (replay.over and have == replay.head):
            await asyncio.wait_for(replay.more_than(have), 30)
            while have < replay.head:
                chunk = await replay.chunk(have)
                now = time.monotonic()
                seen.extend((seq, now) for seq in range(have + 1, chunk.last + 1))
                have = chunk.last
        await asyncio.wait_for(playing, 30)
        if following:
            await following

    run(main())
    return seen


class TestReplay:
    def test_keeps_the_recorded_times(self, opened: Open) -> None:
        # 0, 1, 3 and 6 s, ten times as fast.
        rows = [(i, START_NS + s * 10**9, [1.0, 2.0]) for i, s in enumerate([0, 1, 3, 6], 5)]
        replay = opened(rows, speed=10)
        assert (replay.first, replay.head, replay.acquired, replay.logged) == (5, 4, 0, 0)
        assert replay.epoch != opened(speed=10).epoch
        begin = time.monotonic()
        seen = play(replay)
        assert [seq for seq, _ in seen] == [5, 6, 7, 8]
        # None comes too early; a busy machine may see one late, but not as late as without the speed.
        for (_, at), due in zip(seen, [0, 0.1, 0.3, 0.6], strict=True):
            assert due <= at - begin < due + 2
        assert replay.logged == 4

    def test_stop_and_start(self, opened: Open) -> None:
        # After the sixth reading nothing comes for long, in which the replay is stopped.
        seconds = [i / 10 + (60 if i > 6 else 0) for i in range(1, 21)]
        rows = [(i, START_NS + int(s * 1e9), [1.0, 2.0]) for i, s in enumerate(seconds, 1)]
        replay = opened(rows, speed=10)

        async def follow(replay: Replay, running: asyncio.Event) -> None:
            assert replay.head == 0
            running.set()
            await replay.more_than(5)
            running.clear()
            while replay._since is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)
            clock, head = replay.now_ns(), replay.head
            await asyncio.sleep(0.1)
            assert (replay.now_ns(), replay.head, head) == (clock, 6, 6)
            replay.speed = 1000
            running.set()

        assert [seq for seq, _ in play(replay, follow, running=False)] == list(range(1, 21))

    def test_as_fast_as_it_goes(self, opened: Open) -> None:
        rows = random_rows(20_000, holes=True)
        replay = opened(rows, speed=1e12)

        async def follow(replay: Replay, running: asyncio.Event) -> None:
            await replay.more_than(0)
            assert 0 < replay.head < rows[-1][0], "what has been played is shown before the end"

        play(replay, follow)
        assert read_all(replay, 0)[2] == lines_of(rows)
        assert replay.view(0, 10**18, 5)["bins"]

    def test_shows_nothing_of_what_is_to_come(self, opened: Open) -> None:
        replay = opened(random_rows(100), speed=1)
        assert exported(replay) == HEADER
        assert replay.view(START_NS // 1000 + 500, 10**18, 100) == {"width": 0, "lines": ""}
        assert replay.extremes(0, 0, 10) == (None, 0)

    def test_a_recording_that_goes_missing_ends(
        self, path: Path, opened: Open, capsys: pytest.CaptureFixture[str]
    ) -> None:
        replay = opened([(i, START_NS + i, [1.0, 2.0]) for i in range(1, 10_001)], speed=1)
        path.unlink()
        running = asyncio.Event()
        running.set()
        run(asyncio.wait_for(replay.play(running), 30))
        assert replay.over
        assert "cannot be read any more" in capsys.readouterr().out

    @pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
    @pytest.mark.parametrize("is_running", [True, False])
    @pytest.mark.parametrize("how", [how for how in DISTURBANCES if how != "replaced by the same"])
    def test_a_recording_that_somebody_changes_while_it_plays_ends(
        self, path: Path, opened: Open, capsys: pytest.CaptureFixture[str], how: str, is_running: bool
    ) -> None:
        # A long wait between two readings, with more in the file than is read at once.
        seconds = [i / 1e6 + (3600 if i > 5000 else 0) for i in range(1, 10_001)]
        rows = [(i, START_NS + int(s * 1e9), [1.0, 2.0]) for i, s in enumerate(seconds, 1)]
        replay = opened(rows, speed=1)
        other = opened()

        async def main() -> None:
            running = asyncio.Event()
            running.set()
            playing = asyncio.create_task(replay.play(running))
            await asyncio.wait_for(replay.more_than(4999), 30)
            if not is_running:
                running.clear()
                while replay._since is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            disturb(path, how)
            begin = time.monotonic()
            running.set()
            if how == "longer":  # nothing of what is played has changed
                done, _ = await asyncio.wait([playing], timeout=1)
                assert not done
                playing.cancel()
                return
            await asyncio.wait_for(playing, 30)
            assert time.monotonic() - begin < 2
            assert replay.over
            assert replay.error == (
                f"ERROR: {path.name} cannot be read any more, because somebody has changed or deleted it; "
                "the replay ends here"
            )
            assert replay.head == 5000, "nothing of another file is taken for a part of it"
            assert (await replay.chunk(0)).text == ""
            assert replay.view(0, 10**18, 5) == {"width": 0, "lines": ""}

        run(main())
        if how != "longer":
            assert capsys.readouterr().out == replay.error + "\n"
            assert read_all(other, 0) == ([], 10_000, b"")
            assert other.extremes(0, 10, 10) == (None, 0)
            assert other.view(0, 10**18, 5) == {"width": 0, "lines": ""}
            with pytest.raises(OSError, match=r"somebody else has changed it|No such file"):
                other.export(1)

    @pytest.mark.parametrize("speed", [0, -1, math.nan, math.inf])
    def test_a_speed_that_is_none(self, path: Path, speed: float) -> None:
        write_log(path, random_rows(5))
        with pytest.raises(ValueError, match="the speed has to be more than 0"):
            Replay(path, speed)


class Site:
    """A server with the runs in a folder, in a thread of its own."""

    def __init__(self, folder: Path, process_request: Callable[..., Any] | None = None) -> None:
        self.folder, self.process_request = folder, process_request
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()))

    async def main(self) -> None:
        log = Recorder(self.folder, {"x": "V"}, 100.0)
        log.start()
        log.add(time.time_ns(), [1.0])
        await log.more_than(0)
        self.live = log.name
        history = Runs(self.folder, self.folder / "client.html", log)
        self.loop, self.stopped = asyncio.get_running_loop(), asyncio.Event()
        async with serve(
            self.refuse,
            "localhost",
            PORT,
            process_request=self.process_request or history.serve_http,
            create_connection=HttpConnection,
            compression=None,
            write_limit=MAX_BACKLOG,
            close_timeout=2,
            open_timeout=None,
        ) as self.server:
            self.ready.set()
            await self.stopped.wait()
        log.close()

    async def refuse(self, connection: ServerConnection) -> None:
        await connection.close(1008)

    def __enter__(self) -> "Site":
        self.thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # it has been stopped
            self.loop.call_soon_threadsafe(self.stopped.set)
        self.thread.join(10)
        assert not self.thread.is_alive()


def ask(path: str, method: str = "GET", buffer: int | None = None) -> socket.socket:
    """Send a request and return the socket on which the response comes."""
    client = socket.socket()
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.settimeout(10)
    client.connect(("127.0.0.1", PORT))
    client.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client


def rest_of(client: socket.socket, size: int = 2**16, wait: float = 0) -> bytes:
    """Read to the end, or until the connection is cut, `size` bytes every `wait` seconds."""
    data = bytearray()
    with suppress(ConnectionError):
        while chunk := client.recv(size):
            data += chunk
            time.sleep(wait)
    client.close()
    return bytes(data)


def response(path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    head, _, body = rest_of(ask(path, method)).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


class TestForClients:
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        write_log(tmp_path / "old.csv", random_rows(3000))
        (tmp_path / "secret.txt").write_text("secret")
        (tmp_path / "client.html").write_text("<p>page</p>")
        with Site(tmp_path) as site:
            yield site

    def test_downloads(self, site: Site, opened: Open) -> None:
        recording = opened(log=site.folder / "old.csv")
        first, last = (time_ns / 1e9 for _, time_ns, _ in (random_rows(3000)[i] for i in (100, 2000)))
        start, stop = (round(seconds * 1e6) for seconds in (first, last))
        for query, name, wanted in [
            ("", "old", exported(recording)),
            (f"&from={first:.6f}&to={last:.6f}", "old-part", exported(recording, start, stop)),
            (f"&from={last:.6f}", "old-part", exported(recording, stop)),
            (f"&to={first:.6f}", "old-part", exported(recording, None, start)),
            (f"&from={last:.6f}&to={first:.6f}", "old-part", HEADER),
            ("&from=&to=", "old", exported(recording)),
        ]:
            status, headers, body = response(f"/log.csv?run=old{query}")
            assert (status, body) == (200, wanted)
            assert headers["Content-Disposition"] == f'attachment; filename="{name}.csv"'
            assert headers["Content-Type"] == "text/csv; charset=utf-8"
            assert int(headers["Content-Length"]) == len(body)
            assert response(f"/log.csv?run=old{query}", "HEAD")[::2] == (200, b"")
        status, headers, body = response("/log.csv")
        assert body.startswith("\ufeffseq,time_ns,x (V)\n1,".encode())
        assert body.count(b"\n") == 2
        assert f'"{site.live}.csv"' in headers["Content-Disposition"]
        assert response(f"/log.csv?run={site.live}")[2] == body

    def test_download_whose_end_waits_for_the_network(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        # More than the system's buffers hold, so the last of it waits in the server.
        write_log(site.folder / "long.csv", random_rows(60_000))
        wanted = response("/log.csv?run=long")[2]
        client = ask("/log.csv?run=long", buffer=2**15)
        assert rest_of(client, 2**15, 0.001).partition(b"\r\n\r\n")[2] == wanted
        # Only errors: the library says of each answer that the connection was not opened.
        assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []

    def test_the_list(self, site: Site) -> None:
        status, headers, body = response("/runs")
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert [(run["run"], run["live"]) for run in json.loads(body)] == [("old", False), (site.live, True)]
        assert response("/runs", "HEAD")[2] == b""

    def test_what_is_not_there(self, site: Site) -> None:
        for times in [
            "from=yesterday", "to=nan", "run=old&from=-1", "to=inf", "from=1e300", "run=nothing&to=0x10",
            "from=%00",
            "from=" + "9" * 5000,
        ]:  # fmt: skip
            status, _, body = response(f"/log.csv?{times}")
            assert status == 400, times
            assert "from and to are seconds of Unix time, as in ?from=1767225600.5" in body.decode()
            assert len(body) < 200
        for name in [
            "nothing", "../old", "..%2Fold", "old.csv", "%2Fetc%2Fpasswd", "old%00", "*", "%FF", "OLD", ".",
            "old/", "secret", "a" * 5000, "..%5Cold",
        ]:  # fmt: skip
            status, _, body = response(f"/log.csv?run={name}")
            why = f"there is no run {unquote(name)[:40]!r}; the list of the runs is at /runs\n"
            assert (status, body.decode()) == (404, why), name
        for path, method, status in [
            ("//[", "GET", 404), ("/log.csv", "DELETE", 405), ("/runs", "POST", 405), ("/?x", "GET", 200),
        ]:  # fmt: skip
            assert response(path, method)[0] == status, path

    def test_a_client_that_says_at_once_that_it_sends_no_more(self, site: Site) -> None:
        for path in ("/", "/log.csv?run=old", "/runs", "/nothing"):
            client = ask(path)
            client.shutdown(socket.SHUT_WR)
            assert rest_of(client).startswith(b"HTTP/1.1 404" if path == "/nothing" else b"HTTP/1.1 200")
        wait_until(lambda: not site.server.all_connections, "all are gone")

    def test_a_log_that_has_gone(self, site: Site) -> None:
        (site.folder / "old.csv").unlink()
        assert response("/log.csv?run=old&from=1")[0] == 404
        # The run that is recorded goes on in a new file, which has nothing yet.
        (site.folder / f"{site.live}.csv").unlink()
        nothing = "\ufeffseq,time_ns,x (V)\n".encode()
        wait_until(lambda: response("/log.csv")[1]["Content-Length"] == str(len(nothing)), "noticed")
        assert response("/log.csv")[::2] == (200, nothing)
        assert response("/log.csv?from=1")[::2] == (200, nothing)

    @pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
    @pytest.mark.parametrize("name", [
        "a\r\nSet-Cookie: x=1", "a\nb", "\r", 'say "hi"', "back\\slash", "50 %", "Zürich", "温度", "a;b=c,d",
        " a ", "\x7f", "=1+1", "%41",
    ])  # fmt: skip
    def test_the_name_of_a_download_is_that_of_its_run(self, site: Site, name: str) -> None:
        path = site.folder / f"{name}.csv"
        write_log(path, random_rows(3))
        status, headers, body = response(f"/log.csv?run={quote(name, safe='')}")
        assert status == 200
        assert list(headers) == [
            "Date", "Content-Type", "Content-Length", "Content-Disposition", "Cache-Control", "Connection",
        ]  # fmt: skip
        disposition = headers["Content-Disposition"]
        assert disposition.isascii()
        assert disposition.isprintable()
        found = re.fullmatch(
            r"attachment; filename=\"([^\"\\]*)\"(?:; filename\*=UTF-8''([\w.~%-]+))?", disposition
        )
        assert (unquote(found[2]) if found[2] else found[1]) == f"{name}.csv"
        assert body.count(b"\n") == 4

    @pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes there only")
    def test_a_run_whose_name_is_no_text_is_not_listed(self, site: Site) -> None:
        write_log(site.folder / "\udcff.csv", random_rows(3))
        runs = json.loads(response("/runs")[2])
        assert [run["run"] for run in runs] == ["old", site.live]
        # It can be replayed, and downloaded then.
        assert attachment("\udcff.csv") == "attachment; filename=\"_.csv\"; filename*=UTF-8''%3F.csv"


class TestDownloads:
    """Clients that are slow, frozen or gone."""

    SIZE = 40 * 2**20

    @pytest.fixture
    def site(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
        monkeypatch.setattr("common.http.SEND_TIMEOUT", 0.6)
        self.taken, self.ended = 0, threading.Event()

        def chunks() -> Iterator[bytes]:
            try:
                while self.taken < self.SIZE:
                    self.taken += CHUNK_SIZE
                    yield bytes(CHUNK_SIZE)
            finally:
                self.ended.set()

        async def process_request(connection: ServerConnection, request: Request) -> Response:
            return await download(connection, "large.csv", "text/csv", self.SIZE, chunks())

        with Site(tmp_path, process_request) as site:
            yield site

    def test_no_more_is_read_than_a_client_takes_and_a_frozen_one_is_cut_off(self, site: Site) -> None:
        client = ask("/", buffer=4096)
        assert client.recv(10)
        assert self.ended.wait(10), "given up"
        assert self.taken < 3 * 2**20, "what waits for a client is bounded"
        assert len(rest_of(client)) < self.SIZE

    @pytest.mark.parametrize("how", ["close", "reset", "half"])
    def test_a_client_that_goes(self, site: Site, how: str) -> None:
        client = ask("/")
        client.recv(1000)
        if how == "half":
            client.shutdown(socket.SHUT_WR)  # and yet reads on
            assert len(rest_of(client)) > self.SIZE - 1000
            assert self.ended.wait(10)
            return
        client.close() if how == "close" else reset(client)
        assert self.ended.wait(10)
        assert self.taken < self.SIZE

    def test_a_slow_client_gets_it_all(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(self.__class__, "SIZE", 3 * 2**20)
        monkeypatch.setattr("common.http.SEND_TIMEOUT", 1.2)
        begin = time.monotonic()
        body = rest_of(ask("/", buffer=2**15), 2**15, 0.025).partition(b"\r\n\r\n")[2]
        assert len(body) == self.SIZE
        assert time.monotonic() - begin > 1.2, "longer than a client may take nothing"

    def test_the_server_stops_during_a_download(self, site: Site) -> None:
        client = ask("/", buffer=4096)
        client.recv(1000)
        begin = time.monotonic()
        site.__exit__()
        assert time.monotonic() - begin < 10, "it waits as for a client that takes nothing"
        assert len(rest_of(client)) < self.SIZE
