"""A factory floor for test13: its sensors, simulated ones, and what other programs send in their place."""

import asyncio
import json
import math
import random
import socket
import time
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from operator import itemgetter
from typing import Any, TypeGuard

from common.network import Address
from common.options import parse_port, parse_seconds

# How long a line may be, and how many answers may wait for a sender that does not read them, in bytes.
MAX_JSON_LINE = 1000
MAX_ANSWERS = 2**16

# How long the end of a line may take to come, in seconds.
MAX_WAIT = 5.0

# How many programs may send at a time; each takes one of the few files that a process may have open.
MAX_SENDERS = 100

# What makes sense: °C from absolute zero to hotter than any oven; Unix time since the year 2000, and only a
# little ahead of this machine's clock, because one wrong clock would move everybody's time axis.
COLDEST, HOTTEST = -273.15, 10_000
OLDEST, AHEAD = 946_684_800, 60


# How other programs count the time, in parts of a second.
UNITS = {"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}


class Unended(bytes):
    """What has come of a line whose end does not come."""


def parse_reading(line: bytes) -> dict[str, Any]:
    """Return the reading in a line of JSON, `{"sensor_id": …, "timestamp": …, "temperature": …}`.

    Args:
        line: one line, in UTF-8, or else in Latin-1; members with other names than these three are passed
            over. Without a timestamp, or with null, the reading is of now.

    Returns:
        `sensor_id` (text of 1 to 50 printable characters), `timestamp` (Unix time in seconds) and
        `temperature` (°C), in this order.

    Raises:
        ValueError: with what is wrong and what would be right, in words for the sender of the line.
    """
    if len(line) > MAX_JSON_LINE:
        raise ValueError(
            f"the line is too long; the limit is {MAX_JSON_LINE} bytes, and it has to end with \\n"
        )
    if isinstance(line, Unended):
        raise ValueError(
            f"{bytes(line[:40])!r} has no end after {MAX_WAIT:g} s; a reading has to end with \\n"
        )
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = line.decode("latin-1")  # an older encoding, in which a degree sign is one byte
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not {"sensor_id", "temperature"} <= message.keys():
        example = json.dumps(
            {"sensor_id": "oven-01", "timestamp": round(time.time(), 1), "temperature": 71.5}
        )
        raise ValueError(f"{line[:40]!r} is not a reading; try {example}")
    now = time.time()
    sensor_id, timestamp, temperature = map(message.get, ("sensor_id", "timestamp", "temperature"))
    if timestamp is None:
        timestamp = now
    if not isinstance(sensor_id, str) or not 1 <= len(sensor_id) <= 50 or not sensor_id.isprintable():
        raise ValueError(f"the sensor_id {sensor_id!r:.60} is not text of 1 to 50 printable characters")
    if not _is_number(timestamp) or not timestamp >= OLDEST:
        right = _unix_time(timestamp) or now
        raise ValueError(f"the timestamp {timestamp!r:.40} is not Unix time in seconds, such as {right:.1f}")
    for unit, parts in UNITS.items():
        if 100 * now < timestamp <= 100 * now * parts:
            right = timestamp / parts
            raise ValueError(f"the timestamp {timestamp!r:.40} has to be in seconds, not {unit}: {right:.1f}")
    if timestamp > now + AHEAD:
        raise ValueError(f"the timestamp {timestamp!r:.40} is ahead of this server's clock, {now:.1f}")
    if not _is_number(temperature) or not COLDEST <= temperature <= HOTTEST:
        raise ValueError(f"the temperature {temperature!r:.40} is not a number from {COLDEST} to {HOTTEST}")
    return {"sensor_id": sensor_id, "timestamp": timestamp, "temperature": temperature}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unix_time(text: object) -> float | None:
    """Return the time that a text means, if it says so without doubt."""
    if not isinstance(text, str):
        return None
    with suppress(ValueError, OverflowError):
        return float(text) if OLDEST <= float(text) <= time.time() + AHEAD else None
    with suppress(ValueError, OverflowError):
        when = datetime.fromisoformat(text)
        return when.timestamp() if when.tzinfo and when.timestamp() >= OLDEST else None
    return None


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines that arrive, without their ends, which are \\n, \\r or both.

    Of one that is too long only the beginning is yielded, as soon as that is known. If a line does not end in
    time, what has come of it is yielded as `Unended`, and the line itself when its end comes after all.
    """
    begun = b""
    too_long = is_told = False
    due = None  # when what has begun should have ended, by the event loop's time
    while True:
        try:
            async with asyncio.timeout_at(due):
                chunk = await reader.read(2**16)
        except TimeoutError:
            due, is_told = None, True
            yield Unended(begun)
            continue
        if not chunk:
            break
        *complete, begun = (begun + chunk.replace(b"\r", b"\n")).split(b"\n")
        for line in complete:
            if not too_long:  # else this is its end
                yield line
            too_long = False
        if len(begun) > MAX_JSON_LINE and not too_long:
            too_long = True
            yield begun
        if too_long:
            begun = b""
        if complete or not begun:
            due, is_told = None, False
        if begun and due is None and not is_told:
            due = asyncio.get_running_loop().time() + MAX_WAIT
    if begun:
        yield begun


def listener(host: str | None, port: int, other: Address) -> socket.socket:
    """Return a socket that listens at a port, on IPv4 and IPv6 alike where `host` is None.

    Args:
        host: the address to listen on; None for every network interface.
        port: the port.
        other: where the web pages' server is going to listen, which needs another port.

    Raises:
        SystemExit: with a message, if that port cannot be had.
    """
    if port == other.port:
        raise SystemExit(f"Readings need a port of their own: --listen-tcp {port + 1}")
    try:
        if host is None and socket.has_dualstack_ipv6():
            opened = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            opened = socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or f"there is no address {host!r}"
        raise SystemExit(f"Cannot listen for readings on port {port}: {reason}") from None
    # The connections that it accepts ask now and then whether a sender that says nothing is still there.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return opened


async def listen(
    listener: socket.socket,
    receive: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    """Accept programs that send lines, for as long as the server runs.

    Args:
        listener: what `listener` returned.
        receive: is called for each program that connects, with its reader and writer.
    """

    senders = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal senders
        if senders == MAX_SENDERS:
            send_line(writer, {"error": f"there are {MAX_SENDERS} senders already"})
            writer.close()
            return
        senders += 1
        address = (writer.get_extra_info("peername") or ["unknown"])[0].removeprefix("::ffff:")
        print(f"Hello, sender ({address})")
        try:
            await receive(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # it vanished without a goodbye, or the server stops
        finally:
            senders -= 1
            print(f"Bye, sender ({address})")
            # close() would wait for a program that never reads its answers.
            writer.transport.abort()

    server = await asyncio.start_server(serve, sock=listener)
    print(f"  Programs send readings to port {listener.getsockname()[1]}, as JSON lines (TCP)", flush=True)
    try:
        await asyncio.Future()  # which never comes: this is cancelled when the pages' server stops
    finally:
        server.close()


def send_line(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    """Send one line of JSON, unless the program has left so many unread that they would fill the memory."""
    if writer.transport.get_write_buffer_size() < MAX_ANSWERS:
        writer.write(json.dumps(message).encode() + b"\n")


# The options of test13's own.
OPTIONS = {
    "--listen-tcp": {
        "type": parse_port,
        "metavar": "PORT",
        "help": "take the readings that other programs send to this port, as JSON lines, and simulate none",
    },
    "--silent-after": {
        "type": parse_seconds,
        "default": 5.0,
        "metavar": "SECONDS",
        "help": "call a sensor silent when it has said nothing for so long (%(default)g)",
    },
}


# The colours of lines can be told from each other and from the red of thresholds, in light and dark.
COLOURS = [
    "#2f7ed8",
    "#d2601a",
    "#2a9d5c",
    "#9a5fd0",
    "#c9447e",
    "#1f9aa8",
    "#a07a1f",
    "#6b7a8f",
    "#7c8f1d",
    "#b0583f",
]
DASHES = ["solid", "dot", "dash", "dashdot", "longdash"]


class FloorSensor:
    """What is remembered of a sensor.

    Its line is by the time of the readings, whatever the order in which they came: each point is the average
    of a reading and those before it, and where none has been for a while, there is a gap. What is true now,
    and what is too hot, only those readings say that came in the order of their times.

    Args:
        sensor_id: its name.
        number: counts the sensors, from 0; it decides how the line looks.
        average_of: how many readings the moving average is of.
        max_points: how many points the figure has of it.
        silent_after: how long nothing may be said before the average begins anew, in seconds.

    Attributes:
        line: colour and dashes of its line, as Plotly takes them.
        recent: the latest temperatures, in °C, of which the average is.
        points: the readings of the line, as milliseconds of Unix time and °C, in the order of their times.
        mended: whether the line has changed in another way than by the points that `add` returned.
        ahead: whether the clock of what it said last was ahead of this machine's.
        latest: the newest `timestamp` (s) and its `temperature` (°C).
        heard: when that arrived, in seconds of `time.monotonic()`.
        state: `normal`, `too hot` or `silent`.
        alert: the alert that is raised now, or None.
    """

    def __init__(
        self, sensor_id: str, number: int, *, average_of: int, max_points: int, silent_after: float
    ) -> None:
        self.id = sensor_id
        self.line = {
            "color": COLOURS[number % len(COLOURS)],
            "dash": DASHES[number // len(COLOURS) % len(DASHES)],
            "width": 1.5,
        }
        self.average_of, self.max_points, self.silent_after = average_of, max_points, silent_after
        self.recent: deque[float] = deque(maxlen=average_of)
        self.points: list[tuple[int, float]] = []
        self.mended = self.ahead = False
        self.latest: dict[str, float] = {}
        self.heard = 0.0
        self.state = ""
        self.alert: dict[str, Any] | None = None

    def time_of(self, timestamp: float) -> float:
        """Return the time that a reading counts as of: its own, but now if that is still to come.

        Else all that a sensor says would be late, once its clock has been set right.
        """
        newest = self.latest.get("timestamp", 0)
        if self.ahead and newest - 1 < timestamp < newest:
            return newest  # said after that one, by a clock that has just been set right
        now = time.time()
        self.ahead = timestamp > now
        return min(timestamp, now)

    def is_late(self, timestamp: float) -> bool:
        """Return whether a newer reading is there already. One of the same time is not newer."""
        return bool(self.latest) and timestamp < self.latest["timestamp"]

    def add(self, timestamp: float, temperature: float) -> float:
        """Take in a reading, in seconds of Unix time and °C, and return the moving average, in °C."""
        if self.recent and timestamp - self.latest["timestamp"] > self.silent_after:
            self.recent.clear()
            self.mended = True
        self.recent.append(temperature)
        average = _mean(self.recent)
        self.latest = {"timestamp": timestamp, "temperature": temperature}
        self.heard = time.monotonic()
        self._insert(len(self.points), timestamp, temperature)
        # Late readings before it are in the line, but have not been held against thresholds.
        self.mended = self.mended or average != self._average_at(len(self.points) - 1)
        return average

    def add_late(self, timestamp: float, temperature: float) -> float | None:
        """Put a reading where it belongs in the line, and return the average there, in °C.

        It changes nothing else. One that is older than all of a full line changes nothing at all; then None
        is returned.
        """
        index = bisect_right(self.points, round(timestamp * 1000), key=itemgetter(0))
        index = self._insert(index, timestamp, temperature)
        if index < 0:
            return None
        self.mended = True
        return self._average_at(index)

    def _insert(self, index: int, timestamp: float, temperature: float) -> int:
        """Put a point into the line, and return where it is; less than 0 if there is no room for it."""
        self.points.insert(index, (round(timestamp * 1000), temperature))
        # Those that the first average in the figure is of are kept, too.
        too_many = max(0, len(self.points) - self.max_points - self.average_of + 1)
        del self.points[:too_many]
        return index - too_many

    def _average_at(self, index: int) -> float:
        points = self.points[max(0, index + 1 - self.average_of) : index + 1]
        begins = max((i for i in range(1, len(points)) if self._silence(*points[i - 1 : i + 1])), default=0)
        return _mean([temperature for _, temperature in points[begins:]])

    def _silence(self, before: tuple[int, float], after: tuple[int, float]) -> bool:
        return after[0] - before[0] > self.silent_after * 1000

    def curve(self) -> tuple[list[int], list[float | None]]:
        """Return the line's times, in milliseconds of Unix time, and averages, in °C; None makes a gap."""
        times: list[int] = []
        averages: list[float | None] = []
        recent: deque[float] = deque(maxlen=self.average_of)
        for before, point in pairwise([self.points[0], *self.points] if self.points else []):
            if self._silence(before, point):
                recent.clear()
                times.append(before[0])
                averages.append(None)
            recent.append(point[1])
            times.append(point[0])
            averages.append(_mean(recent))
        return times[-self.max_points :], averages[-self.max_points :]

    def status(self) -> dict[str, Any]:
        """Return the sensor's id, its state, and its newest timestamp and temperature."""
        return {"sensor_id": self.id, "state": self.state, **self.latest}


def _mean(temperatures: Collection[float]) -> float:
    return round(sum(temperatures) / len(temperatures), 2)


class Floor:
    """Twenty simulated sensors: oven-03 and motor-02 get too hot now and then, pump-03 falls silent now and
    then, and motor-05 appears after 20 seconds.

    Args:
        rate: how often they will be read, in readings a second; their own clock advances by 1/rate each time.
        seed: the same seed gives the same temperatures.
    """

    usual = {"press": 52, "oven": 70, "pump": 38, "motor": 60}  # °C

    def __init__(self, rate: float, seed: int | None = None) -> None:
        self._random = random.Random(seed)
        self._interval = 1 / rate
        self._time = 0.0
        self._sensors = {}
        for kind, usual in self.usual.items():
            for number in range(1, 6):
                offset = self._random.uniform(-3, 3)
                period = self._random.uniform(40, 120)
                self._sensors[f"{kind}-{number:02}"] = (usual + offset, 2, period, self._random.uniform(0, 6))
        # Mean and swing in °C, the period in seconds, and the phase: these two start cool and rise.
        self._sensors["oven-03"] = (72, 13, 80, -0.4)
        self._sensors["motor-02"] = (67, 17, 170, -1.0)

    def read(self) -> list[dict[str, Any]]:
        """Return a reading, as from `parse_reading`, of each sensor that has something to say."""
        now = time.time()
        self._time += self._interval
        readings = []
        for sensor_id, (mean, swing, period, phase) in self._sensors.items():
            wave = swing * math.sin(2 * math.pi * self._time / period + phase)
            temperature = round(mean + wave + self._random.gauss(0, 0.6), 1)
            absent = sensor_id == "motor-05" and self._time < 20
            silent = sensor_id == "pump-03" and 35 < self._time % 90 < 60
            if not absent and not silent:
                readings.append({"sensor_id": sensor_id, "timestamp": now, "temperature": temperature})
        return readings
