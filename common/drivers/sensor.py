"""Real sensors: what test15 reads.

A sensor has

- `fields`: a dict from the name of each field to its unit, empty until the first readings have told it;
- `rate`: readings a second, or None if they come as they come;
- `readings()`: a generator, which may block, or an asynchronous one, which must not.

A generator yields readings: a list with a value for each field, in their order, or a dict with some of them
by name; `values_of()` says what counts as a value. In place of a value, None means that there is none. In
place of a reading, None means that there is nothing at the moment (yielded now and then, it lets a blocking
generator be stopped), and `MalformedReading` that something came that was no reading. It raises when the
sensor fails. `readings()` is then called again, so a sensor that has been plugged in again goes on.
"""

import asyncio
import functools
import importlib.util
import inspect
import math
import numbers
import os
import shlex
import shutil
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from unicodedata import category

from common.console import printable
from common.drivers.collector import PassedOver
from common.drivers.lines import NUMBER, RESERVED, MalformedReading, parse_fields
from common.drivers.text import HAS_SERIAL, Command, SensorError, SerialPort, UdpPort
from common.options import parse_seconds
from common.sensors import SENSORS

Reading = Sequence[float | None] | Mapping[str, float | None] | PassedOver | MalformedReading | None

# How long a blocking generator waits at most before it looks whether it is to stop, in seconds.
MAX_SLEEP = 0.1


class Sensor(Protocol):
    """What the beginning of this file describes."""

    @property
    def fields(self) -> dict[str, str]: ...

    @property
    def rate(self) -> float | None: ...

    def readings(self) -> Iterator[Reading] | AsyncIterator[Reading]: ...


class GeneratorSensor:
    """A sensor that is a generator function, asynchronous or not.

    Args:
        fields: from the name of each field to its unit.
        rate: readings a second; None if they come as they come.
        readings: the function.

    Raises:
        ValueError: if there are no fields, one has a name that cannot be, the rate is none, or the
                function does not yield.
    """

    def __init__(
        self,
        fields: dict[str, str],
        rate: float | None,
        readings: Callable[[], Iterator[Reading] | AsyncIterator[Reading]],
    ) -> None:
        if not fields or not isinstance(fields, dict):
            raise ValueError("a sensor needs fields, a dict from each name to its unit")
        for text in (*fields, *fields.values()):
            # They go to terminals, which obey control characters, and into the header of the log.
            if not isinstance(text, str) or any(category(c)[0] == "C" or c in "\u2028\u2029" for c in text):
                raise ValueError(
                    "the names and units of fields have to be text of one line without control characters, "
                    f"not {_shown(text)}"
                )
        if rate is not None and not (isinstance(rate, int | float) and 0 < rate < math.inf):
            raise ValueError(f"a sensor's rate has to be a number of readings a second, not {rate!r:.60}")
        for name in RESERVED & fields.keys():
            raise ValueError(f"a field cannot be called {name!r} here: that name is taken")
        if not (inspect.isgeneratorfunction(readings) or inspect.isasyncgenfunction(readings)):
            raise ValueError("a sensor's function has to yield its readings")
        self.fields = dict(fields)
        self.rate = rate
        self.readings = readings


def sensor(fields: dict[str, str], rate: float | None = None) -> Callable[..., GeneratorSensor]:
    """Make a sensor of a generator function that yields readings, as a decorator.

    Args:
        fields: from the name of each field to its unit.
        rate: how many readings a second it yields. It keeps the pace itself, by waiting in its loop; the rate
            only says after what time it is silent.
    """
    return functools.partial(GeneratorSensor, fields, rate)


def sensor_of(thing: Any, rate: float, seed: int | None = None) -> Sensor:
    """Return the sensor that a thing is, whichever way it was written.

    Args:
        thing: a sensor; or an object with `fields` and `read()` or `async def read()`; or a class of such
            objects, made with `rate` and `seed` (or nothing, if it takes nothing), anew after each failure.
            If it has `close()`, that is called in the end.
        rate: how often `read()` is called, in readings a second, unless the thing has a `rate` of its own.
        seed: for what is simulated.

    Raises:
        ValueError: if it is none of these.
    """
    if hasattr(thing, "fields") and hasattr(thing, "readings"):
        known: Sensor = thing
        return known
    if not isinstance(getattr(thing, "fields", None), dict) or not callable(getattr(thing, "read", None)):
        raise ValueError(f"{thing!r:.80} is not a sensor: it needs fields and read(), or @sensor")
    rate = getattr(thing, "rate", None) or rate

    def make() -> Any:
        if not isinstance(thing, type):
            return thing
        return thing(rate, seed) if inspect.signature(thing).parameters else thing()

    def poll() -> Iterator[Reading]:
        made = make()
        try:
            due = time.monotonic()
            while True:
                while (pause := due - time.monotonic()) > MAX_SLEEP:
                    time.sleep(MAX_SLEEP)
                    yield None
                time.sleep(max(0, pause))
                yield made.read()
                due = _next(due, rate)
        finally:
            getattr(made, "close", int)()

    async def poll_async() -> AsyncIterator[Reading]:
        made = make()
        try:
            due = time.monotonic()
            while True:
                await asyncio.sleep(max(0, due - time.monotonic()))
                yield await made.read()
                due = _next(due, rate)
        finally:
            closed = getattr(made, "close", int)()
            if inspect.isawaitable(closed):
                await closed

    is_async = inspect.iscoroutinefunction(thing.read)
    return GeneratorSensor(thing.fields, rate, poll_async if is_async else poll)


def _next(due: float, rate: float) -> float:
    """Return when to read next, by `time.monotonic()`. What is more than a second late is left out."""
    return max(due + 1 / rate, time.monotonic() - 1)


def values_of(reading: object, fields: dict[str, str]) -> tuple[list[float | None], list[str]]:
    """Return the values of a reading, and what of it was passed over.

    A number is one of Python's, of `decimal`, `fractions` or NumPy, an array of one number, or text that says
    a number. Anything else in its place (other text, a truth value, NaN, infinity) is no value and is passed
    over; so is what a dict has besides the fields. None is no value either, but the driver means it.

    Args:
        reading: what a driver has yielded; a number alone, if the sensor has one field.
        fields: of the sensor.

    Returns:
        The values in the order of the fields, None where there is none; and a short text for each thing that
        was passed over, as in `hum: 'ovf' is no number`.

    Raises:
        MalformedReading: if it is no reading with these fields, or has no value at all.
    """
    if isinstance(reading, MalformedReading):
        raise MalformedReading(_one_line(reading))
    try:
        return _values_of(reading, fields)
    except MalformedReading:
        raise
    except Exception as error:  # whatever somebody's own types may do
        raise MalformedReading(f"a reading that cannot be read: {explain(error)}") from None


def _values_of(reading: Any, fields: dict[str, str]) -> tuple[list[float | None], list[str]]:
    unknown = []
    if isinstance(reading, Mapping) or hasattr(reading, "keys"):
        names = dict.fromkeys(reading.keys())
        unknown = [name for name in names if name not in fields]
        if names and len(unknown) == len(names):
            there_is = ", ".join(fields)
            raise MalformedReading(
                f"a reading with the field {_shown(unknown[0])}; there is {there_is}"[:200]
            )
        reading = [reading[name] if name in names else None for name in fields]
    elif len(fields) == 1 and _value(reading) is not None:
        reading = [reading]
    try:
        # What is text is no list of its characters, and a set has no order.
        if isinstance(reading, str | bytes | bytearray | set | frozenset):
            raise TypeError
        # What has a length has an end.
        count, cells = len(reading), list(reading)
    except TypeError:
        raise MalformedReading(f"a reading that is no list: {_shown(reading)}") from None
    if count != len(fields):
        raise MalformedReading(f"a reading of {count} values where {len(fields)} are expected")
    values = [_value(cell) for cell in cells]
    passed_over = [
        f"{printable(name)[:40]}: {_shown(cell)} is no number"
        for name, cell, value in zip(fields, cells, values, strict=True)
        if value is None and cell is not None
    ]
    if all(value is None for value in values):
        raise MalformedReading(
            f"a reading without a value{f' ({passed_over[0]})' if passed_over else ''}"[:200]
        )
    return values, passed_over + [f"{_shown(name)} is no field" for name in unknown]


def _value(value: object) -> float | None:
    """Return the finite number that something is, as one of Python's own; None if it is none."""
    try:
        if isinstance(value, str):
            number = _number_in(value)
        elif isinstance(value, bool):
            number = None
        elif isinstance(value, numbers.Integral):
            number = int(value)
        elif hasattr(value, "item") and hasattr(value, "dtype"):
            number = _value_of_array(value)
        elif isinstance(value, numbers.Real | Decimal):
            number = float(value)
        else:
            number = None
        return number if number is not None and math.isfinite(number) else None
    except Exception:  # it is too large, or a mistake in somebody's own type
        return None


def _number_in(text: str) -> float | None:
    if not NUMBER.fullmatch(text.strip()):
        return None
    return float(text) if set(text) & set(".eE") else int(text)


def _value_of_array(value: Any) -> float | None:
    """Return the number in a NumPy scalar, or in an array of one number."""
    number = value.item()
    kind = getattr(value.dtype, "kind", "f")
    # What is masked, a date or a truth value has a number behind it that is none.
    if kind not in "iuf" or getattr(value, "mask", False) or isinstance(number, bool):
        return None
    if kind == "f" and getattr(value.dtype, "itemsize", 8) < 8 and hasattr(value.dtype, "type"):
        # The float32 of 0.05 is 0.05, and not 0.05000000074505806.
        number = float(str(value.dtype.type(number)))
    return int(number) if isinstance(number, numbers.Integral) else float(number)


def _shown(thing: object) -> str:
    """Return a thing as `repr()` shows it, short, and with nothing in it that a terminal would obey."""
    try:
        text = repr(thing)
    except Exception:  # a mistake in somebody's own type, or a number of too many digits
        text = f"something of the type {type(thing).__name__}"
    text = printable(" ".join(text[:1000].split()))
    return text if len(text) <= 60 else f"{text[:59]}…"


def explain(error: BaseException) -> str:
    """Return why a sensor failed, in words for people; for a mistake in a driver, with its place."""
    if isinstance(error, SensorError):
        return _one_line(error)
    if isinstance(error, OSError) and error.strerror:
        return _one_line(f"{error.strerror} ({error.filename})" if error.filename else error.strerror)
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(place[0].filename).name}, line {place[0].lineno})" if place else ""
    text = _one_line(error)
    return f"{type(error).__name__}{': ' if text else ''}{text}{where}"


def _one_line(error: BaseException | str) -> str:
    """Return what an error says, short, and with nothing in it that a terminal would obey."""
    try:
        text = " ".join(str(error)[:1000].split())
    except Exception:
        text = ""  # a mistake in somebody's own exception
    return printable(text)[:200]


def open_sensor(
    spec: str, rate: float, seed: int | None = None, fields: str | None = None, host: str | None = None
) -> Sensor:
    """Return the sensor that the option `--sensor` names.

    Args:
        spec: a name in `SENSORS`; `serial:PORT` or `serial:PORT,BAUD`; `command:PROGRAM ARGUMENTS`;
            `udp:PORT`; or the name of a Python file that defines one sensor.
        rate: how often a sensor is read that has no pace of its own, in readings a second.
        seed: for what is simulated.
        fields: for lines of text, names and units as in `x:m/s²,y:m/s²`; None to learn them.
        host: the address on which UDP is received; None for every network interface.

    Raises:
        ValueError: with what is wrong and what would be right, in words for the reader.
    """
    kind, colon, rest = spec.partition(":")
    is_text = colon and kind in ("serial", "command", "udp")
    if fields is not None and not is_text:
        raise ValueError("--fields is for sensors that send lines: serial, command and udp")
    given = parse_fields(fields) if fields is not None else None
    if is_text and kind == "serial":
        device, comma, baud = rest.partition(",")
        if not device or (comma and not (baud.isascii() and baud.isdigit() and int(baud) > 0)):
            raise ValueError(f"{spec!r} is not a serial port; try serial:/dev/ttyUSB0,115200 or serial:COM3")
        if not HAS_SERIAL:
            raise ValueError(
                "A serial port needs pyserial. In the root of the repository, type: "
                'pip install -e ".[serial]"'
            )
        return SerialPort(device, int(baud or 115200), given)
    if is_text and kind == "command":
        return Command(_arguments(rest), given)
    if is_text:
        if not (rest.isascii() and rest.isdigit() and 1 <= int(rest) <= 65535):
            raise ValueError(f"{spec!r} is not a UDP port; try udp:9999")
        return UdpPort(host, int(rest), given)
    if spec.endswith(".py"):
        return sensor_of(_defined_in(Path(spec)), rate, seed)
    if spec in SENSORS:
        return sensor_of(SENSORS[spec], rate, seed)
    raise ValueError(
        f"{spec!r} is not a sensor; try {', '.join(SENSORS)}, serial:PORT,BAUD, command:PROGRAM, "
        "udp:PORT or the name of a Python file"
    )


def _arguments(command: str) -> list[str]:
    """Return a program's whole path, and its arguments."""
    try:
        if sys.platform == "win32":  # where a backslash is a part of a path
            arguments = [part.strip("\"'") for part in shlex.split(command, posix=False)]
        else:
            arguments = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"{command!r} is not a command: {error}") from None
    if not arguments:
        raise ValueError('there is no command; try "command:ping localhost"')
    # `python` is the one that runs this server, also where its environment is not active.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which(arguments[0], path=path)
    if program is None:
        raise ValueError(f"there is no program {arguments[0]!r} on this machine")
    return [program, *arguments[1:]]


def _defined_in(path: Path) -> Any:
    """Return the one sensor in a Python file: a generator function with @sensor, or a class.

    The file is run as Python runs a program: its folder comes first where modules are looked for, so it finds
    what is beside it, and it is a module that others find. What it guards with `__name__ == "__main__"` is
    left out. Its own name is not used, which may be that of another module.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    path = path.resolve()
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location("own_sensor", path)
    assert spec is not None  # because the file's name ends in .py, which there is a loader for
    assert spec.loader is not None
    module = sys.modules["own_sensor"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise  # it is somebody who has lost patience
    except BaseException as error:
        del sys.modules["own_sensor"]
        raise ValueError(f"{path.name} cannot be run: {explain(error)}") from None
    things = {id(thing): thing for thing in vars(module).values()}.values()  # each once, whatever its names
    found = [
        thing
        for thing in things
        if isinstance(thing, GeneratorSensor)
        or (inspect.isclass(thing) and thing.__module__ == "own_sensor" and hasattr(thing, "read"))
    ]
    if len(found) != 1:
        raise ValueError(f"{path.name} defines {len(found)} sensors; it has to be one, with @sensor")
    return found[0]


# The options of test15's own.
OPTIONS = {
    "--sensor": {
        "default": "accelerometer",
        "help": f"what to read: {', '.join(SENSORS)}; serial:PORT,BAUD; command:PROGRAM; udp:PORT; "
        "or a Python file with a sensor of yours (%(default)s)",
    },
    "--fields": {
        "metavar": "NAMES",
        "help": 'names and units of what a serial port, a command or UDP sends, as in "x:m/s²,y:m/s²"; '
        "without it they are learned",
    },
    "--silent-after": {
        "type": parse_seconds,
        "metavar": "SECONDS",
        "help": "call the sensor silent when it has said nothing for so long "
        "(the time of 5 readings, and at least 3 seconds)",
    },
}
