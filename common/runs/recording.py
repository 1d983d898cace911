"""The log of a run as its history: written safely, read anywhere.

A run is three files with one name, its start time:

- `NAME.csv`, the log: a header, then a line for each reading: `seq,time_ns,` and a value for each field. A
  value that is missing is empty. What is no number, as in the logs of earlier steps, counts as missing too.
  Other programs write such files in other ways (`common/runs/rows.py`), which are read, sent and exported
  as if they had been written here.
- `NAME.json`: `epoch`, `start`, `start_ns`, `fields`, `units`, `rate`, `events`, which are the starts and
  stops, and whatever else happened to the run, each with its `time_ns`, and, until the run ends, `process`.
- `NAME.index`: where in the log which time is, and extremes of its values (`common/runs/index.py`). It is
  made from the log alone, and made again if it is deleted.

`Recording` reads a run, `Replay` reads one as if it were being written now, and `Recorder` writes one.
"""

import asyncio
import csv
import io
import itertools
import json
import math
import os
import re
import secrets
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from common.runs.index import Index, lines_at
from common.runs.rows import MAX_FIELDS, MAX_ROW, is_whole, plain, start_of

# How many bytes of a log are read, and sent to a client, at once.
CHUNK_SIZE = 2**16
# How many values there can be in a message, which decides how many bins those of many fields are.
MAX_VALUES = 2**16
# The name of a log that was recorded here. Where its last line has no end, the server was killed while it
# wrote that, and the rest is missing. A file of another name ends as its owner has it.
OWN_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{6}", re.ASCII)


class Chunk(NamedTuple):
    """What comes next in a log: lines without a gap in their numbers, and what is missing before them."""

    gone: tuple[int, int] | None
    text: str
    last: int
    time_ns: int


class Recording:
    """A run that is over: read-only. Making one reads the whole log if it has no index yet.

    Args:
        path: its CSV file. Without the JSON file beside it the fields have no units.

    Attributes:
        name: the name of its files.
        epoch: identifies the run.
        fields: the unit of each field by its name.
        rate: the sample rate, in readings a second; None if readings came as they came.
        first: the number of the first reading that is there.
        head: the number of the newest reading, 0 if there is none.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a log, or its numbers or times go back.
    """

    live = False
    speed: float | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self._file_then = path.stat()
        self._last_bytes = self._end_of(self._file_then.st_size)
        names, self.begin = read_header(path)
        info = read_info(path)
        self.fields: dict[str, str] = fields_of(names, info)
        self.epoch: str = str(info.get("epoch", self.name))
        self.size = end_of_rows(path, self.begin, len(names))
        self.index: Index | None = None
        try:
            rate = info.get("rate", 0)
            is_rate = rate is None or (isinstance(rate, int | float) and 1e-9 < rate < 1e9)
            self.rate: float | None = rate if is_rate else self._measured_rate()
            self.index = Index(path, len(self.fields), self.rate or 100)
            self.index.update(self.begin, self.size)
            if not self.index.is_complete:
                # Another page is having it made, or the disk is full. Rows have to be looked at all the same
                # before they are shown.
                self.index.close()
                self.index = Index(path, len(self.fields), self.rate or 100, in_memory=True)
                self.index.update(self.begin, self.size)
            self.index.commit(is_over=True)
            self.first = self._row_at(self._offset(0, 0))[0] if self.size > self.begin else 1
            self.head, self.end_ns = self._last_row()
            if max(self.head, self.end_ns) >= 2**63:
                raise ValueError("its numbers are too large")
            if self.first < 1:
                raise ValueError("its readings are counted from 0, and have to be from 1")
        except (ValueError, OverflowError) as error:
            self.close()
            raise ValueError(f"{path.name} is not a log that can be read: {error}") from None
        except OSError:
            self.close()
            raise

    @property
    def most_rows(self) -> int:
        """How many readings a client may have to take one by one."""
        return max(1, 50 * MAX_VALUES // len(self.fields))

    def check(self) -> None:
        """See whether the file is still the one that was opened; one that goes on is.

        Raises:
            OSError: if it is not there, or somebody has changed it.
        """
        now, then = self.path.stat(), self._file_then
        is_same = os.path.samestat(now, then) and now.st_size >= then.st_size
        if is_same and now.st_size > then.st_size:
            is_same = self._end_of(then.st_size) == self._last_bytes
        elif is_same and (now.st_mtime_ns, now.st_ctime_ns) != (then.st_mtime_ns, then.st_ctime_ns):
            # It can have been touched only; and whoever changes it can set its time back.
            is_same = self.index is not None and self.index.is_of_log()
            self._file_then = now if is_same else then
        if not is_same:
            raise OSError(None, "somebody else has changed it")

    def _end_of(self, size: int) -> bytes:
        """Return the last bytes of the file when it had this size."""
        with self.path.open("rb") as file:
            file.seek(max(0, size - 256))
            return file.read(min(256, size))

    @property
    def _is_plain(self) -> bool:
        """Whether all rows are as `Recorder` writes them."""
        return self.index is None or bool(self.index.is_plain)

    def now_ns(self) -> int:
        """Return the time by the clock of this run, in nanoseconds of Unix time."""
        return time.time_ns()

    async def more_than(self, have: int) -> None:
        """Wait until there are readings after this one. Here they are at once, or never."""
        if have >= self.head:
            await asyncio.Event().wait()

    async def chunk(self, have: int) -> Chunk:
        """Return what comes after the reading `have`: about `CHUNK_SIZE` bytes of it."""
        return await asyncio.to_thread(self._chunk_of_file, have)

    def _chunk_of_file(self, have: int) -> Chunk:
        # If somebody has deleted the file, or spoilt it, its readings are gone.
        with suppress(OSError, ValueError):
            self.check()
            return first_chunk(self._read(self._offset(0, have + 1), self.size, CHUNK_SIZE), have, self.head)
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
            columns = max(1, min(columns, MAX_VALUES // len(self.fields)))
            return self._extremes(have, min(recent, self.most_rows // 5), columns)
        return None, have

    def _extremes(self, have: int, recent: int, columns: int) -> tuple[dict[str, Any] | None, int]:
        index = self.index
        last = index.last_bin(self.head - recent) if index else None
        if last is None or last.last <= have:
            return None, have
        start = self._offset(0, have + 1)
        seq, start_us = self._row_at(start)
        if seq > last.last:
            return None, have
        shift = index.shift_for(last.stop_us - start_us, columns)
        bins = index.bins(start_us, last.stop_us, shift)
        # The first bin can hold readings that the page has: they count only once.
        before = self._offset(1, bins[0][0] << shift)
        bins[0][1] -= self._rows_before(start) - self._rows_before(before)
        count = sum(entry[1] for entry in bins)
        message = {
            "first": have + 1,
            "last": last.last,
            "gone": last.last - have - count,
            "width": 2**shift,
            "bins": bins,
        }
        return message, last.last

    def view(self, start_us: int, stop_us: int, columns: int) -> dict[str, Any]:
        """Return the readings from one time to another, or extremes if there are more than 4 a column.

        Args:
            start_us: the first time, in microseconds of Unix time.
            stop_us: the last time.
            columns: how many bins are wanted at most.

        Returns:
            `width` 0 and `lines`, the lines of the log; or `width` and `bins` as in `extremes()`.
        """
        start_us, stop_us, columns = max(start_us, 0), min(stop_us, self.end_ns // 1000), max(columns, 1)
        index = self.index
        if index is None or start_us > stop_us:
            return {"width": 0, "lines": ""}
        columns = min(columns, max(1, MAX_VALUES // len(self.fields)))
        # A file that somebody has deleted has nothing to show.
        with suppress(OSError, ValueError):
            self.check()
            return self._view(index, start_us, stop_us, columns)
        return {"width": 0, "lines": ""}

    def _view(self, index: Index, start_us: int, stop_us: int, columns: int) -> dict[str, Any]:
        start, stop = self._offset(1, start_us), self._offset(1, stop_us + 1)
        rows = self._rows_before(stop) - self._rows_before(start)
        if rows == 0:
            return {"width": 0, "lines": ""}
        if rows <= 4 * columns:
            return {"width": 0, "lines": self._read(start, stop).decode(errors="replace")}
        shift = index.shift_for(stop_us - start_us, columns, rows)
        bins = index.bins(start_us, stop_us + 1, shift)
        return {"width": 2**shift, "bins": bins}

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
        names = [harmless(f"{name} ({unit})" if unit else name) for name, unit in self.fields.items()]
        # Spreadsheets take a file for UTF-8 if it begins with this mark; pandas passes over it.
        header = f"\ufeffseq,time_ns,{','.join(map(quoted, names))}\n".encode(errors="replace")
        start, stop = self.begin, self.size
        if self.index and start_us is not None:
            start = self._offset(1, start_us)
        if self.index and stop_us is not None:
            stop = max(start, self._offset(1, stop_us + 1))
        path, is_plain = self.path, self._is_plain

        def chunks() -> Generator[bytes, None, None]:
            yield header
            yield from rows()

        def rows() -> Generator[bytes, None, None]:
            offset = start
            if stop == start:
                return
            with path.open("rb") as file:
                while offset < stop and (data := lines_at(file, offset, CHUNK_SIZE, stop)):
                    offset += len(data)
                    try:
                        yield data if is_plain else plain(data)
                    except ValueError:
                        raise OSError(None, "somebody else has changed it") from None

        # How long other programs' rows are as they are written here, only reading them tells.
        size = stop - start if is_plain else sum(map(len, rows()))
        return len(header) + size, chunks()

    def close(self) -> None:
        if self.index:
            self.index.close()

    def _read(self, start: int, stop: int, most: int | None = None) -> bytes:
        """Read the lines from one place to another, or about `most` bytes of them, a row at least."""
        with self.path.open("rb") as file:
            data = lines_at(file, start, most or stop - start, stop)
        return data if self._is_plain else plain(data)

    def _offset(self, column: int, value: int) -> int:
        """Return where the first line is with at least this number (column 0) or time in µs (column 1)."""
        index = self.index
        offset = max(self.begin, index.offset_before(column, value) if index else 0)
        unit = (1, 1000)[column]
        with self.path.open("rb") as file:
            file.seek(offset)
            while offset < self.size:
                line = file.readline(MAX_ROW)
                try:
                    if line.strip() and start_of(line)[column] // unit >= value:
                        break
                except ValueError:
                    raise OSError(None, "somebody else has changed it") from None
                if not line:
                    raise OSError(None, "somebody else has cut it")
                offset += len(line)
        return min(offset, self.size)

    def _row_at(self, offset: int) -> tuple[int, int]:
        """Return the number and the time in µs of the reading whose line begins there."""
        with self.path.open("rb") as file:
            file.seek(offset)
            seq, time_ns = start_of(file.readline(MAX_ROW))
        return seq, time_ns // 1000

    def _rows_before(self, offset: int) -> int:
        """Return how many rows there are before the one there."""
        index = self.index
        start, rows = index.row_before(offset) if index else (0, 0)
        start = start or self.begin
        return rows + self._read(start, offset).count(b"\n") if offset > start else rows

    def _last_row(self) -> tuple[int, int]:
        with self.path.open("rb") as file:
            file.seek(max(self.begin, self.size - MAX_ROW))
            lines = file.read(self.size - file.tell()).strip().split(b"\n")
        return start_of(lines[-1]) if lines[-1] else (0, 0)

    def _measured_rate(self) -> float:
        """Return how many readings a second there are among the first thousand."""
        with self.path.open("rb") as file:
            data = lines_at(file, self.begin, CHUNK_SIZE, self.size)
        lines = [line for line in data.split(b"\n") if line.strip()]
        times = sorted(start_of(line)[1] for line in lines[:1000])
        steps = sorted(after - before for before, after in itertools.pairwise(times))
        return 1e9 / max(1, steps[len(steps) // 2]) if steps else 1.0


class Replay(Recording):
    """A run that is over, played as if it were being written now.

    Args:
        path: its CSV file.
        speed: how many times as fast as it was recorded.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a log, or empty, or the speed is not more than 0.
    """

    live = True
    lost = 0
    error: str | None = None

    def __init__(self, path: Path, speed: float) -> None:
        if not 0 < speed < math.inf:
            raise ValueError(f"the speed has to be more than 0, not {speed:g}")
        super().__init__(path)
        if self.size == self.begin:
            self.close()
            raise ValueError(f"{path.name} has no readings")
        self.speed = speed
        # A page must not take what it has of an earlier replay for a part of this one.
        self.epoch += f" replay {secrets.token_hex(4)}"
        self._end, self.size = self.size, self.begin
        self.head, self.logged = self.first - 1, 0
        with path.open("rb") as file:
            file.seek(self.begin)
            first = next(line for line in file if line.strip())
        self._clock_ns = self.end_ns = start_of(first)[1]
        self._since: float | None = None  # when the clock was started, by time.monotonic()
        self._news = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether all of it has been played."""
        return self.size >= self._end

    def note(self, what: str) -> None:
        """Take what would be written down of a run that is recorded."""

    @property
    def acquired(self) -> int:
        return self.logged

    def now_ns(self) -> int:
        """Return the time on the clock of the recording, which stands still while it is not played."""
        if self._since is None:
            return self._clock_ns
        return self._clock_ns + int((time.monotonic() - self._since) * self.speed * 1e9)

    async def more_than(self, have: int) -> None:
        """Wait until there are readings after this one."""
        while self.head <= have:
            await self._news.wait()

    async def play(self, running: asyncio.Event) -> None:
        """Play the recording, with the times between its readings as they were, until it ends.

        Args:
            running: set to play, cleared to pause.
        """
        while not self.over:
            try:
                lines = await asyncio.to_thread(self._next_lines)
            except (OSError, ValueError):
                return self._fail()
            for length, seq, time_ns in lines:
                while self.now_ns() < time_ns or not running.is_set():
                    self._tell()
                    try:
                        self.check()
                    except OSError:
                        return self._fail()
                    if not running.is_set():
                        self._clock_ns, self._since = self.now_ns(), None
                        await running.wait()
                    if self._since is None:
                        self._since = time.monotonic()
                    # Many readings at once are less work than each in its turn.
                    wait = (time_ns - self.now_ns()) / self.speed / 1e9
                    await asyncio.sleep(min(0.5, max(0.02, wait)))
                self.size += length
                self.head, self.end_ns = seq, time_ns
                self.logged += 1
            # A speed beyond what this machine can do must not keep it from everything else.
            self._tell()
            await asyncio.sleep(0)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _fail(self) -> None:
        """End here, and say so."""
        self.error = (
            f"ERROR: {self.path.name} cannot be read any more, because somebody has changed or deleted it; "
            "the replay ends here"
        )
        print(self.error)
        self._end = self.size
        self._tell()

    def _next_lines(self) -> list[tuple[int, int, int]]:
        """Return of each of the next rows how many bytes it is, its number, and its time."""
        self.check()
        with self.path.open("rb") as file:
            data = lines_at(file, self.size, CHUNK_SIZE, self._end)
        rows, length = [], 0
        for line in io.BytesIO(data):  # unlike splitlines(), ends no line at a CR within a cell
            length += len(line)
            if line.strip():
                rows.append((length, *start_of(line)))
                length = 0
        if not rows:
            raise ValueError("it is shorter than it was")
        return rows


def recordings(folder: Path) -> list[dict[str, Any]]:
    """Return the runs in a folder, the newest first.

    Returns:
        For each `run`, its name; `start` and `end`, the times of its first and last reading in seconds of
        Unix time; `readings`, the number of the last one; and `fields`, their units by their names. What is
        no log, or has no readings, is left out.
    """
    runs = []
    for path in sorted(folder.glob("*.csv"), reverse=True):
        with suppress(OSError, ValueError), path.open("rb") as file:
            path.stem.encode()  # what is no text cannot be asked for
            names, begin = read_header(path)
            end = end_of_rows(path, begin, len(names))
            if end == begin:
                continue
            file.seek(begin)
            first = next(line for line in file if line.strip())
            file.seek(max(begin, end - MAX_ROW))
            last = file.read(end - file.tell()).strip().split(b"\n")[-1]
            readings, stop_ns = start_of(last)
            runs.append(
                {
                    "run": path.stem,
                    "start": start_of(first)[1] / 1e9,
                    "end": stop_ns / 1e9,
                    "readings": readings,
                    "fields": fields_of(names, read_info(path)),
                }
            )
    return runs


def read_header(path: Path) -> tuple[list[str], int]:
    """Return the names of a log's columns, and where its rows begin.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a log.
    """
    with path.open("rb") as file:
        header = file.readline(MAX_ROW)
    names = names_in(header)
    if names[:2] != ["seq", "time_ns"] or len(names) < 3:
        raise ValueError(f"{path.name} is not a log: it does not begin with seq,time_ns,")
    if len(set(names)) < len(names):
        raise ValueError(f"{path.name} is not a log: two of its columns have the same name")
    if len(names) > MAX_FIELDS + 2:
        raise ValueError(f"{path.name} has {len(names) - 2:,} fields; a log can have {MAX_FIELDS:,}")
    return names, len(header)


def names_in(header: bytes) -> list[str]:
    """Return the names of the columns in the first line of a log; none if it is no whole line of CSV."""
    text = header.decode("utf-8-sig", "replace")
    if not text.endswith("\n"):
        return []
    try:
        names = next(csv.reader([text.rstrip("\r\n")]), [])
        # Whoever puts blanks after the commas does not mean them.
        if len(names) > 1 and names[1] != names[1].strip():
            names = [name.strip() for name in next(csv.reader([text.strip()], skipinitialspace=True))]
    except csv.Error:
        return []
    return [name.strip() if place < 2 else name for place, name in enumerate(names)]


def fields_of(names: list[str], info: dict[str, Any]) -> dict[str, str]:
    """Return the unit of each field of a log by its name, as far as its JSON file says it.

    Args:
        names: the columns of the log.
        info: what the JSON file says.
    """
    units = info.get("units")
    if info.get("fields") != names[2:] or not isinstance(units, list) or len(units) != len(names) - 2:
        units = [""] * (len(names) - 2)
    return dict(zip(names[2:], map(str, units), strict=True))


def read_info(path: Path) -> dict[str, Any]:
    """Return what the JSON file beside a log says; nothing if there is none, or it is not one."""
    try:
        info = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def write_info(path: Path, info: dict[str, Any]) -> None:
    """Write the JSON file beside a log: all of it or, if that fails, nothing.

    Raises:
        OSError: if it cannot be written.
    """
    new = path.with_suffix(".json.new")
    # Half a character, which JSON can hold, is no text; it stays as it is written in JSON.
    data = json.dumps(info, ensure_ascii=False, indent=1).encode(errors="backslashreplace")
    with new.open("wb") as file:
        file.write(data + b"\n")
        file.flush()
        os.fsync(file)
    new.replace(path.with_suffix(".json"))


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


def end_of_rows(path: Path, begin: int, columns: int) -> int:
    """Return where the rows of a log end; a row that is cut short, or zeros, can follow.

    That is what a kill or a power cut leaves: something without an end of line, or zeros, and before zeros
    one row. All other lines are rows, and one that lacks a column is nothing to be passed over in silence.

    Args:
        path: the log.
        begin: where its rows begin.
        columns: how many columns it has.
    """
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(begin, end - MAX_ROW))
        last = file.read(end - file.tell()).rpartition(b"\n")[2]
        if not OWN_NAME.fullmatch(path.stem) and is_whole(last, columns):
            return end
        was_zeros = b"\0" in last
        while end > begin:
            start = max(begin, end - 2 * MAX_ROW)
            file.seek(start)
            data = file.read(end - start)
            newline = data.rfind(b"\n")
            while newline >= 0:
                before = data.rfind(b"\n", 0, newline)
                if before < 0 and start > begin and end - start < 2 * MAX_ROW:
                    break  # this row begins before what has been read
                line = data[before + 1 : newline]
                if line.strip() and b"\0" not in line and (not was_zeros or is_whole(line, columns)):
                    return start + newline + 1
                if line.strip():
                    was_zeros = b"\0" in line
                newline = before
            end = start if end == start + newline + 1 else start + newline + 1
    return begin


def quoted(name: str) -> str:
    """Return a name as CSV (RFC 4180)."""
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\n\r') else name


def harmless(name: str) -> str:
    """Return a name with which a spreadsheet computes nothing."""
    return f"'{name}" if name.lstrip()[:1] in ("=", "+", "-", "@", "\t", "\r") else name
