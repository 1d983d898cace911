"""The modules of common, where a browser adds nothing."""

import asyncio
import errno
import io
import math
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from common.clients import MAX_BACKLOG, send_to_all
from common.console import drain
from common.log import MAX_UNWRITTEN, Log
from common.network import announce, lan_addresses, page_address
from common.sampling import readings
from common.sensors import SENSORS
from tests.rows import DISTURBANCES, disturb
from tests.support import PORT, ROOT, Disk, printed, raw_connection, read_log, run

files_can_be_deleted = pytest.mark.skipif(
    sys.platform == "win32", reason="an open file cannot be deleted there"
)


def run_program(code: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    return result


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to another process")
def test_ctrl_c_in_the_last_moment_changes_nothing() -> None:
    code = """
import atexit, os, signal, sys
from common.running import end_on_signals

class Last:
    def __del__(self, kill=os.kill, me=os.getpid(), number=signal.SIGINT):
        kill(me, number)  # Python has given up its handlers, and all but ended

end_on_signals()
atexit.register(print, "closed")
sys.last = Last()
os.kill(os.getpid(), signal.SIGINT)
"""
    result = run_program(code)
    assert (result.stdout, result.stderr) == ("closed\nStopped\n", "")


def test_client_that_is_gone_before_the_goodbye_is_no_error() -> None:
    code = """
import asyncio, errno
from types import SimpleNamespace
from common.running import run

def fail(number):
    raise OSError(number, "said in a callback")

async def main():
    for number in (errno.ENOTCONN, errno.EIO):
        asyncio.get_running_loop().call_soon(fail, number)
    await asyncio.sleep(0)

run(main(), SimpleNamespace(host=None, port=5678))
"""
    told = re.findall(r"^OSError: .*", run_program(code).stderr, re.M)
    assert told == [f"OSError: [Errno {errno.EIO}] said in a callback"]


def test_address_of_a_page() -> None:
    assert page_address(None, 5678) == "http://localhost:5678/"
    assert page_address("192.168.1.20", 80) == "http://192.168.1.20:80/"
    assert page_address("::1", 5678) == "http://[::1]:5678/"


def test_program_without_a_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    announce(SimpleNamespace(host=None, port=5678), serves_page=True)


def test_terminal_that_cannot_show_a_qr_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.network.lan_addresses", lambda: ["192.168.1.20"])
    for encoding, codes in (("cp1252", 0), ("utf-8", 1)):
        output = io.BytesIO()
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(output, encoding=encoding))
        announce(SimpleNamespace(host=None, port=5678), serves_page=True)
        assert drain()
        assert b"http://192.168.1.20:5678/" in output.getvalue()
        assert ("█".encode() in output.getvalue()) == codes


class TestSensors:
    @pytest.mark.parametrize("name", SENSORS)
    def test_a_reading_has_a_number_for_each_field(self, name: str) -> None:
        sensor = SENSORS[name](rate=20, seed=1)
        values = sensor.read()
        assert len(values) == len(sensor.fields)
        assert all(isinstance(value, float) and math.isfinite(value) for value in values)
        assert all(isinstance(unit, str) for unit in sensor.fields.values())

    @pytest.mark.parametrize("name", ["thermometer", "accelerometer"])
    def test_seed_decides_the_readings(self, name: str) -> None:
        first, same, other = (SENSORS[name](rate=20, seed=seed) for seed in (1, 1, 2))
        readings = [first.read() for _ in range(100)]
        assert readings == [same.read() for _ in range(100)]
        assert readings != [other.read() for _ in range(100)]

    def test_simulated_values_are_plausible(self) -> None:
        thermometer = SENSORS["thermometer"](rate=1, seed=1)
        assert all(18 < thermometer.read()[0] < 24 for _ in range(1000))
        accelerometer = SENSORS["accelerometer"](rate=1, seed=1)
        samples = [accelerometer.read() for _ in range(1000)]
        assert sum(z for _, _, z in samples) / 1000 == pytest.approx(9.81, abs=0.2)

    def test_processor_is_asked_ten_times_a_second_at_most(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loads = iter([1.0, 2.0, 3.0])
        now = 100.0
        monkeypatch.setattr("psutil.cpu_percent", lambda interval=None: next(loads))
        monkeypatch.setattr("time.monotonic", lambda: now)
        sensor = SENSORS["processor"](rate=1000)
        seen = []
        for now in (100.0, 100.05, 100.09, 100.1, 100.15, 100.21):  # noqa: B007
            seen += sensor.read()
        assert seen == [1.0, 1.0, 1.0, 2.0, 2.0, 3.0]


class TestLog:
    """The log of test5 too: test_shown_in_full.py sees that it is the same."""

    @pytest.fixture
    def log_in(self) -> Callable[..., Log]:
        """A log that tells `self.told` what has changed."""
        self.told: list[str] = []
        return partial(Log, tell=self.told.append)

    def test_rows(self, tmp_path: Path, log_in: Callable[..., Log]) -> None:
        with log_in(tmp_path / "logs", ["x", "y"]) as log:
            assert not (tmp_path / "logs").exists()
            log.write(1, 1_700_000_000_123_456_789, [0.5, -2.0])
            (path,) = (tmp_path / "logs").iterdir()
            assert path.read_text() == "seq,time_ns,x,y\n1,1700000000123456789,0.5,-2.0\n"
            assert log.error is None

    def test_test5_has_the_same_limit(self) -> None:
        server = (ROOT / "test5" / "server.py").read_text(encoding="utf-8")
        assert f"MAX_UNWRITTEN = 2**{MAX_UNWRITTEN.bit_length() - 1} " in server

    def test_never_an_earlier_file(self, tmp_path: Path, log_in: Callable[..., Log]) -> None:
        for _ in range(3):
            with log_in(tmp_path, ["x"]) as log:
                log.write(1, 1, [1.0])
        assert len(list(tmp_path.iterdir())) == 3

    def test_refused_rows_wait_in_order_and_not_without_limit(
        self, tmp_path: Path, log_in: Callable[..., Log], capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "logs").write_text("a file, where the folder should be")
        with log_in(tmp_path / "logs", ["x"]) as log:
            for seq in range(1, 101):
                log.write(seq, seq, [1.0])
            assert log.error.startswith("ERROR: cannot write the log in logs: ")
            assert self.told == [log.error], "said once, not for each row"
            log.unwritten += b"x" * MAX_UNWRITTEN
            full = len(log.unwritten)
            log.write(101, 101, [1.0])
            assert len(log.unwritten) == full
            del log.unwritten[-MAX_UNWRITTEN:]
            (tmp_path / "logs").unlink()
            log.write(101, 101, [1.0])
            assert log.error is None
            assert self.told[1:] == ["OK: the log is written again"]
            printed = capsys.readouterr().out.splitlines()
            assert [line for line in printed if "Logging to" not in line] == self.told
        (path,) = (tmp_path / "logs").iterdir()
        assert len(read_log(path)) == 101

    @files_can_be_deleted
    @pytest.mark.parametrize("how", DISTURBANCES)
    def test_goes_on_in_a_new_file_when_somebody_takes_it_away(
        self, tmp_path: Path, log_in: Callable[..., Log], capsys: pytest.CaptureFixture[str], how: str
    ) -> None:
        logs = tmp_path / "logs"
        with log_in(logs, ["x"]) as log:
            for seq in range(1, 4):
                log.write(seq, seq, [1.0])
            (old,) = logs.iterdir()
            disturb(old, how)
            left = old.read_bytes() if old.exists() else None
            log.write(4, 4, [1.0])
            says = f"ERROR: somebody has deleted or changed {old.name}; the log goes on in a new file"
            assert log.error == says
            log.write(5, 5, [1.0])
            assert log.error == says, "for those who come later"
            (new,) = set(logs.glob("*.csv")) - {old}
            assert new.read_text() == "seq,time_ns,x\n4,4,1.0\n5,5,1.0\n"
            assert (old.read_bytes() if old.exists() else None) == left
            # And once more.
            disturb(new, how)
            log.flush()
            assert log.error == says.replace(old.name, new.name)
            log.write(6, 6, [1.0])
        (newest,) = set(logs.glob("*.csv")) - {old, new}
        assert newest.read_text() == "seq,time_ns,x\n6,6,1.0\n"
        assert self.told == [says, says.replace(old.name, new.name)]
        assert capsys.readouterr().out.count("Logging to") == 3

    @files_can_be_deleted
    @pytest.mark.parametrize("taken", range(15))
    def test_half_a_header_does_not_get_into_the_new_file(
        self, tmp_path: Path, log_in: Callable[..., Log], monkeypatch: pytest.MonkeyPatch, taken: int
    ) -> None:
        with log_in(tmp_path, ["x"]) as log:
            path_open = Path.open
            monkeypatch.setattr(Path, "open", lambda *args, **how: Disk(path_open(*args, **how), taken))
            log.write(1, 1, [1.0])
            assert "No space left" in log.error
            (old,) = tmp_path.iterdir()
            old.unlink()
            monkeypatch.undo()
            log.write(2, 2, [1.0])
            (new,) = tmp_path.iterdir()
            assert new.read_text() == "seq,time_ns,x\n1,1,1.0\n2,2,1.0\n"

    @files_can_be_deleted
    @pytest.mark.parametrize("taken", range(1, 24))
    def test_half_a_row_does_not_get_into_the_new_file(
        self, tmp_path: Path, log_in: Callable[..., Log], taken: int
    ) -> None:
        with log_in(tmp_path, ["x"]) as log:
            log.write(1, 1, [1.0])
            file, log.file = log.file, Disk(log.file, taken)
            log.write(200, 200, [2.0])
            log.write(300, 300, [3.0])
            assert "No space left" in log.error
            (old,) = tmp_path.iterdir()
            old.unlink()
            log.write(400, 400, [4.0])
            (new,) = tmp_path.iterdir()
            # What was begun in the old file is gone with it.
            rows = ["200,200,2.0", "300,300,3.0", "400,400,4.0"][-(-taken // 12) :]
            assert new.read_text().splitlines() == ["seq,time_ns,x", *rows]
            file.close()


class TestReadings:
    def test_rate_holds_whatever_the_loop_takes(self) -> None:
        async def check() -> None:
            running = asyncio.Event()
            running.set()
            times: list[float] = []
            async for seq, time_ns, values in readings(SENSORS["accelerometer"](100), 100, running):
                times.append(time.monotonic())
                assert abs(time.time_ns() - time_ns) < 1e9
                assert len(values) == 3
                if seq == 151:
                    break
                await asyncio.sleep(0.008)
            assert times[150] - times[0] > 1.45
            # Sleeping for a fixed time after each reading would make 50 of them take 0.9 s.
            # A busy machine makes some late, but not all.
            assert min(times[i + 50] - times[i] for i in range(100)) < 0.85

        run(check())

    def test_a_pause_is_not_made_up_for(self) -> None:
        async def check() -> None:
            running = asyncio.Event()
            source = readings(SENSORS["accelerometer"](100), 100, running)
            waiting = asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done, "nothing is read before the start"
            running.set()
            assert (await waiting)[0] == 1
            started = time.monotonic()
            for seq in range(2, 12):
                assert (await anext(source))[0] == seq
            # Made up for, all would be there at once; on a busy machine the first may have been late.
            assert time.monotonic() - started > 0.03

        run(check())


@pytest.mark.parametrize("which", ["common", "test5"])
def test_client_that_reads_nothing_is_cut_off(
    which: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["server.py"])
    step5 = runpy.run_path(str(ROOT / "test5" / "server.py"))
    clients = step5["clients"]["/data"]  # test5 has a table of the clients of each path
    send = partial(send_to_all, clients) if which == "common" else partial(step5["send_to_all"], "/data")

    async def handler(connection: Any) -> None:
        clients.add(connection)
        try:
            await connection.wait_closed()
        finally:
            clients.discard(connection)

    async def check() -> None:
        async with serve(handler, "localhost", PORT, write_limit=MAX_BACKLOG, compression=None):
            stalled = await asyncio.to_thread(raw_connection, buffer=4096)
            async with connect(f"ws://localhost:{PORT}", proxy=None) as reader:
                while len(clients) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                message, received = "x" * 2**16, 0
                while len(clients) == 2:
                    assert received < 1000, "never cut off"
                    send(message)
                    # The other client gets each message at once.
                    async with asyncio.timeout(5):
                        assert await reader.recv() == message
                    received += 1
                    held = max(client.transport.get_write_buffer_size() for client in clients)
                    assert held <= MAX_BACKLOG + 2 * len(message)
                (left,) = clients
                assert left.remote_address == reader.local_address
            stalled.close()

    run(check())
    assert printed(capsys) == "Cut off a client that does not read what it is sent\n"


def test_lan_addresses_are_for_others() -> None:
    for address in lan_addresses():
        assert not address.startswith(("127.", "169.254."))
