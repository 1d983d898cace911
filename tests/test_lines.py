"""What real devices print, and what lines.py, collector.py and tally.py in common/drivers make of it."""

import contextlib
import math
import random
import re
import time
from collections.abc import Callable, Iterator

import pytest

from common.drivers.collector import GROUP_TIMEOUT, MAX_GROUPS, MAX_NAMES, Collector, Sample
from common.drivers.lines import (
    ENDLESS_SECONDS,
    MAX_FIELDS,
    MAX_SENSOR_LINE,
    MalformedReading,
    Splitter,
    parse_fields,
    parse_line,
)
from common.drivers.tally import LATEST, Tally

CSI = "\x1b["


def said(text: str) -> list[tuple]:
    """Return what a line says: (name, number), with the unit, or (name, None, what stands there)."""
    return [
        (value.name, value.number, *filter(None, [value.unit or value.text]))
        if value.number is None or value.unit
        else (value.name, value.number)
        for value in parse_line(text).values
    ]


# What a line may consist of, again and again.
REPEATED = [
    *["a ", "a:", "1:", "a:1;", "a:1,", "a=", " ", "\t", "(", "[", "[1]", '"', "1 ", "1,", "1", "1.", "."],
    *["x:1 ", "§", "a:1§", "|", "a|", "-", "1-", "0x1 ", "\x1b[0", "Jan 5 ", "10:59 ", "{", '{"a":', "e"],
    *["a:nan ", "x:1.1;nan;", "1e", "%", "m/", "°", "a:1 %", "a:1:1;", "a: b=1 ", "ab/", "a 1: ", "a:\t1"],
    *["- 1 ", '"1",', "1.1: ", "1,1 ", "I (1) ", "[I]", "1;nan;"],
]


class TestParseLine:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            # Numbers, whatever stands between them
            ("0.12,-0.08,9.79", [("", 0.12), ("", -0.08), ("", 9.79)]),
            ("1  2   .5", [("", 1), ("", 2), ("", 0.5)]),
            ("| 1 | 2 |", [("", 1), ("", 2)]),
            ("+1e3, 2., 1e-3", [("", 1000), ("", 2), ("", 0.001)]),
            ("1,2,3,", [("", 1), ("", 2), ("", 3)]),
            ("(1, 2, 3)", [("", 1), ("", 2), ("", 3)]),
            ("[0.5 1.5]", [("", 0.5), ("", 1.5)]),
            ('"1.5","2"', [("", 1.5), ("", 2)]),
            ("9007199254740993", [("", 9007199254740993)]),
            # Units behind them
            ("9.79 m/s^2", [("", 9.79, "m/s^2")]),
            ("23.4 C 45 %", [("", 23.4, "C"), ("", 45, "%")]),
            ("3.3V, 12 mA, 25 µg/m³", [("", 3.3, "V"), ("", 12, "mA"), ("", 25, "µg/m³")]),
            ("21.5\xa0°C", [("", 21.5, "°C")]),
            # What is missing, or no number
            ("1,,2", [("", 1), ("", None), ("", 2)]),
            ("1;NaN;ovf;2", [("", 1), ("", None, "NaN"), ("", None, "ovf"), ("", 2)]),
            ("21.5 [N/A] 50", [("", 21.5), ("", None, "[N/A]"), ("", 50)]),
            ('21.5,"sunny, warm",45', [("", 21.5), ("", None, "sunny, warm"), ("", 45)]),
            ("1,1_000,٣", [("", 1), ("", None, "1_000"), ("", None, "٣")]),
            # Headers
            ("x,y,z,", [("x", None), ("y", None), ("z", None)]),
            ("# x,y", [("x", None), ("y", None)]),
            ('"x","y"', [("x", None), ("y", None)]),
            ("x (m/s²), y [°C],z", [("x", None, "m/s²"), ("y", None, "°C"), ("z", None)]),
            ("temp (°C)", [("temp", None, "°C")]),
            ("air pressure\tair humidity (%)", [("air pressure", None), ("air humidity", None, "%")]),
            (" r  b   swpd us sy", [(name, None) for name in ("r", "b", "swpd", "us", "sy")]),
            ("time,x", [("sensor_time", None), ("x", None)]),
            # JSON
            ('{"x": 1, "y": null, "z": true}', [("x", 1), ("y", None, "null"), ("z", None, "true")]),
            ('{"x": NaN, "y": 1}', [("x", None, "nan"), ("y", 1)]),
            ('{"seq": 7}', [("sensor_seq", 7)]),
            ('{"x": "1", "power": "0.49W"}', [("x", 1), ("power", 0.49, "W")]),
            ('{"temp (°C)": 21}', [("temp", 21, "°C")]),
            ('{"a": {"b": {"c": 1}}, "l": [2, {"m": 3}]}', [("a.b.c", 1), ("l.0", 2), ("l.1.m", 3)]),
            ("[1, 2.5]", [("", 1), ("", 2.5)]),
            ('[{"x": 1}, {"x": 2}]', [("0.x", 1), ("1.x", 2)]),
            ('{"": 1, "a,b": 2, "c": 3}', [("", None, "not a name"), ("a,b", None, "not a name"), ("c", 3)]),
            ("{}", []),
            ("{'t': 21, 'h': None}", [("t", 21), ("h", None, "None")]),
            # Names and numbers
            ("x:0.1 y:0.2", [("x", 0.1), ("y", 0.2)]),
            ("x:0.1\ty:-2\t", [("x", 0.1), ("y", -2)]),
            ("my value : 3 your value : 4", [("my value", 3), ("your value", 4)]),
            ("Temp = 21.5 C, Hum = 50 %", [("Temp", 21.5, "C"), ("Hum", 50, "%")]),
            ("x:1|y:2", [("x", 1), ("y", 2)]),
            ("T: 23.4°C 74.1°F  My T: 9°C", [("T", 23.4, "°C"), ("T 2", 74.1, "°F"), ("My T", 9, "°C")]),
            ("Accel:12,-5,1003", [("Accel", 12), ("Accel 2", -5), ("Accel 3", 1003)]),
            ("temp (°C):21,hum (%):50", [("temp", 21, "°C"), ("hum", 50, "%")]),
            ("ch(A):1,ch(B):2", [("ch(A)", 1), ("ch(B)", 2)]),
            ("state:ON,temp:21", [("state", None, "ON"), ("temp", 21)]),
            ("acc:1,2,3", [("acc", 1), ("acc 2", 2), ("acc 3", 3)]),
            ("x:,y:1", [("x", None), ("y", 1)]),
            ("temp:21.5 OK", [("temp", 21.5), ("temp", None, "OK")]),
            ("main: temp: 21.5", [("main.temp", 21.5)]),
            ("Time: 10:59:20 temp:21", [("Time", None, "10:59:20"), ("temp", 21)]),
            ("uptime: 10:59 temp:21", [("uptime", None, "10:59"), ("temp", 21)]),
            ("ip:192.168.1.50,rssi:-70", [("ip", None, "192.168.1.50"), ("rssi", -70)]),
            ("mac:12:34:56:78:9A:BC,rssi:-70", [("mac", None, "12:34:56:78:9A:BC"), ("rssi", -70)]),
            # Names before names, and before an X
            ("A: x=1 y=2\tGyro: x=3 y=4", [("A.x", 1), ("A.y", 2), ("Gyro.x", 3), ("Gyro.y", 4)]),
            ("Orient:\tx= 1 |\ty= 2", [("Orient.x", 1), ("Orient.y", 2)]),
            ("Gyro X: 1, Y: 2, Z: 3 rad/s", [("Gyro X", 1), ("Gyro Y", 2), ("Gyro Z", 3, "rad/s")]),
            ("acc X: 1, temp: 2, Y: 3", [("acc X", 1), ("temp", 2), ("Y", 3)]),
            # Names with a number at their end
            ("x:1,note: a 3rd 1: 12:30", [("x", 1), ("note", None, "a 3rd 1:12:30")]),
            ("PM 1.0: 1\t\tPM 2.5: 3\t\tPM 10: 4", [("PM 1.0", 1), ("PM 2.5", 3), ("PM 10", 4)]),
            ("one:\t1.5\t| average:\t2", [("one", 1.5), ("average", 2)]),
            ("a/g:\t1\t-2\t3", [("a/g", 1), ("a/g 2", -2), ("a/g 3", 3)]),
            ("Temp: 20 K - Lux: 34", [("Temp", 20, "K"), ("Lux", 34)]),
            ("BME(temp=21.5, hum=45)", [("temp", 21.5), ("hum", 45)]),
            ("temp=45.1'C", [("temp", 45.1, "'C")]),
            ("T: 21.5 deg C", [("T", 21.5, "degC")]),
            # Topics
            ("N/A 21.5", [("", None, "N/A"), ("", 21.5)]),
            ("home/temp 21.5", [("home/temp", 21.5)]),
            ('tele/x {"A": {"t": 21.5}}', [("tele/x.A.t", 21.5)]),
            ("home/acc [1, 2]", [("home/acc.0", 1), ("home/acc.1", 2)]),
            # Signs, frames, instruments
            ("-  0.12 kg", [("", -0.12, "kg")]),
            ("1,- 2", [("", 1), ("", -2)]),
            ("\u221212", [("", -12)]),
            ("/*1,2*/", [("", 1), ("", 2)]),
            ("+0.123E-3 VDC", [("", 0.000123, "VDC")]),
            ("1,9.9E+37", [("", 1), ("", None, "9.9E+37")]),
            # Loggers and programs
            ("[00:00:01.010,000] <inf> main: t: 5", [("main.t", 5)]),
            ("2026-01-05 10:59:20,123 - root - INFO - temp=21", [("temp", 21)]),
            ("<13>Jan  5 10:15:30 temp=21", [("temp", 21)]),
            ("64 bytes from me (::1): ttl=64 time=0.06 ms", [("ttl", 64), ("sensor_time", 0.06, "ms")]),
            ("[D][s:094]: 'Room': Sending state 21.5 °C with 1 decimals of accuracy", [("Room", 21.5, "°C")]),
            # Teleplot
            ("myValue:1627551892437:1234|np", [("myValue", 1234)]),
            ("myValue:1627551892437:1234§m/s|np", [("myValue", 1234, "m/s")]),
            ("v:1627551892444:1;1627551892555:2§rad", [("v", 1), ("v", 2, "rad")]),
            ("v:1;2;nan;4", [("v", 1), ("v", 2), ("v", None, "nan"), ("v", 4)]),
            (">x:0.12", [("x", 0.12)]),
            # A stamp at the beginning
            ("2026-01-05T10:59:20.123+01:00 21 50", [("", 21), ("", 50)]),
            ("2026-01-05 10:59:20,123 INFO root: temp=21", [("root.temp", 21)]),
            ("[2026-01-05 10:59:20] temp:21", [("temp", 21)]),
            ("05.01.2026 10:59 temp:21", [("temp", 21)]),
            ("Mon Jan  5 10:15:30 2026 temp:21", [("temp", 21)]),
            ("Jan  5 10:15:30 host prog[123]: temp:21", [("host prog[123].temp", 21)]),
            ("10:59:20 -5.2", [("", -5.2)]),
            ("10:59:20 AM 5.2", [("", 5.2)]),
            (f"{CSI}0;32mI (1050) adc: 500{CSI}0m", [("adc", 500)]),
            ("[1050][I][main.cpp:12] loop(): x:1", [("loop().x", 1)]),
            ("[   12.345678] temp: 21", [("temp", 21)]),
            ("12345, temp:21", [("temp", 21)]),
            ("2026-01-05 10:59:20,21.5,50", [("", None, "2026-01-05 10:59:20"), ("", 21.5), ("", 50)]),
            # Passed over: nothing, texts, shapes, X-Y points, messages
            ("", []),
            ("state:1627551892437:Off|t,np", []),
            ("trajectory:12.3:45.67|xy", []),
            ("3D|mySimpleCube:S:cube:P:1:1:1:R:0:0:0:W:2:H:2:D:2:C:#2ecc71", []),
            (">1627551892437:Hello world", []),
        ],
    )
    def test_understood(self, text: str, expected: list[tuple]) -> None:
        assert said(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            # No number in it
            *["nan", "1e999", "x:nan", "x:", ":1", "12:30:45", "1_000", "a:٣", "\ufffd", "192.168.0.1"],
            # Words
            *["Ready", "WiFi connected", "DHTxx test!", "Setup (done)", "Sensor 3 ready", "5 retries left"],
            *["ERROR: no answer from the MPU-6050", "E (1050) i2c: error 263", "r b swpd", "va5432fc1"],
            *["TVOC 12 ppb\teCO2 400 ppm", "tail 0", " ets Jan  8 2013,rst cause:4, boot mode:(3,6)"],
            # What could mean more than one thing: better no value than a wrong one
            *["1,5;2,5", "21,5 °C", "21,5 45,0", "21,5\t45,0", "T: 23,4 °C", "T:21,5 H:45,0", "1 5/10"],
            *["P: 1,013.25 hPa", "N: 1,234,567", "x:1 x:2", "x:1 y:2 x:3", "x,x"],
            *['{"x": 1, "x": 2}', '{"a": {"x": 1, "x": 2}}'],
            # Hexadecimal
            *["0x1F", "csum 0x84", "load:0x3fff0030,len:1344", "3F 7C 0A 1B"],
            # Torn, too long, or noise
            *['{"x": 1', "{x:1", "[" * MAX_SENSOR_LINE, "a" * 81, "1," * MAX_SENSOR_LINE, "1 " * 20000],
            *["\x00\x01", "1\x002", "x:1\x1b[2J"],
        ],
    )
    def test_garbled(self, text: str) -> None:
        with pytest.raises(MalformedReading) as caught:
            parse_line(text)
        assert len(str(caught.value)) < 400

    def test_whatever_arrives(self) -> None:
        rng = random.Random(15)
        pieces = [*'1,;:=§|t{}" \t>[]()%x', "y:", "-2.5", "nan", "°C", "m/s", "0x", "\x1b[1m"]
        pieces += ["10:59:20 ", "2026-01-05", "I (1) "]
        for _ in range(5000):
            text = "".join(rng.choices(pieces, k=rng.randrange(12)))
            noise = "".join(chr(rng.randrange(0x250)) for _ in range(rng.randrange(20)))
            for line in (text, noise, text + noise):
                with contextlib.suppress(MalformedReading):
                    found = parse_line(line)
                    # A number or a name, and never anything that the log or the page could not take.
                    assert not found.is_header or all(value.number is None for value in found.values), line
                    for value in found.values:
                        assert value.number is None or math.isfinite(value.number)
                        assert value.number is None or not set(value.name) & set(',"\n\r:'), line

    @pytest.mark.parametrize("before", ["", "a:", "a:1", ">", "{"])
    @pytest.mark.parametrize("part", REPEATED)
    def test_no_line_takes_long(self, part: str, before: str) -> None:
        def seconds(size: int) -> float:
            begun = time.thread_time()
            for end in ("", "!"):
                with contextlib.suppress(MalformedReading):
                    parse_line(f"{before}{part * (size // len(part))}{end}")
            return time.thread_time() - begun

        # Four times the length takes about four times as long; what is quadratic would take sixteen times. A
        # busy machine may be slow at any time, but hardly three times.
        assert any(seconds(8000) < 10 * seconds(2000) + 0.005 for _ in range(3))

    def test_fields_of_the_option(self) -> None:
        assert parse_fields("x:m/s², y ,air pressure:hPa") == {"x": "m/s²", "y": "", "air pressure": "hPa"}
        for wrong in ("", "x,,y", "x,x", "time", 'a"b', "x:" + 21 * "m"):
            with pytest.raises(ValueError, match=r"is not a field|cannot be called"):
                parse_fields(wrong)


class TestSplitter:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\r"])
    def test_torn_anywhere(self, end: str) -> None:
        rng = random.Random(15)
        expected = [f"x:{i} y:{i}°" for i in range(100)]
        data = "".join(f"{line}{end}" for line in expected).encode()
        for _ in range(20):
            cuts = sorted(rng.choices(range(len(data)), k=30))
            splitter, lines = Splitter(), []
            for begin, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
                lines += filter(None, splitter.feed(data[begin:stop]))
            assert lines == expected

    def test_flood_without_line_ends_is_one_garbled_line(self) -> None:
        splitter = Splitter()
        found = []
        for _ in range(1000):
            found += splitter.feed(b"x" * 1000)
            assert len(splitter._begun) <= MAX_SENSOR_LINE
        found += splitter.feed(b"x\n1\n")
        assert [type(line) for line in found] == [MalformedReading, str]
        assert found[1] == "1"

    def test_a_stream_without_line_ends_is_told_so_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        splitter = Splitter()
        assert list(splitter.feed(b"x" * 4096)) == []
        assert splitter.overdue() is None
        list(splitter.feed(b"x"))
        assert "4097 bytes without a line's end" in str(splitter.overdue())
        assert splitter.overdue() is None
        # What has ended a line may take its time for a long one.
        assert list(splitter.feed(b"\n")) == ["x" * 4097]
        list(splitter.feed(b"x" * 5000))
        assert splitter.overdue() is None
        now = time.monotonic() + ENDLESS_SECONDS + 1
        monkeypatch.setattr("common.drivers.lines.time.monotonic", lambda: now)
        assert "5000 bytes without a line's end" in str(splitter.overdue())

    def test_a_silent_stream_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        splitter = Splitter()
        list(splitter.feed(b"1\n"))
        now = time.monotonic() + ENDLESS_SECONDS + 1
        monkeypatch.setattr("common.drivers.lines.time.monotonic", lambda: now)
        assert splitter.overdue() is None

    def test_older_encoding(self) -> None:
        assert list(Splitter().feed(b"temp (\xb0C):21.0\n")) == ["temp (°C):21.0"]
        assert list(Splitter().feed("temp (°C):21.0\n".encode())) == ["temp (°C):21.0"]

    def test_bytes_that_are_no_text(self) -> None:
        found = Splitter().feed(b"\xff\xfe\x00\n\xe6\x1e\x98\n\x9c\x81\n")
        assert [type(line) for line in found] == [MalformedReading] * 3


def readings(collector: Collector, *lines: str) -> list:
    """Give it lines one by one, and return what it makes of them; a text for what is none."""
    found = [item for line in lines for item in collector.take([line])]
    return [item if isinstance(item, Sample) else str(item) for item in found]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let two seconds pass."""
    passed = 0.0
    real = time.monotonic

    def wait() -> None:
        nonlocal passed
        passed += 2

    monkeypatch.setattr("common.drivers.collector.time.monotonic", lambda: real() + passed)
    return wait


class TestCollector:
    def test_header_names_the_numbers_that_follow(self) -> None:
        collector = Collector()
        assert readings(collector, "booting", "x (m),y", "", "1,2") == [
            "not a reading: 'booting'",
            {"x": 1, "y": 2},
        ]
        assert collector.fields == {"x": "m", "y": ""}
        # The header comes again, in the same order, or in another.
        assert readings(collector, "x (m),y", "3,4", "y,x", "5,6") == [{"x": 3, "y": 4}, {"y": 5, "x": 6}]
        assert readings(collector, "1,2,3") == ["3 values in a line where 2 are expected"]
        assert readings(collector, "a,b") == ["names that are not those of this run: 'a, b'"]

    def test_header_that_is_not_followed_by_numbers_is_none(self, later: Callable) -> None:
        collector = Collector()
        readings(collector, "hello, world", "booting", "1,2", "3,4")
        later()
        assert readings(collector, "5,6") == [{"value1": 5, "value2": 6}]
        # Units leave no doubt, even if noise comes between.
        collector = Collector()
        assert readings(collector, "x (m),y", "oops!", "1,2")[1:] == [{"x": 1, "y": 2}]

    def test_words_that_no_numbers_follow_are_counted(self) -> None:
        collector = Collector(from_start=True)
        assert readings(collector, "hello, world", "foo, bar, baz", "1,2") == [
            "names without numbers: 'hello, world'",
            "names without numbers: 'foo, bar, baz'",
            {"value1": 1, "value2": 2},
        ]

    def test_number_of_more_digits_than_python_makes_an_integer_of(self) -> None:
        lines = ["1", "0" * 4400 + "9007199254740993", "2"]
        expected = [{"value": number} for number in (1, 9007199254740993, 2)]
        assert readings(Collector(from_start=True), *lines) == expected

    def test_times_and_names_without_end_take_no_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # So nothing is given out because of the time.
        monkeypatch.setattr("common.drivers.collector.GROUP_TIMEOUT", 60)
        collector = Collector({"x": "", "y": ""})
        lines = [f"x:{time_ms}:1" for time_ms in range(MAX_GROUPS + 1)]
        assert len(readings(collector, *lines)) == len(lines)
        collector = Collector(from_start=False)
        assert readings(collector, "x:1,y:2", "x:1,y:2")
        for i in range(MAX_FIELDS + 2):
            readings(collector, f"x:1,y:2,noise{i}:3")
        assert len(collector._seen) <= MAX_FIELDS

    def test_column_of_text_is_no_field(self) -> None:
        collector = Collector(from_start=True)
        assert readings(collector, "time,temp,note", "10:00:00,21.5,ok", "10:00:01,nan,22") == [
            "sensor_time: '10:00:00' is no number",
            "note: 'ok' is no number",
            {"temp": 21.5},
            "sensor_time: '10:00:01' is no number",
            "temp: 'nan' is no number",
            {"note": 22},
        ]

    def test_without_a_header(self, later: Callable) -> None:
        collector = Collector()
        assert readings(collector, "1,2", "3,4") == []
        later()
        assert readings(collector, "5,6") == [{"value1": 5, "value2": 6}]
        assert readings(Collector(from_start=True), "5") == [{"value": 5}]

    def test_separator_behind_the_last_value(self) -> None:
        collector = Collector(from_start=True)
        assert readings(collector, "a,b,c", "1,2,3,", "1,2,") == [
            {"a": 1, "b": 2, "c": 3},
            "c: nothing there",
            {"a": 1, "b": 2},
        ]

    def test_what_a_line_begins_with_can_be_anything(self) -> None:
        for line in ("temp,21", "$GPGGA,123519,4807.038,N"):
            (refused,) = readings(Collector(from_start=True), line)
            assert refused.startswith("it begins with a word, and no header and no --fields say what")
        assert readings(Collector(from_start=True), "node,temp", "a,21") == [
            "node: 'a' is no number",
            {"temp": 21},
        ]

    def test_names_in_a_line(self) -> None:
        assert readings(Collector(from_start=True), "x:1,y:2") == [{"x": 1, "y": 2}]
        # On a line that may be damaged two have to agree.
        assert readings(Collector(), "x:1,yq:2", "x:1,y:2", "x:3,y:4") == [{"x": 3, "y": 4}]

    def test_numbers_between_lines_with_names_are_none_of_them(self, later: Callable) -> None:
        for collector in (Collector(), Collector(from_start=True), Collector({"temp": ""})):
            readings(collector, "temp:20", "512", "temp:21", "temp:21")
            later()
            readings(collector, "temp:22")
            assert readings(collector, "513", "temp:23") == [
                "numbers without names, among lines with names: '513'",
                {"temp": 23},
            ]
            assert list(collector.fields) == ["temp"]

    def test_words_between_numbers_name_nothing(self, later: Callable) -> None:
        collector = Collector()
        readings(collector, "512", "513", "mode:DIO, clock div:2", "514", "515")
        later()
        assert readings(collector, "516") == [{"value": 516}]

    def test_values_one_by_one(self, later: Callable) -> None:
        collector = Collector(everything=True)
        assert readings(collector, "x:1§m", "y:2", "temperature:20", "x:3") == []
        later()
        assert list(collector.pause()) == []
        assert collector.fields == {"x": "m", "y": "", "temperature": ""}
        assert readings(collector, "x:1", "y:2", "x:3", "y:4", "temperature:20") == [
            {"x": 1, "y": 2},
            {"x": 3, "y": 4, "temperature": 20},
        ]
        assert readings(collector, "y:5") == []
        assert list(collector.pause()) == [{"y": 5}]
        # Together in a datagram
        assert list(collector.take(["x:1", "y:2"])) == [{"x": 1, "y": 2}]
        assert list(collector.take(["x:1;2;3"])) == [{"x": 1}, {"x": 2}, {"x": 3}]

    def test_field_that_comes_late_is_welcome(self) -> None:
        collector = Collector(from_start=True)
        assert readings(collector, "x:1,y:2", "x:3,y:4,battery:3.7§V") == [
            {"x": 1, "y": 2},
            {"x": 3, "y": 4, "battery": 3.7},
        ]
        assert collector.fields == {"x": "", "y": "", "battery": "V"}
        # Where a line may be damaged, a name has to come twice.
        collector = Collector()
        assert readings(collector, "x:1,y:2", "x:1,y:2", "x:1,ys:2", "x:1,y:2,z:3", "x:1,y:2,z:3") == [
            {"x": 1, "y": 2},
            "ys: a name that has come only once, or one too many",
            {"x": 1},
            "z: a name that has come only once, or one too many",
            {"x": 1, "y": 2},
            {"x": 1, "y": 2, "z": 3},
        ]

    def test_fields_that_were_given(self) -> None:
        collector = Collector({"a": "m", "b": ""})
        assert readings(collector, "x,y", "1,2", "a:3,c:4,b:5") == [{"a": 1, "b": 2}, {"a": 3, "b": 5}]
        assert readings(collector, "c:4") == ["c: not one of the fields that --fields chooses"]
        # They choose columns too, and before anything is judged.
        collector = Collector({"b": "", "d": ""})
        assert readings(collector, "a,b,c,d", "oops,2,nan,4") == [{"b": 2, "d": 4}]
        assert readings(collector, '{"b": 1, "d": "off", "e": "text"}') == ["d: 'off' is no number", {"b": 1}]

    def test_another_unit_is_another_number(self) -> None:
        collector = Collector(from_start=True)
        assert readings(collector, "950 mV", "1.02 V", "970 mV") == [
            {"value": 950},
            "value: 1.02 V, where mV is expected",
            {"value": 970},
        ]

    def test_no_end_of_names(self, later: Callable) -> None:
        collector = Collector(everything=True)
        found = readings(collector, *(f"x{number}:1" for number in range(MAX_NAMES + 100)))
        assert found == [f"more than {MAX_NAMES} fields"] * 100
        later()
        readings(collector, "x0:1")
        assert len(collector.fields) == MAX_NAMES
        # A line may have more; a log cannot have any number.
        collector = Collector(from_start=True)
        readings(collector, ",".join(f"x{number}:1" for number in range(1024)))
        assert len(collector.fields) == 1024
        line = ",".join(f"{number}" for number in range(MAX_FIELDS + 1))
        assert readings(Collector(from_start=True), line) == [f"more than {MAX_FIELDS} fields"]
        collector = Collector(from_start=True)
        readings(collector, "x:1,y:2", *(f"x:1,z{number}:1" for number in range(1000)))
        assert len(collector.fields) < 200


class TestBatches:
    """What stands in one datagram, with the sender's own times."""

    def ages(self, collector: Collector, *batches: list[str]) -> list[tuple[dict, float]]:
        """Return the readings, each with how many seconds before now it was taken."""
        found = [sample for batch in batches for sample in collector.take(batch)]
        found += collector.pause()
        assert all(isinstance(sample, Sample) for sample in found), found
        return [(dict(sample), (time.time_ns() - sample.time_ns) / 1e9) for sample in found]

    def test_distances_are_kept(self) -> None:
        collector = Collector({"v": ""})
        points = ";".join(f"{1000 + 5 * number}:{number}" for number in range(10))
        found = self.ages(collector, [f"v:{points}"])
        assert [sample["v"] for sample, _ in found] == list(range(10))
        ages = [age - found[-1][1] for _, age in found]
        assert ages == pytest.approx([0.045 - 0.005 * number for number in range(10)], abs=0.001)
        assert 0 <= found[-1][1] < 1

    @pytest.mark.parametrize(
        ("batch", "samples"),
        [
            # In the order of time
            (["x:1010:3", "x:1000:1", "x:1005:2"], [{"x": 1}, {"x": 2}, {"x": 3}]),
            # What has the same time is one reading, and what has none is of the newest.
            (["x:1000:1;1005:2", "y:1000:3;1005:4"], [{"x": 1, "y": 3}, {"x": 2, "y": 4}]),
            (["x:1000:1;1005:2", "y:3"], [{"x": 1}, {"x": 2, "y": 3}]),
        ],
    )
    def test_what_belongs_together(self, batch: list[str], samples: list[dict[str, float]]) -> None:
        found = self.ages(Collector({"x": "", "y": ""}), batch)
        assert [sample for sample, _ in found] == samples
        assert found[0][1] - found[1][1] == pytest.approx(0.005, abs=0.001)

    def test_incomplete_readings_wait_only_a_moment(self) -> None:
        collector = Collector({"x": "", "y": ""})
        assert list(collector.take(["x:1000:1"])) == []
        time.sleep(GROUP_TIMEOUT * 1.5)
        assert list(collector.take(["x:1030:2"])) == [{"x": 1}, {"x": 2}]

    def test_times_that_begin_anew(self) -> None:
        # A device that has been restarted counts from 0 again; what it sends is as new as ever.
        found = self.ages(Collector({"v": ""}), ["v:100000:1"], ["v:0:2;5:3"])
        assert found[1][1] - found[2][1] == pytest.approx(0.005, abs=0.001)
        assert all(0 <= age < 1 for _, age in found)


def serial(lines: list[str]) -> Iterator[str]:
    """What arrives after a port has been opened in the middle of a line."""
    yield ""
    yield from lines


# What real devices send, each for a whole kind: how it begins, a line for a number, the fields and values.
DEVICES: dict[str, tuple[list[str], str, dict[str, str], list[float]]] = {
    "units behind numbers": (
        ["DHTxx test!"],
        "Humidity: {0}.5 %\tTemperature: {0}.25 *C",
        {"Humidity": "%", "Temperature": "*C"},
        [0.5, 0.25],
    ),
    "a banner": (["Ready"], "{0}", {"value": ""}, [0]),
    "the boot loader of an ESP8266": (
        [
            *["\x00\x9c\x92\x00rl|\x00", " ets Jan  8 2013,rst cause:4, boot mode:(3,6)", "wdt reset"],
            *["load 0x4010f000, len 3456, room 16 ", "tail 0", "csum 0x84", "va5432fc1", "~ld"],
        ],
        "{0}.00",
        {"value": ""},
        [0],
    ),
    "the boot loader of an ESP32": (
        [
            *["ets Jul 29 2019 12:21:46", "rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)"],
            *["configsip: 0, SPIWP:0xee", "mode:DIO, clock div:2", "load:0x3fff0030,len:1344"],
            *["load:0x40078000,len:13964", "load:0x40080400,len:3600", "entry 0x400805f0"],
        ],
        "temp:{0}.5,hum:{0}",
        {"temp": "", "hum": ""},
        [0.5, 0],
    ),
    "ESP-IDF's log in colour": ([], f"{CSI}0;32mI ({{0}}) adc: {{0}}{CSI}0m", {"adc": ""}, [0]),
    "the serial monitor's clock": ([], "10:15:30.123 -> {0},{0}", {"value1": "", "value2": ""}, [0, 0]),
    "units in names": ([], "temp (°C):{0},hum (%):{0}", {"temp": "°C", "hum": "%"}, [0, 0]),
    "a comma at the end": ([], "{0},{0},{0},", {"value1": "", "value2": "", "value3": ""}, [0, 0, 0]),
    "a column without numbers": ([], "{0},nan", {"value1": "", "value2": ""}, [0]),
    "Tasmota": (
        [],
        '{{"Time":"2026-01-05T10:00:00","DS18B20":{{"Id":"0123AB","Temperature":{0}.5}},"TempUnit":"C"}}',
        {"DS18B20.Temperature": ""},
        [0.5],
    ),
}


class TestDevices:
    @pytest.mark.parametrize("arrives", ["serial", "command", "udp"])
    @pytest.mark.parametrize("device", DEVICES)
    def test_fields_and_values(self, device: str, arrives: str, later: Callable) -> None:
        banner, form, fields, offsets = DEVICES[device]
        if arrives == "udp" and "boot loader" in device:
            banner = []  # no boot loader sends datagrams
        collector = Collector(from_start=arrives == "command", everything=arrives == "udp")
        lines = [form.format(number) for number in range(1, 41)]
        before = [*banner, *lines[:20]]
        found = readings(collector, *(serial(before) if arrives == "serial" else before))
        later()
        found += readings(collector, *lines[20:])
        assert collector.fields == fields
        samples = [item for item in found if isinstance(item, Sample)]
        # Whatever was taken is right, and from now on all is taken.
        names = list(fields)[: len(offsets)]
        expected = [
            {name: number + offset for name, offset in zip(names, offsets, strict=True)}
            for number in range(1, 41)
        ]
        assert samples == expected[-len(samples) :]
        assert len(samples) >= 19


class TestTally:
    def test_state_changes_above_a_tenth_and_back_below_a_twentieth(self) -> None:
        tally = Tally(lambda text: None)
        tally.garbled("noise")
        assert tally.read()[0] == "ok", "one of two lines says nothing yet"
        for _ in range(LATEST):
            tally.read()
        for _ in range(10):
            tally.garbled("noise")
        assert tally.read()[0] == "ok"
        tally.garbled("noise")
        assert tally.read()[0] == "garbled"
        # Before the eleven there are 87 among the latest. Six of the eleven have to go, too.
        assert [tally.read()[0] for _ in range(93)] == ["garbled"] * 92 + ["ok"]

    def test_what_comes_thousands_of_times_is_said_a_few_times(self) -> None:
        said: list[str] = []
        tally = Tally(said.append)
        for _ in range(1000):
            tally.garbled("noise")
        assert [re.findall(r"\d+", text) for text in said] == [[str(2**i)] for i in range(10)]
        assert tally.report()["garbled"] == 1000

    def test_names_without_end_are_not_all_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("common.drivers.tally.MOST_NAMES", 3)
        said: list[str] = []
        tally = Tally(said.append)
        for number in range(9):
            tally.passed_over(f"x{number}: 'ovf' is no number")
            assert tally.in_time(Sample({f"y{number}": 1}), ["z"]) is None
        assert len(said) == 2 * 3
        assert (tally.report()["passed_over"], tally.report()["late"]) == (9, 9)

    def test_what_is_left_of_a_reading_keeps_its_time(self) -> None:
        sample = Sample({"x": 1, "late": 2})
        sample.time_ns = 5
        rest = Tally(lambda text: None).in_time(sample, ["x"])
        assert (rest, rest.time_ns) == ({"x": 1}, 5)
