"""A console that is gone, full, or not read: nothing waits for it, and nothing depends on it."""

import contextlib
import errno
import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from common.console import Console, _write_raw
from tests.copies import Copy
from tests.steps import STEPS
from tests.support import Step, close_of, wait_until

# As a reader has it: with it, Python keeps nothing that it could still try to write in the end.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
ENVIRONMENT |= {"PYTHONIOENCODING": "utf-8", "BROWSER": f'"{sys.executable}" -c pass %s'}

not_on_windows = pytest.mark.skipif(
    sys.platform == "win32", reason="the consoles and the signals here are those of other systems"
)


def fill(writer: int) -> None:
    """Write until no more is taken, to the last byte."""
    os.set_blocking(writer, False)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while os.write(writer, b"x" * size):
                pass
    os.set_blocking(writer, True)


def unread() -> tuple[int, list[int]]:
    """A pipe that is full, because nobody reads it."""
    reader, writer = os.pipe()
    fill(writer)
    return writer, [reader]


def closed() -> tuple[int, list[int]]:
    """A pipe whose reader has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer, []


def full() -> tuple[int, list[int]]:
    """A file on a disk that is full."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    return os.open("/dev/full", os.O_WRONLY), []


def gone() -> tuple[int, list[int]]:
    """A terminal that has been closed."""
    master, terminal = os.openpty()
    os.close(master)
    return terminal, []


def stopped() -> tuple[int, list[int]]:
    """A terminal in which Ctrl-S has been pressed: what it takes no more."""
    master, terminal = os.openpty()
    fill(terminal)
    return terminal, [master]


CONSOLES = [closed, full, gone, stopped]


def ignoring(name: str = "") -> Callable[[], None]:
    """Let a program ignore this signal and no other, however these tests were started themselves."""

    def prepare() -> None:
        for other in ("SIGINT", "SIGTERM", "SIGHUP"):
            signal.signal(getattr(signal, other), signal.SIG_IGN if other == name else signal.SIG_DFL)

    return prepare


def program(*arguments: str, **how: Any) -> subprocess.Popen:
    """Start a Python program as somebody does at a terminal of his own."""
    if sys.platform != "win32":
        how = {"preexec_fn": ignoring()} | how
    return subprocess.Popen([sys.executable, *arguments], env=ENVIRONMENT, encoding="utf-8", **how)


def output_of(code: str) -> tuple[str, str, int]:
    """Run a program to its end."""
    with program("-c", code, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        try:
            return *running.communicate(timeout=20), running.returncode
        finally:
            running.kill()


@contextlib.contextmanager
def server_at(step: Step, console: int, *options: str, **how: Any) -> Iterator[subprocess.Popen]:
    """Run the server of a step with this console."""
    server = program("server.py", *options, cwd=step.folder, stdout=console, stderr=console, **how)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def greet(step: Step) -> None:
    """Connect, and have whatever the server is there for."""

    def connected() -> bool:
        with contextlib.suppress(OSError), step.connect() as client:
            use(step, client)
            return True
        return False

    wait_until(connected, "the server answers")
    if step.number >= 4 and not 10 <= step.number <= 13:
        with step.connect("data") as data:
            if step.number >= 14:
                data.recv(timeout=30)
                data.send('{"epoch": "", "have": 0}')
            assert data.recv(timeout=30)


def use(step: Step, client: object) -> None:
    if 10 <= step.number <= 13:
        for _ in range(1 if step.number == 11 else 3):
            assert "event" in json.loads(client.recv(timeout=30))
    elif step.number == 3:
        assert step.ask(client, "GREET_ME") == "Hello! Nice to meet you."
    else:
        assert step.ask(client, "START").startswith("OK: started")


@not_on_windows
@pytest.mark.parametrize(
    ("name", "console"),
    [
        ("test3", unread),
        *[pytest.param(name, unread, marks=pytest.mark.with_all) for name in STEPS[3:-1] if name != "test11"],
        # All have the same console; test11 has a thread of its own for its server.
        *[(name, console) for name in ("test11", STEPS[-1]) for console in [unread, *CONSOLES]],
    ],
)
def test_server_goes_on_and_ends_well(
    name: str, console: Callable[[], tuple[int, list[int]]], tmp_path: Path
) -> None:
    step = Copy(name, tmp_path).step  # where a log can be made that nobody has to know of
    writer, others = console()
    try:
        with server_at(step, writer) as server:
            for _ in range(2):
                greet(step)
            server.send_signal(signal.SIGTERM)
            assert server.wait(10) == 0
    finally:
        for number in (writer, *others):
            os.close(number)


# How much may wait here, in characters: enough to see it, and soon written.
LIMIT = 5000


class Slow:
    """What a console shows that takes nothing until it is let."""

    def __init__(self) -> None:
        self.shown = ""
        self.takes = threading.Event()
        self.fails = False

    def __call__(self, text: str) -> None:
        assert self.takes.wait(60)
        if self.fails:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.shown += text


def test_what_does_not_fit_is_left_out_in_whole_lines_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.console.MAX_UNPRINTED", LIMIT)
    slow = Slow()
    console = Console(slow)
    begun = time.monotonic()
    for i in range(LIMIT):
        print("line", i, file=console, flush=True)
    assert time.monotonic() - begun < 5
    assert not console.drain(0.01)
    slow.takes.set()
    assert console.drain(10)
    print("and on", file=console)
    assert console.drain(10)
    lines = slow.shown.splitlines()
    left_out = [int(line.split()[1].replace(",", "")) for line in lines if line.endswith(" were left out")]
    numbers = [int(line.removeprefix("line ")) for line in lines if line.startswith("line ")]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + sum(left_out) == LIMIT
    assert len(numbers) + len(left_out) + 1 == len(lines)
    assert lines[-1] == "and on"
    assert len(slow.shown) < 4 * LIMIT


def test_one_line_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.console.MAX_UNPRINTED", LIMIT)
    slow = Slow()
    console = Console(slow)
    for _ in range(5 * LIMIT):
        print(".", end="", file=console)
    slow.takes.set()
    assert console.drain(10)
    assert len(slow.shown) < 4 * LIMIT


def test_disk_that_has_room_again() -> None:
    slow = Slow()
    console = Console(slow)
    slow.takes.set()
    slow.fails = True
    for i in range(3):
        print(i, file=console)
        assert console.drain(10)
    slow.fails = False
    print("and on", file=console)
    assert console.drain(10)
    assert slow.shown == "and on\n… 3 lines of console output were left out\n"


def test_terminal_that_takes_no_more_for_a_while_gets_all_in_order() -> None:
    code = """
import os, sys
from common.console import free_from_console
free_from_console()
for i in range(20_000):
    print("line", i)
print("Größe ▀▄█ \\ud800")
os.write(2, b"printed")
sys.stdin.read()
"""
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    with program("-c", code, **pipes) as running:
        assert running.stderr.read(7) == "printed", "it is more than the pipe takes, and nobody reads yet"
        lines = running.communicate(timeout=30)[0].splitlines()
    assert lines == [*[f"line {i}" for i in range(20_000)], "Größe ▀▄█ ?"]
    assert running.returncode == 0


@not_on_windows
def test_full_terminal_that_somebody_has_set_not_to_wait_gets_all() -> None:
    writer, (reader,) = unread()
    os.set_blocking(writer, False)
    with os.fdopen(reader, "rb") as terminal, io.TextIOWrapper(io.FileIO(writer, "w")) as stream:
        console = Console(partial(_write_raw, stream), stream)
        print("the last", file=console)
        assert not console.drain(0.2)
        shown = b""
        while not shown.endswith(b"the last\n"):
            assert select.select([terminal], [], [], 30)[0], "nothing more comes"
            shown += os.read(reader, 2**16)
        assert console.drain(10)


@not_on_windows
@pytest.mark.parametrize("console", [*CONSOLES, unread], ids=lambda console: console.__name__)
def test_end_of_a_program_of_ones_own(console: Callable[[], tuple[int, list[int]]]) -> None:
    """One that has said something beside its own output, and ends by itself."""
    code = "from common.console import say; say('beside')"
    writer, others = console()
    with program("-c", code, stdout=writer, stderr=subprocess.PIPE) as running:
        if console is unread:
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(2)  # as every program does
            os.close(others.pop())
        assert running.wait(10) == 0
        assert running.stderr.read() == ""
    for number in (writer, *others):
        os.close(number)


@not_on_windows
def test_program_of_ones_own_keeps_its_output() -> None:
    """What a program prints that is no server is its own; what is said beside it waits for nothing."""
    code = """
import os, sys, time
from common.console import drain, say
stdout = sys.stdout
begun = time.monotonic()
for i in range(3):
    say("beside")
assert time.monotonic() - begun < 1
drain()
assert sys.stdout is stdout
for i in range(20_000):
    print("line", i)
sys.stdout.flush()
if os.fork() == 0:
    say("beside")  # it has none of the threads, and waits for none
    sys.exit(0)
os.wait()
"""
    output, errors, status = output_of(code)
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert [line for line in lines if line != "beside"] == [f"line {i}" for i in range(20_000)]
    assert lines.count("beside") == 4


# Starts a program as the only one of a terminal of its own, whose number is the first argument.
LOGIN = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
os.execv(sys.argv[2], sys.argv[2:])
"""


@not_on_windows
@pytest.mark.parametrize("name", ["test11", "test14b"])
def test_terminal_that_is_closed_ends_the_server(name: str) -> None:
    step = Step(name)
    master, terminal = os.openpty()
    ends = {name: terminal for name in ("stdin", "stdout", "stderr")}
    server = program(
        *("-c", LOGIN, str(terminal), sys.executable, "server.py"),
        cwd=step.folder,
        pass_fds=[terminal],
        **ends,
    )
    try:
        os.close(terminal)
        wait_until(lambda: b"Listening on" in os.read(master, 4096), "the server listens")
        with step.connect() as client:
            os.close(master)
            assert close_of(client).code == 1001
        assert server.wait(10) == 0
    finally:
        server.kill()
        server.wait()


@not_on_windows
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("name", ["test3", "test11"])
def test_what_is_ignored_from_the_start_stays_so(name: str, number: str) -> None:
    """As with `nohup`, and with `&` in a script, where Ctrl-C is for others."""
    step = Step(name)
    with server_at(step, subprocess.DEVNULL, preexec_fn=ignoring(number)) as server:
        greet(step)
        for _ in range(3):
            server.send_signal(getattr(signal, number))
        greet(step)
        server.send_signal(signal.SIGTERM if number != "SIGTERM" else signal.SIGINT)
        assert server.wait(10) == 0


@not_on_windows
@pytest.mark.parametrize("number", ["SIGHUP", "SIGTERM"])
def test_who_says_twice_that_the_server_has_to_stop_does_not_cut_it_short(number: str) -> None:
    """When a shell ends, the program in its terminal gets a SIGHUP from it, and one from the system."""
    code = """
import asyncio, os, signal, time
from common.running import run

async def main():
    os.kill(os.getpid(), signal.{0})
    try:
        await asyncio.sleep(60)
    finally:
        os.kill(os.getpid(), signal.{0})
        await asyncio.sleep(0.1)
        print("all is done")

run(main(), None)
"""
    assert output_of(code.replace("{0}", number)) == ("all is done\nStopped\n", "", 0)


def test_program_whose_own_stdout_raises_anything_ends() -> None:
    code = """
import sys
from common.console import say

class Window:
    def write(self, text):
        raise RuntimeError("main thread is not in main loop")
    flush = write

sys.stdout = Window()
say("hello")
"""
    assert output_of(code) == ("", "", 0)


@not_on_windows
def test_closed_terminal_ends_the_program_of_a_sensor(tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text("import time\nwhile True: print(1.5, flush=True); time.sleep(0.1)")
    step = Step("test15")
    command = f"command:python {tmp_path / 'prog.py'}"
    with server_at(step, subprocess.DEVNULL, "--sensor", command) as server:
        (child,) = wait_until(lambda: psutil.Process(server.pid).children(), "the program runs")
        wait_until(lambda: str(tmp_path / "prog.py") in child.cmdline(), "it is the one")
        server.send_signal(signal.SIGHUP)
        assert server.wait(10) == 0
        child.wait(10)


@not_on_windows
def test_what_is_to_be_done_at_the_end_is_not_cut_off_with_the_clients() -> None:
    code = """
import asyncio, os, signal, time
from common import running

async def main():
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(60)

running.STOP_TIMEOUT = 0.5
running.run(main(), None)
time.sleep(1)  # as a log does whose disk is slow
print("all is written")
"""
    assert output_of(code) == ("Stopped\nall is written\n", "", 0)
