"""Readings from lines of text, in whatever form microcontrollers and programs print them."""

import json
import math
import re
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# How long a line may be, in bytes, and how many fields a sensor may have.
MAX_LINE = 4096
MAX_FIELDS = 50

# How long names are collected where they come one by one, and how long single values are waited for that
# belong to one reading, in seconds.
LEARN = 1.0
QUIET = 0.02

# The log and the messages to pages have these of their own.
RESERVED = {"seq", "time", "time_ns"}

# How programs and microcontrollers print what is not a number; in a line of such, these are not names.
NOT_NUMBERS = {"nan", "inf", "infinity", "ovf"}

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
# A name has no comma, quotation mark or colon, so it can stand in a header.
NAME = r"\w[\w .\-/%#*+°()\[\]]{0,39}?"
IS_NUMBER = re.compile(NUMBER, re.ASCII)
IS_NAME = re.compile(NAME)
# A column's name in a header, with or without its unit: x, x (m/s²), x [m/s²]
COLUMN = re.compile(r"([^\W\d][\w .\-/%#*+°]{0,39}?)\s*(?:\(([^()]{0,20})\)|\[([^\[\]]{0,20})\])?")
# name:value, name:time:value, name:time:value;time:value, each with or without §unit.
POINT = rf"(?:{NUMBER}\s*:\s*)?{NUMBER}"
PAIR = re.compile(rf"\s*({NAME})\s*:\s*({POINT}(?:;{POINT})*)\s*(?:§([^|,;:]{{0,20}}))?(?:[,\t ]+|$)")


class Garbled(ValueError):
    """Input that is no reading; its text says what is wrong, in words for people."""


class Value(NamedTuple):
    """What a line says of one field.

    Attributes:
        name: of the field; "" in a line of bare numbers.
        number: None in a line of names.
        unit: "" if the line says nothing of it.
    """

    name: str
    number: float | None
    unit: str = ""


def parse_line(text: str) -> list[Value]:
    """Return the values in a line. These are understood:

    - numbers, separated by commas, semicolons, tabs or spaces: `0.12,-0.08,9.79`;
    - names, as in the header of a CSV file: `x (m/s²),y (m/s²),z (m/s²)`;
    - JSON, an object or a list of numbers: `{"x": 0.12, "y": -0.08}`; null is no value;
    - names and numbers, as Arduino's serial plotter takes them: `x:0.12,y:-0.08`, or with tabs or spaces;
    - what Teleplot takes: `x:0.12`, `x:1627551892437:0.12`, `x:0.12§m/s²|np`, `x:1;2;3`, also after a `>`.
      Its times are passed over, because a reading's time is that of its arrival; so are its texts, its shapes
      and its X-Y points.

    Args:
        text: one line, with or without its end.

    Returns:
        The values in the order of the line; none for an empty line, and for one that is passed over.

    Raises:
        Garbled: if the line is none of these, or has a number that is infinite or not a number.
    """
    text = text.strip()
    if len(text) > MAX_LINE:
        raise Garbled(f"a line of more than {MAX_LINE} bytes")
    if text.startswith(("{", "[")):
        return _parse_json(text)
    telegram = text.removeprefix(">")
    if telegram != text and re.match(r"\d*:", telegram):
        return []  # a message for Teleplot's console
    telegram, _, flags = telegram.partition("|")
    if telegram == "3D" or (":" in telegram and {"t", "xy"} & set(flags.split(","))):
        return []
    if ":" in telegram:
        return _parse_pairs(telegram, text)
    # With semicolons a comma may be a decimal point; such a number is refused, not taken for two.
    separator = next((character for character in ";,\t" if character in text), None)
    cells = [cell.strip() for cell in text.split(separator)]
    if all(IS_NUMBER.fullmatch(cell) for cell in cells):
        return [Value("", _finite(cell, text)) for cell in cells]
    columns = [COLUMN.fullmatch(cell) for cell in cells]
    if not all(columns) or any(IS_NUMBER.fullmatch(cell) for cell in cells):
        raise _not_a_reading(text)
    header = [Value(_name(match[1], text), None, (match[2] or match[3] or "").strip()) for match in columns]
    if len({value.name for value in header}) < len(header):
        raise Garbled(f"a name comes twice in {text[:60]!r}")
    return header


def _parse_pairs(telegram: str, text: str) -> list[Value]:
    values = []
    position = 0
    while position < len(telegram):
        match = PAIR.match(telegram, position)
        if not match:
            raise _not_a_reading(text)
        name, points, unit = match.groups()
        for point in points.split(";"):
            number = _finite(point.rpartition(":")[2], text)
            values.append(Value(_name(name, text), number, (unit or "").strip()))
        position = match.end()
    return values


def _parse_json(text: str) -> list[Value]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise _not_a_reading(text) from None
    if isinstance(message, dict):
        # A value of null is left out, as if the object did not have it.
        return [Value(_name(name, text), _number(n, text)) for name, n in message.items() if n is not None]
    return [Value("", _number(number, text)) for number in message]


def _number(value: object, text: str) -> float:
    """Return the finite number in a JSON message; the line is for the message, if it is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _not_a_reading(text)
    return _finite(value, text)


def _finite(value: float | str, text: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Garbled(f"not a finite number in {text[:60]!r}")
    return number


def _name(name: str, text: str) -> str:
    name = name.strip()
    has_letter = any(character.isalpha() or character == "_" for character in name)
    if not IS_NAME.fullmatch(name) or not has_letter or name.lower() in NOT_NUMBERS:
        raise _not_a_reading(text)
    return f"sensor_{name}" if name in RESERVED else name


def _not_a_reading(text: str) -> Garbled:
    return Garbled(f"not a reading: {text[:60]!r}")


def parse_fields(text: str) -> dict[str, str]:
    """Return the fields that an option names, as in `x:m/s²,y:m/s²` or `x,y`: from each name to its unit.

    Raises:
        ValueError: with what is wrong, in words for the reader.
    """
    fields = {}
    for part in text.split(","):
        name, _, unit = (piece.strip() for piece in part.partition(":"))
        if not IS_NAME.fullmatch(name) or len(unit) > 20:
            raise ValueError(f'{part!r} is not a field; write names and units as in "x:m/s²,y:m/s²"')
        if name in RESERVED or name in fields:
            raise ValueError(f"a field cannot be called {name!r} here: that name is taken")
        fields[name] = unit
    return fields


class Splitter:
    """Cuts a stream of bytes into lines, in bounded memory."""

    def __init__(self) -> None:
        self._begun = b""
        self._too_long = False

    def feed(self, data: bytes) -> Iterator[str | Garbled]:
        """Yield the lines that `data` completes, without their ends; `Garbled` for what cannot be one."""
        *complete, self._begun = (self._begun + data).split(b"\n")
        for line in complete:
            # Of a line that was too long, this is the rest.
            if not self._too_long:
                yield self._decode(line)
            self._too_long = False
        if len(self._begun) > MAX_LINE:
            if not self._too_long:
                yield self._decode(self._begun)
            self._begun = b""
            self._too_long = True

    @staticmethod
    def _decode(line: bytes) -> str | Garbled:
        if len(line) > MAX_LINE:
            return Garbled(f"a line of more than {MAX_LINE} bytes")
        try:
            return line.decode()
        except UnicodeDecodeError:
            return Garbled(f"not text: {line[:60]!r}")


class Collector:
    """Makes readings of lines, and finds out which fields there are.

    A line with several values is a reading. Values that come one by one, as Teleplot's do, are put together
    until a name comes again, all fields have a value, or nothing comes for a moment.

    Without `fields`, they are learned: from a header; from the names in a line; or, where the names come one
    by one or not at all, from the first second. What arrives until then is no reading yet.

    Args:
        fields: from names to units, where they have been given; other names are passed over then.
        everything: whether to learn for that second in any case, because the fields come from several places.
        from_start: whether the first line is known to be the sender's first, and not damaged. Otherwise two
            lines have to agree, and a header may be yet to come.

    Attributes:
        fields: from the name of each field to its unit; empty until they are known.
    """

    def __init__(
        self, fields: dict[str, str] | None = None, *, everything: bool = False, from_start: bool = False
    ) -> None:
        self.fields = dict(fields or {})
        self._given = bool(fields)
        self._everything = everything
        self._from_start = from_start
        self._order = list(self.fields)  # of the numbers in a line without names
        self._header: dict[str, str] = {}
        self._learned: dict[str, str] = {}
        self._learning_since: float | None = None  # by time.monotonic()
        self._before: dict[str, str] = {}  # the fields in the line before
        self._group: dict[str, float] = {}  # what has been put together so far

    def take(self, lines: Iterable[str | Garbled]) -> Iterator[dict[str, float] | Garbled]:
        """Yield the readings that lines complete which have arrived together, and what was none."""
        count = 0
        for line in lines:
            try:
                if isinstance(line, Garbled):
                    raise line
                unknown, known = [], []
                for name, number in self._named(parse_line(line)):
                    (known if name in self.fields else unknown).append((name, number))
                for name, number in known:
                    if name in self._group:
                        yield from self.flush()
                    self._group[name] = number
                    count += 1
                if unknown and not (self._given and known):
                    raise Garbled(
                        f"field {unknown[0][0]!r} is not one of {', '.join(self.fields)}: {line[:60]!r}"
                    )
            except Garbled as garbled:
                yield garbled
        if count > 1 or len(self._group) == len(self.fields):
            yield from self.flush()

    def pause(self) -> Iterator[dict[str, float]]:
        """Yield what is waited for no longer; to be called when nothing has arrived for `QUIET` seconds."""
        yield from self.flush()
        if self._learning_since is not None and time.monotonic() > self._learning_since + LEARN:
            self._settle(self._learned)

    def flush(self) -> Iterator[dict[str, float]]:
        """Yield what has been put together so far, if anything has."""
        if self._group:
            group, self._group = self._group, {}
            yield group

    def reset(self) -> None:
        """Forget what has been put together so far, because the sender begins anew."""
        self._group = {}

    def _named(self, values: list[Value]) -> list[tuple[str, float]]:
        """Return names and numbers in a line, once the fields are known; until then, learn from it."""
        if not values:
            return []
        if values[0].number is None:
            self._take_header({value.name: value.unit for value in values})
            return []
        if not self.fields:
            self._learn(values)
        if not self.fields:
            return []
        numbers = [value.number for value in values]
        if values[0].name:
            return [(value.name, value.number) for value in values]
        if len(numbers) != len(self._order):
            raise Garbled(f"{len(numbers)} values in a line where {len(self._order)} are expected")
        return list(zip(self._order, numbers, strict=True))

    def _take_header(self, header: dict[str, str]) -> None:
        if not self.fields:
            # Any words can look like a header. Whether this is one shows when as many numbers follow.
            self._header = header
        elif set(header) == set(self.fields):
            self._order = list(header)
        elif not self._given or len(header) != len(self.fields):
            raise Garbled(f"names that are not those of this run: {', '.join(header)!r:.60}")

    def _learn(self, values: list[Value]) -> None:
        now = time.monotonic()
        if self._learning_since is None:
            self._learning_since = now
        late = now > self._learning_since + LEARN
        if values[0].name:
            here = {value.name: value.unit or self._learned.get(value.name, "") for value in values}
        else:
            count = len(values)
            here = {f"value{i}" if count > 1 else "value": "" for i in range(1, count + 1)}
        if len(self._learned | here) > MAX_FIELDS:
            raise Garbled(f"more than {MAX_FIELDS} fields")
        self._learned |= here
        agreed = self._from_start or list(here) == list(self._before)
        self._before = here
        if not values[0].name:
            if len(self._header) == len(values):
                self._settle(self._header)
            elif agreed and (late or self._from_start):
                self._settle(here)
        elif len(here) > 1 and agreed and not self._everything:
            self._settle(here)
        elif late:
            self._settle(self._learned)

    def _settle(self, fields: dict[str, str]) -> None:
        self._learning_since = None
        self._order = list(fields)
        self.fields = fields
