"""The console, for which nothing waits and on which nothing depends.

A terminal may take no more (Ctrl-S, selected text on Windows, `| less`), be closed, or have a full disk
behind it. An ordinary `print()` then waits or fails, and a server stands still for everyone.
"""

import atexit
import io
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import BinaryIO, TextIO

# How much text may wait for the console, in characters, and how long the end of a program waits for it, in
# seconds.
MAX_UNPRINTED = 2**18
DRAIN_TIMEOUT = 1.0
# How much is printed at once where the output goes to another program, in characters. A pipe that takes
# anything takes that, however they are encoded.
AT_ONCE = 1000


class Console(io.TextIOBase):
    """A stream whose `write` neither waits nor fails; a thread of its own writes what it is given.

    What does not fit is left out, in whole lines, and that is said as soon as there is room.

    Args:
        write_out: writes a text; it may wait, and fail with an OSError or a ValueError.
        stream: the one that this one stands for.
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, write_out: Callable[[str], None], stream: TextIO | None = None) -> None:
        self.stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self._write_out = write_out
        # Re-entrant, because a signal may come while this thread has it, and what the signal calls may print.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: list[str] = []
        self._size = 0
        self._left_out = 0  # lines
        self._leaves_out = False
        self._at_start_of_line = True
        self._is_writing = False
        self.has_failed = False
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> int:
        if not text:
            return 0
        if sys.is_finalizing():
            # No thread runs any more. What is said this late, such as a warning, nobody has to wait for.
            with suppress(OSError, ValueError):
                self._write_out(text)
            return len(text)
        with self._changed:
            if self._at_start_of_line or self._size > 2 * MAX_UNPRINTED:
                self._leaves_out = self._size > MAX_UNPRINTED
            self._at_start_of_line = text.endswith("\n")
            if self._leaves_out:
                self._left_out += text.count("\n")
                return len(text)
            self._waiting.append(text)
            self._size += len(text)
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="console", daemon=True)
                self._thread.start()
        return len(text)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                while not self._waiting:
                    self._changed.wait()
                text, left_out = "".join(self._waiting), self._left_out
                self._waiting.clear()
                self._size = self._left_out = 0
                self._is_writing = True
            lines = text.count("\n") + left_out
            if left_out:
                text += f"… {left_out:,} lines of console output were left out\n"
            try:
                self._write_out(text)
            except Exception:  # a program may have put anything in the place of sys.stdout
                with self._changed:
                    self._left_out += lines
                    self.has_failed = True

    def drain(self, seconds: float | None) -> bool:
        """Wait until all is written, but no longer than so many seconds; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._is_writing, seconds)

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can, and nobody is to wait for it."""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.stream is not None and self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno() if self.stream is not None else super().fileno()

    @property
    def buffer(self) -> BinaryIO | None:
        return self.stream.buffer if self.stream is not None else None


def free_from_console() -> None:
    """Let nothing that this program prints from now on wait or fail, tracebacks included.

    For a program that is a server. In others `sys.stdout` is their own; see `say`.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        binary = getattr(stream, "buffer", None)
        if binary is None or isinstance(stream, Console):
            continue  # a Windows program without a console has none
        with suppress(OSError, ValueError):
            stream.flush()
        setattr(sys, name, Console(partial(_write_raw, stream), stream))


def _write_raw(stream: TextIO, text: str) -> None:
    """Write past Python's own buffer, which keeps what cannot be written, and waits for it in the end."""
    raw = getattr(stream.buffer, "raw", stream.buffer)
    data = memoryview(text.replace("\n", os.linesep).encode(stream.encoding, "replace"))
    while data:
        # Somebody else may have set the terminal not to wait, so that it takes nothing while it is full.
        if written := raw.write(data):
            data = data[written:]
        else:
            time.sleep(0.05)


def _print_now(text: str) -> None:
    if _is_terminal(sys.stdout):
        _write_raw(sys.stdout, text)
        return
    # After what the program itself has printed and Python still keeps.
    while text:
        end = len(text) if len(text) <= AT_ONCE else text.rfind("\n", 0, AT_ONCE) + 1 or AT_ONCE
        _wait_for_room()
        print(text[:end], end="", flush=True)
        text = text[end:]


def _wait_for_room() -> None:
    """Wait until a pipe takes something. Who waits in print() has a lock that the end of a program needs."""
    if sys.platform != "win32":  # where only sockets can be waited for
        with suppress(AttributeError, OSError, ValueError):  # it is no file of the system
            select.select([], [sys.stdout.fileno()], [])


def _is_terminal(stream: TextIO | None) -> bool:
    with suppress(ValueError):  # somebody has closed it
        return stream is not None and hasattr(stream, "buffer") and stream.isatty()
    return False


# What `say` uses in a program whose `sys.stdout` is its own.
_aside = Console(_print_now)


def printable(text: str) -> str:
    """Replace what could play tricks on a terminal, or could not be printed at all, as `repr()` does."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def say(text: str) -> None:
    """Print a line in a thread that must not wait: that of an event loop beside somebody's own program."""
    print(text, file=sys.stdout if isinstance(sys.stdout, Console) else _aside)


def drain() -> bool:
    """Wait until what a server has printed is written, but not for ever; return whether it is."""
    deadline = time.monotonic() + DRAIN_TIMEOUT
    consoles = [console for console in (_aside, sys.stdout, sys.stderr) if isinstance(console, Console)]
    return all([console.drain(max(0, deadline - time.monotonic())) for console in consoles])


def _end() -> None:
    drain()
    if not _is_terminal(sys.stdout):
        # A program whose output goes to another one waits for that, as always: Python ends with a fatal error
        # where a thread still writes to the buffer.
        _aside.drain(None)
    if _aside.has_failed:
        # What cannot be written must not make Python complain, and end with the exit status 120.
        try:
            sys.stdout.flush()
        except Exception:
            sys.stdout = None


def _after_fork() -> None:
    global _aside
    _aside = Console(_print_now)  # a fork has none of the other threads
    for name in ("stdout", "stderr"):
        if isinstance(stream := getattr(sys, name), Console):
            setattr(sys, name, stream.stream)


# What is registered first is done last.
atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
