"""The files of a run.

A run is three files with one name, its start time:

- `NAME.csv`, the log: a header, then a line for each reading: `seq,time_ns,` and a value for each field. A
  value that is missing is empty. What is no number, as in the logs of earlier steps, counts as missing too.
  Other programs write such files in other ways (`common/runs/rows.py`), which are read, sent and exported
  as if they had been written here.
- `NAME.json`: `epoch`, `start`, `start_ns`, `fields`, `units`, `rate`, `events`, which are the starts and
  stops, and whatever else happened to the run, each with its `time_ns`, and, until the run ends, `process`.
- `NAME.index`: where in the log which time is, and extremes of its values (`common/runs/index.py`). It is
  made from the log alone, and made again if it is deleted.
"""

import csv
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from common.runs.rows import MAX_FIELDS, MAX_ROW, is_whole, start_of

# What a log is called that is recorded here: by when it began. Where the last line of such a one has no end,
# the server was killed while it wrote that, and the rest is missing. A file of another name ends as its owner
# has it.
NAME = "%Y-%m-%dT%H-%M-%S.%f"
OWN_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{6}", re.ASCII)


def header_for(fields: Iterable[str]) -> bytes:
    """Return the first line of a log.

    Raises:
        ValueError: if a log with it could not be read back.
    """
    names = list(fields)
    if not 0 < len(names) <= MAX_FIELDS:
        raise ValueError(f"a log can have 1 to {MAX_FIELDS:,} fields, not {len(names):,}")
    for name in names:
        if name.splitlines() != [name]:
            raise ValueError(f"the name of a field has to be one line, not {name[:40]!r}")
        if name in ("seq", "time_ns") or name.encode(errors="replace").decode() != name:
            raise ValueError(f"a field of a log cannot be called {name[:40]!r}")
    header = f"seq,time_ns,{','.join(map(quoted, names))}\n".encode()
    if len(header) > MAX_ROW:
        raise ValueError(f"the names of the fields are {len(header):,} bytes; {MAX_ROW:,} can be read back")
    return header


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


def quoted(name: str) -> str:
    """Return a name as CSV (RFC 4180)."""
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\n\r') else name


def table_header(fields: Mapping[str, str]) -> bytes:
    """Return the first line of a log for spreadsheets and pandas: with units, and nothing to be computed.

    Args:
        fields: the unit of each field by its name.
    """
    names = [harmless(f"{name} ({unit})" if unit else name) for name, unit in fields.items()]
    # Spreadsheets take a file for UTF-8 if it begins with this mark; pandas passes over it.
    return f"\ufeffseq,time_ns,{','.join(map(quoted, names))}\n".encode(errors="replace")


def harmless(name: str) -> str:
    """Return a name with which a spreadsheet computes nothing."""
    return f"'{name}" if name.lstrip()[:1] in ("=", "+", "-", "@", "\t", "\r") else name


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
                if before < 0 and start > begin and newline + 1 < len(data):
                    break  # this row begins before what has been read, and can be read whole
                line = data[before + 1 : newline]
                if line.strip() and b"\0" not in line and (not was_zeros or is_whole(line, columns)):
                    return start + newline + 1
                if line.strip():
                    was_zeros = b"\0" in line
                newline = before
            end = start + newline + 1
    return begin


def row_at(path: Path, offset: int) -> tuple[int, int]:
    """Return the number and the time, in nanoseconds of Unix time, of the first reading of a log from where a
    line begins.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if there is no reading.
    """
    with path.open("rb") as file:
        file.seek(offset)
        lines = iter(lambda: file.readline(MAX_ROW), b"")
        return start_of(next((line for line in lines if line.strip()), b""))


def last_row(path: Path, begin: int, end: int) -> tuple[int, int]:
    """Return the same of the last reading of a log whose rows begin and end there.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if there is no reading.
    """
    with path.open("rb") as file:
        file.seek(max(begin, end - MAX_ROW))
        return start_of(file.read(end - file.tell()).strip().rpartition(b"\n")[2])


def lines_at(file: BinaryIO, offset: int, size: int, end: int) -> bytes:
    """Read whole lines: about so many bytes, one row at least, but nothing from `end` on."""
    found = [b""]
    while not found[-1].strip():  # all so far were empty lines
        file.seek(offset)
        data = file.read(min(size, end - offset))
        if offset + len(data) < end:
            whole = data.rfind(b"\n") + 1
            data = data[:whole] or data + file.readline(min(MAX_ROW, end - offset - len(data)))
            if not data.endswith(b"\n") and offset + len(data) < end:
                break  # half a line
        if not data:
            break
        found.append(data)
        offset += len(data)
    return b"".join(found)
