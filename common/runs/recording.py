"""What clients are served from: a `Run`, which is a `Recording` if it is over, a `Recorder` if it is written,
and a `Replay` if it is played as if it were. What its files are is said in `common/runs/files.py`."""

import asyncio
import itertools
import os
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from common.runs import files
from common.runs.index import Index
from common.runs.rows import MAX_FIELDS as MAX_FIELDS
from common.runs.rows import MAX_ROW, SEQ, TIME, plain, start_of

# How many bytes of a log are read, and sent to a client, at once.
CHUNK_SIZE = 2**16
# How many values there can be in a message, which decides how many bins those of many fields are.
MAX_VALUES = 2**16


class LogReader:
    """One log file, read by number and by time; its methods may be called in any thread.

    Args:
        path: the log.
        begin: where its first row begins.
        end: where what may be read ends, at the end of a row. It can be moved while others read.

    Attributes:
        index: the index of the log; None as long as there is none, and then nothing is found by its time.
    """

    def __init__(self, path: Path, begin: int, end: int) -> None:
        self.path, self.begin, self.end = path, begin, end
        self.index: Index | None = None

    @property
    def is_plain(self) -> bool:
        """Whether all rows are as `Recorder` writes them."""
        return self.index is None or bool(self.index.is_plain)

    def read(self, start: int, stop: int, most: int | None = None) -> bytes:
        """Read the lines from one place to another, or about `most` bytes of them, a row at least."""
        with self.path.open("rb") as file:
            data = files.lines_at(file, start, most or stop - start, stop)
        return data if self.is_plain else plain(data)

    def after(self, seq: int) -> bytes:
        """Read about `CHUNK_SIZE` bytes of what comes after the reading of this number."""
        return self.read(self.offset(SEQ, seq + 1), self.end, CHUNK_SIZE)

    def offset(self, column: int, value: int) -> int:
        """Return where the first line is with at least this number (`SEQ`) or time in µs (`TIME`)."""
        index = self.index
        offset = max(self.begin, index.offset_before(column, value) if index else 0)
        unit = (1, 1000)[column]
        if offset >= self.end:
            return self.end  # also where there is no file, because somebody has taken it away
        with self.path.open("rb") as file:
            file.seek(offset)
            while offset < self.end:
                line = file.readline(MAX_ROW)
                try:
                    if line.strip() and start_of(line)[column] // unit >= value:
                        break
                except ValueError:
                    raise OSError(None, "somebody else has changed it") from None
                if not line:
                    raise OSError(None, "somebody else has cut it")
                offset += len(line)
        return min(offset, self.end)

    def rows_before(self, offset: int) -> int:
        """Return how many rows there are before the one there."""
        start, rows = self.index.row_before(offset) if self.index else (0, 0)
        start = start or self.begin
        return rows + self.read(start, offset).count(b"\n") if offset > start else rows

    def part(self, start_us: int | None, stop_us: int | None) -> tuple[int, int]:
        """Return where the lines between two times begin and end; None for the first and the last one."""
        start, stop = self.begin, self.end
        if self.index and start_us is not None:
            start = self.offset(TIME, start_us)
        if self.index and stop_us is not None:
            stop = max(start, self.offset(TIME, stop_us + 1))
        return start, stop

    def lines(self, start: int, stop: int) -> Generator[bytes, None, None]:
        """Yield the lines from one place to another, as `Recorder` writes them.

        Raises:
            OSError: if they cannot be read.
        """
        if start == stop:
            return
        with self.path.open("rb") as file:
            while start < stop and (data := files.lines_at(file, start, CHUNK_SIZE, stop)):
                start += len(data)
                try:
                    yield data if self.is_plain else plain(data)
                except ValueError:
                    raise OSError(None, "somebody else has changed it") from None

    def close(self) -> None:
        if self.index:
            self.index.close()


class Chunk(NamedTuple):
    """What comes next in a log: lines without a gap in their numbers, and what is missing before them."""

    gone: tuple[int, int] | None
    text: str
    last: int
    time_ns: int


class Run:
    """What clients are served from.

    Args:
        reader: reads its log.

    Attributes:
        name: the name of its files.
        epoch: identifies the run.
        fields: the unit of each field by its name.
        rate: the sample rate, in readings a second; None if readings come as they come.
        first: the number of the first reading that is there.
        head: the number of the newest reading, 0 if there is none.
        end_ns: the time of that one, in nanoseconds of Unix time.
        live: whether there can be more.
        speed: how many times as fast as it was recorded it is played; None if it is not.
    """

    live = False
    speed: float | None = None

    def __init__(self, reader: LogReader, epoch: str, fields: dict[str, str], rate: float | None) -> None:
        self.reader, self.epoch, self.fields, self.rate = reader, epoch, fields, rate
        self.first, self.head, self.end_ns = 1, 0, 0
        self._news = asyncio.Event()

    @property
    def path(self) -> Path:
        """The log."""
        return self.reader.path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def most_rows(self) -> int:
        """How many readings a client may have to take one by one."""
        return max(1, 50 * MAX_VALUES // len(self.fields))

    def _columns(self, wanted: int) -> int:
        return max(1, min(wanted, MAX_VALUES // len(self.fields)))

    def now_ns(self) -> int:
        """Return the time by the clock of this run, in nanoseconds of Unix time."""
        return time.time_ns()

    def check(self) -> None:
        """See whether the log is still the one that is to be read.

        Raises:
            OSError: if it is not there, or somebody has changed it.
        """

    async def more_than(self, have: int) -> None:
        """Wait until there are readings after this one."""
        while self.head <= have:
            await self._news.wait()

    def _tell(self) -> None:
        """Wake up who waits for readings."""
        self._news.set()
        self._news = asyncio.Event()

    async def chunk(self, have: int) -> Chunk:
        """Return what comes after the reading `have`: about `CHUNK_SIZE` bytes of it."""
        return await asyncio.to_thread(self._chunk_of_file, have)

    def _chunk_of_file(self, have: int) -> Chunk:
        # If somebody has deleted the file, or spoilt it, its readings are gone.
        with suppress(OSError, ValueError):
            self.check()
            return first_chunk(self.reader.after(have), have, self.head)
        return first_chunk(b"", have, self.head)

    def extremes(self, have: int, recent: int, columns: int) -> tuple[dict[str, Any] | None, int]:
        """Return the extremes of what comes after the reading `have`, but for the newest readings.

        Args:
            have: the number of a reading.
            recent: how many of the newest readings not to include; a few more can be left out.
            columns: into how many bins at most.

        Returns:
            `first` and `last`, the numbers of the readings for which it stands; `gone`, how many of them are
            not in the log; `width`, that of the bins in µs; `bins`, a list for each that is not empty: its
            number (its start is that times the width, in µs of Unix time), how many of the readings are in
            it, and the minimum and maximum of each field, None where it has no value. And the number of the
            last reading. If there is nothing to be summed up, None and `have`.
        """
        with suppress(OSError, ValueError):
            self.check()
            newest = self.head - min(recent, self.most_rows // 5)
            message = self._extremes(have, newest, self._columns(columns))
            return message, message["last"] if message else have
        return None, have

    def _extremes(self, have: int, newest: int, columns: int) -> dict[str, Any] | None:
        reader = self.reader  # the same one all the time
        index = reader.index
        last, stop_us = index.last_bin(newest) if index else (0, 0)
        if index is None or last <= have:
            return None
        start = reader.offset(SEQ, have + 1)
        seq, time_ns = files.row_at(reader.path, start)
        start_us = time_ns // 1000
        if seq > last:
            return None
        shift = index.shift_for(stop_us - start_us, columns)
        bins = index.bins(start_us, stop_us, shift)
        # The first bin can hold readings that the page has: they count only once.
        before = reader.offset(TIME, bins[0][0] << shift)
        bins[0][1] -= reader.rows_before(start) - reader.rows_before(before)
        gone = last - have - sum(entry[1] for entry in bins)
        return {"first": have + 1, "last": last, "gone": gone, "width": 2**shift, "bins": bins}

    def view(self, start_us: int, stop_us: int, columns: int) -> dict[str, Any]:
        """Return the readings from one time to another, or extremes if there are more than 4 a column.

        Args:
            start_us: the first time, in microseconds of Unix time.
            stop_us: the last time.
            columns: how many bins are wanted at most.

        Returns:
            `width` 0 and `lines`, the lines of the log; or `width` and `bins` as in `extremes()`.
        """
        start_us, stop_us = max(start_us, 0), min(stop_us, self.end_ns // 1000)
        # A file that somebody has deleted has nothing to show.
        with suppress(OSError, ValueError):
            self.check()
            return self._view(start_us, stop_us, self._columns(columns))
        return {"width": 0, "lines": ""}

    def _view(self, start_us: int, stop_us: int, columns: int) -> dict[str, Any]:
        reader = self.reader  # the same one all the time
        index = reader.index
        if index is None or start_us > stop_us:
            return {"width": 0, "lines": ""}
        start, stop = reader.part(start_us, stop_us)
        rows = reader.rows_before(stop) - reader.rows_before(start)
        if rows <= 4 * columns:
            lines = reader.read(start, stop).decode(errors="replace") if rows else ""
            return {"width": 0, "lines": lines}
        shift = index.shift_for(stop_us - start_us, columns, rows)
        return {"width": 2**shift, "bins": index.bins(start_us, stop_us + 1, shift)}

    def export(
        self, start_us: int | None = None, stop_us: int | None = None
    ) -> tuple[int, Generator[bytes, None, None]]:
        """Return the log as CSV with units in its header, or the part of it between two times.

        Args:
            start_us: the first time, in microseconds of Unix time; None for the begin of the run.
            stop_us: the last time; None for the end of the run as it is now.

        Returns:
            How many bytes that are, and the bytes, in chunks.

        Raises:
            OSError: if the log cannot be read; the bytes raise it too.
        """
        self.check()
        header, reader = files.table_header(self.fields), self.reader
        start, stop = reader.part(start_us, stop_us)

        def chunks() -> Generator[bytes, None, None]:
            yield header
            yield from reader.lines(start, stop)

        # How long other programs' rows are as they are written here, only reading them tells.
        size = stop - start if reader.is_plain else sum(map(len, reader.lines(start, stop)))
        return len(header) + size, chunks()

    def close(self) -> None:
        self.reader.close()


class Recording(Run):
    """A run that is over: read-only. Making one reads the whole log if it has no index yet.

    Args:
        path: its CSV file. Without the JSON file beside it the fields have no units.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a log, or its numbers or times go back.
    """

    def __init__(self, path: Path) -> None:
        self._file_then = path.stat()
        self._last_bytes = _end_of(path, self._file_then.st_size)
        names, begin = files.read_header(path)
        info = files.read_info(path)
        reader = LogReader(path, begin, files.end_of_rows(path, begin, len(names)))
        fields, epoch = files.fields_of(names, info), str(info.get("epoch", path.stem))
        super().__init__(reader, epoch, fields, info.get("rate", 0))
        try:
            rate = self.rate
            if rate is not None and not (isinstance(rate, int | float) and 1e-9 < rate < 1e9):
                self.rate = self._measured_rate()
            index = reader.index = Index(path, len(self.fields), self.rate or 100)
            index.update(begin, reader.end)
            if not index.is_complete:
                # Another page is having it made, or the disk is full. Rows have to be looked at all the same
                # before they are shown.
                index.close()
                index = reader.index = Index(path, len(self.fields), self.rate or 100, in_memory=True)
                index.update(begin, reader.end)
            index.commit(is_over=True)
            if reader.end > begin:
                self.first, _ = files.row_at(path, begin)
                self.head, self.end_ns = files.last_row(path, begin, reader.end)
            if max(self.head, self.end_ns) >= 2**63:
                raise ValueError("its numbers are too large")
            if self.first < 1:
                raise ValueError("its readings are counted from 0, and have to be from 1")
        except (OSError, ValueError, OverflowError) as error:
            self.close()
            if isinstance(error, OSError):
                raise
            raise ValueError(f"{path.name} is not a log that can be read: {error}") from None

    def _measured_rate(self) -> float:
        """Return how many readings a second there are among the first thousand."""
        data = self.reader.read(self.reader.begin, self.reader.end, CHUNK_SIZE)
        lines = [line for line in data.split(b"\n") if line.strip()]
        times = sorted(start_of(line)[1] for line in lines[:1000])
        steps = sorted(after - before for before, after in itertools.pairwise(times))
        return 1e9 / max(1, steps[len(steps) // 2]) if steps else 1.0

    def check(self) -> None:
        """See whether the file is still the one that was opened; one that goes on is.

        Raises:
            OSError: if it is not there, or somebody has changed it.
        """
        now, then, index = self.path.stat(), self._file_then, self.reader.index
        is_same = os.path.samestat(now, then) and now.st_size >= then.st_size
        if is_same and now.st_size > then.st_size:
            is_same = _end_of(self.path, then.st_size) == self._last_bytes
        elif is_same and (now.st_mtime_ns, now.st_ctime_ns) != (then.st_mtime_ns, then.st_ctime_ns):
            # It can have been touched only; and whoever changes it can set its time back.
            is_same = index is not None and index.is_of_log()
            self._file_then = now if is_same else then
        if not is_same:
            raise OSError(None, "somebody else has changed it")


def recordings(folder: Path) -> list[dict[str, Any]]:
    """Return the runs in a folder, the newest first.

    Returns:
        For each `run`, its name; `start` and `end`, the times of its first and last reading in seconds of
        Unix time; `readings`, the number of the last one; and `fields`, their units by their names. What is
        no log, or has no readings, is left out.
    """
    runs = []
    for path in sorted(folder.glob("*.csv"), reverse=True):
        with suppress(OSError, ValueError):
            path.stem.encode()  # what is no text cannot be asked for
            names, begin = files.read_header(path)
            _, start_ns = files.row_at(path, begin)
            readings, stop_ns = files.last_row(path, begin, files.end_of_rows(path, begin, len(names)))
            fields = files.fields_of(names, files.read_info(path))
            times = {"start": start_ns / 1e9, "end": stop_ns / 1e9}
            runs.append({"run": path.stem, **times, "readings": readings, "fields": fields})
    return runs


def first_chunk(data: bytes, have: int, head: int) -> Chunk:
    """Return the lines up to the first gap in their numbers, and what is missing before them.

    Args:
        data: whole lines of a log, all with greater numbers than `have`.
        have: the number of the reading before.
        head: the number of the newest reading, up to which all is gone if there are no lines.
    """
    if not data:
        return Chunk((have + 1, head), "", head, 0)
    lines = data.splitlines(keepends=True)
    first, last = (int(line[: line.index(b",")]) for line in (lines[0], lines[-1]))
    if last - first + 1 != len(lines):
        numbers = [int(line[: line.index(b",")]) for line in lines]
        length = next(i for i in range(1, len(lines)) if numbers[i] != first + i)
        del lines[length:]
        last = first + length - 1
    time_ns = int(lines[-1].split(b",", 2)[1])
    gone = (have + 1, first - 1) if first > have + 1 else None
    return Chunk(gone, b"".join(lines).decode(errors="replace"), last, time_ns)


def _end_of(path: Path, size: int) -> bytes:
    """Return the last bytes of a file when it had this size."""
    with path.open("rb") as file:
        file.seek(max(0, size - 256))
        return file.read(min(256, size))
