"""Playing a run that is over, as if it were being written now."""

import asyncio
import io
import math
import secrets
import time
from pathlib import Path

from common.runs.files import lines_at, row_at
from common.runs.recording import CHUNK_SIZE, Recording, Run
from common.runs.rows import start_of


class Replay(Run):
    """A run that is over, played as if it were being written now.

    Its reader reads the whole log, but no further than it has been played.

    Args:
        path: its CSV file.
        speed: how many times as fast as it was recorded.

    Attributes:
        logged: how many readings have been played.
        error: why the replay has ended too early, in words for the reader, or None.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a log, or empty, or the speed is not more than 0.
    """

    live = True
    speed: float
    lost = 0
    error: str | None = None

    def __init__(self, path: Path, speed: float) -> None:
        if not 0 < speed < math.inf:
            raise ValueError(f"the speed has to be more than 0, not {speed:g}")
        whole = Recording(path)
        reader = whole.reader
        if reader.end == reader.begin:
            reader.close()
            raise ValueError(f"{path.name} has no readings")
        # A page must not take what it has of an earlier replay for a part of this one.
        epoch = f"{whole.epoch} replay {secrets.token_hex(4)}"
        super().__init__(reader, epoch, whole.fields, whole.rate)
        self.first, self.head = whole.first, whole.first - 1
        _, self.end_ns = row_at(path, reader.begin)
        self.speed, self.logged = speed, 0
        self._end, reader.end = reader.end, reader.begin
        self._whole = whole
        self._clock_ns = self.end_ns
        self._since: float | None = None  # when the clock was started, by time.monotonic()

    @property
    def over(self) -> bool:
        """Whether all of it has been played."""
        return self.reader.end >= self._end

    @property
    def acquired(self) -> int:
        return self.logged

    def note(self, what: str) -> None:
        """Take what would be written down of a run that is recorded."""

    def check(self) -> None:
        self._whole.check()

    def now_ns(self) -> int:
        """Return the time on the clock of the recording, which stands still while it is not played."""
        if self._since is None:
            return self._clock_ns
        return self._clock_ns + int((time.monotonic() - self._since) * self.speed * 1e9)

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
                self.reader.end += length
                self.head, self.end_ns = seq, time_ns
                self.logged += 1
            # A speed beyond what this machine can do must not keep it from everything else.
            self._tell()
            await asyncio.sleep(0)
        self._tell()

    def _fail(self) -> None:
        """End here, and say so."""
        self.error = (
            f"ERROR: {self.path.name} cannot be read any more, because somebody has changed or deleted it; "
            "the replay ends here"
        )
        print(self.error)
        self._end = self.reader.end
        self._tell()

    def _next_lines(self) -> list[tuple[int, int, int]]:
        """Return of each of the next rows how many bytes it is, its number, and its time."""
        self.check()
        with self.path.open("rb") as file:
            data = lines_at(file, self.reader.end, CHUNK_SIZE, self._end)
        rows, length = [], 0
        for line in io.BytesIO(data):  # unlike splitlines(), ends no line at a CR within a cell
            length += len(line)
            if line.strip():
                rows.append((length, *start_of(line)))
                length = 0
        if not rows:
            raise ValueError("it is shorter than it was")
        return rows
