"""Writing the log of a run, in threads of its own, so that a slow disk holds up nothing else."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Any

from common.runs.files import NAME, write_info
from common.runs.index import Index
from common.runs.recording import CHUNK_SIZE, LogReader
from common.runs.repair import lock

# How many bytes of readings may wait for a disk that refuses them, or is slow: 16 MiB, some 400,000 readings.
MAX_UNWRITTEN = 2**24
# How long readings are gathered for one write, how soon a disk that has refused something is tried again, and
# how often the log is made safe from a power cut, in seconds.
WRITE_EVERY = 0.02
RETRY_EVERY = 0.5
SYNC_EVERY = 1.0
# How many starts, stops and the like are noted in a run, so that somebody who plays with them fills no disk.
MOST_EVENTS = 10_000


@dataclass(slots=True)
class Batch:
    """Readings that are written together: the first number, the last one, its time, and their lines."""

    first: int
    last: int = 0
    time_ns: int = 0
    lines: bytearray = field(default_factory=bytearray)


class LogFile:
    """One file of a run that is written. If somebody takes it away, another one takes its place as a whole.

    Only the thread that writes changes it; the others look at it.

    Args:
        path: where it is; it is made with the first reading.
        header: its first line.

    Attributes:
        gone: how many readings were in files before it that were taken away.
        gone_to: the number up to which they were.
        loss: what is to be said of the last one of these, from then on.
    """

    gone = gone_to = 0
    loss: str | None = None

    def __init__(self, path: Path, header: bytes) -> None:
        self.reader = LogReader(path, len(header), len(header))
        self.file: FileIO | None = None
        self.written = self.torn = 0  # bytes, and how many of them are of a line that is not whole yet
        self.lines = self.logged = 0  # the header, too, and without it

    def write(self, file: FileIO, data: bytearray) -> int:
        """Write the first of these bytes; a full disk can take a part of them. Return how many it took."""
        done = file.write(data)
        self.written += done
        end = data.rfind(b"\n", 0, done) + 1
        self.torn = done - end if end else self.torn + done
        self.lines += data.count(b"\n", 0, done)
        self.logged = max(0, self.lines - 1)
        self.reader.end = max(self.reader.begin, self.written - self.torn)
        return done

    def taken_away(self) -> str | None:
        """Return what somebody has done to the file; None if it is there, as it was written."""
        if self.file is None:
            return None
        try:
            there = self.reader.path.stat()
        except FileNotFoundError:
            return "deleted or renamed"
        is_same = os.path.samestat(there, os.fstat(self.file.fileno())) and there.st_size == self.written
        return None if is_same else "replaced or changed"

    def close(self) -> None:
        if self.file:
            self.file.close()
        self.reader.close()


Publish = Callable[[list[Batch], LogFile, str | None], None]


class LogWriter:
    """Writes a log: what is handed over in the event loop is written by one thread, and synced by another.

    Args:
        path: the log; made, with its folder, with the first reading. If somebody takes it away, the next one
            is beside it.
        header: its first line.
        info: what its JSON file says.
    """

    def __init__(self, path: Path, header: bytes, info: dict[str, Any]) -> None:
        self.place = f"the log in {path.parent.name}"
        # The event loop and the threads share these. They change them with the lock only:
        self._lock = threading.Lock()
        self._queue: list[Batch] = []  # from the event loop to the thread that writes
        self.waiting = 0  # bytes of readings that are not in the log yet
        self._info, self._info_changed = info, False
        # Each of these only one of them changes: the event loop whether it is closing, the thread that writes
        # since when the disk has kept it waiting, by time.monotonic(), and what file the log is now, and the
        # thread that syncs what it has met.
        self._is_closing = False
        self.writing_since: float | None = None
        self.log = LogFile(path, header)
        self._sync_error: Exception | None = None
        # By these one of them wakes another one.
        self._wake, self._closed = threading.Event(), threading.Event()
        # The thread that writes has these to itself.
        self._header, self._unwritten = header, bytearray()
        self._taken = 0  # the number of the last reading that has come to it
        self._index_error: Exception | None = None
        self._index_again = 0.0  # when it is tried again, by time.monotonic()

    def start(self, publish: Publish, note: Callable[[str, str], None]) -> None:
        """Begin to write; to be called in the event loop.

        Args:
            publish: called there with the readings that have been handed to the system, or refused by it,
                the log, and what is wrong with it, if anything.
            note: called in a thread to note what has happened, as `Recorder.note`.
        """
        self._publish, self._note = publish, note
        self._loop = asyncio.get_running_loop()
        self._writer = threading.Thread(target=self._write_forever, name="log writer", daemon=True)
        self._syncer = threading.Thread(target=self._sync_forever, name="log syncer", daemon=True)
        self._writer.start()
        self._syncer.start()

    def put(self, seq: int, time_ns: int, line: bytes) -> bool:
        """Have a reading written. Return whether that can be; if not, too much is waiting already.

        Args:
            seq: its number.
            time_ns: its time, in nanoseconds of Unix time.
            line: its row.
        """
        size = len(line)
        with self._lock:
            if is_kept := self.waiting + size <= MAX_UNWRITTEN:
                self.waiting += size
                queue = self._queue
                if not queue or len(queue[-1].lines) + size > CHUNK_SIZE:
                    queue.append(Batch(seq))
                batch = queue[-1]
                batch.last, batch.time_ns = seq, time_ns
                batch.lines += line
        # Setting it takes longer than looking. The thread clears it before it takes the queue.
        if not self._wake.is_set():
            self._wake.set()
        return is_kept

    def note(self, event: dict[str, Any]) -> None:
        """Add an event to the JSON file; called in any thread."""
        with self._lock:
            if len(self._info["events"]) < MOST_EVENTS or event["what"] == "end":
                self._info["events"].append(event)
                self._info_changed = True

    def finish(self) -> None:
        """Write what waits."""
        self._is_closing = True
        self._wake.set()
        self._writer.join()
        with self._lock:
            del self._info["process"], self._info["locked"]
            self._info_changed = True

    def close(self) -> None:
        """Put it all on the disk, after `finish`, and say what could not be written."""
        self._closed.set()
        self._syncer.join()
        if self._unwritten:
            print(f"ERROR: {len(self._unwritten)} bytes of readings could not be written and are lost")
        self.log.close()

    # From here on, in the thread that writes.

    def _write_forever(self) -> None:
        while True:
            # Whether there are readings or not, the file is looked after.
            self._wake.wait(RETRY_EVERY)
            self._wake.clear()
            is_closing = self._is_closing
            with self._lock:
                batches, self._queue = self._queue, []
            for batch in batches:
                self._unwritten += batch.lines
                self._taken = batch.last
            error, place = self._sync_error, self.place
            self.writing_since = time.monotonic()
            # What a full disk has taken is to be found, too. And nothing at all may end this thread.
            for work in (self._look_after, self._write, self._put_into_index):
                try:
                    work()
                except Exception as problem:
                    if self._is_taken_away():
                        continue  # the next turn says so
                    if error is None and work == self._put_into_index:
                        place = f"the index of {self.place}, which is written"
                    error = error or problem
            self.writing_since = None
            text = _explain(place, error) if error else self.log.loss
            # A loop that has ended needs to know nothing more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._publish, batches, self.log, text)
            if is_closing:
                return
            time.sleep(WRITE_EVERY)

    def _look_after(self) -> None:
        """See whether the file is still there, as it was written. If not, the run goes on in a new one."""
        old = self.log
        how = old.taken_away()
        if how is None:
            return
        path, gone = old.reader.path, old.gone + old.logged
        in_all = f" ({gone:,} by now)" if old.gone else ""
        text = (
            f"somebody has {how} {path.parent.name}/{path.name}, with {old.logged:,} of this run's "
            f"readings{in_all}; it goes on in a new file"
        )
        self._note("log", text)
        if old.torn or old.written < old.reader.begin:
            # The rest of a line whose beginning is gone does not belong into the next file, nor a header.
            rest = self._unwritten.find(b"\n") + 1
            del self._unwritten[:rest]
            with self._lock:
                self.waiting -= rest
        new = LogFile(path.with_name(f"{datetime.now().strftime(NAME)}.csv"), self._header)
        new.gone, new.loss = gone, f"ERROR: {text}"
        new.gone_to = int(self._unwritten.partition(b",")[0]) - 1 if self._unwritten else self._taken
        self.log, self._index_error = new, None
        # Whoever reads it meanwhile finds nothing, rather than a place of one file in another one.
        old.reader.end = old.reader.begin
        old.close()
        # Whatever is there under its name now, it is no part of this run, and is nothing to be mended.
        with suppress(OSError):
            if not path.exists():
                path.with_suffix(".index").unlink()
        with suppress(OSError):
            if path.with_suffix(".json").exists():
                self._write_info(path, without=("epoch", "process", "locked"))

    def _write(self) -> None:
        log = self.log
        if self._unwritten and log.file is None:
            path = log.reader.path
            path.parent.mkdir(exist_ok=True)
            # Mode "x" makes a new file, never an earlier run's; unbuffered, nothing waits in Python.
            file = path.open("xb", buffering=0)
            self._unwritten[:0] = self._header
            with self._lock:
                self.waiting += len(self._header)
                self._info["locked"] = lock(file)
            # Before the first reading, so that there is none whose units are not known. If it fails, the
            # other thread tries again and says why.
            with suppress(OSError):
                self._write_info(path)
            log.file = file
        while self._unwritten and log.file:
            done = log.write(log.file, self._unwritten)
            del self._unwritten[:done]
            with self._lock:
                self.waiting -= done

    def _put_into_index(self) -> None:
        reader = self.log.reader
        if self.log.file is None:
            return
        if self._index_error and time.monotonic() < self._index_again:
            raise self._index_error
        try:
            if reader.index is None:
                reader.index = Index(reader.path, len(self._info["fields"]), self._info["rate"] or 100)
            reader.index.update(reader.begin, reader.end)
            self._index_error = None
        except Exception as error:
            self._index_error, self._index_again = error, time.monotonic() + RETRY_EVERY
            raise

    # From here on, in the thread that syncs.

    def _sync_forever(self) -> None:
        synced: tuple[LogFile | None, int] = (None, 0)
        is_closed = False
        while not is_closed:
            is_closed = self._closed.wait(SYNC_EVERY)
            log = self.log
            now = (log, log.written)
            if log.file is None or not (now != synced or self._info_changed or self._sync_error):
                continue
            try:
                os.fsync(log.file)
                synced = now
                if self._info_changed:
                    self._write_info(self.log.reader.path)
                self._sync_error = None
            except Exception as error:
                if log is not self.log or self._is_taken_away():
                    continue
                self._sync_error = error
                self._wake.set()
                if is_closed:
                    print(_explain(self.place, error))
            if log.reader.index:
                log.reader.index.commit()

    # In either of them.

    def _is_taken_away(self) -> bool:
        with suppress(OSError):
            return self.log.taken_away() is not None
        return False

    def _write_info(self, path: Path, without: tuple[str, ...] = ()) -> None:
        with self._lock:
            info = {name: value for name, value in self._info.items() if name not in without}
            info["events"] = info["events"].copy()
            self._info_changed = bool(without)
        try:
            write_info(path, info)
        except OSError:
            self._info_changed = True
            raise


def _explain(place: str, error: Exception) -> str:
    return f"ERROR: cannot write {place}: {getattr(error, 'strerror', None) or error}"
