"""What the tests share: a step's server as a process, its clients without a browser, and its log."""

import asyncio
import base64
import csv
import errno
import itertools
import json
import math
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from common.console import drain
from tests import PORT as PORT
from tests import ROOT as ROOT
from tests import forked

# Started with `&` in a script, this process ignores Ctrl-C, and so would every server that it starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# As in the terminal of a reader, whose environment is active: `python` is the one that runs this.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"

# Those that no other tests use, but for the first, which programs take that find port 5678 in use.
FREE_PORTS = itertools.cycle(range(PORT + 10, PORT + 99))

# Joins the console of the process whose id it is given, and presses Ctrl-C there.
WINDOWS_CTRL_C = """
import ctypes, sys
kernel = ctypes.windll.kernel32
kernel.FreeConsole()
kernel.AttachConsole(int(sys.argv[1]))
kernel.SetConsoleCtrlHandler(None, True)
kernel.GenerateConsoleCtrlEvent(0, 0)
"""


def wait_until(condition: Callable[[], object], what: str, timeout: float = 30) -> object:
    """Return what `condition()` returns as soon as that is true; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.02)
    return result


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a thread of its own, because Playwright keeps an event loop in the tests' thread.

    What takes over two minutes is ended with a TimeoutError, whose traceback says where it was.
    """
    errors: list[BaseException] = []

    def target() -> None:
        try:
            asyncio.run(asyncio.wait_for(coroutine, 120))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what this process has printed since the last call; `common.console` has a thread that prints."""
    assert drain(), "the console takes what it is given"
    return capsys.readouterr().out


def free_port() -> int:
    """Return a port that is free, and that is not given to others."""
    for port in itertools.islice(FREE_PORTS, 89):
        with suppress(OSError), socket.create_server(("", port)):
            return port
    raise OSError("no port is free")


def messages(connection: ClientConnection, seconds: float = 60) -> Iterator[str | bytes]:
    """Receive messages, for that long in all: who sends for ever must not keep a test for ever."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        yield connection.recv(timeout=min(left, 30))
    raise TimeoutError(f"messages for {seconds} s, and not what is looked for")


class Disk:
    """The file of a log on a disk that can be full, slow, or broken."""

    def __init__(self, file: BinaryIO | None = None, room: float = math.inf) -> None:
        self.file = file
        self.room = room  # bytes until it is full
        self.most = math.inf  # bytes that it takes at once
        self.is_free = threading.Event()
        self.is_free.set()
        self.writes = 0

    def write(self, data: bytearray) -> int:
        self.writes += 1
        self.is_free.wait(20)
        size = int(min(self.room, self.most, len(data)))
        if size == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= size
        return self.file.write(data[:size])

    def fileno(self) -> int:
        return self.file.fileno()

    def close(self) -> None:
        self.file.close()


class Server:
    """`python server.py`, run in the folder of a step as a reader runs it; or, `at_once`, the like of it."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        prefix: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        command: str = "server.py",
        at_once: bool = False,
        **how: object,
    ) -> None:
        self.folder = folder
        self._printed = bytearray()
        self._at_end = False
        self._lock = threading.Lock()
        for_tests = {
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONWARNINGS": "error",
            # What a program opens in "the browser" opens nothing.
            "BROWSER": f'"{sys.executable}" -c pass %s',
        }
        variables = os.environ | for_tests | (environment or {})
        if at_once and forked.enabled and not prefix and not how:
            self.process = forked.Process(folder, options, variables)
        else:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, command, *options],
                cwd=folder,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                creationflags=getattr(subprocess, "CREATE_NEW_CONSOLE", 0),
                **how,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Take what is printed as it comes, because a full pipe would hold up the server."""
        while not self._at_end:
            if sys.platform != "win32":
                select.select([self.process.stdout], [], [])
            with self._lock:
                self._take()

    def _take(self) -> None:
        pipe = self.process.stdout
        if self._at_end or (sys.platform != "win32" and not select.select([pipe], [], [], 0)[0]):
            return  # the other thread has taken it
        taken = os.read(pipe.fileno(), 2**20)
        self._printed += taken
        self._at_end = not taken

    @property
    def lines(self) -> list[str]:
        """What the server has printed up to now, whether or not the thread has come to it.

        On Windows, where nobody can tell whether a pipe is empty, the last of it may be missing.
        """
        if sys.platform != "win32" and not self.process.stdout.closed:
            with self._lock:
                self._take()
        text = self._printed.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
        *lines, rest = text.split("\n")
        return [*lines, rest] if rest and self._at_end else lines

    @property
    def log(self) -> Path:
        """The log of this run, which the server names soon after it has opened it."""
        wait_until(lambda: self.logs or self.process.poll() is not None, "a log named")
        (log,) = self.logs
        return log

    @property
    def logs(self) -> list[Path]:
        """The files of this run: more than one only where somebody takes away the one that is written."""
        found = [line.removeprefix("Logging to ") for line in self.lines if line.startswith("Logging to ")]
        return [self.folder / name for name in found]

    def remove_log(self) -> None:
        """Leave the step's folder as it was before this server ran."""
        for log in self.logs:
            # From step 14 on there are more files of the same name.
            for file in log.parent.glob(f"{log.stem}.*"):
                file.unlink()
            with suppress(OSError):
                log.parent.rmdir()  # which fails, as it should, if there are other logs

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str, count: int = 1, timeout: float = 30) -> str:
        """Wait until `text` has been printed in `count` lines, and return all that has been printed."""

        def printed() -> bool:
            return sum(text in line for line in self.lines) >= count

        try:
            wait_until(lambda: printed() or self.process.poll() is not None, f"{text!r} printed", timeout)
            wait_until(printed, f"{text!r} printed", 1)
        except AssertionError as error:
            raise AssertionError(f"{error}; the server printed:\n{self.output}") from None
        return self.output

    def wait_listening(self) -> None:
        self.wait_for("Listening on", timeout=30)

    def press_ctrl_c(self) -> None:
        if sys.platform == "win32":
            subprocess.run([sys.executable, "-c", WINDOWS_CTRL_C, str(self.process.pid)], check=True)
        else:
            self.process.send_signal(signal.SIGINT)

    def wait_ended(self, timeout: float = 30) -> int:
        """Wait for the end of the process and of its output, and return the exit status."""
        status = self.process.wait(timeout)
        self._reader.join(timeout)
        self.process.stdout.close()
        return status

    def stop(self) -> None:
        """Stop the server as a reader does, and hold it to what every step promises about that."""
        if self.process.returncode is None:
            self.press_ctrl_c()
            status = self.wait_ended()
            assert status == 0, f"exit status {status}; the server printed:\n{self.output}"
            assert any(line.startswith("Stopped") for line in self.lines), self.output
        assert "Traceback" not in self.output, self.output
        assert "Warning" not in self.output, self.output

    def kill(self) -> None:
        """End the server at once, as `kill -9` does."""
        self.process.kill()
        self.wait_ended()


class Step:
    """How a step is spoken to: steps 4 to 9 have the same acquisition, but not the same messages, steps 10 to
    13 have one socket for named events, and from step 14 on readings come as lines of the log."""

    def __init__(self, name: str, root: Path = ROOT) -> None:
        self.name = name
        self.folder = root / name
        self.number = int(name.removeprefix("test").rstrip("b"))

    @property
    def url(self) -> str:
        """Where a reader opens the page."""
        if self.number >= 9:
            return f"http://localhost:{PORT}/"
        return (self.folder / "client.html").as_uri()

    @property
    def roles(self) -> list[str]:
        """The roles of the sockets that a page has; where it has only one, that is of no role."""
        return [""] if self.number < 4 or 10 <= self.number <= 13 else ["control", "data"]

    @contextmanager
    def connect(self, role: str = "control") -> Iterator[ClientConnection]:
        """Open the control or the data socket, or, in a step that has only one, that."""
        by_path = role in self.roles and self.name != "test4"
        url = f"ws://localhost:{PORT}/{role if by_path else ''}"
        with connect(url, proxy=None, close_timeout=1) as connection:
            if self.name == "test4":
                connection.send(role.upper())
            yield connection

    def ask(self, control: ClientConnection, command: str | bytes) -> str:
        """Send a command, and return the reply to it; the state that servers push is passed over."""
        control.send(command)
        for message in messages(control):
            reply = json.loads(message).get("reply") if self.number >= 8 else message
            if reply and not reply.startswith(("STATE", "FIELD")):
                return reply

    def values(self, message: str) -> list[float]:
        """Return the values in a message on the data socket."""
        if self.number >= 8:
            return list(json.loads(message).values())[1:]
        return [float(message)]


def close_of(connection: ClientConnection) -> Close:
    """Return the close code and reason that the server gives, after whatever else it still sends."""
    try:
        for _ in messages(connection):
            pass
    except ConnectionClosed as closed:
        return closed.rcvd


def read_log(path: Path, *, torn: bool = False, begins_late: bool = False) -> list[dict[str, float]]:
    """Read a log and check that it holds every reading once, in order.

    Args:
        path: the CSV file.
        torn: whether its last row may be incomplete.
        begins_late: whether it goes on with a run whose beginning is in another file.
    """
    text = path.read_text(encoding="utf-8")
    if torn and not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
    assert text.endswith("\n"), f"the last row is torn: {text[-80:]!r}"
    rows = list(csv.DictReader(text.splitlines()))
    assert list(rows[0])[:2] == ["seq", "time_ns"]
    assert all(None not in row and None not in row.values() for row in rows), "a row of another length"
    first = int(rows[0]["seq"]) if begins_late else 1
    assert [int(row["seq"]) for row in rows] == list(range(first, first + len(rows)))
    times = [int(row["time_ns"]) for row in rows]
    assert times == sorted(times)
    return [{name: float(value) for name, value in row.items()} for row in rows]


def rows_of(log: Path) -> list[list[float]]:
    """Return the readings in a log as pages have them: the time in whole microseconds, then the values."""
    with log.open(encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    return [[int(row[1]) // 1000, *map(float, row[2:])] for row in rows]


def gaps_in(log: Path) -> int:
    """Return how many times nothing was read for 0.2 s, which is a gap in the line of a fast sensor."""
    times = [row[0] for row in rows_of(log)]
    return sum(after - before >= 200_000 for before, after in itertools.pairwise(times))


def raw_connection(
    path: str = "/data", *, host: str = "localhost", buffer: int | None = None
) -> socket.socket:
    """Open a WebSocket by hand, for clients that behave as no library lets them.

    Args:
        path: the path to ask for.
        host: where the server is.
        buffer: bytes that the system keeps for a client that does not read; the system's own number if None.
    """
    for family, _, _, _, address in socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM):
        client = socket.socket(family)
        if buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(10)
        try:
            client.connect(address)
            break
        except OSError:
            client.close()
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    response = b""
    while b"\r\n\r\n" not in response:
        response += client.recv(1)
    assert b" 101 " in response, response
    return client


def text_frame(text: str) -> bytes:
    """Encode a short text message as a client sends it (RFC 6455, section 5.2), masked with zeros."""
    payload = text.encode()
    assert len(payload) < 126
    return struct.pack("!BB", 0x81, 0x80 | len(payload)) + bytes(4) + payload


def reset(client: socket.socket) -> None:
    """End a connection as a crash does: no goodbye, and the system answers with a reset."""
    client.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii" if os.name == "posix" else "hh", 1, 0)
    )
    client.close()


@contextmanager
def flood(path: str) -> Iterator[socket.socket]:
    """Send rubbish at full speed, and never read an answer, for as long as the block runs."""
    client = raw_connection(path)
    rubbish = text_frame("\x1b[31m<b>rubbish</b>") * 1000
    stop = threading.Event()

    def send() -> None:
        client.settimeout(0.1)
        while not stop.is_set():
            try:
                client.send(rubbish)
            except TimeoutError:
                continue
            except OSError:
                return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield client
    finally:
        stop.set()
        thread.join()
        reset(client)


@contextmanager
def listening(command: list[str], port: int, **how: Any) -> Iterator[None]:
    """Run a program that listens at a port of this machine, for as long as the block runs."""
    process = subprocess.Popen(command, **how)

    def listens() -> bool:
        assert process.poll() is None, f"{command[0]} has ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        wait_until(listens, f"{command[0]} listens")
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()


class Board:
    """A microcontroller: the other end of a pseudo-terminal, behind a name that it keeps."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master: int | None = None

    def plug_in(self) -> None:
        self.master, terminal = os.openpty()
        self.path.symlink_to(os.ttyname(terminal))
        self.terminal = terminal

    def unplug(self) -> None:
        if self.master is not None:
            self.path.unlink()
            os.close(self.terminal)
            os.close(self.master)
            self.master = None

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.master, data) :]
