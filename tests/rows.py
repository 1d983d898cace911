"""Logs as people and their programs write them, all of the same readings, what people do to a log, and how
a client reads one."""

import asyncio
import os
from pathlib import Path

from common.runs.recording import CHUNK_SIZE, Run

START_NS = 1_767_225_600_123_456_789
FIELDS = ["temp", "hum, in %"]
# The number of each reading, its time in µs, and its values; None: no value.
ROWS = [
    (1, START_NS // 1000, [20.5, 50.25]),
    (2, START_NS // 1000 + 100_000, [-0.5, None]),
    (3, START_NS // 1000 + 200_000, [None, 1e-3]),
    (5, START_NS // 1000 + 300_000, [0.0, 12.5]),
    (6, START_NS // 1000 + 400_000, [None, None]),
    (7, START_NS // 1000 + 500_000, [1e15, -7.0]),
]
TIMES = [START_NS + step * 100_000_000 for step in range(6)]

HEADER = 'seq,time_ns,temp,"hum, in %"'
LINES = [
    f"1,{TIMES[0]},20.5,50.25",
    f"2,{TIMES[1]},-0.5,",
    f"3,{TIMES[2]},,1e-3",
    f"5,{TIMES[3]},0,12.5",
    f"6,{TIMES[4]},,",
    f"7,{TIMES[5]},1e+15,-7.0",
]


def quoted(line: str) -> str:
    return ",".join(f'"{cell}"' for cell in line.split(","))


def joined(lines: list[str], end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode()


# What is no value is told in many ways.
WORDS = [
    f"1,{TIMES[0]},20.5,50.25",
    f"2,{TIMES[1]},-0.5,nan",
    f'3,{TIMES[2]},"1,5",1e-3',
    f"5,{TIMES[3]},00,+12.5",
    f"6,{TIMES[4]},1_000,0x10",
    f"7,{TIMES[5]},1000000000000000.,-7",
]
LOGS = {
    "as it is recorded": joined([HEADER, *LINES]),
    "CRLF": joined([HEADER, *LINES], "\r\n"),
    "both kinds of ends": joined([HEADER], "\r\n") + joined(LINES[:3]) + joined(LINES[3:], "\r\n"),
    "a byte order mark": b"\xef\xbb\xbf" + joined([HEADER, *LINES]),
    "quoted": joined(['"seq","time_ns","temp","hum, in %"', *map(quoted, LINES)]),
    "quoted, CRLF": joined(['"seq","time_ns","temp","hum, in %"', *map(quoted, LINES)], "\r\n"),
    "some quoted": joined([HEADER, *LINES[:3], quoted(LINES[3]), *LINES[4:]]),
    "blanks": joined([' seq , time_ns , temp , "hum, in %"', *(line.replace(",", " , ") for line in LINES)]),
    "blanks behind the commas": joined(
        ['seq, time_ns, temp, "hum, in %"', *(line.replace(",", ", ") for line in LINES)], "\r\n"
    ),
    "blanks and quotes": joined([HEADER, *(quoted(line).replace(",", ", ") for line in LINES)]),
    "blanks for no value": joined([HEADER, *LINES[:4], LINES[4].replace(",,", ", ,\t"), LINES[5]]),
    "no end of the last line": joined([HEADER, *LINES])[:-1],
    "CRLF, no end of the last line": joined([HEADER, *LINES], "\r\n")[:-2],
    "half an end of the last line": joined([HEADER, *LINES], "\r\n")[:-1],
    "empty lines": joined([HEADER, "", *LINES[:3], "", " ", *LINES[3:], "", ""], "\r\n"),
    "words": joined([HEADER, *WORDS]),
    "words, CRLF": joined([HEADER, *WORDS], "\r\n"),
}

# What a cell says, for those that some reader or other takes for another number.
CELLS = {
    "12": 12.0, "-1.5": -1.5, "+1.5": 1.5, ".5": 0.5, "5.": 5.0, "007": 7.0, "1E3": 1000.0, "1e+3": 1000.0,
    '"12.5"': 12.5, '" 12.5 "': 12.5, " 12.5 ": 12.5, "\t3\t": 3.0, "1e308": 1e308, "5e-324": 5e-324,
    "1e-999": 0.0, "-0": 0.0, "123456789012345678901234567890": 123456789012345678901234567890.0,
    "": None, " ": None, '""': None, '" "': None, "1_000": None, "0x10": None, "0b1": None, "0o7": None,
    "Infinity": None, "-inf": None, "nan": None, "NaN": None, "None": None, "null": None, "true": None,
    "1e999": None, "-1e999": None, "9" * 400: None, "1e5_0": None, "\u0661": None, "\u0661\u0662": None,
    "½": None, "1e": None,
    "1-2": None, "--1": None, "1 2": None, "12.5 V": None, '"1,5"': None, "=1+1": None, "1.2.3": None,
    "\ufeff1": None, "\xa01": None, ".": None, "-": None, "e5": None, "#N/A": None,
}  # fmt: skip

# What can happen to a log while it is written.
DISTURBANCES = [
    "deleted",
    "renamed",
    "replaced",
    "replaced by the same",
    "emptied",
    "cut",
    "longer",
    "saved anew",
]


def disturb(path: Path, how: str) -> None:
    """Do to a log what people do."""
    data = path.read_bytes()
    if how in ("deleted", "replaced", "replaced by the same"):
        path.unlink()
    if how == "renamed":
        path.rename(path.with_name("kept.txt"))
    elif how.startswith("replaced"):
        path.write_bytes(data if how.endswith("same") else b"something else")
    elif how == "emptied":
        os.truncate(path, 0)
    elif how == "cut":
        os.truncate(path, len(data) // 2)
    elif how == "longer":
        with path.open("ab") as file:
            file.write(b"a line of an editor\n")
    elif how == "saved anew":
        path.write_bytes(data.replace(b"\n", b"\r\n"))


async def read_from(log: Run, have: int, until_seq: int) -> tuple[list[int], str, int]:
    """Follow a log as a client does; return the numbers that came, their lines, and how many were gone."""
    numbers, text, gone = [], [], 0
    while have < until_seq:
        await asyncio.wait_for(log.more_than(have), 30)
        chunk = await log.chunk(have)
        assert len(chunk.text) < 2 * CHUNK_SIZE
        if chunk.gone:
            assert chunk.gone[0] == have + 1
            gone += chunk.gone[1] - have
            have = chunk.gone[1]
        starts = [line.split(",", 2)[:2] for line in chunk.text.splitlines()]
        got = [int(seq) for seq, _ in starts]
        assert got == list(range(have + 1, chunk.last + 1))
        assert not got or chunk.time_ns == int(starts[-1][1])
        numbers += got
        text.append(chunk.text)
        have = chunk.last
    return numbers, "".join(text), gone
