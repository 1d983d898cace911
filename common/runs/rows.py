"""The rows of a log, the same for all that read it: the index, the pages, a replay, an export.

A row is a line of CSV: the number of a reading, its time, and a value for each field. A value is a decimal
number, as in `12`, `-0.5` or `1e-3`; whatever else there is, is no value. `Recorder` writes nothing else. In
the logs of other programs lines can end with CRLF, and cells can be quoted, or have blanks around them.
"""

import csv
import math
import re
from contextlib import suppress

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
    cells = cells_of(line)
    if len(cells) < 2 or not (cells[0].isdigit() and cells[1].isdigit()):
        raise ValueError(f"invalid literal for the number and the time of a reading: {line[:40]!r}")
    if max(len(cells[0]), len(cells[1])) > 19:
        raise ValueError("its numbers are too large")
    return int(cells[0]), int(cells[1])


def plain_row(line: bytes) -> bytes:
    """Return a row as `Recorder` writes it, without its end; nothing for an empty line.

    Raises:
        ValueError: if it is no row of a log.
    """
    if not line.strip():
        return b""
    seq, time_ns = start_of(line)
    return b",".join([b"%d" % seq, b"%d" % time_ns, *map(_plain_value, cells_of(line)[2:])])


def plain(lines: bytes) -> bytes:
    """Return the same for whole lines."""
    rows = [row for line in lines.split(b"\n") if (row := plain_row(line))]
    return b"".join(row + b"\n" for row in rows)


def _plain_value(cell: bytes) -> bytes:
    # Python would take 1_000 for a number, and JavaScript 0x10 and a blank.
    return cell if NUMBER.fullmatch(cell) and math.isfinite(float(cell)) else b""


def is_whole(line: bytes, columns: int) -> bool:
    """Return whether a line can be a row with so many columns, of which nothing is missing at its end."""
    with suppress(ValueError):
        cells = cells_of(line)
        return len(cells) == columns and cells[0][:1].isdigit() and b"\0" not in line
    return False
