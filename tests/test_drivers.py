"""common/drivers/text.py and common/drivers/sensor.py: real ports, processes and sockets."""

import asyncio
import contextlib
import errno
import itertools
import math
import os
import random
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import psutil
import pytest

from common.drivers import sensor as drivers
from common.drivers import text as text_sensors
from common.drivers.collector import PassedOver, Sample
from common.drivers.lines import MAX_SENSOR_LINE
from common.drivers.sensor import (
    GeneratorSensor,
    MalformedReading,
    explain,
    open_sensor,
    sensor,
    sensor_of,
    values_of,
)
from common.drivers.text import Command, SensorError, SerialPort, UdpPort
from common.sensors import SENSORS
from tests.promises import needs_terminals
from tests.support import Board, wait_until


def read(readings: Iterator, count: int) -> list:
    """Return the next readings of a blocking sensor that has something to say now and then."""
    found = []
    deadline = time.monotonic() + 10
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {found}"
        reading = next(readings)
        if reading is not None:
            found.append(reading)
    return found


def read_failure(readings: Iterator) -> str:
    """Return why a blocking sensor fails."""
    with pytest.raises(SensorError) as caught:
        read(readings, 1)
    return explain(caught.value)


@needs_terminals
class TestSerialPort:
    @pytest.fixture
    def port(self, board: Board) -> SerialPort:
        return SerialPort(str(board.path), 115200)

    def begin(self, board: Board, readings: Iterator) -> None:
        """Let the port be opened, then send a line's end and a header."""
        assert next(readings) is None
        board.send("rn line\nx (m/s²),y (m/s²)\n".encode())

    def test_readings_torn_lines_and_noise(self, board: Board, port: SerialPort) -> None:
        with contextlib.closing(port.readings()) as readings:
            self.begin(board, readings)
            board.send(b"1,")
            next(readings)
            board.send(b"2\n3,4\n")
            assert read(readings, 2) == [{"x": 1, "y": 2}, {"x": 3, "y": 4}]
            assert port.fields == {"x": "m/s²", "y": "m/s²"}
            rng = random.Random(15)
            garbled = 0
            for _ in range(20):
                board.send(rng.randbytes(50).replace(b"\n", b"").replace(b"\x04", b"") + b"\n5,6\n")
                while (reading := read(readings, 1)[0]) != {"x": 5, "y": 6}:
                    assert isinstance(reading, MalformedReading)
                    garbled += 1
            assert garbled >= 15

    def test_first_line_does_not_count(self, board: Board, port: SerialPort) -> None:
        with contextlib.closing(port.readings()) as readings:
            next(readings)
            # Torn, it may look like a good one: 29.81,9.79 for example.
            board.send(b"9.81,9.79\n\xff\x00\n")
            assert "not text" in str(read(readings, 1)[0])

    def test_unplugged_and_plugged_in_again(self, board: Board, port: SerialPort) -> None:
        before = None
        for round_number in range(15):
            readings = port.readings()
            self.begin(board, readings)
            board.send(b"1,2\n")
            assert read(readings, 1) == [{"x": 1, "y": 2}]
            board.unplug()
            assert read_failure(readings).startswith(f"unplugged: {board.path}")
            assert "there is no such port" in read_failure(port.readings())
            if round_number == 2:
                before = psutil.Process().num_fds() + threading.active_count()
            board.plug_in()
        board.unplug()
        # Other tests may have left something to be tidied up; twelve more rounds have left nothing.
        assert psutil.Process().num_fds() + threading.active_count() < before + 6
        board.plug_in()

    def test_why_a_port_cannot_be_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").touch()
        reason = read_failure(SerialPort(str(tmp_path / "file"), 115200).readings())
        assert reason.startswith(f"cannot open {tmp_path}/file: ")
        for number, text in ((errno.EACCES, "permission denied"), (errno.EBUSY, "another program has")):
            refused = OSError(number, os.strerror(number))
            monkeypatch.setattr(text_sensors.serial, "Serial", Mock(side_effect=refused))
            assert text in read_failure(SerialPort("/dev/ttyUSB0", 115200).readings())

    def test_teleplot_lines(self, board: Board) -> None:
        port = SerialPort(str(board.path), 115200, {"x": "", "y": ""})
        with contextlib.closing(port.readings()) as readings:
            next(readings)
            board.send(b"torn\n>x:1\n>y:2\n>:Hello\n>x:3\n")
            assert read(readings, 2) == [{"x": 1, "y": 2}, {"x": 3}]


def of_command(*program: str, fields: dict[str, str] | None = None) -> Command:
    return Command([sys.executable, "-c", "\n".join(program)], fields)


class TestCommand:
    async def read(self, command: Command, count: int) -> list:
        """Return the next readings; of what is none, and of why there are no more, the text."""
        found = []
        async with asyncio.timeout(20), aclosing(command.readings()) as readings:
            try:
                async for reading in readings:
                    found.append(str(reading) if isinstance(reading, MalformedReading) else reading)
                    if len(found) == count:
                        break
            except SensorError as error:
                found.append(explain(error))
        return found

    async def test_readings_and_the_end(self) -> None:
        command = of_command("print('x (m),y')", "print('1,2')", "print('oops!')", "print('3,4', end='')")
        assert await self.read(command, 4) == [
            {"x": 1, "y": 2},
            "not a reading: 'oops!'",
            {"x": 3, "y": 4},
            "the command ended with exit status 0",
        ]
        assert command.fields == {"x": "m", "y": ""}

    async def test_last_words(self) -> None:
        assert await self.read(of_command("import nonsense"), 1) == [
            "the command ended with exit status 1: ModuleNotFoundError: No module named 'nonsense'"
        ]

    async def test_program_that_is_not_there(self) -> None:
        with pytest.raises(FileNotFoundError) as caught:
            await self.read(Command(["/nowhere/program"]), 1)
        assert "No such file" in explain(caught.value) or sys.platform == "win32"

    async def test_fast_program_leaves_the_loop_to_others(self) -> None:
        gaps = []

        async def other() -> None:
            while True:
                begun = time.monotonic()
                await asyncio.sleep(0.01)
                gaps.append(time.monotonic() - begun)

        task = asyncio.create_task(other())
        found = await self.read(of_command("for i in range(10**9): print('x:%d y:%d' % (i, i))"), 5000)
        task.cancel()
        assert [reading["x"] for reading in found] == list(range(5000))
        assert len(gaps) > 5
        assert max(gaps) < 3

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no groups of processes")
    async def test_everything_it_has_started_is_ended(self) -> None:
        # The child asks politely to be left alone, and has a child of its own.
        command = of_command(
            "import os, signal, subprocess, sys, time",
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])",
            "print('%d,%d' % (os.getpid(), child.pid))",
            "time.sleep(600)",
        )
        ((process, child),) = [list(reading.values()) for reading in await self.read(command, 1)]
        for number in (process, child):
            wait_until(lambda number=number: not is_running(int(number)), "ended")

    async def test_silent_program_can_be_cancelled(self) -> None:

        def runs() -> bool:
            # The browser's processes are children too, and come and go.
            children = psutil.process_iter(["ppid", "cmdline"])
            mine = [child.info["cmdline"] or [] for child in children if child.info["ppid"] == os.getpid()]
            return any("time.sleep(601)" in " ".join(command) for command in mine)

        task = asyncio.create_task(self.read(of_command("import time; time.sleep(601)"), 1))
        await asyncio.to_thread(wait_until, runs, "it runs")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not runs()

    async def test_flood_of_rubbish_is_bounded(self) -> None:
        program = of_command("import sys", "while True: sys.stdout.write('rubbish! ' * 10000 + '\\n')")
        found = await self.read(program, 20)
        assert "without a line's end" in found[0]
        assert set(found[1:]) == {f"a line of more than {MAX_SENSOR_LINE} bytes"}


def is_running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


class TestUdpPort:
    @pytest.fixture
    def udp(self) -> Iterator[tuple[UdpPort, Callable[[bytes], None]]]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]

            def send(*datagrams: bytes) -> None:
                for datagram in datagrams:
                    sender.sendto(datagram, ("127.0.0.1", port))

            yield UdpPort("127.0.0.1", port), send

    def test_telegrams(self, udp: tuple[UdpPort, Callable]) -> None:
        port, send = udp
        with contextlib.closing(port.readings()) as readings:
            next(readings)
            send(b"x:1\xc2\xa7m", b"y:1627551892437:2|np", b"state:on|t", b"3D|cube:S:cube")
            wait_until(lambda: next(readings) or port.fields, "the fields")
            assert port.fields == {"x": "m", "y": ""}
            send(b"x:1", b"y:2", b"x:3", b"y:4\n")
            assert read(readings, 2) == [{"x": 1, "y": 2}, {"x": 3, "y": 4}]
            send(b"x:5")
            assert read(readings, 1) == [{"x": 5}]
            send(b"x:6\ny:7", b'{"x": 8, "y": 9}')
            assert read(readings, 2) == [{"x": 6, "y": 7}, {"x": 8, "y": 9}]
            send(b"\xff\xfe\x00", b"x:nan", b"x:" + b"1" * 5000, b"oops")
            assert [type(reading) for reading in read(readings, 4)] == [MalformedReading] * 4
            send(b"x:1000:1;1005:nan;1010:3")
            assert read(readings, 3) == [PassedOver("x", "'nan' is no number"), {"x": 1}, {"x": 3}]

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts them")
    def test_what_comes_too_fast_is_counted(self, udp: tuple[UdpPort, Callable]) -> None:
        port, send = udp
        sensor = UdpPort("127.0.0.1", port.port, {"x": ""})
        with contextlib.closing(sensor.readings()) as readings:
            next(readings)
            for number in range(20_000):
                send(b"x:%d" % number)
            found = []
            while len(found) < 3 or any(reading is not None for reading in found[-3:]):
                found.append(next(readings))
            # The count comes with the next datagram that finds room.
            send(b"x:20000")
            found += read(readings, 2)
        texts = [str(reading) for reading in found if isinstance(reading, MalformedReading)]
        lost = [int(re.fullmatch(r"(\d+) datagrams came too fast and are lost", text)[1]) for text in texts]
        got = [reading["x"] for reading in found if isinstance(reading, Sample)]
        assert len(got) + sum(lost) == 20_001
        assert sum(lost) > 0
        assert got == sorted(got)

    def test_name_with_addresses_of_both_kinds(
        self, udp: tuple[UdpPort, Callable], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port, send = udp
        ipv4 = socket.getaddrinfo("127.0.0.1", port.port, type=socket.SOCK_DGRAM)
        ipv6 = [(socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port.port, 0, 0))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ipv6 + ipv4)
        with contextlib.closing(UdpPort("localhost", port.port, {"x": ""}).readings()) as readings:
            next(readings)
            send(b"x:1")
            assert read(readings, 1) == [{"x": 1}]

    def test_port_that_another_program_has(self, udp: tuple[UdpPort, Callable]) -> None:
        port, _ = udp
        with contextlib.closing(port.readings()) as readings:
            next(readings)
            reason = read_failure(port.readings())
        assert reason.startswith(f"cannot listen on UDP port {port.port}: ")
        # And it goes on when that program has ended.
        with contextlib.closing(port.readings()) as readings:
            assert next(readings) is None


class Blocking:
    fields = {"a": "V", "b": ""}

    def __init__(self, rate: float, seed: int | None = None) -> None:
        self.rate_given = rate
        self.closed = False
        self.count = 0

    def read(self) -> list[float]:
        self.count += 1
        if self.count == 4:
            raise OSError(errno.EIO, "Input/output error")
        return [self.count, self.rate_given]

    def close(self) -> None:
        self.closed = True


class Async:
    fields = {"a": ""}
    rate = 500

    async def read(self) -> list[float]:
        await asyncio.sleep(0)
        return [1]


class Unreadable(dict):
    """A type of somebody's own, with mistakes in it."""

    def keys(self) -> None:
        raise OSError("there is nothing")

    def __repr__(self) -> str:
        raise OSError("not even this")


NO_NUMBERS = [
    *(math.nan, "ovf", "", "1_000", "٣", "1e999", True, 1j, [1], datetime(2026, 1, 5), pd.NA),
    *(Decimal("NaN"), Decimal("sNaN"), np.float32("nan"), np.bool_(True), np.complex128(1), np.array([1, 2])),
    np.ma.masked,
]


class TestOwnSensors:
    def test_blocking_class_is_made_anew_after_a_failure(self) -> None:
        own = sensor_of(Blocking, 100)
        assert (own.fields, own.rate) == ({"a": "V", "b": ""}, 100)
        for _ in range(2):
            readings = own.readings()
            assert read(readings, 3) == [[1, 100], [2, 100], [3, 100]]
            with pytest.raises(OSError, match="Input/output error") as caught:
                read(readings, 1)
            assert explain(caught.value) == "Input/output error"

    def test_object_is_closed_in_the_end(self) -> None:
        thing = Blocking(5)
        readings = sensor_of(thing, 100).readings()
        read(readings, 1)
        readings.close()
        assert thing.closed

    def test_pace_is_kept_on_average(self) -> None:
        thing = Blocking(5)
        thing.count = 100
        with contextlib.closing(sensor_of(thing, 200).readings()) as readings:
            read(readings, 1)
            begun = time.monotonic()
            read(readings, 100)
            assert 0.4 < time.monotonic() - begun < 5

    def test_slow_pace_can_be_stopped(self) -> None:
        with contextlib.closing(sensor_of(Blocking, 0.001).readings()) as readings:
            assert read(readings, 1) == [[1, 0.001]]
            assert next(readings) is None

    async def test_async_object(self) -> None:
        own = sensor_of(Async(), 20)
        assert own.rate == 500
        async with aclosing(own.readings()) as readings:
            assert await anext(readings) == [1]
            assert await anext(readings) == [1]

    async def test_generators(self) -> None:
        @sensor(fields={"distance": "mm"}, rate=20)
        def rangefinder() -> Iterator[list[float]]:
            yield [7]

        @sensor(fields={"distance": "mm"})
        async def far() -> object:
            yield {"distance": 8}

        assert sensor_of(rangefinder, 1) is rangefinder
        assert (rangefinder.fields, rangefinder.rate, far.rate) == ({"distance": "mm"}, 20, None)
        assert list(rangefinder.readings()) == list(rangefinder.readings()) == [[7]]
        assert [reading async for reading in far.readings()] == [{"distance": 8}]

    def test_what_is_no_sensor(self) -> None:
        for thing in (1, object(), lambda: [1], "cpu"):
            with pytest.raises(ValueError, match="is not a sensor"):
                sensor_of(thing, 20)
        with pytest.raises(ValueError, match="'time' here: that name is taken"):
            sensor(fields={"time": "s"})(lambda: iter([]))
        for fields in ({}, ["a"]):
            with pytest.raises(ValueError, match="needs fields"):
                sensor(fields=fields)(lambda: iter([]))
        strange = ["a\nb", "a\u2028b", "\x1b[31mred", "\x9b2J", "\x07", "\u202eback", "\ud800", "\u200b"]
        for fields in (
            {1: ""},
            {"a": 0},
            *({"a": text} for text in strange),
            *({text: "V"} for text in strange),
        ):
            with pytest.raises(ValueError, match="text of one line"):
                sensor(fields=fields)(lambda: iter([]))

        def generator() -> Iterator[list[int]]:
            yield [1, 2, 3]

        sensor(fields={"ü²": "µg/m³", "Größe": "m\u202fs\u207b¹", "温度": "°C"})(generator)
        for rate in (0, -1, "20", math.nan, math.inf):
            with pytest.raises(ValueError, match="rate has to be"):
                sensor(fields={"a": "V"}, rate=rate)(lambda: iter([]))

        async def coroutine() -> list[int]:
            return [1]

        for function in (lambda: [1], coroutine):
            with pytest.raises(ValueError, match="has to yield"):
                sensor(fields={"a": "V"})(function)

    def test_place_of_a_mistake(self) -> None:
        with pytest.raises(ZeroDivisionError) as caught:
            Blocking(5).read() and 1 / 0
        assert explain(caught.value).startswith("ZeroDivisionError: division by zero (test_drivers.py, line ")

    def test_what_an_error_says_is_one_short_line(self) -> None:
        class Mistaken(Exception):
            def __str__(self) -> str:
                raise OSError

        file = FileNotFoundError(2, "there is none", "\x1b[31mred\n.json")
        for error in (
            OSError("x" * 10**6),
            ValueError("two\nlines"),
            RuntimeError("\x1b[31m"),
            file,
            Mistaken(),
        ):
            said = explain(error)
            assert said.isprintable()
            assert len(said) < 300

    @pytest.mark.parametrize(
        ("reading", "values"),
        [
            ([1, 2.5], [1, 2.5]),
            ((1, None), [1, None]),
            ({"b": 2}, [None, 2]),
            ({"b": 2, "a": 1}, [1, 2]),
            # Numbers of other types
            ([Decimal("21.5"), Fraction(1, 4)], [21.5, 0.25]),
            ([Decimal("-0"), 10**18 + 1], [0, 10**18 + 1]),
            (np.array([1.5, 2], dtype=">f4"), [1.5, 2]),
            (pd.Series({"b": 2.5, "a": 1}), [1, 2.5]),
            ([np.float64(1.5), np.float32(0.05)], [1.5, 0.05]),
            ([np.uint8(255), np.int64(-1)], [255, -1]),
            ([np.array(0.05, np.float32), np.array([7])], [0.05, 7]),
            ([np.float16(0.1), np.longdouble(0.5)], [0.1, 0.5]),
            # Numbers as text
            (["+.5", " -2.5e3 "], [0.5, -2500]),
            (["1285704473650888702", "0"], [1285704473650888702, 0]),
        ],
    )
    def test_values(self, reading: object, values: list) -> None:
        taken, passed_over = values_of(reading, {"a": "", "b": ""})
        assert (taken, passed_over) == (values, [])
        assert all(type(value) in (int, float, type(None)) for value in taken)

    @pytest.mark.parametrize(
        ("cell", "shown"),
        [
            *((cell, repr(cell)) for cell in NO_NUMBERS),
            (10**400, "1000"),
            (10**5000, "something of the type int"),
            ("9" * 100_000, "'9999"),
            (np.datetime64("2026-01-05", "ns"), "np.datetime64("),
            (Unreadable(), "something of the type Unreadable"),
            ("\x1b[31m\x9b\u202e", "'\\x1b[31m\\x9b\\u202e'"),
        ],
        ids=itertools.count(),
    )
    def test_a_cell_that_is_no_number_spoils_no_other(self, cell: object, shown: str) -> None:
        for reading in ([cell, 2], {"a": cell, "b": 2}):
            values, (passed_over,) = values_of(reading, {"a": "", "b": ""})
            assert values == [None, 2]
            assert passed_over.startswith(f"a: {shown}")
            assert passed_over.endswith(" is no number")
            assert passed_over.isprintable()
            assert len(passed_over) < 100
        with pytest.raises(MalformedReading, match="a reading without a value"):
            values_of([cell], {"a": ""})

    def test_what_a_dict_has_besides_the_fields(self) -> None:
        values, passed_over = values_of({"a": 1, "c\x1b": 2, 7: 3, "b": None}, {"a": "", "b": ""})
        assert values == [1, None]
        assert passed_over == [r"'c\x1b' is no field", "7 is no field"]

    @pytest.mark.parametrize("reading", [7, Decimal(7), "7", np.float32(7), np.array(7), np.array([7])])
    def test_one_field_takes_a_number_alone(self, reading: object) -> None:
        assert values_of(reading, {"a": ""}) == ([7], [])

    @pytest.mark.parametrize(
        "reading",
        [
            *([1], [1, 2, 3], [], {}, {"c": 1}, {"a": None}, [None, None], [math.nan, "ovf"]),
            *("12", b"12", bytearray(b"12"), {1, 2}, 7, np.array(7), np.array([[1, 2]]), object()),
            *(MalformedReading("noise"), Unreadable(), Unreadable(a=1)),
        ],
    )
    def test_rubbish(self, reading: object) -> None:
        with pytest.raises(MalformedReading) as caught:
            values_of(reading, {"a": "", "b": ""})
        assert len(str(caught.value)) < 300


class TestOpenSensor:
    @pytest.mark.parametrize("name", SENSORS)
    def test_names(self, name: str) -> None:
        own = open_sensor(name, 50, 7)
        assert (own.fields, own.rate) == (SENSORS[name].fields, 50)
        with contextlib.closing(own.readings()) as readings:
            values_of(read(readings, 1)[0], own.fields)

    def test_what_the_names_mean(self) -> None:
        port = open_sensor("serial:/dev/ttyUSB0", 20)
        assert (port.device, port.baud, port.fields, port.rate) == ("/dev/ttyUSB0", 115200, {}, None)
        port = open_sensor("serial:COM3,9600", 20, fields="x:m/s²,y")
        assert (port.device, port.baud, port.fields) == ("COM3", 9600, {"x": "m/s²", "y": ""})
        assert open_sensor("udp:9999", 20, host="127.0.0.1").host == "127.0.0.1"
        # The Python that runs this, also where its environment is not active.
        command = open_sensor("command:python -c \"print('a b')\"", 20)
        assert Path(command.arguments[0]).parent == Path(sys.executable).parent
        assert command.arguments[1:] == ["-c", "print('a b')"]

    @pytest.mark.parametrize(
        ("spec", "says"),
        [
            (
                "foo",
                "'foo' is not a sensor; try thermometer, processor, accelerometer, cpu, serial:PORT,BAUD",
            ),
            ("", "'' is not a sensor"),
            ("serial:", "try serial:/dev/ttyUSB0,115200 or serial:COM3"),
            ("serial:/dev/ttyUSB0,fast", "is not a serial port"),
            ("serial:/dev/ttyUSB0,", "is not a serial port"),
            ("udp:", "'udp:' is not a UDP port; try udp:9999"),
            ("udp:70000", "is not a UDP port"),
            ("command:", "there is no command"),
            ("command:no-such-program -x", "there is no program 'no-such-program' on this machine"),
            ("nowhere.py", "there is no file "),
        ],
    )
    def test_wrong_names(self, spec: str, says: str) -> None:
        with pytest.raises(ValueError, match=re.escape(says)):
            open_sensor(spec, 20)

    def test_fields_only_for_lines(self) -> None:
        with pytest.raises(ValueError, match="--fields is for sensors that send lines"):
            open_sensor("cpu", 20, fields="x")

    def test_without_pyserial(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(drivers, "HAS_SERIAL", False)
        with pytest.raises(ValueError, match=r'type: pip install -e "\.\[serial\]"'):
            open_sensor("serial:/dev/ttyUSB0", 20)

    def test_file_of_ones_own(self, tmp_path: Path) -> None:
        path = tmp_path / "my_sensor.py"
        path.write_text(
            "from common.drivers.sensor import sensor\n"
            "@sensor(fields={'distance': 'mm'}, rate=20)\n"
            "def rangefinder():\n    yield [7]\n"
        )
        own = open_sensor(str(path), 20)
        assert isinstance(own, GeneratorSensor)
        assert list(own.readings()) == [[7]]
        path.write_text("class Mine:\n    fields = {'a': ''}\n    def read(self):\n        return [1]\n")
        with contextlib.closing(open_sensor(str(path), 20).readings()) as readings:
            assert read(readings, 1) == [[1]]
        path.write_text("x = 1\n")
        with pytest.raises(ValueError, match="defines 0 sensors"):
            open_sensor(str(path), 20)

    @pytest.mark.parametrize("name", ["my_sensor.py", "random.py", "drivers.py", "common.py", "my sensor.py"])
    def test_file_of_ones_own_is_run_as_python_runs_it(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.path", sys.path.copy())
        modules = sys.modules.copy()
        (tmp_path / "beside_it.py").write_text("def measure(): return 21.5, 1013.0\n")
        (tmp_path / name).write_text(
            "from __future__ import annotations\n"
            "import pickle, random\n"
            "from dataclasses import dataclass\n"
            "from beside_it import measure\n"
            "from common.drivers.sensor import sensor\n"
            "@dataclass\nclass Config:\n    pin: int = 4\n"
            "config = pickle.loads(pickle.dumps(Config()))\n"
            "random.random()\n"
            "@sensor(fields={'t': '°C', 'p': 'hPa', 'pin': ''})\n"
            "def mine():\n    import later\n    yield [*measure(), config.pin]\n"
            "same = mine\n"
            "if __name__ == '__main__':\n    raise SystemExit('not to be run')\n"
        )
        (tmp_path / "later.py").write_text("")
        try:
            own = open_sensor(str(tmp_path / name), 20)
            assert list(own.readings()) == [[21.5, 1013.0, 4]]
            assert sys.modules["random"] is random
            assert sys.modules["common.drivers.sensor"] is drivers
        finally:
            for new in sys.modules.keys() - modules.keys():
                del sys.modules[new]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("from . import neighbour", "ImportError: attempted relative import"),
            ("def (", "SyntaxError"),
            ("\n1 / 0", r"ZeroDivisionError: .* \(mine\.py, line 2\)"),
            ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
            ("open('calibration.json')", "No such file or directory"),
            ("raise GeneratorExit", "GeneratorExit"),
            ("raise SystemExit('no')", "SystemExit: no"),
            ("raise BaseException('\\x1b[31m')", r"BaseException: \\x1b\[31m"),
        ],
    )
    def test_file_of_ones_own_that_cannot_be_run(
        self, text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.path", sys.path.copy())
        (tmp_path / "mine.py").write_text(text)
        with pytest.raises(ValueError, match=f"mine.py cannot be run: {says}") as caught:
            open_sensor(str(tmp_path / "mine.py"), 20)
        assert str(caught.value).isprintable()
        assert "own_sensor" not in sys.modules

    def test_ctrl_c_while_one_is_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.path", sys.path.copy())
        (tmp_path / "mine.py").write_text("raise KeyboardInterrupt")
        with pytest.raises(KeyboardInterrupt):
            open_sensor(str(tmp_path / "mine.py"), 20)
