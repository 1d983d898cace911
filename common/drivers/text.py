"""Sensors that send lines of text: a serial port, a program's output, a UDP port.

Each is a sensor as `common.drivers.sensor` has it. The times of its readings are those of their arrival.
"""

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from common.drivers.collector import GROUP_TIMEOUT, Collector, PassedOver, Sample
from common.drivers.lines import MalformedReading, Splitter, parse_line

try:
    import serial
except ModuleNotFoundError:
    serial = None
HAS_SERIAL = serial is not None

# Linux can tell how many datagrams found no room any more (SO_RXQ_OVFL in socket(7)).
COUNTS_LOST, SO_RXQ_OVFL = sys.platform == "linux", 40

Reading = Sample | PassedOver | MalformedReading | None


class SensorError(Exception):
    """Why a sensor has failed, in words for people."""


class SerialPort:
    """Lines from a serial port: a microcontroller.

    Args:
        device: the name of the port, as the system calls it: `/dev/ttyUSB0`, `COM3`.
        baud: bits a second, the same as in the microcontroller's program.
        fields: from names to units, or None to learn them.
    """

    rate: float | None = None

    def __init__(self, device: str, baud: int, fields: dict[str, str] | None = None) -> None:
        self.device, self.baud = device, baud
        self._collector = Collector(fields)

    @property
    def fields(self) -> dict[str, str]:
        return self._collector.fields

    def readings(self) -> Iterator[Reading]:
        with self._open() as port:
            splitter = Splitter()
            self._collector.reset()
            first = True
            while True:
                try:
                    data = port.read(min(port.in_waiting, 4096) or 1)
                except (OSError, TypeError) as error:  # SerialException is an OSError
                    raise SensorError(f"unplugged: {self.device} ({error})") from None
                lines = list(splitter.feed(data))
                if lines and first:
                    # The first line may have begun before the port was open.
                    first = False
                    if self.fields or not _is_header(lines[0]):
                        lines[0] = ""
                yield from self._collector.take(lines)
                if endless := splitter.overdue():
                    yield endless
                if not data:
                    yield from self._collector.pause()
                yield None

    def _open(self) -> Any:
        try:
            # A second program that read the same port would take half of the bytes.
            return serial.Serial(self.device, self.baud, timeout=GROUP_TIMEOUT, exclusive=True)
        except (OSError, ValueError) as error:
            reason = {
                errno.ENOENT: "there is no such port; is it plugged in?",
                errno.EACCES: "permission denied; the README says who may use a serial port",
                errno.EBUSY: "another program has opened it",
                errno.EWOULDBLOCK: "another program has opened it",
            }.get(getattr(error, "errno", 0), str(error))
            raise SensorError(f"cannot open {self.device}: {reason}") from None


def _is_header(line: str | MalformedReading) -> bool:
    with suppress(MalformedReading):
        return not isinstance(line, MalformedReading) and parse_line(line).is_header
    return False


class Command:
    """Lines that a program prints. The program is ended when the server stops.

    Args:
        arguments: the program and its arguments.
        fields: from names to units, or None to learn them.
    """

    rate: float | None = None

    def __init__(self, arguments: list[str], fields: dict[str, str] | None = None) -> None:
        self.arguments = arguments
        self._collector = Collector(fields, from_start=True)

    @property
    def fields(self) -> dict[str, str]:
        return self._collector.fields

    async def readings(self) -> AsyncIterator[Reading]:
        process = await asyncio.create_subprocess_exec(
            *self.arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Python programs print each line at once, and in UTF-8.
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            # Ctrl-C is for this server, which then ends the program, with all that it has started itself.
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        output, complaints = process.stdout, process.stderr
        assert output is not None  # because both are pipes
        assert complaints is not None
        errors = asyncio.create_task(_last_line(complaints))
        splitter = Splitter()
        self._collector.reset()
        try:
            data = None
            while data != b"":
                try:
                    async with asyncio.timeout(GROUP_TIMEOUT):
                        data = await output.read(4096)
                except TimeoutError:
                    for sample in self._collector.pause():
                        yield sample
                    if endless := splitter.overdue():
                        yield endless
                    continue
                # What a program prints before it ends counts as a line, with a line's end or without.
                for line in splitter.feed(data or b"\n"):
                    for reading in self._collector.take([line]):
                        yield reading
                if endless := splitter.overdue():
                    yield endless
                await asyncio.sleep(0)  # a program that prints a flood must not keep the loop from others
            for sample in self._collector.flush():
                yield sample
        finally:
            last_words = ""
            try:
                await _end(process)
                # To its end, or the output would stay open. What the program has started may outlive it, in a
                # session of its own, and keep it open all the same.
                with suppress(TimeoutError):
                    await asyncio.wait_for(_last_line(output), 0.5)
                    last_words = await asyncio.wait_for(errors, 0.5)
            finally:
                # It has no public name, and closes both outputs in any case.
                process._transport.close()  # type: ignore[attr-defined]
                await asyncio.sleep(0)  # in which the loop does that, even if it is about to end
        ended = f"the command ended with exit status {process.returncode}"
        raise SensorError(f"{ended}: {last_words}" if last_words else ended)


async def _last_line(stream: asyncio.StreamReader) -> str:
    """Read a stream to its end, and return its last line; that is where Python names an exception."""
    end = b""
    while data := await stream.read(4096):
        end = (end + data)[-4096:]
    return end.decode(errors="replace").strip().rpartition("\n")[2].strip()[:200]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process and what it has started: with a request first, with force after half a second."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, number)
        # In a task that is cancelled, as here, the asyncio.timeout() of Python 3.11.2 raises no TimeoutError.
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.5)


class UdpPort:
    """Lines in datagrams, as programs and microcontrollers send them to Teleplot.

    Args:
        host: the address to listen on; None for every network interface.
        port: the port.
        fields: from names to units, or None to learn them.
    """

    rate: float | None = None

    def __init__(self, host: str | None, port: int, fields: dict[str, str] | None = None) -> None:
        self.host, self.port = host, port
        self._collector = Collector(fields, everything=True)

    @property
    def fields(self) -> dict[str, str]:
        return self._collector.fields

    def readings(self) -> Iterator[Reading]:
        lost = 0
        with self._open() as receiver:
            receiver.settimeout(GROUP_TIMEOUT)
            while True:
                try:
                    if COUNTS_LOST:
                        data, counts, *_ = receiver.recvmsg(2**16, 64)
                        now_lost = sum(int.from_bytes(count, sys.byteorder) for *_, count in counts)
                        if now_lost > lost:
                            yield MalformedReading(f"{now_lost - lost} datagrams came too fast and are lost")
                            lost = now_lost
                    else:
                        data = receiver.recv(2**16)
                except TimeoutError:
                    yield from self._collector.pause()
                except ConnectionResetError:
                    pass  # Windows says so of answers that nobody sent
                else:
                    # What stands in one datagram belongs together; its last line may have no end.
                    yield from self._collector.take(Splitter().feed(data + b"\n"))
                yield None

    def _open(self) -> socket.socket:
        family = socket.AF_INET if self.host is None else socket.AF_UNSPEC
        try:
            found = socket.getaddrinfo(
                self.host, self.port, family, socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
            )
            # A name such as localhost can have addresses of both kinds; most senders use the older one.
            family, *_, address = min(found, key=lambda one: one[0] != socket.AF_INET)
            receiver = socket.socket(family, socket.SOCK_DGRAM)
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)  # as much as the system allows
            if COUNTS_LOST:
                receiver.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
            try:
                receiver.bind(address)
            except BaseException:
                receiver.close()
                raise
        except OSError as error:
            reason = "another program has it" if error.errno == errno.EADDRINUSE else error.strerror
            raise SensorError(f"cannot listen on UDP port {self.port}: {reason}") from None
        return receiver
