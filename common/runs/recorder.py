"""Writing the log of a run: what common/runs/recording.py reads."""

import asyncio
import math
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import psutil

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None

from common.runs.index import Index
from common.runs.recording import (
    CHUNK_SIZE,
    MAX_FIELDS,
    MAX_ROW,
    Chunk,
    Recording,
    end_of_rows,
    first_chunk,
    quoted,
    read_header,
    read_info,
    write_info,
)

# How many bytes of readings may wait for a disk that refuses them, or is slow: 16 MiB, some 400,000 readings.
MAX_UNWRITTEN = 2**24
# How long the disk may take for a write before that is an alarm, in seconds.
WRITE_TIMEOUT = 2.0
# How many bytes of the newest readings stay in memory, so that live clients need no disk.
RECENT = 2**20
# How long readings are gathered for one write, how soon a disk that has refused something is tried again, and
# how often the log is made safe from a power cut, in seconds.
WRITE_EVERY = 0.02
RETRY_EVERY = 0.5
SYNC_EVERY = 1.0
# What a log is called: by when it began.
NAME = "%Y-%m-%dT%H-%M-%S.%f"
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
    memory, up to `MAX_UNWRITTEN` bytes, and clients get those that are refused all the same. Readings beyond
    that are not logged, which `lost` counts and the numbers of the others show.

    Nor is it one that somebody deletes the log, puts another file in its place, or changes its length. That
    is noticed at once, the run goes on in a new file, with the next number, and `error` says so from then on.
    What was logged before is `gone`, even if a part of it is still there.

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
        gone: how many were in a log that somebody has deleted, replaced or cut.
        error: what is wrong with the log, in words for the reader, or None.

    Raises:
        ValueError: if what would be written could not be read back, because of the number of the fields, or
            of their names.
    """

    live = True

    def __init__(self, folder: Path, fields: Mapping[str, str], rate: float | None) -> None:
        self._header = header_for(fields)
        start_ns = time.time_ns()
        start = datetime.fromtimestamp(start_ns / 1e9)
        self.name = start.strftime(NAME)
        self.path = folder / f"{self.name}.csv"
        self.epoch = f"{self.name} {secrets.token_hex(4)}"
        self.fields, self.rate, self.first, self.head, self.end_ns = dict(fields), rate, 1, 0, 0
        self.acquired = self.logged = self.lost = self.gone = 0
        self.error: str | None = None
        self._loss: str | None = None  # what is to be said, from then on, of a file that was taken away
        self._info: dict[str, Any] = {
            "epoch": self.epoch,
            "start": start.astimezone().isoformat(),
            "start_ns": start_ns,
            "fields": list(self.fields),
            "units": list(self.fields.values()),
            "rate": rate,
            # By these the next start sees whether the run is still being written. They go when it ends.
            "process": [os.getpid(), psutil.Process().create_time()],
            "locked": False,
            "events": [],
        }
        self.index = None
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
        self._taken = 0  # the number of the last reading that has come to the thread
        self._gone_to = 0  # up to this one, readings were in files that are taken away
        self._lines = 0
        self._index_error: Exception | None = None
        self._index_again = 0.0  # when it is tried again, by time.monotonic()
        self._sync_error: Exception | None = None  # what the other thread has met
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
            if is_lost := self._waiting + len(line) > MAX_UNWRITTEN:
                self.lost += 1
            else:
                self._waiting += len(line)
                if not self._queue or len(self._queue[-1][1]) + len(line) > CHUNK_SIZE:
                    self._queue.append(([self.acquired, 0, 0], bytearray()))
                numbers, lines = self._queue[-1]
                numbers[1:] = self.acquired, time_ns
                lines += line
        self._wake.set()
        since = self._writing_since
        if is_lost and not self._is_losing:
            self._is_losing = True
            self.note("lost", f"readings from {self.acquired} on, because the disk does not take them")
            self._alarm(self._problem or f"ERROR: readings are lost; the disk is too slow for {self._place}")
            self._changed()
        elif since is not None and time.monotonic() - since > WRITE_TIMEOUT:
            self._alarm(self._problem or f"ERROR: the disk is slow; readings wait for {self._place}")
        return self.acquired

    @property
    def _problem(self) -> str | None:
        # What is wrong now, not what is said of a file that was taken away.
        return None if self.error == self._loss else self.error

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

    async def chunk(self, have: int) -> Chunk:
        """Return what comes after the reading `have`, about `CHUNK_SIZE` bytes of it."""
        if not self._recent or self._recent[0].first > have + 1:
            chunk = await super().chunk(have)
            if chunk.text:
                return chunk
        # Most clients are at the end, so that is where to begin.
        missing = []
        for batch in reversed(self._recent):
            if batch.last <= have:
                break
            missing.append(batch.lines)
        data = b""
        while missing and len(data) < CHUNK_SIZE // 2:
            data += missing.pop()
        begin = 0
        while begin < len(data) and int(data[begin : data.index(b",", begin)]) <= have:
            begin = data.index(b"\n", begin) + 1
        return first_chunk(data[begin:], have, self.head)

    def check(self) -> None:
        """Do nothing: the thread that writes sees whether the file is still the one that it writes."""

    def close(self) -> None:
        """Write what waits, and say what could not be written. The run is over."""
        if self._closed.is_set() or not self._threads:
            return
        self.note("end")
        with self._lock:
            del self._info["process"], self._info["locked"]
        self._closing = True
        self._wake.set()
        writer, syncer = self._threads
        writer.join()
        self._tell_name()
        if self._loss and self.error != self._loss:
            self.error = self._loss  # the loop may have ended before it could say so
            print(self.error)
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
        # Whoever comes later is to see what is in the log.
        while self._recent and self._recent[0].last <= self._gone_to:
            self._recent_size -= len(self._recent.popleft().lines)
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
        while True:
            # Whether there are readings or not, the file is looked after.
            self._wake.wait(RETRY_EVERY)
            self._wake.clear()
            closing = self._closing
            with self._lock:
                queue, self._queue = self._queue, []
            batches = [Batch(*numbers, bytes(lines)) for numbers, lines in queue]
            for batch in batches:
                self._unwritten += batch.lines
                self._taken = batch.last
            error, is_index = self._sync_error, False
            self._writing_since = time.monotonic()
            # What a full disk has taken is to be found, too. And nothing at all may end this thread.
            for work in (self._look_after, self._write, self._put_into_index):
                try:
                    work()
                except Exception as problem:
                    is_index = error is None and work == self._put_into_index
                    error = error or problem
            self._writing_since = None
            text = self._loss
            if error:
                what = f"the index of {self._place}, which is written" if is_index else self._place
                text = f"ERROR: cannot write {what}: {getattr(error, 'strerror', None) or error}"
            # A loop that has ended needs to know nothing more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._publish, batches, max(0, self._lines - 1), text)
            if closing:
                return
            time.sleep(WRITE_EVERY)

    def _look_after(self) -> None:
        """See whether the file is still there, as it was written. If not, the run goes on in a new one."""
        if self._file is None:
            return
        try:
            there = self.path.stat()
            if os.path.samestat(there, os.fstat(self._file.fileno())) and there.st_size == self._written:
                return
            how = "replaced or changed"
        except FileNotFoundError:
            how = "deleted or renamed"
        logged = max(0, self._lines - 1)
        self.gone += logged
        in_all = f" ({self.gone:,} by now)" if self.gone > logged else ""
        self._loss = (
            f"ERROR: somebody has {how} {self.path.parent.name}/{self.path.name}, with {logged:,} of this "
            f"run's readings{in_all}; it goes on in a new file"
        )
        self.note("log", self._loss.removeprefix("ERROR: "))
        old, index = self.path, self.index
        # Whoever reads it meanwhile finds nothing, rather than a place of one file in another one.
        self.index, self.size = None, self.begin
        self.name = datetime.now().strftime(NAME)
        self.path = old.with_name(f"{self.name}.csv")
        file, self._file = self._file, None
        if self._torn or self._written < self.begin:
            # The rest of a line whose beginning is gone does not belong into the next file, nor a header.
            rest = self._unwritten.find(b"\n") + 1
            del self._unwritten[:rest]
            with self._lock:
                self._waiting -= rest
        self._gone_to = int(self._unwritten.partition(b",")[0]) - 1 if self._unwritten else self._taken
        self._written = self._torn = self._lines = 0
        self._is_named = False
        file.close()
        if index:
            index.close()
        # Whatever is there under its name now, it is no part of this run, and is nothing to be mended.
        if not old.exists():
            with suppress(OSError):
                old.with_suffix(".index").unlink()
        if not old.with_suffix(".json").exists():
            return
        with self._lock:
            unlike = ("epoch", "process", "locked")
            info = {name: value for name, value in self._info.items() if name not in unlike}
            info["events"] = info["events"].copy()
        with suppress(OSError):
            write_info(old, info)

    def _write(self) -> None:
        if self._unwritten and self._file is None:
            self.path.parent.mkdir(exist_ok=True)
            # Mode "x" makes a new file, never an earlier run's; unbuffered, nothing waits in Python.
            file = self.path.open("xb", buffering=0)
            self._unwritten[:0] = self._header
            with self._lock:
                self._waiting += len(self._header)
                self._info["locked"] = lock(file)
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
        if self._file is None or time.monotonic() < self._index_again:
            if self._file and self._index_error:
                raise self._index_error
            return
        try:
            if self.index is None:
                self.index = Index(self.path, len(self.fields), self.rate or 100)
            self.index.update(self.begin, self.size)
            self._index_error = None
        except Exception as error:
            self._index_error = error
            self._index_again = time.monotonic() + RETRY_EVERY
            raise

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
            file, written = self._file, self._written
            if file is None or not (written != synced or self._info_changed or self._sync_error):
                continue
            try:
                os.fsync(file)
                synced = written
                if self._info_changed:
                    self._write_info()
                self._sync_error = None
            except Exception as error:
                if file is not self._file:
                    continue  # it was taken away
                self._sync_error = error
                self._wake.set()
                if closed:
                    print(f"ERROR: cannot write {self._place}: {getattr(error, 'strerror', None) or error}")
            index = self.index
            if index:
                index.commit()


def _text(value: float | None) -> str:
    """Return a value as it is in the log; NumPy's numbers look like Python's there."""
    try:
        if value is None or not math.isfinite(value):
            return ""
    except (OverflowError, ValueError):
        return ""  # a whole number of hundreds of digits is none that can be drawn
    return repr(value) if type(value) is int and abs(value) < 2**63 else repr(float(value))


def header_for(fields: Iterable[str]) -> bytes:
    """Return the first line of a log.

    Raises:
        ValueError: if a log with it could not be read back.
    """
    names = list(fields)
    if not 0 < len(names) <= MAX_FIELDS:
        raise ValueError(f"a log can have 1 to {MAX_FIELDS:,} fields, not {len(names):,}")
    for name in names:
        if name.splitlines() != [name]:
            raise ValueError(f"the name of a field has to be one line, not {name[:40]!r}")
        if name in ("seq", "time_ns") or name.encode(errors="replace").decode() != name:
            raise ValueError(f"a field of a log cannot be called {name[:40]!r}")
    header = f"seq,time_ns,{','.join(map(quoted, names))}\n".encode()
    if len(header) > MAX_ROW:
        raise ValueError(f"the names of the fields are {len(header):,} bytes; {MAX_ROW:,} can be read back")
    return header


def lock(file: BinaryIO) -> bool:
    """Mark a log as one that is being written; even `kill -9` ends that. Return whether the disk can do it.

    Windows lets nobody rename a file that is open, which says the same.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False


def is_being_written(path: Path, file: BinaryIO, info: dict[str, Any]) -> bool:
    """Return whether a log is being written by a run that has not ended.

    Args:
        path: the log.
        file: the same, open for writing.
        info: what its JSON file says.
    """
    if info.get("locked") is not True:
        return is_running(info["process"])
    if fcntl is not None:
        return not lock(file)
    try:
        path.rename(path)
        return False
    except PermissionError:
        return True


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
        if "process" not in info:
            continue
        with suppress(OSError), path.open("r+b") as file:
            if is_being_written(path, file, info):
                continue
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
            info.pop("locked", None)
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
