"""A factory floor for test13: its sensors, simulated ones, and what other programs send in their place."""

import argparse
import asyncio
import json
import math
import random
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from common.network import Address
from common.options import port_number

# How long a line may be, and how many answers may wait for a sender that does not read them, in bytes.
MAX_LINE = 1000
MAX_ANSWERS = 2**16

# How many programs may send at a time; each takes one of the few files that a process may have open.
MAX_SENDERS = 100

# What makes sense: °C from absolute zero to hotter than any oven; Unix time since the year 2000, and only a
# little ahead of this machine's clock, because one wrong clock would move everybody's time axis.
COLDEST, HOTTEST = -273.15, 10_000
OLDEST, AHEAD = 946_684_800, 60


def parse_reading(line: bytes) -> dict[str, Any]:
    """Return the reading in a line of JSON, `{"sensor_id": …, "timestamp": …, "temperature": …}`.

    Args:
        line: one line; members with other names than these three are passed over.

    Returns:
        `sensor_id` (text of 1 to 50 printable characters), `timestamp` (Unix time in seconds) and
        `temperature` (°C), in this order.

    Raises:
        ValueError: with what is wrong and what would be right, in words for the sender of the line.
    """
    if len(line) > MAX_LINE:
        raise ValueError(f"the line is too long; the limit is {MAX_LINE} bytes")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    names = ("sensor_id", "timestamp", "temperature")
    if not isinstance(message, dict) or not all(name in message for name in names):
        example = json.dumps(
            {"sensor_id": "oven-01", "timestamp": round(time.time(), 1), "temperature": 71.5}
        )
        raise ValueError(f"{line[:40]!r} is not a reading; try {example}")
    reading = {name: message[name] for name in names}
    sensor_id, timestamp, temperature = reading.values()
    if not isinstance(sensor_id, str) or not 1 <= len(sensor_id) <= 50 or not sensor_id.isprintable():
        raise ValueError(f"the sensor_id {sensor_id!r:.60} is not text of 1 to 50 printable characters")
    now = time.time()
    if not _is_number(timestamp) or not timestamp >= OLDEST:
        raise ValueError(f"the timestamp {timestamp!r:.40} is not Unix time in seconds, such as {now:.1f}")
    if timestamp > 100 * now:
        raise ValueError(f"the timestamp {timestamp!r:.40} has to be in seconds, not milliseconds: {now:.1f}")
    if timestamp > now + AHEAD:
        raise ValueError(f"the timestamp {timestamp!r:.40} is ahead of this server's clock, {now:.1f}")
    if not _is_number(temperature) or not COLDEST <= temperature <= HOTTEST:
        raise ValueError(f"the temperature {temperature!r:.40} is not a number from {COLDEST} to {HOTTEST}")
    return reading


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines that arrive, without their ends; of one that is too long only the beginning is kept."""
    begun = b""
    while chunk := await reader.read(2**16):
        *complete, begun = (begun + chunk).split(b"\n")
        for line in complete:
            yield line
        begun = begun[: MAX_LINE + 1]
    if begun:
        yield begun


def listening_socket(host: str | None, port: int, other: Address) -> socket.socket:
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
            listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or f"there is no address {host!r}"
        raise SystemExit(f"Cannot listen for readings on port {port}: {reason}") from None
    # The connections that it accepts ask now and then whether a sender that says nothing is still there.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return listener


async def listen(
    listener: socket.socket,
    receive: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    """Accept programs that send lines, for as long as the server runs.

    Args:
        listener: what `listening_socket` returned.
        receive: is called for each program that connects, with its reader and writer.
    """

    senders = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal senders
        if senders == MAX_SENDERS:
            answer(writer, {"error": f"there are {MAX_SENDERS} senders already"})
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


def answer(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    """Send one line of JSON, unless the program has left so many unread that they would fill the memory."""
    if writer.transport.get_write_buffer_size() < MAX_ANSWERS:
        writer.write(json.dumps(message).encode() + b"\n")


def seconds(text: str) -> float:
    """Return the time that an option gives, in seconds: more than 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; use a number of seconds")
    return value


# The options of test13's own.
OPTIONS = {
    "--listen-tcp": {
        "type": port_number,
        "metavar": "PORT",
        "help": "take the readings that other programs send to this port, as JSON lines, and simulate none",
    },
    "--silent-after": {
        "type": seconds,
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


class Sensor:
    """What is remembered of a sensor.

    Args:
        sensor_id: its name.
        number: counts the sensors, from 0; it decides how the line looks.
        average_of: how many readings the moving average is of.
        max_points: how many points are kept for the figure.

    Attributes:
        line: colour and dashes of its line, as Plotly takes them.
        recent: the latest temperatures, in °C, of which `average` is the average.
        times: the points' times, in milliseconds of Unix time.
        averages: the points' values, in °C; None makes a gap.
        latest: the latest `timestamp` (s) and `temperature` (°C).
        heard: when that arrived, in seconds of `time.monotonic()`.
        state: `normal`, `too hot` or `silent`.
        alert: the alert that is raised now, or None.
    """

    def __init__(self, sensor_id: str, number: int, *, average_of: int, max_points: int) -> None:
        self.id = sensor_id
        self.line = {
            "color": COLOURS[number % len(COLOURS)],
            "dash": DASHES[number // len(COLOURS) % len(DASHES)],
            "width": 1.5,
        }
        self.recent: deque[float] = deque(maxlen=average_of)
        self.times: deque[int] = deque(maxlen=max_points)
        self.averages: deque[float | None] = deque(maxlen=max_points)
        self.latest: dict[str, float] = {}
        self.heard = 0.0
        self.state = ""
        self.alert: dict[str, Any] | None = None

    def add(self, timestamp: float, temperature: float) -> float:
        """Take in a reading, in seconds of Unix time and °C, and return the moving average, in °C."""
        self.recent.append(temperature)
        average = round(sum(self.recent) / len(self.recent), 2)
        self.latest = {"timestamp": timestamp, "temperature": temperature}
        self.heard = time.monotonic()
        self._add_point(average)
        return average

    def add_gap(self) -> None:
        """End the line here; the average begins anew with the next reading."""
        self.recent.clear()
        self._add_point(None)

    def _add_point(self, average: float | None) -> None:
        self.times.append(round(self.latest["timestamp"] * 1000))
        self.averages.append(average)

    def status(self) -> dict[str, Any]:
        """Return the sensor's id, its state, and its latest timestamp and temperature."""
        return {"sensor_id": self.id, "state": self.state, **self.latest}


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
