"""Readings from lines: which fields there are, which line has what, and what belongs together."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from common.drivers.lines import IS_MOMENT, Line, MalformedReading, Value, parse_line
from common.runs.rows import MAX_FIELDS

# How long names are collected where they come one by one, and how long single values are waited for that
# belong to one reading, in seconds.
LEARNING_TIMEOUT = 1.0
GROUP_TIMEOUT = 0.02
# How many names may come in many lines, how many of them late, and how many readings may wait.
MAX_NAMES, MAX_LATE = 200, 100
MAX_GROUPS = 1000


class Sample(dict[str, float]):
    """A reading of some fields by their names.

    Attributes:
        time_ns: when it was taken, in nanoseconds of Unix time: when it arrived, less its age among what has
            arrived together with it, as far as its sender says so.
    """

    time_ns = 0


class PassedOver(NamedTuple):
    """What was no value: of which field, and what stood there."""

    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.field}: {self.what}"


class Collector:
    """Makes readings of lines, and finds out which fields there are.

    A line with several values is a reading. Values that come one by one, as Teleplot's do, are put together
    until a name comes again, all fields have a value, or nothing comes for a moment. Those with times of
    their own are put together if these are the same, and keep their distances.

    Without `fields`, they are learned: from a header; from the names in a line; or, where the names come one
    by one or not at all, from the first second. What arrives until then is no reading yet. Names that come
    later are added.

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
        self._is_whole = everything or from_start  # no line has been damaged on its way
        # The names of the numbers in a line without names, and whether there may be such lines.
        self._columns = list(self.fields)
        self._takes_bare = True
        self._has_header = self._given
        self._header: list[Value] = []  # if the line before was one
        self._unread: list[MalformedReading] = []  # what looked like headers, and was none
        # What has been learned so far.
        self._learning_since: float | None = None  # by time.monotonic()
        self._seen: Counter[str] = Counter()  # how often each name has come
        self._units: dict[str, str] = {}
        self._styles = Counter({"named": 0, "bare": 0})  # lines with and without names
        self._before: object = None  # what the line before was like
        self._bare: list[Value] = []  # the latest line without names
        self._late = 0
        self._written: dict[str, str] = {}  # the units behind the numbers
        # What has been put together so far, by the sender's time: (since when, time in ns, values).
        self._groups: dict[float | None, tuple[float, int, dict[str, float]]] = {}

    def take(
        self, lines: Iterable[str | MalformedReading]
    ) -> Iterator[Sample | MalformedReading | PassedOver]:
        """Yield the readings that lines complete which have arrived together, and what was none."""
        found: list[tuple[str, float, float | None]] = []  # name, number, and the sender's time
        is_whole = False  # whether a line had several values
        for line in lines:
            try:
                if isinstance(line, MalformedReading):
                    raise line
                values = self._named(parse_line(line), line)
                is_whole |= len({value.name for value in values}) > 1
                for value in values:
                    if value.number is None:
                        yield PassedOver(value.name, value.text)
                    else:
                        found.append((value.name, value.number, value.time_ms))
            except MalformedReading as garbled:
                # Words that are followed by more words were no header, unless there are units among them.
                if not any(column.unit for column in self._header):
                    self._drop_header()
                yield garbled
            yield from self._unread
            self._unread = []
        now, arrived_ns = time.monotonic(), time.time_ns()
        newest = max((time_ms for *_, time_ms in found if time_ms is not None), default=None)
        for name, number, time_ms in found:
            if time_ms is None:
                time_ms = newest  # what arrives together with times of the sender's own
            if name in self._groups.get(time_ms, (0, 0, {}))[2]:
                yield from self.flush()
            age_ns = round((newest - time_ms) * 1e6) if newest is not None and time_ms is not None else 0
            self._groups.setdefault(time_ms, (now, arrived_ns - age_ns, {}))[2][name] = number
        is_whole |= len(found) > 1
        if None in self._groups and (is_whole or len(self._groups[None][2]) == len(self.fields)):
            yield from self.flush()
        full = [
            time_ms
            for time_ms, (*_, group) in self._groups.items()
            if time_ms is not None and len(group) == len(self.fields)
        ]
        if full:
            yield from self.flush(max(full))
        if len(self._groups) > MAX_GROUPS or any(
            since < now - GROUP_TIMEOUT for since, *_ in self._groups.values()
        ):
            yield from self.flush()

    def pause(self) -> Iterator[Sample]:
        """Yield what is waited for no longer; to be called after `GROUP_TIMEOUT` seconds without any."""
        yield from self.flush()
        if self._is_late():
            self._settle_by_majority()

    def flush(self, last: float | None = None) -> Iterator[Sample]:
        """Yield what has been put together so far, in the order of its time, up to the time `last`."""
        keys = [key for key in self._groups if last is None or key is None or key <= last]
        for key in sorted(keys, key=lambda key: (key is None, key)):
            _, time_ns, group = self._groups.pop(key)
            sample = Sample(group)
            sample.time_ns = time_ns
            yield sample

    def reset(self) -> None:
        """Forget what has been put together so far, because the sender begins anew."""
        self._groups = {}
        self._header = []

    # What is in a line

    def _named(self, line: Line, text: str) -> list[Value]:
        """Return the values in a line by their fields, and those that are passed over, which have a text."""
        if not line.values:
            return []
        if line.is_header:
            self._take_header(line.values)
            return []
        if not self.fields:
            try:
                self._learn(line, self._header, text)
            finally:
                self._drop_header()
        if not self.fields:
            return []
        values = line.values if line.has_names else self._in_columns(line, text)
        chosen = [value for value in values if value.name in self.fields]
        if self._given:
            if not chosen:
                return [Value(values[0].name, None, "", "not one of the fields that --fields chooses")]
            self._takes_bare = self._takes_bare and not line.has_names
            values = chosen
        return [self._judged(value) for value in values]

    def _judged(self, value: Value) -> Value:
        """Return a value if it is one in its field; if not, one without a number, and what is wrong."""
        if value.number is None:
            return value._replace(text=f"{value.text[:40]!r} is no number" if value.text else "nothing there")
        if value.name not in self.fields and not self._meet(value.name, value.unit):
            return value._replace(number=None, text="a name that has come only once, or one too many")
        if value.unit and not self._given:
            # A multimeter that says 950 mV and then 1.02 V would otherwise make a fall of a rise.
            known = self._written.setdefault(value.name, value.unit)
            if known != value.unit:
                return value._replace(
                    number=None, text=f"{value.number:g} {value.unit}, where {known} is expected"
                )
        return value

    def _in_columns(self, line: Line, text: str) -> list[Value]:
        """Return the values in a line without names, named by the columns."""
        if not self._takes_bare:
            raise MalformedReading(f"numbers without names, among lines with names: {text[:60]!r}")
        values = line.values
        if line.is_open and len(values) + 1 == len(self._columns):
            values = [*values, Value("", None, is_missing=True)]
        if len(values) != len(self._columns):
            raise MalformedReading(f"{len(values)} values in a line where {len(self._columns)} are expected")
        self._refuse_label(values, text)
        return [value._replace(name=name) for name, value in zip(self._columns, values, strict=True)]

    def _refuse_label(self, values: list[Value], text: str) -> None:
        """Refuse `temp,21` and `$GPGGA,1,2`: each word can begin lines of a kind of their own."""
        first = values[0]
        if not self._has_header and first.text and not (first.is_missing or IS_MOMENT.fullmatch(first.text)):
            raise MalformedReading(
                f"it begins with a word, and no header and no --fields say what that is: {text[:60]!r}"
            )

    def _drop_header(self) -> None:
        """Forget the line that looked like a header, and count it if no numbers came for it."""
        if self._header and not self._has_header:
            names = ", ".join(value.name for value in self._header)
            self._unread.append(MalformedReading(f"names without numbers: {names!r:.60}"))
        self._header = []

    def _take_header(self, header: list[Value]) -> None:
        names = [value.name for value in header]
        if set(self.fields) <= set(names):
            self._units.update({value.name: value.unit for value in header})
            if self.fields:
                self._columns, self._takes_bare, self._has_header = names, True, True
            else:
                # Any words can look like a header. Whether this is one shows when as many numbers follow.
                self._drop_header()
                self._header = header
        elif not self._given or len(names) != len(self.fields):
            raise MalformedReading(f"names that are not those of this run: {', '.join(names)!r:.60}")

    # Which fields there are

    def _meet(self, name: str, unit: str) -> bool:
        """Add a field that comes late, and return whether it is one: if there is noise, the second time."""
        if len(self._seen) > MAX_FIELDS:
            self._seen.clear()
        self._seen[name] += 1
        if (self._seen[name] < 2 and not self._is_whole) or self._late >= MAX_LATE:
            return False
        self._late += 1
        # A new dict, so that whoever has the old one keeps what was known then.
        self.fields = {**self.fields, name: unit or self._units.get(name, "")}
        return True

    def _is_late(self) -> bool:
        return self._learning_since is not None and time.monotonic() > self._learning_since + LEARNING_TIMEOUT

    def _learn(self, line: Line, header: list[Value], text: str) -> None:
        if self._learning_since is None:
            self._learning_since = time.monotonic()
        if line.has_names:
            # Text is no field; what stands for a missing number is.
            names = [value.name for value in line.values if value.number is not None or value.is_missing]
            names = list(dict.fromkeys(names))
            # One line may have as many as a spectrometer; but names without end, one by one, are an attack.
            most = MAX_FIELDS if len(names) > MAX_NAMES else MAX_NAMES
            if len(self._seen.keys() | set(names)) > most:
                raise MalformedReading(f"more than {most} fields")
            self._seen.update(names)
            self._units.update({value.name: value.unit for value in line.values if value.unit})
            self._styles["named"] += 1
            like: object = [(value.name, value.unit) for value in line.values]
        else:
            if len(line.values) > MAX_FIELDS:
                raise MalformedReading(f"more than {MAX_FIELDS} fields")
            columns = len(line.values)
            if header and len(header) in (columns, columns + line.is_open):
                self._settle_columns(header, line.values)
                return
            self._refuse_label(line.values, text)
            names, self._bare = [], line.values
            self._styles["bare"] += 1
            like = columns
        agreed = self._is_whole or like == self._before
        self._before = like
        is_only = 0 in self._styles.values()  # all lines so far have names, or none has
        if self._is_late():
            self._settle_by_majority()
        elif agreed and is_only and not self._everything:
            if len(names) > 1:
                self._settle_names(names)
            elif not line.has_names and self._is_whole:
                self._settle_columns([], line.values)

    def _settle_by_majority(self) -> None:
        """Settle what most of the lines so far are like, after the time for learning."""
        if self.fields:
            return
        if self._styles["named"] >= self._styles["bare"]:
            least = 1 if self._is_whole else 2
            if names := [name for name, count in self._seen.items() if count >= least]:
                self._settle_names(names)
        elif self._is_whole or self._styles["bare"] > 1:
            self._settle_columns([], self._bare)

    def _settle_names(self, names: list[str]) -> None:
        self._takes_bare = False
        self._settle({name: self._units.get(name, "") for name in names})

    def _settle_columns(self, header: list[Value], values: list[Value]) -> None:
        """Settle the columns of lines without names; one of text is no field."""
        self._has_header = bool(header)
        is_field = [value.number is not None or value.is_missing for value in values]
        if header:
            is_field += [True] * (len(header) - len(values))
            self._columns = [value.name for value in header]
        else:
            numbers = iter(range(1, len(values) + 1))
            self._columns = [
                ("value" if sum(is_field) == 1 else f"value{next(numbers)}") if field else f"column{place}"
                for place, field in enumerate(is_field, start=1)
            ]
        units = [value.unit for value in values] + [""] * (len(is_field) - len(values))
        for place, value in enumerate(header):
            units[place] = value.unit or units[place]
        columns = zip(self._columns, units, is_field, strict=True)
        self._settle({name: unit for name, unit, field in columns if field})

    def _settle(self, fields: dict[str, str]) -> None:
        self._learning_since = None
        self._seen.clear()
        self.fields = fields
