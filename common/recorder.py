"""Writing the log of a run: what common/recording.py reads."""

import asyncio
import math
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import psutil

from common.index import Index
from common.recording import (
    PIECE,
    Piece,
    Recording,
    end_of_rows,
    first_piece,
    quoted,
    read_header,
    read_info,
    write_info,
)

# How many bytes of readings may wait for a disk that refuses them, or is slow: 16 MiB, some 400,000 readings.
MAX_WAITING = 2**24
# How long the disk may take for a write before that is an alarm, in seconds.
PATIENCE = 2.0
# How many bytes of the newest readings stay in memory, so that live clients need no disk.
RECENT = 2**20
# How long readings are gathered for one write, how soon a disk that has refused something is tried again, and
# how often the log is made safe from a power cut, in seconds.
WRITE_EVERY = 0.02
RETRY_EVERY = 0.5
SYNC_EVERY = 1.0
# By how much the clock has to go back to have been set, in ns; a coarse clock tells the same time twice.
SET_BACK = 1_000_000
# How many starts, stops and the like are noted in a run, so that somebody who plays with them fills no disk.
MOST_EVENTS = 10_000


class Batch(NamedTuple):
    """Readings that are written together: the first number, the last one, its time, and their lines."""

    first: int
    last: int
    time_ns: int
    lines: bytes


class Recorder(Recording):
    """A run that is being written.

    `add()` never waits: a thread of its own writes the readings to the log, a few hundredths of a second's
    worth at once. After that, and not before, clients are told of them, so whatever a page shows is in the
    log, even if the program is killed. Every second another thread has the system put the log on the disk
    itself (`fsync`), so a power cut costs at most the last second.

    A disk that refuses readings, or is too slow for them, is no exception but the state `error`. They wait in
    memory, up to `MAX_WAITING` bytes, and clients get those that are refused all the same. Readings beyond
    that are not logged, which `lost` counts and the numbers of the others show.

    The times of a run always increase: when the machine's clock is set back, the run goes on by the old one.

    To be started in a running event loop, and closed.

    Args:
        folder: where the files go; made if it does not exist. They are made with the first reading.
        fields: the unit of each field by its name.
        rate: the sample rate, in readings a second; None if readings come as they come.

    Attributes:
        acquired: how many readings have been added.
        logged: how many of them are in the log.
        lost: how many of them could not be kept.
        error: what is wrong with the log, in words for the reader, or None.

    Raises:
        ValueError: if the name of a field has more than one line.
    """

    live = True

    def __init__(self, folder: Path, fields: Mapping[str, str], rate: float | None) -> None:
        if any(len(name.splitlines()) > 1 for name in fields):
            raise ValueError("the name of a field has to be one line")
        start_ns = time.time_ns()
        start = datetime.fromtimestamp(start_ns / 1e9)
        self.name = start.strftime("%Y-%m-%dT%H-%M-%S.%f")
        self.path = folder / f"{self.name}.csv"
        self.epoch = f"{self.name} {secrets.token_hex(4)}"
        self.fields, self.rate, self.first, self.head, self.end_ns = dict(fields), rate, 1, 0, 0
        self.acquired = self.logged = self.lost = 0
        self.error: str | None = None
        self._info: dict[str, Any] = {
            "epoch": self.epoch,
            "start": start.astimezone().isoformat(),
            "start_ns": start_ns,
            "fields": list(self.fields),
            "units": list(self.fields.values()),
            "rate": rate,
            # By this the next start sees whether the run is still being written. It goes when the run ends.
            "process": [os.getpid(), psutil.Process().create_time()],
            "events": [],
        }
        self.index = None
        self._header = f"seq,time_ns,{','.join(map(quoted, self.fields))}\n".encode()
        self.begin = self.size = len(self._header)
        self._news = asyncio.Event()
        self._shift = self._last_ns = 0
        self._is_losing = self._is_named = False
        # What the event loop and the threads share.
        self._lock = threading.Lock()
        self._queue: list[tuple[list[int], bytearray]] = []  # [first, last, time_ns] and lines
        self._waiting = 0  # bytes of readings that are not in the log yet
        self._info_changed = False
        self._closing = False
        self._writing_since: float | None = None  # by time.monotonic()
        self._wake = threading.Event()
        # What the writing thread has to itself, but for the length of the log, which the other one looks at.
        self._file: BinaryIO | None = None
        self._unwritten = bytearray()
        self._written = 0  # bytes
        self._torn = 0  # of them those of a line that is not whole yet
        self._lines = 0
        self._sync_error: OSError | None = None  # what the other thread has met
        # What the event loop has to itself: the newest readings, written or not.
        self._recent: deque[Batch] = deque()
        self._recent_size = 0
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    def start(self, changed: Callable[[], None] = lambda: None) -> None:
        """Begin to write; to be called in the event loop.

        Args:
            changed: called there whenever `error` has changed, and when readings begin to be lost.
        """
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        for work, name in [(self._write_forever, "log writer"), (self._sync_forever, "log syncer")]:
            self._threads.append(threading.Thread(target=work, name=name, daemon=True))
            self._threads[-1].start()

    def now_ns(self) -> int:
        return time.time_ns() + self._shift

    def add(self, time_ns: int, values: Sequence[float | None]) -> int:
        """Take a reading; called in the event loop, and never waits.

        Args:
            time_ns: when it was taken, in nanoseconds of Unix time.
            values: the value of each field; None, and what is not finite, is no value.

        Returns:
            Its number; the readings of a run are counted from 1.

        Raises:
            ValueError: if there is not one value for each field.
            TypeError: if a value is not a number.
        """
        if len(values) != len(self.fields):
            raise ValueError(f"a reading has {len(self.fields)} values, not {len(values)}")
        texts = ",".join(map(_text, values))
        time_ns += self._shift
        if (back := self._last_ns - time_ns) >= 0:
            if back > SET_BACK:
                self._shift += back + 1
                self.note("clock", f"set back by {back / 1e9:.3f} s; the times of this run go on as before")
            time_ns = self._last_ns + 1
        self._last_ns = time_ns
        self.acquired += 1
        line = f"{self.acquired},{time_ns},{texts}\n".encode()
        with self._lock:
            if is_lost := self._waiting + len(line) > MAX_WAITING:
                self.lost += 1
            else:
                self._waiting += len(line)
                if not self._queue or len(self._queue[-1][1]) + len(line) > PIECE:
                    self._queue.append(([self.acquired, 0, 0], bytearray()))
                numbers, lines = self._queue[-1]
                numbers[1:] = self.acquired, time_ns
                lines += line
        self._wake.set()
        since = self._writing_since
        if is_lost and not self._is_losing:
            self._is_losing = True
            self.note("lost", f"readings from {self.acquired} on, because the disk does not take them")
            self._alarm(self.error or f"ERROR: readings are lost; the disk is too slow for {self._place}")
            self._changed()
        elif since is not None and time.monotonic() - since > PATIENCE:
            self._alarm(self.error or f"ERROR: the disk is slow; readings wait for {self._place}")
        return self.acquired

    @property
    def _place(self) -> str:
        return f"the log in {self.path.parent.name}"

    def note(self, what: str, text: str | None = None) -> None:
        """Add an event to the JSON file, as in `note("start")`, with the time and the next number."""
        event = {"time_ns": self.now_ns(), "seq": self.acquired + 1, "what": what}
        with self._lock:
            if len(self._info["events"]) < MOST_EVENTS or what == "end":
                self._info["events"].append(event | ({"text": text} if text else {}))
                self._info_changed = True

    async def more_than(self, have: int) -> None:
        """Wait until there are readings after this one."""
        while self.head <= have:
            await self._news.wait()

    async def piece(self, have: int) -> Piece:
        """Return what comes after the reading `have`, about `PIECE` bytes of it."""
        if not self._recent or self._recent[0].first > have + 1:
            piece = await super().piece(have)
            if piece.text:
                return piece
        # Most clients are at the end, so that is where to begin.
        missing = []
        for batch in reversed(self._recent):
            if batch.last <= have:
                break
            missing.append(batch.lines)
        data = b""
        while missing and len(data) < PIECE // 2:
            data += missing.pop()
        begin = 0
        while begin < len(data) and int(data[begin : data.index(b",", begin)]) <= have:
            begin = data.index(b"\n", begin) + 1
        return first_piece(data[begin:], have, self.head)

    def close(self) -> None:
        """Write what waits, and say what could not be written. The run is over."""
        if self._closed.is_set() or not self._threads:
            return
        self.note("end")
        with self._lock:
            del self._info["process"]
        self._closing = True
        self._wake.set()
        writer, syncer = self._threads
        writer.join()
        self._tell_name()
        self._closed.set()
        syncer.join()
        if self._unwritten:
            print(f"ERROR: {len(self._unwritten)} bytes of readings could not be written and are lost")
        if self._file:
            self._file.close()
        super().close()

    # From here on, in the event loop.

    def _tell_name(self) -> None:
        # Not in the thread that has made the file: lines that two threads print can get mixed up.
        if self._file and not self._is_named:
            self._is_named = True
            print(f"Logging to {self.path.parent.name}/{self.path.name}")

    def _publish(self, batches: list[Batch], logged: int, error: str | None) -> None:
        """Tell clients of readings that have been handed to the system."""
        self._tell_name()
        self.logged = logged
        for batch in batches:
            self._recent.append(batch)
            self._recent_size += len(batch.lines)
            self.head, self.end_ns = batch.last, batch.time_ns
        # What is not in the log yet is among the newest.
        while self._recent and self._recent_size - len(self._recent[0].lines) > max(RECENT, self._waiting):
            self._recent_size -= len(self._recent.popleft().lines)
        if batches:
            self._news.set()
            self._news = asyncio.Event()
        self._alarm(error)

    def _alarm(self, error: str | None) -> None:
        if error != self.error:
            print(error or "OK: the log is written again")
            self.error = error
            self._is_losing = self._is_losing and error is not None
            self._changed()

    # From here on, in threads of their own.

    def _write_forever(self) -> None:
        text = None
        while True:
            self._wake.wait(RETRY_EVERY if text else None)
            self._wake.clear()
            closing = self._closing
            with self._lock:
                queue, self._queue = self._queue, []
            batches = [Batch(*numbers, bytes(lines)) for numbers, lines in queue]
            for batch in batches:
                self._unwritten += batch.lines
            error = self._sync_error
            self._writing_since = time.monotonic()
            # What a full disk has taken is to be found, too.
            for work in (self._write, self._put_into_index):
                try:
                    work()
                except OSError as problem:
                    error = problem
            self._writing_since = None
            text = error and f"ERROR: cannot write {self._place}: {error.strerror or error}"
            # A loop that has ended needs to know nothing more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._publish, batches, max(0, self._lines - 1), text)
            if closing:
                return
            time.sleep(WRITE_EVERY)

    def _write(self) -> None:
        if self._unwritten and self._file is None:
            self.path.parent.mkdir(exist_ok=True)
            # Mode "x" makes a new file, never an earlier run's; unbuffered, nothing waits in Python.
            file = self.path.open("xb", buffering=0)
            self._unwritten[:0] = self._header
            with self._lock:
                self._waiting += len(self._header)
            # Before the first reading, so that there is none whose units are not known. If it fails, the
            # other thread tries again and says why.
            with suppress(OSError):
                self._write_info()
            self._file = file
        while self._unwritten:
            # A full disk can take a part of it; the rest goes first next time.
            done = self._file.write(self._unwritten)
            with self._lock:
                self._waiting -= done
            self._written += done
            end = self._unwritten.rfind(b"\n", 0, done) + 1
            self._torn = done - end if end else self._torn + done
            self._lines += self._unwritten.count(b"\n", 0, done)
            del self._unwritten[:done]
            self.size = max(self.begin, self._written - self._torn)

    def _put_into_index(self) -> None:
        if self._file:
            if self.index is None:
                self.index = Index(self.path, len(self.fields), self.rate or 100)
            try:
                self.index.update(self.begin, self.size)
            except ValueError:
                raise OSError(None, "somebody else has changed the file") from None

    def _write_info(self) -> None:
        with self._lock:
            self._info_changed = False
            info = self._info | {"events": self._info["events"].copy()}
        try:
            write_info(self.path, info)
        except OSError:
            self._info_changed = True
            raise

    def _sync_forever(self) -> None:
        synced = 0
        closed = False
        while not closed:
            closed = self._closed.wait(SYNC_EVERY)
            written = self._written
            if self._file is None or not (written > synced or self._info_changed or self._sync_error):
                continue
            try:
                os.fsync(self._file)
                synced = written
                if self._info_changed:
                    self._write_info()
                self._sync_error = None
            except OSError as error:
                self._sync_error = error
                self._wake.set()
                if closed:
                    print(f"ERROR: cannot write {self._place}: {error.strerror or error}")
            if self.index:
                self.index.commit()


def _text(value: float | None) -> str:
    """Return a value as it is in the log; NumPy's numbers look like Python's there."""
    if value is None or not math.isfinite(value):
        return ""
    return repr(value) if type(value) is int else repr(float(value))


def repair(folder: Path) -> list[str]:
    """Mend the logs of runs that were killed: cut off a row that was being written.

    A log whose JSON file does not say which process wrote it is left alone; what reads it stops before a torn
    row anyway.

    Args:
        folder: where the logs are.

    Returns:
        What was mended, in words for the reader.
    """
    mended = []
    for path in sorted(folder.glob("*.csv")):
        info = read_info(path)
        if "process" not in info or is_running(info["process"]):
            continue
        with suppress(OSError), path.open("r+b") as file:
            try:
                names, begin = read_header(path)
            except ValueError:
                names, begin = [], 0
            end = end_of_rows(path, begin, len(names)) if begin else 0
            cut = file.seek(0, os.SEEK_END) - end
            file.truncate(end)
            # A power cut can have left anything in it; it is made anew from the log.
            for left in (".index", ".index-journal", ".json.new"):
                path.with_suffix(left).unlink(missing_ok=True)
            text = f"{cut} bytes of a torn row cut off" if cut else "nothing was torn"
            events = info.get("events")
            info["events"] = events if isinstance(events, list) else []
            info["events"].append({"time_ns": time.time_ns(), "what": "killed", "text": text})
            del info["process"]
            write_info(path, info)
            mended.append(f"Mended {folder.name}/{path.name}, whose run was killed: {text}")
    return mended


def is_running(process: object) -> bool:
    """Return whether the process is there that a run's JSON file names by its id and when it was started."""
    try:
        number, started = process
        return abs(psutil.Process(number).create_time() - started) < 2
    except psutil.AccessDenied:
        return True  # somebody else's, but there
    except (TypeError, ValueError, psutil.Error):
        return False
