"""Where in a log which reading is, and extremes of its values, so that ten million rows answer like ten
thousand.

The readings of a log are put into bins, each of which stands for a stretch of time. A bin's stretch begins at
a multiple of its width, counted from 1970, so a reading always falls into the same bin, whoever looks and
whenever. The widths are powers of two microseconds: the narrowest bins hold some `ROWS` readings each at the
sample rate, and four bins of one level make one of the next. Of each is known where its lines begin in the
file, how many there are, and the least and the greatest value of each field.

That is kept in an SQLite file beside the log (https://sqlite.org/), about a tenth of its size. It is made
from the log alone. If it is lost, or the log is no longer what it was made from, it is made again, and where
it cannot be written, it is kept in memory. What it cannot tell is read from the log.
"""

import math
import sqlite3
import threading
import time
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from common.runs.files import lines_at
from common.runs.rows import MAX_ROW, PLAIN, SEQ, TIME, number_in, numbers_in, plain, plain_cells, start_in

ROWS = 32
LEVELS = 12
# So many rows are rather read from the log than shown in bins wider than was asked for; fewer, if there are
# more fields than these.
MOST_ROWS = 12_000
FEW_FIELDS = 32
# How many bytes of a log are put into bins, or read for a view, at once.
CHUNK, PART = 2**20, 2**15
# SQLite has tables of no more than 2,000 columns, and older ones take no more than 999 values at once. What
# there is of a bin is in one table for so many fields.
TABLE = 400
# How old a file has to be that its time tells of each change, in ns: some disks count in steps of 2 s.
SETTLED = 2_500_000_000
# Left to itself, SQLite would rather look at every bin of the level.
SEQS = "FROM bins INDEXED BY seqs WHERE level = 0"
STARTS = "FROM bins INDEXED BY starts WHERE level = 0"


class Index:
    """The index of one log; its methods may be called in any thread.

    Args:
        path: the CSV file.
        fields: how many fields it has.
        rate: the sample rate, in readings a second, which decides how wide the bins are.
        in_memory: whether to keep it there, and not in a file.
    """

    def __init__(self, path: Path, fields: int, rate: float, *, in_memory: bool = False) -> None:
        self.path, self.fields = path, fields
        self._end = 0  # up to where the log is whole
        self._lock = threading.RLock()
        # The tables by their names, with the fields in each.
        self._tables = {f"bins{i or ''}": range(i, min(fields, i + TABLE)) for i in range(0, fields, TABLE)}
        # The width of the narrowest bins, as a power of two.
        self.base = max(0, math.ceil(math.log2(ROWS / rate * 1e6)))
        self._identity = ""  # what the log was before it was read
        file = path.with_suffix(".index")
        for place in (":memory:",) if in_memory else (file, file, ":memory:"):
            try:
                self._open(place)
                break
            except sqlite3.OperationalError:
                pass  # it cannot be written, or another program is writing it
            except sqlite3.DatabaseError:
                # It is no index, or no longer one.
                with suppress(OSError):
                    file.unlink()

    def _open(self, file: Path | str) -> None:
        db = sqlite3.connect(file, check_same_thread=False, timeout=1)
        try:
            self._db = db
            # What a power cut destroys is made anew from the log.
            db.execute("PRAGMA synchronous = OFF")
            layout = f"2 {self.fields} {self.base}"
            with suppress(sqlite3.OperationalError):
                if db.execute("SELECT layout FROM about").fetchone()[0] != layout:
                    raise sqlite3.DatabaseError("it is of another layout")
            db.execute("CREATE TABLE IF NOT EXISTS about (layout TEXT, made_from TEXT)")
            for name, fields in self._tables.items():
                places = ""
                if name == "bins":
                    places = (
                        "first INTEGER, last INTEGER, row INTEGER, count INTEGER, start INTEGER, "
                        "stop INTEGER, checksum INTEGER, plain INTEGER, "
                    )
                columns = ", ".join(f"min{i} REAL, max{i} REAL" for i in fields)
                db.execute(
                    f"CREATE TABLE IF NOT EXISTS {name} (level INTEGER, bin INTEGER, {places}{columns}, "
                    "PRIMARY KEY (level, bin)) WITHOUT ROWID"
                )
            db.execute("CREATE UNIQUE INDEX IF NOT EXISTS seqs ON bins (first) WHERE level = 0")
            db.execute("CREATE UNIQUE INDEX IF NOT EXISTS starts ON bins (start) WHERE level = 0")
            if db.execute("SELECT COUNT(*) FROM about").fetchone() == (0,):
                db.execute("INSERT INTO about VALUES (?, '')", (layout,))
            db.commit()
            self._resume()
            if self._position and not self._is_of_this_log():
                self._clear()
        except (sqlite3.Error, TypeError) as error:
            db.close()
            raise error if isinstance(error, sqlite3.Error) else sqlite3.DatabaseError from None

    def _resume(self) -> None:
        """Find out up to where the log is in the bins; what follows is read again."""
        query = (
            "SELECT bin, stop, row + count, last, checksum, plain FROM bins WHERE level = 0 "
            "ORDER BY bin DESC LIMIT 1"
        )
        nothing = (None, 0, 0, -1, 0, 1)
        last: tuple[int | None, int, int, int, int, int] = self._db.execute(query).fetchone() or nothing
        self._last_bin, self._position, self._rows, self._seq, self._checksum, self.is_plain = last
        self._checked = self._position  # up to where the checksum is that of the log
        self._open_bin: list[Any] | None = None
        self._time_ns = 0  # of the last row that was taken since; bins see to what was before

    def _clear(self) -> None:
        for name in self._tables:
            self._db.execute(f"DELETE FROM {name}")
        self._resume()

    def _is_of_this_log(self) -> bool:
        """Return whether the log is what is in the bins, and then whatever came after it."""
        with suppress(OSError):
            self._identity = _identity(self.path)
            made_from = self._db.execute("SELECT made_from FROM about").fetchone()[0]
            if self._identity and made_from == self._identity:
                return True
            # A log that is copied, or goes on, has another time.
            return self.is_of_log()
        return False

    def is_of_log(self) -> bool:
        """Return whether the log begins with what this was made from: bytes are read much faster than values.

        Raises:
            OSError: if the log cannot be read.
        """
        checksum, left = 0, self._checked
        with self.path.open("rb") as file:
            while left and (data := file.read(min(CHUNK, left))):
                checksum, left = zlib.crc32(data, checksum), left - len(data)
        return left == 0 and checksum == self._checksum

    @property
    def is_complete(self) -> bool:
        """Whether all of the log could be put into it."""
        return self._position >= self._end

    def update(self, begin: int, end: int) -> None:
        """Put what is new in the log into its bins.

        Args:
            begin: where the first line after the header is.
            end: where the last whole line ends.

        Raises:
            OSError: if the log cannot be read.
            ValueError: if what is new is not what is in a log.
        """
        with self._lock:
            try:
                self._end = end
                if self._position > end:
                    self._clear()
                with self.path.open("rb") as file:
                    self._identity = self._identity or _identity(self.path)
                    if self._position < begin:
                        self._checksum, self._position = zlib.crc32(file.read(begin)), begin
                        self._checked = begin
                    while self._position < end:
                        data = lines_at(file, self._position, CHUNK, end)
                        if not data:
                            raise ValueError("it ends too early")
                        self._take(data)
            except (ValueError, sqlite3.Error) as error:
                with suppress(sqlite3.Error):
                    self._db.rollback()
                    self._resume()
                # Or else a full disk, say: what the bins lack is read from the log until they are made.
                if isinstance(error, ValueError):
                    raise

    def commit(self, is_over: bool = False) -> None:
        """Have what is new written to the index's file.

        Args:
            is_over: whether all of the log is in it, so that the next one knows the log by its size and time.
        """
        with self._lock, suppress(sqlite3.Error, OSError):
            if is_over:
                query = "UPDATE about SET made_from = ? WHERE made_from <> ?"
                self._db.execute(query, (self._identity, self._identity))
            self._db.commit()

    def _take(self, data: bytes) -> None:
        start = position = self._position
        current = self._open_bin
        is_plain = not data.translate(None, PLAIN)
        lines = data.split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        else:
            is_plain = False  # the last line of a file, without an end
        if lines and (longest := max(map(len, lines))) >= MAX_ROW:
            raise ValueError(
                f"a row after reading {max(self._seq, 0)} has {longest:,} bytes; {MAX_ROW:,} can be read"
            )
        for line in lines:
            length = len(line) + 1
            if not is_plain or not line:
                self.is_plain = False
                cells = plain_cells(line)
                if not cells:
                    position += length
                    continue
            else:
                cells = line.split(b",")
            seq, time_ns = start_in(cells)
            if time_ns < self._time_ns:
                raise ValueError(f"the time goes back at reading {seq}")
            self._time_ns, number = time_ns, time_ns // 1000 >> self.base
            if current is None or number != current[0]:
                if current is not None:
                    current[6] = position
                    self._check(data[self._checked - start : position - start])
                    self._close(current)
                if self._last_bin is not None and number <= self._last_bin:
                    raise ValueError(f"the time goes back at reading {seq}")
                current = self._open_bin = [number, seq, seq, self._rows, 0, position, position]
                current += [None, None] * self.fields
            if seq <= self._seq:
                raise ValueError(f"reading {seq} comes after reading {self._seq}")
            self._seq = seq
            position += length
            self._rows += 1
            current[2] = seq
            current[4] += 1
            if len(cells) != self.fields + 2:
                raise ValueError(f"reading {seq} has {len(cells) - 2} values, not {self.fields}")
            slot = 7
            for text in cells[2:]:
                if (value := number_in(text)) is not None:
                    low = current[slot]
                    if low is None:
                        current[slot] = current[slot + 1] = value
                    elif value < low:
                        current[slot] = value
                    elif value > current[slot + 1]:
                        current[slot + 1] = value
                elif text:
                    self.is_plain = False
                slot += 2
        self._position = min(position, self._end)
        self._check(data[self._checked - start :])

    def _check(self, data: bytes) -> None:
        self._checksum = zlib.crc32(data, self._checksum)
        self._checked += len(data)

    def _close(self, current: list[Any]) -> None:
        """Keep a bin to which nothing can come any more, and those that it completes at the levels above."""
        for name, fields in self._tables.items():
            row = [0, current[0]]
            if name == "bins":
                row += [*current[1:7], self._checksum, self.is_plain]
            row += current[7 + 2 * fields.start : 7 + 2 * fields.stop]
            self._db.execute(f"INSERT OR REPLACE INTO {name} VALUES ({', '.join('?' * len(row))})", row)
        number, self._last_bin = self._last_bin, current[0]
        following = current[0]
        for level in range(LEVELS - 1):
            if number is None or number >> 2 == following >> 2:
                break
            number, following = number >> 2, following >> 2
            for name in self._tables:
                places = ""
                if name == "bins":
                    places = "MIN(first), MAX(last), MIN(row), SUM(count), MIN(start), MAX(stop), 0, 0, "
                self._db.execute(
                    f"INSERT OR REPLACE INTO {name} SELECT level + 1, bin >> 2, {places}{self._merged(name)} "
                    f"FROM {name} WHERE level = ? AND bin >= ? AND bin < ?",
                    (level, number << 2, (number + 1) << 2),
                )

    def _merged(self, table: str) -> str:
        return ", ".join(f"MIN(min{i}), MAX(max{i})" for i in self._tables[table])

    def _one(self, query: str, *values: object) -> Any:
        with self._lock, suppress(sqlite3.Error):
            return self._db.execute(query, values).fetchone()
        return None

    def offset_before(self, column: int, value: int) -> int:
        """Return a place in the file shortly before a line; 0 if that is not known.

        Args:
            column: whether it is the first line with at least this number (`SEQ`), or time in µs (`TIME`).
            value: that number, or time.
        """
        if column == SEQ:
            query = f"SELECT start {SEQS} AND first <= ? ORDER BY first DESC LIMIT 1"
        else:
            value >>= self.base
            # The lines after the last bin can be of a later time too.
            query = "SELECT start FROM bins WHERE level = 0 AND bin <= ? ORDER BY bin DESC LIMIT 1"
        found = self._one(query, value)
        return found[0] if found else 0

    def row_before(self, offset: int) -> tuple[int, int]:
        """Return a place in the file shortly before this one, and how many lines stand before it."""
        query = f"SELECT start, row {STARTS} AND start <= ? ORDER BY start DESC LIMIT 1"
        return self._one(query, offset) or (0, 0)

    def last_bin(self, seq: int) -> tuple[int, int]:
        """Return of the last of the narrowest bins of which all readings have at most this number: the number
        of its last reading, and where it ends, in µs of Unix time; 0 and 0 if there is none."""
        query = f"SELECT last, bin {SEQS} AND first <= ? ORDER BY first DESC LIMIT 2"
        with self._lock, suppress(sqlite3.Error):
            for last, number in self._db.execute(query, (seq,)):
                if last <= seq:
                    return last, (number + 1) << self.base
        return 0, 0

    def shift_for(self, span_us: int, columns: int, rows: float = math.inf) -> int:
        """Return how wide bins have to be, as a power of two, so that so many are enough for this time.

        Args:
            span_us: the time in µs.
            columns: how many bins there may be.
            rows: how many lines would have to be read for bins narrower than the index has; if that are too
                many, the bins are as narrow as it has.
        """
        shift = max(0, math.ceil(math.log2(max(1, span_us / columns))))
        most = MOST_ROWS * FEW_FIELDS // max(FEW_FIELDS, self.fields)
        return max(shift, self.base) if rows > most else shift

    def bins(self, start_us: int, stop_us: int, shift: int) -> list[list[Any]]:
        """Return the bins of a width from one time to another.

        Args:
            start_us: the first time, in µs of Unix time; the bin that it is in is returned whole.
            stop_us: the time before which the last reading is.
            shift: the width of the bins in µs, as a power of two.

        Returns:
            For each bin that is not empty, in order: its number, how many readings are in it, and the least
            and greatest value of each field, or None.

        Raises:
            OSError: if the log cannot be read.
        """
        found: dict[int, list[Any]] = {}
        position = start_us >> shift << shift
        with self._lock, suppress(sqlite3.Error):
            # Where the bins of one level are not complete yet, those of the level below go on.
            for level in range(min(LEVELS - 1, (shift - self.base) // 2), -1, -1):
                last = self._db.execute("SELECT MAX(bin) FROM bins WHERE level = ?", (level,)).fetchone()[0]
                if last is None:
                    continue
                width = self.base + 2 * level
                end = min(last + 1, stop_us >> width)
                parts = []
                for name in self._tables:
                    query = (
                        f"SELECT bin >> {shift - width}, {'SUM(count), ' if name == 'bins' else ''}"
                        f"{self._merged(name)} FROM {name} "
                        "WHERE level = ? AND bin >= ? AND bin < ? GROUP BY 1 ORDER BY 1"
                    )
                    numbers = (level, -(-position >> width), end)
                    parts.append(self._db.execute(query, numbers).fetchall())
                for (number, count, *extremes), *others in zip(*parts, strict=True):
                    for _, *more in others:
                        extremes += more
                    _merge(found, number, count, extremes)
                # Bins that are complete have no empty place before them that could still be filled.
                position = max(position, end << width)
        for times, fields in self._rows_between(position, stop_us):
            first = 0
            while first < len(times):
                number = times[first] >> shift
                last = bisect_left(times, (number + 1) << shift, first)
                limits: list[float | None] = []
                for values in fields:
                    known = [value for value in values[first:last] if value is not None]
                    limits += (min(known), max(known)) if known else (None, None)
                _merge(found, number, last - first, limits)
                first = last
        return [found[number] for number in sorted(found)]

    def _rows_between(
        self, start_us: int, stop_us: int
    ) -> Iterator[tuple[list[int], list[Sequence[float | None]]]]:
        """Read from the log, a part at a time, the times of readings and the values of each field."""
        offset = self.offset_before(TIME, start_us)
        with self.path.open("rb") as file:
            offset = offset or len(file.readline())
            while offset < self._end and (data := lines_at(file, offset, PART, self._end)):
                offset += len(data)
                try:
                    if not self.is_plain:
                        data = plain(data)
                    # By columns, because that is done in a third of the time.
                    lines = [line.split(b",") for line in data.splitlines()]
                    _, times_ns, *columns = zip(*lines, strict=True)
                    times = [int(text) // 1000 for text in times_ns]
                except ValueError:
                    raise OSError(None, "somebody else has changed it") from None
                first, last = bisect_left(times, start_us), bisect_left(times, stop_us)
                yield times[first:last], [numbers_in(column[first:last]) for column in columns]
                if last < len(times):
                    return

    def close(self) -> None:
        with self._lock, suppress(sqlite3.Error):
            self._db.commit()
            self._db.close()


def _identity(path: Path) -> str:
    """Return what changes when a file does; nothing if that is not sure, because it is too new."""
    about = path.stat()
    if time.time_ns() - max(about.st_mtime_ns, about.st_ctime_ns) < SETTLED:
        return ""
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_dev} {about.st_ino}"


def _merge(found: dict[int, list[Any]], number: int, count: int, extremes: list[float | None]) -> None:
    entry = found.get(number)
    if entry is None:
        found[number] = [number, count, *extremes]
        return
    entry[1] += count
    for slot, value in enumerate(extremes, start=2):
        known = entry[slot]
        if value is not None and (known is None or (value < known if slot % 2 == 0 else value > known)):
            entry[slot] = value
