"""The rows of a log, the same for all that read it: the index, the pages, a replay, an export.

A row is a line of CSV: the number of a reading, its time, and a value for each field. A value is a decimal
number, as in `12`, `-0.5` or `1e-3`; whatever else there is, is no value. `Recorder` writes nothing else. In
the logs of other programs lines can end with CRLF, and cells can be quoted, or have blanks around them.
"""

import csv
import math
import re
from collections.abc import Sequence
from contextlib import suppress

# The columns by which a place in a log is found: the number of a reading, and its time.
SEQ, TIME = 0, 1
# How many fields a log can have, and how long its longest line is, in bytes: some 24 for a value.
MAX_FIELDS = 2**12
MAX_ROW = 2**17
# What there is in rows as `Recorder` writes them. Of these alone no number can be made that is another one in
# Python than in JavaScript.
PLAIN = b"0123456789.,-+e\n"
NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def cells_of(line: bytes) -> list[bytes]:
    """Return the cells of a line, without quotes and blanks around them; none if it is empty.

    Raises:
        ValueError: if it is no line of CSV.
    """
    line = line.strip()
    if b'"' not in line:
        return [cell.strip() for cell in line.split(b",")] if line else []
    try:
        cells = next(csv.reader([line.decode(errors="replace")], skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"{error}: {line[:40]!r}") from None
    return [cell.strip().encode() for cell in cells]


def start_of(line: bytes) -> tuple[int, int]:
    """Return the number and the time of a reading, in nanoseconds of Unix time.

    Raises:
        ValueError: if it is no row of a log.
    """
    return start_in(cells_of(line))


def start_in(cells: list[bytes]) -> tuple[int, int]:
    """Return the same of a row whose cells these are.

    Raises:
        ValueError: if it is no row of a log.
    """
    if len(cells) < 2 or not (cells[0].isdigit() and cells[1].isdigit()):
        line = b",".join(cells)
        raise ValueError(f"invalid literal for the number and the time of a reading: {line[:40]!r}")
    if len(cells[0]) > 19 or len(cells[1]) > 19:
        raise ValueError("its numbers are too large")
    return int(cells[0]), int(cells[1])


def plain_cells(line: bytes) -> list[bytes]:
    """Return the cells of a row as `Recorder` writes them; none for an empty line.

    Raises:
        ValueError: if it is no row of a log.
    """
    cells = cells_of(line)
    if not cells:
        return []
    return [*(b"%d" % number for number in start_in(cells)), *map(_plain_value, cells[2:])]


def plain(lines: bytes) -> bytes:
    """Return whole lines as `Recorder` writes them.

    Raises:
        ValueError: if one of them is no row of a log.
    """
    rows = (cells for line in lines.split(b"\n") if (cells := plain_cells(line)))
    return b"".join(b",".join(cells) + b"\n" for cells in rows)


def _plain_value(cell: bytes) -> bytes:
    # Python would take 1_000 for a number, and JavaScript 0x10 and a blank.
    return cell if NUMBER.fullmatch(cell) and math.isfinite(float(cell)) else b""


def number_in(text: bytes) -> float | None:
    """Return the value in a plain cell; None for what is no number, or not finite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def numbers_in(texts: Sequence[bytes]) -> Sequence[float | None]:
    """Return the values in many plain cells, faster than one by one."""
    with suppress(ValueError):
        values = list(map(float, texts))
        if all(map(math.isfinite, values)):
            return values
    return list(map(number_in, texts))


def is_whole(line: bytes, columns: int) -> bool:
    """Return whether a line can be a row with so many columns, of which nothing is missing at its end."""
    with suppress(ValueError):
        cells = cells_of(line)
        return len(cells) == columns and cells[0][:1].isdigit() and b"\0" not in line
    return False
