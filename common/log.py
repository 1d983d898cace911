"""The log of a run: what test5 shows in full."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Self

# How many bytes may wait for a disk that refuses them: 16 MiB, hours of readings at the usual rates.
MAX_UNWRITTEN = 2**24


class Log:
    """One new CSV file for this run, named by the time of its first row, with a header.

    A row is with the operating system when `write()` returns, so a killed server loses at most the row it
    was writing. A disk that refuses a row is no exception but the state `error`; the rows it refuses wait in
    memory, up to `MAX_UNWRITTEN` bytes, and are written in order as soon as it takes them. Rows beyond that
    are left out, which shows in the numbers of the rows around them. If somebody deletes or replaces the file
    or changes its length, the log goes on in a new file, and `error` says so from then on.

    Args:
        folder: where the file goes; made if it does not exist.
        fields: the names of the sensor's fields.
        tell: called with what has changed, in words for the reader, whenever `error` does.

    Attributes:
        error: what is wrong with the log, in words for the reader, or None.
    """

    file: BinaryIO | None
    error: str | None
    loss: str | None

    def __init__(self, folder: Path, fields: Iterable[str], tell: Callable[[str], None]) -> None:
        self.folder, self.fields, self.tell = folder, fields, tell
        self.file = self.error = self.loss = None
        self.unwritten, self.size, self.is_torn = bytearray(), 0, False

    def write(self, seq: int, time_ns: int, values: Iterable[float]) -> None:
        """Append a row.

        Args:
            seq: the number of the reading, counted from 1.
            time_ns: when it was taken, in nanoseconds of Unix time.
            values: the value of each field, in the order of the header.
        """
        if len(self.unwritten) < MAX_UNWRITTEN:
            self.unwritten += f"{seq},{time_ns},{','.join(map(str, values))}\n".encode()
        self.flush()

    def flush(self) -> None:
        """Try again to write what the disk has refused; `write()` does so too."""
        problem = None
        try:
            if self.file:
                self._look_after(self.file)
            if self.unwritten and self.file is None:
                self._open()
            # A write may take only a part of a row. The rest of it goes first next time.
            while self.file and self.unwritten:
                done = self.file.write(self.unwritten)
                self.size, self.is_torn = self.size + done, self.unwritten[done - 1] != ord("\n")
                del self.unwritten[:done]
        except OSError as error:
            problem = f"ERROR: cannot write the log in {self.folder.name}: {error.strerror}"
        problem = problem or self.loss
        if problem != self.error:
            self.error = problem
            print(problem or "OK: the log is written again")
            self.tell(problem or "OK: the log is written again")

    def _look_after(self, file: BinaryIO) -> None:
        # Whoever deletes, replaces or cuts the file takes it away. The log goes on in a new one.
        with suppress(FileNotFoundError):
            there, ours = self.path.stat(), os.fstat(file.fileno())
            if os.path.samestat(there, ours) and there.st_size == self.size:
                return
        file.close()
        self.file = None
        self.loss = f"ERROR: somebody has deleted or changed {self.path.name}; the log goes on in a new file"
        if self.is_torn:  # the beginning of this row is in the old file
            del self.unwritten[: self.unwritten.find(b"\n") + 1]

    def _open(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.path = self.folder / datetime.now().strftime("%Y-%m-%dT%H-%M-%S.%f.csv")
        # Mode "x" makes a new file, never an earlier run's; unbuffered, nothing waits in Python.
        self.file = self.path.open("xb", buffering=0)
        self.size, self.is_torn = 0, True
        self.unwritten[:0] = f"seq,time_ns,{','.join(self.fields)}\n".encode()
        print(f"Logging to {self.folder.name}/{self.path.name}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        if self.unwritten:
            print(f"ERROR: {len(self.unwritten)} bytes of readings could not be written and are lost")
        if self.file:
            self.file.close()
