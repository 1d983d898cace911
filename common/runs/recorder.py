"""Recording a run: the event loop's side of it. What writes its log is `common/runs/writer.py`."""

import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from common.runs.files import NAME, header_for
from common.runs.recording import CHUNK_SIZE, Chunk, Run, first_chunk
from common.runs.repair import this_process
from common.runs.writer import Batch, LogFile, LogWriter

# How long the disk may take for a write before that is an alarm, in seconds.
WRITE_TIMEOUT = 2.0
# How many bytes of the newest readings stay in memory, so that live clients need no disk.
RECENT = 2**20
# By how much the clock has to go back to have been set, in ns; a coarse clock tells the same time twice.
SET_BACK = 1_000_000


class Recorder(Run):
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

    To be started in a running event loop, and closed. Only the event loop changes what is here; what threads
    have is in `_writer`. A thread that answers a question looks at `reader` once.

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
        header = header_for(fields)
        start_ns = time.time_ns()
        start = datetime.fromtimestamp(start_ns / 1e9)
        name = start.strftime(NAME)
        info = {
            "epoch": f"{name} {secrets.token_hex(4)}",
            "start": start.astimezone().isoformat(),
            "start_ns": start_ns,
            "fields": list(fields),
            "units": list(fields.values()),
            "rate": rate,
            # By these the next start sees whether the run is still being written. They go when it ends.
            "process": this_process(),
            "locked": False,
            "events": [],
        }
        self._writer = LogWriter(folder / f"{name}.csv", header, info)
        super().__init__(self._writer.log.reader, str(info["epoch"]), dict(fields), rate)
        self.acquired = self.logged = self.lost = self.gone = 0
        self.error: str | None = None
        self._loss: str | None = None  # what is said of a file that was taken away, from then on
        self._shift = self._last_ns = 0
        self._is_losing = self._is_open = False
        self._named: Path | None = None
        # The newest readings, written or not.
        self._recent: deque[Batch] = deque()
        self._recent_size = 0

    def start(self, changed: Callable[[], None] = lambda: None) -> None:
        """Begin to write; to be called in the event loop.

        Args:
            changed: called there whenever `error` has changed, and when readings begin to be lost.
        """
        self._changed = changed
        self._writer.start(self._publish, self.note)
        self._is_open = True

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
        is_kept = self._writer.put(self.acquired, time_ns, f"{self.acquired},{time_ns},{texts}\n".encode())
        self.lost += not is_kept
        since = self._writer.writing_since
        if not is_kept and not self._is_losing:
            self._is_losing = True
            self.note("lost", f"readings from {self.acquired} on, because the disk does not take them")
            self._warn("readings are lost; the disk is too slow for")
            self._changed()
        elif since is not None and time.monotonic() - since > WRITE_TIMEOUT:
            self._warn("the disk is slow; readings wait for")
        return self.acquired

    def note(self, what: str, text: str | None = None) -> None:
        """Add an event to the JSON file, as in `note("start")`, with the time and the next number.

        May be called in any thread.
        """
        event = {"time_ns": self.now_ns(), "seq": self.acquired + 1, "what": what}
        self._writer.note(event | ({"text": text} if text else {}))

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

    def close(self) -> None:
        """Write what waits, and say what could not be written. The run is over."""
        if not self._is_open:
            return
        self._is_open = False
        self.note("end")
        self._writer.finish()
        # The loop may have ended before it was told, or could say so.
        self._take(self._writer.log)
        if self._loss and self.error != self._loss:
            self.error = self._loss
            print(self.error)
        self._writer.close()

    def _publish(self, batches: list[Batch], log: LogFile, error: str | None) -> None:
        """Tell clients of readings that have been handed to the system."""
        self._take(log)
        for batch in batches:
            self._recent.append(batch)
            self._recent_size += len(batch.lines)
            self.head, self.end_ns = batch.last, batch.time_ns
        # Whoever comes later is to see what is in the log; and what is not in it yet is among the newest.
        most = max(RECENT, self._writer.waiting)
        while self._recent and (
            self._recent[0].last <= log.gone_to or self._recent_size - len(self._recent[0].lines) > most
        ):
            self._recent_size -= len(self._recent.popleft().lines)
        if batches:
            self._tell()
        self._alarm(error)

    def _take(self, log: LogFile) -> None:
        self.reader, self.logged, self.gone, self._loss = log.reader, log.logged, log.gone, log.loss
        # Not in the thread that has made the file: lines that two threads print can get mixed up.
        if log.file and self._named != self.path:
            self._named = self.path
            print(f"Logging to {self.path.parent.name}/{self.path.name}")

    def _warn(self, text: str) -> None:
        # What is wrong already says more, unless it is a file that was taken away.
        if self.error is None or self.error == self._loss:
            self._alarm(f"ERROR: {text} {self._writer.place}")

    def _alarm(self, error: str | None) -> None:
        if error != self.error:
            print(error or "OK: the log is written again")
            self.error = error
            self._is_losing = self._is_losing and error is not None
            self._changed()


def _text(value: float | None) -> str:
    """Return a value as it is in the log; NumPy's numbers look like Python's there."""
    try:
        if value is None or not math.isfinite(value):
            return ""
    except (OverflowError, ValueError):
        return ""  # a whole number of hundreds of digits is none that can be drawn
    return repr(value) if type(value) is int and abs(value) < 2**63 else repr(float(value))
