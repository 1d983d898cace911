"""Reading one log file, by number and by time."""

from pathlib import Path

from common.runs.files import lines_at
from common.runs.index import Index
from common.runs.rows import MAX_ROW, SEQ, TIME, plain, start_of

# How many bytes of a log are read, and sent to a client, at once.
CHUNK_SIZE = 2**16


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
            data = lines_at(file, start, most or stop - start, stop)
        return data if self.is_plain else plain(data)

    def after(self, seq: int) -> bytes:
        """Read about `CHUNK_SIZE` bytes of what comes after the reading of this number."""
        return self.read(self.offset(SEQ, seq + 1), self.end, CHUNK_SIZE)

    def offset(self, column: int, value: int) -> int:
        """Return where the first line is with at least this number (`SEQ`) or time in µs (`TIME`)."""
        index = self.index
        offset = max(self.begin, index.offset_before(column, value) if index else 0)
        unit = (1, 1000)[column]
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

    def close(self) -> None:
        if self.index:
            self.index.close()
