"""What a line of text says: numbers, names and units, in whatever form programs and microcontrollers print.

Whatever stands in a line is used, or is passed over by a rule that `parse_line` states and its caller counts,
or the line is refused as a whole, in words. No pattern here takes longer than in proportion to the line.
"""

import csv
import json
import math
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from common.runs.rows import MAX_FIELDS

# How long a line may be, in bytes.
MAX_SENSOR_LINE = 2**16
# Of a stream that has not ended any line yet, so many bytes or seconds are enough to say so.
ENDLESS_BYTES, ENDLESS_SECONDS = 4096, 5.0

# How many names may stand before a name, as in `main: room: temp: 21.5`.
MAX_CHAIN = 8

# The log and the messages to pages have these of their own.
RESERVED = {"seq", "time", "time_ns"}

# What stands where a number is missing. Case does not count.
MISSING = {"", "nan", "inf", "infinity", "ovf", "overflow", "ol", "n/a", "na", "null", "none", "nil", "err"}
MISSING |= {"error", "fail", "failed", "invalid", "undefined", "-", "--", "---", "?", "#n/a", "-nan", "+nan"}
MISSING |= {"-inf", "+inf", "-infinity", "-1.#ind", "1.#qnan", "1.#inf", "-1.#inf"}

NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
# Measuring instruments say so that they have no number (SCPI-99, 7.2.1.4 and 7.2.1.5).
NO_NUMBERS = (9.9e37, -9.9e37, 9.91e37)
# Scales keep the sign apart from the digits.
SIGN_APART = re.compile(r"(?<![^ ])([-+]) +(?=\.?\d)", re.ASCII)
HEX = re.compile(r"(?<!\w)0[xX][0-9a-fA-F]")
# A name has no comma, quotation mark or colon, so it can stand in a header.
NAME = re.compile(r"\w[\w .\-/%#*+°()\[\]]{0,79}")
# A column's name in a header, or a label, with or without its unit: x, x (m/s²), x [m/s²]
COLUMN = re.compile(r"([^(\[\])]{1,80})(?:\(([^()]{0,20})\)|\[([^\[\]]{0,20})\])")
COLOUR = re.compile(r"\x1b\[[\d;]*m")

# Dates and clocks, as loggers put them at the beginning of a line.
MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
DATE = (
    r"(?:\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{4}|"
    rf"(?:[A-Z][a-z][a-z],? )?(?:{MONTH} {{1,2}}\d\d?|\d\d? {MONTH})(?:,? \d{{4}}(?!:))?)"
)
CLOCK = (
    r"\d\d?:\d\d(?::\d\d(?:[.,]\d{1,9}(?:,\d{3})?)?)?(?: ?[AP]M)?"
    r"(?: ?(?:Z|UTC|GMT)| ?[-+]\d\d:?\d\d)?(?: \d{4}(?!\d))?"
)
MOMENT = rf"(?:{DATE}(?:(?:T|,? ){CLOCK})?|{CLOCK})"
IS_MOMENT = re.compile(MOMENT, re.ASCII)
# What may stand between a moment and what was logged then. A minus sign belongs to a number.
BETWEEN = r"(?:[ \t]*(?:->|-(?=[ \t])|>|:(?=[ \t])))?[ \t]*"
STAMP = re.compile(rf"(?:\[ ?{MOMENT} ?\]|\({MOMENT}\)|{MOMENT}(?=[\s,;|>]|->|: |$)){BETWEEN}", re.ASCII)
# A level and milliseconds, as ESP-IDF logs them; and what stands in brackets before a name.
LEVEL_AND_TIME = re.compile(rf"[EWIDV] \((?:\d{{1,12}}|{CLOCK})\)[ \t]+", re.ASCII)
IN_BRACKETS = re.compile(r"\[ {0,8}[^\s\[\],;]{1,60} ?\]:?[ \t]*(?=[\[\w'])", re.ASCII)
LEVEL = re.compile(
    r"(?:[\w.]{1,60} - )?"
    r"\[?(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL)\]?(?:: ?| - |[ \t]+)"
    r"|<(?:dbg|inf|wrn|err)> "
)
# The priority in front of a line for syslog.
PRIORITY = re.compile(rf"<\d{{1,3}}>(?:1 )?(?={MOMENT})", re.ASCII)
# What `ping` says of the host: "64 bytes from localhost (127.0.0.1): icmp_seq=1 ttl=64 time=0.03 ms"
FROM_ADDRESS = re.compile(
    r"[^=]{0,150}?[ (](?:[\da-fA-F]{0,4}[.:]){2,8}[\da-fA-F]{0,4}(?:%\w{1,15})?\)?: (?=\w{1,40}=)"
)
# What ESPHome says of a sensor: "'Temperature': Sending state 21.5 °C with 1 decimals of accuracy"
STATE = re.compile(r"'(?:: Sending state | >> )|(?<=\S) with \d decimals of accuracy")
# A topic before its payload, as `mosquitto_sub -v` prints it.
TOPIC = re.compile(r"([^\W\d][\w.\-]{0,60}(?:/[\w.\-]{1,60}){1,8}) +(?=\S)")
# An object as Python shows it: "Reading(temp=21.5, hum=45)"
OBJECT = re.compile(r"[^\W\d][\w.]{0,60}\(([^()=]*=[^()]*)\)")
# A tab behind a name's mark is a blank, before a number and before `x=1`.
TAB_BEHIND = re.compile(r"(?<=[:=]) *\t[\t ]*(?=[-+.]?\d)|(?<=:) *\t[\t ]*(?=[^\W\d]\w{0,40} ?=)", re.ASCII)
# The blank in a name that ends with a number, as in `Sensor 1: 23` or `PM 2.5: 8`; it is kept as \0.
NUMBERED = re.compile(r"(?<=[^\W\d]) (?=#?\d{1,5}(?:\.\d{1,3})? ?(?:: |:$|=))")
DEGREES = re.compile(r"(?:\bdeg(?:rees?)?|(?<![^\W\d])°) ([CF])\b")

# What Teleplot knows behind a bar.
FLAGS = {"", "g", "t", "np", "xy", "clr", "o", "rt"}

# Units that may stand behind a number without a sign that says so; the first ones with a prefix, too.
PREFIXED = "m g s A V W Hz Pa J N K T H L l Ω ohm lx eV bar rad B Wh Ah VA VAr var S Sv Bq mol sps bps C F"
OF_METERS = "VDC VAC ADC AAC Vdc Vac Adc Aac Vrms Arms OHM"
OTHERS = """
    % ‰ ° º %RH RH deg degC degF degs degrees 'C 'F lux lm cd min h sec hr d dB dBm dBA dBi rpm RPM ppm ppb
    ppt pH psi atm Torr inHg mmHg in ft mi mph kn knots kt kmh kph lb lbs oz px bpm BPM Gs G gauss dps cnt
    counts cpm LSB radians mAh kWh Ohm Ohms ohms kOhm MOhm bit bits bytes KB KiB MiB GiB TB TiB
"""
UNITS = {f"{prefix}{unit}" for unit in PREFIXED.split() for prefix in ["", *"pnuµμmcdhkMG"]}
UNITS |= {f"{prefix}{unit}" for unit in OF_METERS.split() for prefix in ["", *"uµμmkM"]}
UNITS |= set(OTHERS.split())
# The parts of m/s^2, µg/m³ and kg·m2, each with its power.
PART = re.compile(r"(?:[*°º]?[^\W\d_]{1,8}|%(?:RH)?|[‰°º])(?:\^?-?\d|[²³⁻¹]{1,2})?")


class MalformedReading(ValueError):
    """Input that is no reading; its text says what is wrong, in words for people."""


class Value(NamedTuple):
    """What a line says of one field.

    Attributes:
        name: of the field; "" in a line of bare numbers.
        number: None where there is none.
        unit: "" if the line says nothing of it.
        text: what stands there, if it is no number.
        is_missing: whether what stands there says that a number is missing. Other text is no field.
        time_ms: when the sender took it, by its own clock in milliseconds; None if it does not say so.
    """

    name: str
    number: float | None
    unit: str = ""
    text: str = ""
    is_missing: bool = False
    time_ms: float | None = None


class Line(NamedTuple):
    """What a line says.

    Attributes:
        values: in the order of the line.
        is_header: whether it names the columns of lines that follow.
        is_open: whether a separator stands behind the last value.
        has_names: whether its values have names.
    """

    values: list[Value]
    is_header: bool = False
    is_open: bool = False
    has_names: bool = False


def parse_line(text: str) -> Line:
    """Return what a line says. These are understood:

    - numbers, separated by commas, semicolons, tabs, bars or spaces: `0.12,-0.08,9.79`, also in brackets;
    - names, as in the header of a CSV file: `x (m/s²),y (m/s²),z (m/s²)`. A header is made like one: it has
      several columns, between commas or the like, or in line with spaces; or one with a unit in brackets;
    - JSON, an object or a list: `{"x": 0.12, "y": -0.08}`. The members of an object in it are named by
      their path, as in `DS18B20.Temperature`, and so are those of a list, counted from 0;
    - names and numbers, as Arduino's serial plotter takes them: `x:0.12,y:-0.08`, or with `=`, and with any
      of those separators. Further numbers without a name of their own are those of `x 2`, `x 3`. A name
      before a name is that of all which follow, as in `acc: x=1 y=2`; so is what stands before an X, as in
      `acc X: 1, Y: 2`. A name may end with a number if a blank follows its colon: `Sensor 1: 23`;
    - a topic and its payload, a number or JSON, as `mosquitto_sub -v` prints them: `home/temp 21.5`;
    - what Teleplot takes: `x:0.12`, `x:1627551892437:0.12`, `x:0.12§m/s²|np`, `x:1;2;3`, also after a `>`.
      Its texts, its shapes and its X-Y points are passed over.

    A unit may stand behind a number. A date, a clock or a logger's level at the beginning of a line is
    neither a name nor a value; nor is a number before the first name, nor the address that `ping` names. What
    is no number (`nan`, `ovf`, text, or nothing) is no value in its field; the others count.

    Args:
        text: one line, with or without its end.

    Returns:
        What it says; no values for an empty line, and for one that is passed over.

    Raises:
        MalformedReading: if the line is none of these, or has no number, or could mean more than one thing.
    """
    if len(text) > MAX_SENSOR_LINE:
        raise MalformedReading(f"a line of more than {MAX_SENSOR_LINE} bytes")
    text = COLOUR.sub("", text).replace("\xa0", " ").replace("\u2212", "-").strip("\ufeff \t\r\n")
    if not text:
        return Line([])
    if not text.replace("\t", " ").isprintable():
        raise MalformedReading(f"not text: {text[:60]!r}")
    if text.startswith(("{", "[")) and (line := _parse_json(text)):
        return line
    if (topic := TOPIC.match(text)) and (line := _parse_payload(topic[1], text[topic.end() :])):
        return line
    if len(text.split()) + sum(map(text.count, ",;|:=")) > 4 * MAX_FIELDS:
        raise MalformedReading(f"more than {MAX_FIELDS} fields in {text[:60]!r}")
    telegram = text.removeprefix(">")
    if telegram != text and re.match(r"\d*:", telegram):
        return Line([])  # a message for Teleplot's console
    telegram, flags = _split_flags(telegram)
    if telegram.startswith("3D|") or (":" in telegram and flags & {"t", "xy"}):
        return Line([])
    if HEX.search(telegram):
        raise MalformedReading(f"a hexadecimal number in {text[:60]!r}")
    logged = _without_stamp(telegram)
    values = _parse_labelled(logged, text)
    if values is not None:
        line = Line(values, has_names=True)
    else:
        # Without names, a stamp is a column of its own where a separator stands behind it.
        line = _parse_bare(telegram if logged[:1] in (",", ";", "\t", "|") else logged, text)
    if not line.is_header and line.values and all(value.number is None for value in line.values):
        raise _not_a_reading(text)
    return line


def _not_a_reading(text: str) -> MalformedReading:
    return MalformedReading(f"not a reading: {text[:60]!r}")


def _split_flags(text: str) -> tuple[str, set[str]]:
    """Return the text without Teleplot's flags, and these; a bar that has others behind it is a separator."""
    telegram, bar, flags = text.rpartition("|")
    found = {flag.strip() for flag in flags.split(",")}
    return (telegram, found) if bar and ":" in telegram and found <= FLAGS else (text, set())


def _without_stamp(text: str) -> str:
    """Return what a logger was given: without the date, the clock and the level that it has put before it."""
    if priority := PRIORITY.match(text):
        text = text[priority.end() :]
    for _ in range(4):
        match = STAMP.match(text) or LEVEL_AND_TIME.match(text)
        if not match and (":" in text or "=" in text):
            match = IN_BRACKETS.match(text)
        if not match:
            break
        text = text[match.end() :]
        if level := LEVEL.match(text):
            text = text[level.end() :]
    if address := FROM_ADDRESS.match(text):
        text = text[address.end() :]
    return text


# Numbers and their units


def _cell(text: str) -> Value:
    """Return what stands in one place: a number with or without its unit, or what is none."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    text = SIGN_APART.sub(r"\1", text, count=1) if text[:1] in ("-", "+") else text
    match = NUMBER.match(text)
    if match:
        unit, sign, behind = text[match.end() :].strip().partition("§")
        unit = behind.strip() if sign and not unit else unit
        if (not unit or sign or is_unit(unit)) and len(unit) <= 20:
            number = _finite(match[0])
            return Value("", number, unit, "" if number is not None else text, number is None)
    bare = text.lower().strip("[]()<>* ")
    return Value("", None, "", text, bare in MISSING)


def _finite(digits: str) -> float | None:
    """Return the number that the digits are, whole numbers exactly; None for one that is too large."""
    number = float(digits)
    if not math.isfinite(number) or number in NO_NUMBERS:
        return None
    # Leading zeros count among the digits of which int() takes no more than some thousands.
    sign, whole = "-" if digits[0] == "-" else "", digits.lstrip("+-0")
    return int(sign + whole) if abs(number) >= 2**53 and whole.isdigit() else number


def is_unit(text: str) -> bool:
    """Return whether a word behind a number is its unit, and not another word."""
    if text in UNITS or len(text) > 20:
        return text in UNITS
    parts = re.split(r"[/·]|(?<=\w)[*.]", text.replace(" ", ""))
    return all(
        PART.fullmatch(part) and (part[0] in "*°º%‰" or part.rstrip("^-0123456789²³⁻¹") in UNITS)
        for part in parts
    )


# Lines with names


def _parse_labelled(text: str, whole: str) -> list[Value] | None:
    """Return the values of a line in which they have names; None if they have none."""
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]  # as Python prints a dict
    elif shown := OBJECT.fullmatch(text):
        text = shown[1]
    if ":" not in text and "=" not in text:
        return None
    text = TAB_BEHIND.sub(" ", STATE.sub(lambda match: "': " if match[0][0] == "'" else "", text))
    values: list[Value] = []
    names: list[str] = []
    name = group = axes = ""  # the latest name; what stands before it, and those that follow; and before an X
    count = 0  # of the numbers that stand behind the name
    pieces = re.split(r"([,;\t|])", text)
    if not any(_label(word)[1] for piece in pieces[::2] for word in _words(piece)):
        return None
    for index, piece in enumerate(pieces[::2]):
        separator = pieces[2 * index - 1] if index else ""
        words = _words(piece)
        labels = [place for place, word in enumerate(words) if _label(word)[1]]
        start = 0
        if separator == "," and words and _is_number(words[0]):
            _refuse_decimal_comma(pieces, index, whole)
        # What stands before the first name in this place belongs to the name before, if it is a number.
        head = words[: labels[0]] if labels else words
        if head and (not labels or _is_number(head[0])):
            if not name:
                # A number before the first name is a stamp.
                if index or len(head) > 1 or not (_is_number(head[0]) or IS_MOMENT.fullmatch(head[0])):
                    raise _not_a_reading(whole)
                start = 1
            elif separator == ";":
                values += _points(name, " ".join(head))
                start = len(head)
            else:
                found, start = _numbers(head, is_last=not labels)
                if found[0].number is None and not found[0].is_missing and not labels:
                    # A piece of a text: `state:all good, so far`
                    if not (values and values[-1].text):
                        raise _not_a_reading(whole)
                    found = []
                for value in found:
                    count += 1
                    values.append(value._replace(name=f"{name} {count}"))
        for number, place in enumerate(labels):
            end = labels[number + 1] if number + 1 < len(labels) else len(words)
            before, _, tail = _label(words[place])
            name = " ".join([*words[start:place], before]).strip("\"'").lstrip("-*> ")
            count = 1
            first_word, _, axis = name.rpartition(" ")
            if name in ("Y", "Z", "y", "z") and axes:
                name = f"{axes} {name}"
            else:
                axes = first_word if axis in ("X", "x") else ""
            outer = name
            # A name before the name, as `main` in `main: temp: 21.5`, is a part of it.
            for _ in range(MAX_CHAIN):
                inner, mark, rest = _label(tail)
                if not mark:
                    break
                outer, name, tail = name, f"{name}.{inner}", rest
            if outer != name:
                group = outer
            elif group:
                name = f"{group}.{name}"
            names.append(name)
            points = _points(name, tail) if ":" in tail else []
            if points:
                values += points
                if _numbers(["0", *words[place + 1 : end]], is_last=number + 1 == len(labels))[0][1:]:
                    raise _not_a_reading(whole)
                start = end if number + 1 == len(labels) else place + 1
                continue
            found, used = _numbers([tail, *words[place + 1 : end]], is_last=number + 1 == len(labels))
            values += [
                value._replace(name=f"{name} {more}" if more > 1 and not value.text else name)
                for more, value in enumerate(found, start=1)
            ]
            count = len(found)
            start = place + used
    if len(set(names)) < len(names):
        raise MalformedReading(f"a name comes twice in {whole[:60]!r}")
    return _named(values, whole)


def _words(piece: str) -> list[str]:
    """Return the words in a piece of a line, each name with what stands behind its colon."""
    text = NUMBERED.sub("\0", DEGREES.sub(r"deg\1", " ".join(piece.split())))
    for mark in ":=":
        text = text.replace(f" {mark}", mark).replace(f"{mark} ", mark)
    return text.split()


def _label(word: str) -> tuple[str, str, str]:
    """Return the name, the mark and the value in a word such as `x:0.12`; no mark if it has no name."""
    mark = min((mark for mark in ":=" if mark in word), key=word.index, default="")
    if not mark:
        return word, "", ""
    name, _, value = word.replace("\0", " ").partition(mark)
    bare = name.strip("\"'")
    has_letter = any(character.isalpha() or character == "_" for character in bare)
    is_name = (has_letter or bare[:1] in ("(", "[")) and not value.startswith("//")
    # `12:34:5a` is an address, and `1.5e3:` no name.
    if not is_name or NUMBER.fullmatch(bare) or (bare[0].isdigit() and ":" in value):
        return word, "", ""
    return name, mark, value


def _is_number(word: str) -> bool:
    return _cell(word).number is not None


def _numbers(words: list[str], *, is_last: bool) -> tuple[list[Value], int]:
    """Return the values that words behind a name are, and how many words that were.

    Args:
        words: the first stands right behind the name, and may be "".
        is_last: whether no other name follows, to which the words at the end could belong.
    """
    first = _cell(words[0])
    if first.number is None:
        if is_last:  # a text has all that follows
            text = " ".join(words)
            return [first if first.is_missing and len(words) == 1 else _cell(text)], len(words)
        return [first], 1
    values = [first]
    used = 1
    while used < len(words):
        value = _cell(words[used])
        if value.number is not None:
            values.append(value)
        elif is_unit(words[used]) and not values[-1].unit:
            values[-1] = values[-1]._replace(unit=words[used])
        elif is_last:
            # A remark: `21.5 (shade)`, `5 -> 3`. It is passed over, as any text.
            values.append(Value("", None, "", " ".join(words[used:])))
            used = len(words)
            break
        else:
            break
        used += 1
    return values, used


def _points(name: str, text: str) -> list[Value]:
    """Return the value of one of Teleplot's points, `time:value` or `value`; nothing if it is none."""
    text, sign, unit = text.partition("§")
    time_text, colon, number_text = text.rpartition(":")
    value = _cell(number_text)
    if colon:
        # Two digits and two digits are a clock, where the name says so.
        is_clock = IS_MOMENT.fullmatch(text) and (text.count(":") > 1 or "time" in name.lower())
        if is_clock or not NUMBER.fullmatch(time_text.strip()):
            return []
        time_ms = float(time_text)
        value = value._replace(time_ms=time_ms if math.isfinite(time_ms) else None)
    if value.number is None and not value.is_missing and not colon:
        return [Value(name, None, "", text)]
    return [value._replace(name=name, unit=unit.strip()[:20] if sign else value.unit)]


def _refuse_decimal_comma(pieces: list[str], index: int, whole: str) -> None:
    """Refuse a comma between digits that may be a decimal one, or stand for thousands: 23,4 or 1,013.25.

    Args:
        pieces: of the line, and what stands between them.
        index: which of them stands behind the comma.
        whole: the line.
    """
    before, piece = pieces[2 * index - 2], pieces[2 * index]
    if not (_last_word(before).isdigit() and piece[:1].isdigit()):
        return
    # Three parts are no decimal fraction; and what has not three digits is no thousands.
    at = 2 * index
    goes_on = pieces[at + 1 : at + 2] == [","] and _is_whole(piece) and _is_whole(pieces[at + 2])
    went_on = pieces[max(0, at - 3) : at - 2] == [","] and _is_whole(before)
    is_list = goes_on or (went_on and _last_word(pieces[at - 4]).isdigit())
    if not is_list or re.match(r"\d{3}(?!\d)", piece):
        raise MalformedReading(
            f"a comma in a number? Use a point, or a blank after the comma: {whole[:60]!r}"
        )


def _last_word(piece: str) -> str:
    return re.split("[:= ]", piece)[-1].lstrip("+-")


def _is_whole(piece: str) -> bool:
    return piece.strip().lstrip("+-").isdigit()


def _named(values: list[Value], whole: str) -> list[Value]:
    """Return the values with names that can be, and the units out of names such as `x (m/s²)`."""
    plain = [_with_unit(value) for value in values]
    if len({value.name for value in plain}) < len({value.name for value in values}):
        plain = values  # as in `ch(A):1,ch(B):2`
    return [
        value._replace(name=_name(value.name, whole), text=value.text.replace("\0", " ")) for value in plain
    ]


def _with_unit(value: Value) -> Value:
    match = COLUMN.fullmatch(value.name)
    unit = (match[2] or match[3] or "").strip() if match else ""
    if not match or not is_unit(unit):
        return value
    return value._replace(name=match[1].strip(), unit=value.unit or unit)


def _name(name: str, whole: str) -> str:
    name = name.strip()
    has_letter = any(character.isalpha() or character == "_" for character in name)
    if not NAME.fullmatch(name) or not has_letter or name.lower() in MISSING - {"error", "err", "na", "ol"}:
        raise _not_a_reading(whole)
    return f"sensor_{name}" if name in RESERVED else name


# Lines without names


def _parse_bare(text: str, whole: str) -> Line:
    opened = text[:1]
    if opened in ("(", "[", "<") and text[-1:] == {"(": ")", "[": "]", "<": ">"}[opened]:
        text = text[1:-1].strip()
    elif text.startswith("/*") and text.endswith("*/"):
        text = text[2:-2].strip()  # a frame for Serial Studio
    separator = next((mark for mark in "|;," if mark in text), "")
    if separator:
        text = text.replace("\t", " ")
        if separator == "|":
            text = text.strip(" |")
    elif "\t" in text:
        separator = "\t"
    if separator and '"' in text:
        cells = [
            cell.strip() for cell in next(csv.reader([text], delimiter=separator, skipinitialspace=True))
        ]
    elif separator:
        cells = [cell.strip() for cell in text.split(separator)]
    else:
        cells = _with_units(DEGREES.sub(r"deg\1", text).split())
        if len(cells) == 2 and cells[0] in ("-", "+"):
            cells = ["".join(cells)]
    # A table that is meant for people has blanks beside its tabs.
    is_open = len(cells) > 1 and separator != "" and not cells[-1]
    if is_open:
        cells.pop()
    values = [_cell(cell) for cell in cells]
    if all(value.number is None for value in values):
        return _header(text, cells, separator, whole)
    if not separator:
        if any(value.number is None and not value.is_missing for value in values):
            raise _not_a_reading(whole)  # a number in a sentence
        is_dump = len(cells) > 1 and all(re.fullmatch(r"[\dA-Fa-f]{2,}", cell) for cell in cells)
        if is_dump and not all(cell.isdigit() for cell in cells):
            raise MalformedReading(f"hexadecimal numbers in {whole[:60]!r}")
    for value in values:
        if value.number is None and _has_two_numbers(value.text):
            raise MalformedReading(f"more than one number in a place, or a comma in a number: {whole[:60]!r}")
    if (
        separator == ","
        and len(values) > 1
        and values[-1].unit
        and not any(value.unit for value in values[:-1])
    ):
        pieces = re.split("(,)", text)
        for index in range(1, len(values)):
            _refuse_decimal_comma(pieces, index, whole)
    return Line(values, is_open=is_open)


def _with_units(words: list[str]) -> list[str]:
    """Return the words, each unit together with the number before it."""
    cells: list[str] = []
    for word in words:
        if cells and is_unit(word) and NUMBER.fullmatch(cells[-1]):
            cells[-1] += f" {word}"
        else:
            cells.append(word)
    return cells


def _has_two_numbers(text: str) -> bool:
    """Return whether a text is a number and something that begins like one, as in `1,5` and `5 45`."""
    match = NUMBER.match(text)
    rest = text[match.end() :].strip(" ,") if match else ""
    return bool(rest) and rest != text and NUMBER.match(rest) is not None and not IS_MOMENT.fullmatch(text)


def _header(text: str, cells: list[str], separator: str, whole: str) -> Line:
    """Return the names in a line that is made like a header."""
    text = text.lstrip("#% ")
    # The columns of a table that is meant for people stand in line.
    if not separator and ("  " not in text or COLUMN.fullmatch(text)):
        cells = [text]
    cells[0] = cells[0].lstrip("#% ")
    columns = []
    for cell in cells:
        cell = cell.strip("\"' ")
        match = COLUMN.fullmatch(cell)
        name, unit = (match[1].strip(), (match[2] or match[3] or "").strip()) if match else (cell, "")
        if not name or name[0].isdigit() or (len(cells) == 1 and not is_unit(unit)):
            raise _not_a_reading(whole)
        if any(NUMBER.fullmatch(word) and is_unit(unit) for word, unit in pairwise(name.split())):
            raise _not_a_reading(whole)  # `TVOC 12 ppb,eCO2 400 ppm`
        columns.append(Value(_name(name, whole), None, unit))
    if len({column.name for column in columns}) < len(columns):
        raise MalformedReading(f"a name comes twice in {whole[:60]!r}")
    return Line(columns, is_header=True)


# JSON


def _parse_json(text: str, path: str = "") -> Line | None:
    """Return what a JSON text says, with the path before its names; None if it is none."""
    try:
        message = json.loads(text, object_pairs_hook=_members)
        if (
            not path
            and isinstance(message, list)
            and not any(isinstance(item, list | dict) for item in message)
        ):
            line = Line([_leaf("", item) for item in message])
        else:
            line = Line(_flattened(path, message), has_names=True)
    except MalformedReading:
        raise
    except (ValueError, RecursionError):
        return None
    if line.values and not line.has_names and all(value.number is None for value in line.values):
        raise _not_a_reading(text)
    return line


def _parse_payload(topic: str, payload: str) -> Line | None:
    """Return what the payload of a topic says; None if it is none, as in a sentence."""
    if topic.lower() in MISSING:
        return None
    if payload.startswith(("{", "[")) and (line := _parse_json(payload, topic)):
        return line
    value = _cell(payload)
    return None if value.number is None else Line([value._replace(name=_name(topic, ""))], has_names=True)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise MalformedReading("a name comes twice in a JSON object")
    return members


def _flattened(path: str, item: Any) -> list[Value]:
    """Return the values in an object or a list, named by their path."""
    members = enumerate(item) if isinstance(item, list) else item.items()
    values = []
    for key, member in members:
        name = f"{path}.{key}" if path else str(key)
        if isinstance(member, dict | list):
            values += _flattened(name, member)
            continue
        named = _with_unit(Value(name, None))
        try:
            named = named._replace(name=_name(named.name, ""))
        except MalformedReading:
            values.append(Value(name[:80], None, "", "not a name"))
        else:
            leaf = _leaf(named.name, member)
            values.append(leaf._replace(unit=leaf.unit or named.unit))
    return values


def _leaf(name: str, item: Any) -> Value:
    if isinstance(item, str):
        return _cell(item)._replace(name=name) if item.strip() else Value(name, None, "", item)
    if item is None or isinstance(item, bool):
        return Value(name, None, "", json.dumps(item))
    try:
        if math.isfinite(item):
            is_large = isinstance(item, int) and abs(item) >= 2**53
            return Value(name, item if is_large else float(item))
    except OverflowError:
        pass
    return Value(name, None, "", str(item)[:40] if isinstance(item, float) else "too many digits", True)


def parse_fields(text: str) -> dict[str, str]:
    """Return the fields that an option names, as in `x:m/s²,y:m/s²` or `x,y`: from each name to its unit.

    Raises:
        ValueError: with what is wrong, in words for the reader.
    """
    fields: dict[str, str] = {}
    for part in text.split(","):
        name, _, unit = (piece.strip() for piece in part.partition(":"))
        if not NAME.fullmatch(name) or len(unit) > 20:
            raise ValueError(f'{part!r} is not a field; write names and units as in "x:m/s²,y:m/s²"')
        if name in RESERVED or name in fields:
            raise ValueError(f"a field cannot be called {name!r} here: that name is taken")
        fields[name] = unit
    return fields


class Splitter:
    """Cuts a stream of bytes into lines, in bounded memory. They end with \\n, with \\r, or with both."""

    def __init__(self) -> None:
        self._begun = b""
        self._since = 0.0  # when that arrived, by time.monotonic()
        self._too_long = False
        self._has_ended = False  # whether any line has come to an end
        self._is_told = False

    def feed(self, data: bytes) -> Iterator[str | MalformedReading]:
        """Yield the lines that `data` completes, without their ends, and what cannot be one."""
        if not self._begun:
            self._since = time.monotonic()
        *complete, self._begun = (self._begun + data.replace(b"\r", b"\n")).split(b"\n")
        for line in complete:
            # Of a line that was too long, this is the rest.
            if not self._too_long:
                yield self._decode(line)
            self._too_long = False
        if complete:
            self._since = time.monotonic()
            self._has_ended, self._is_told = True, False
        if len(self._begun) > MAX_SENSOR_LINE:
            if not self._too_long:
                yield self._decode(self._begun)
            self._begun = b""
            self._too_long = True

    def overdue(self) -> MalformedReading | None:
        """Return, once, what to say of a stream that does not end its lines; to be asked now and then."""
        size = len(self._begun)
        is_late = size > 0 and time.monotonic() - self._since > ENDLESS_SECONDS
        if self._is_told or self._too_long or not (is_late or (size > ENDLESS_BYTES and not self._has_ended)):
            return None
        self._is_told = True
        start = self._decode(self._begun[:40])
        return MalformedReading(
            f"{size} bytes without a line's end; every reading has to end with one: {str(start)!r}"
        )

    @staticmethod
    def _decode(line: bytes) -> str | MalformedReading:
        if len(line) > MAX_SENSOR_LINE:
            return MalformedReading(f"a line of more than {MAX_SENSOR_LINE} bytes")
        try:
            return line.decode()
        except UnicodeDecodeError:
            # An older encoding, in which a degree sign is one byte; but noise is no text in it either.
            text = line.decode("latin-1")
            if text.replace("\t", " ").replace("\xa0", " ").isprintable():
                return text
            return MalformedReading(f"not text: {line[:60]!r}")
