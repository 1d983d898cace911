"""test15: a real sensor."""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import expect
from websockets.sync.client import ClientConnection

from tests.conftest import Pages, Starter
from tests.promises import Commands, Console, Programs, needs_terminals
from tests.promises_of_logs import ServedFromTheLog
from tests.support import ROOT, Board, Server, Step, free_port, read_log, wait_until

# A server that hears datagrams, and a function that sends them; and what starts it with options.
Udp = tuple[Server, Callable[..., None]]
StartUdp = Callable[..., Udp]


control = Step("test15").connect

KEEP_SHOWN = """() => {
  window.shown = [];
  const sensor = document.getElementById("sensor");
  const keep = () => shown.push(sensor.textContent);
  new MutationObserver(keep).observe(sensor, { childList: true, characterData: true, subtree: true });
}"""


def send_until(send: Callable[..., None], text: str, condition: Callable[[], bool]) -> None:
    """Send a datagram again and again, until that is so."""

    def is_so() -> bool:
        send(text)
        return condition()

    wait_until(is_so, text)


def wait_for_state(connection: ClientConnection, name: str, timeout: float = 20) -> dict:
    """Wait until the sensor is in that state, and return all that is said of it."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        message = json.loads(connection.recv(timeout=timeout))
        if message.get("sensor", {}).get("state") == name:
            return message["sensor"]
    raise AssertionError(f"never {name}")


class TestStep15(Console, Commands, Programs, ServedFromTheLog):
    step = "test15"

    @pytest.fixture
    def own(self, tmp_path: Path, start_server: Starter) -> Starter:
        """Start the server with a sensor of one's own."""

        def start(*lines: str, rate: object = 50) -> Server:
            path = tmp_path / "my_sensor.py"
            body = "\n".join(f"    {line}" for line in lines)
            head = "import asyncio, os, sys, threading, time\n\nfrom common.drivers.sensor import sensor\n\n"
            kind = "async def" if "await " in body else "def"
            path.write_text(f"{head}@sensor(fields={{'a': 'V'}}, rate={rate})\n{kind} mine():\n{body}\n")
            return start_server("--sensor", str(path), "--silent-after", "0.5")

        return start

    @needs_terminals
    def test_unplugged_garbled_and_plugged_in_again(
        self, tmp_path: Path, start_server: Starter, pages: Pages
    ) -> None:
        board = Board(tmp_path / "ttyUSB0")
        server = start_server("--sensor", f"serial:{board.path},115200", "--silent-after", "0.5")
        server.wait_for(f"sensor: cannot open {board.path}: there is no such port; is it plugged in?")
        page = pages.connect()
        shown = page.get_by_role("region", name="Sensor")
        expect(shown).to_contain_text("failed since")
        # What is shown changes within a second, so all that has been shown is kept.
        page.evaluate(KEEP_SHOWN)

        def has_been_shown(text: str) -> None:
            page.wait_for_function("(text) => shown.some((before) => before.includes(text))", arg=text)

        page.get_by_role("button", name="Start", exact=True).click()
        with control() as connection:
            # It is tried again every second, and not called silent between.
            for _ in range(12):
                message = json.loads(connection.recv(timeout=30))
                assert message.get("sensor", {"state": "failed"})["state"] == "failed"
            for _ in range(2):
                page.evaluate("shown.length = 0")
                board.plug_in()
                wait_until(lambda: self.pump(board, connection), "readings arrive")
                has_been_shown("readings arrive")
                wait_for_state(connection, "silent")
                has_been_shown("silent since")
                board.send(b"\xff\x00\n")
                expect(page.locator("#garbled")).to_contain_text("not text")
                board.unplug()
                assert wait_for_state(connection, "failed")["garbled"] >= 1
                has_been_shown(f"unplugged: {board.path}")
        server.wait_for("sensor: readings arrive", count=2)
        page.close()
        server.stop()
        # It went on in the same run, whose JSON file says what happened when.
        rows = read_log(server.log)
        assert len(rows) >= 2
        events = json.loads(server.log.with_suffix(".json").read_text(encoding="utf-8"))["events"]
        texts = [event.get("text", event["what"]) for event in events]
        for text in ("readings arrive", "no reading for 0.5 s", "garbled", "unplugged"):
            assert sum(text in said for said in texts) >= 1, text
        times = [event["time_ns"] for event in events]
        assert times == sorted(times)
        unplugged = next(event for event in events if "unplugged" in event.get("text", ""))
        assert rows[0]["time_ns"] < unplugged["time_ns"] < rows[-1]["time_ns"]

    def pump(self, board: Board, connection: ClientConnection) -> bool:
        board.send(b"x,y\n1,2\n")
        with contextlib.suppress(AssertionError, TimeoutError):
            return bool(wait_for_state(connection, "ok", timeout=0.2))
        return False

    @pytest.mark.parametrize(
        ("lines", "says"),
        [
            (["yield [1]", "raise KeyboardInterrupt('no')"], "sensor: KeyboardInterrupt: no (my_sensor.py"),
            (["yield [1]", "raise BaseException('\x1b[31m')"], r"sensor: BaseException: \x1b[31m"),
            (["yield [1]", "raise OSError(5, '\x1b[31m')"], r"sensor: \x1b[31m"),
            (["yield [1]", "raise StopIteration"], "sensor: RuntimeError: generator raised StopIteration"),
            (["yield [1]", "await asyncio.sleep(0)", "raise KeyboardInterrupt"], "sensor: KeyboardInterrupt"),
            (["yield [1]", "await asyncio.sleep(0)", "raise GeneratorExit"], "sensor: GeneratorExit"),
            (
                ["try: yield [1]; await asyncio.sleep(9)", "finally: raise KeyboardInterrupt"],
                "sensor: readings arrive",
            ),
            (["yield [1]", "1 / 0"], "sensor: ZeroDivisionError: division by zero (my_sensor.py, line 8)"),
            (["yield [1]", "await asyncio.sleep(0)", "sys.exit()"], "sensor: SystemExit"),
            (
                ["yield [1]", "task = asyncio.create_task(asyncio.sleep(9))", "task.cancel()", "await task"],
                "sensor: CancelledError",
            ),
            (["return", "yield"], "sensor: its readings have ended"),
            (["while True: time.sleep(0.01); yield [1, 2]"], "(4 so far): a reading of 2 values"),
            (["time.sleep(600)", "yield [1]"], "sensor: no reading for 0.5 s"),
            (["await asyncio.sleep(600)", "yield [1]"], "sensor: no reading for 0.5 s"),
        ],
    )
    def test_sensor_that_fails_is_a_state(self, own: Starter, lines: list[str], says: str) -> None:
        server = own(*lines)
        server.wait_for(says)
        with control() as connection:
            assert json.loads(connection.recv(timeout=30))
        stopping = time.monotonic()
        server.stop()
        assert time.monotonic() - stopping < 4

    @pytest.mark.parametrize("lines", [["while True: yield [1]"], ["while True: yield [1]", "await 0"]])
    def test_flood_is_bounded_and_the_server_answers(self, own: Starter, lines: list[str]) -> None:
        server = own(*lines)
        with control() as connection, control("data"):
            wait_for_state(connection, "ok")
            process = psutil.Process(server.process.pid)
            before = process.memory_info().rss
            for _ in range(20):
                asked = time.monotonic()
                connection.send("START")
                while "reply" not in json.loads(connection.recv(timeout=30)):
                    pass
                assert time.monotonic() - asked < 5
            assert process.memory_info().rss - before < 30e6
            while (logged := json.loads(connection.recv(timeout=30)).get("logged", 0)) <= 20:
                pass
        server.stop()
        assert len(read_log(server.log)) >= logged

    def test_threads_do_not_pile_up(self, own: Starter) -> None:
        server = own(
            "drivers = [thread for thread in threading.enumerate() if '(work)' in thread.name]",
            "print(f'{len(drivers)} at work', flush=True)",
            "yield [1]",
            "raise OSError(5, 'gone')",
        )
        server.wait_for("at work", count=4)
        assert {line for line in server.lines if "at work" in line} == {"1 at work"}

    def test_program_is_ended_with_the_server(self, start_server: Starter) -> None:
        server = start_server("--sensor", 'command:python -c "import time; print(1); time.sleep(600)"')
        server.wait_for("sensor: readings arrive")
        (child,) = psutil.Process(server.process.pid).children()
        server.stop()
        wait_until(lambda: not child.is_running(), "ended")

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no sessions")
    def test_what_a_program_leaves_behind(self, start_server: Starter) -> None:
        start = "subprocess.Popen(['sleep', '60'], start_new_session=True)"
        code = f"import subprocess, time; {start}; print(1); time.sleep(60)"
        server = start_server("--sensor", f'command:python -c "{code}"')
        server.wait_for("sensor: readings arrive")
        children = psutil.Process(server.process.pid).children(recursive=True)
        try:
            server.stop()  # which looks for warnings
        finally:
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()

    def test_program_that_ends_is_started_again(self, start_server: Starter) -> None:
        server = start_server("--sensor", 'command:python -c "print(1); raise KeyError(7)"')
        server.wait_for("sensor: readings arrive", count=2)
        server.wait_for("sensor: the command ended with exit status 1: KeyError: 7", count=2)

    def test_udp_into_the_log(self, start_udp: StartUdp) -> None:
        server, send = start_udp("--fields", "x:m/s²,y")
        with control() as connection, control("data") as data:
            hello = json.loads(data.recv(timeout=30))
            assert (hello["fields"], hello["units"], hello["rate"]) == (["x", "y"], ["m/s²", ""], None)
            connection.send("START")
            server.wait_for("Received 'START'")
            send_until(send, "x:1627551892437:0.5|g\ny:2", lambda: bool(server.logs))
        server.stop()
        assert {(row["x"], row["y"]) for row in read_log(server.log)} == {(0.5, 2)}

    def test_page_waits_for_the_fields(self, start_udp: StartUdp, pages: Pages) -> None:
        _, send = start_udp("--silent-after", "0.5")
        page = pages.connect()
        page.clock.install()
        page.reload()
        status = page.get_by_role("status")
        expect(status).to_have_text("Connected to localhost")
        page.get_by_role("button", name="Start", exact=True).click()
        # Its clock goes faster than it hears of the server.
        for _ in range(8):
            heard = page.evaluate("() => heard")
            page.clock.run_for(1000)
            page.wait_for_function("(before) => heard > before", arg=heard)
            assert status.inner_text() == "Connected to localhost"
        expect(page.get_by_role("region", name="Sensor")).to_contain_text("no reading for 0.5 s")
        page.clock.resume()
        send_until(send, "x:1,y:2", lambda: page.evaluate("() => run.received > 0"))
        assert page.evaluate("() => run.fields") == ["x", "y"]

    def test_a_reading_has_the_time_at_which_the_sensor_gave_it(self, own: Starter) -> None:
        server = own("while True:", "    time.sleep(0.02)", "    yield [time.time()]")
        with control() as connection:
            connection.send("START")
            server.wait_for("Logging to")
            wait_until(lambda: server.log.read_text().count("\n") > 10, "rows")
        server.stop()
        assert all(abs(row["time_ns"] / 1e9 - row["a"]) < 0.5 for row in read_log(server.log))

    @pytest.fixture
    def start_udp(self, start_server: Starter) -> Iterator[StartUdp]:
        """Start a server that hears datagrams, and return a function that sends them, too."""
        port = free_port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

            def send(*datagrams: str) -> None:
                for datagram in datagrams:
                    sender.sendto(datagram.encode("latin-1"), ("127.0.0.1", port))

            yield lambda *options: (start_server("--sensor", f"udp:{port}", *options), send)

    @pytest.fixture
    def udp(self, start_udp: StartUdp) -> Udp:
        return start_udp()

    def start(self, server: Server, send: Callable[..., None], datagram: str) -> None:
        """Let the fields be learned, and recording begin with the next reading."""
        send_until(send, datagram, lambda: "readings arrive" in server.output)
        with control() as connection:
            connection.send("START")
            server.wait_for("Received 'START'")

    def test_batch_keeps_the_distances_of_its_sender(self, udp: Udp) -> None:
        server, send = udp
        self.start(server, send, "v:0:0")
        time.sleep(0.06)  # the sender takes ten samples meanwhile
        sent = time.time()
        # One of ten is no number; the others are readings all the same.
        values = ["nan" if number == 3 else number for number in range(11)]
        send("v:" + ";".join(f"{1000 + 5 * number}:{values[number]}" for number in range(1, 11)))
        wait_until(lambda: ",10.0\n" in self.logged(server), "a batch")
        server.stop()
        rows = [row for row in read_log(server.log) if row["v"] >= 1]
        assert [row["v"] for row in rows] == [1, 2, 4, 5, 6, 7, 8, 9, 10]
        # The newest is as old as the datagram is, and the others are as much older as the sender says.
        times = [row["time_ns"] / 1e9 for row in rows]
        assert sent <= times[-1] < sent + 2
        ages = [times[-1] - moment for moment in times]
        assert ages == pytest.approx([(10 - row["v"]) * 0.005 for row in rows], abs=0.001)

    def logged(self, server: Server) -> str:
        return server.log.read_text(encoding="utf-8") if server.logs else ""

    def test_field_that_comes_before_the_first_reading_is_welcome(self, udp: Udp, pages: Pages) -> None:
        server, send = udp
        page = pages.connect()
        legend = page.locator("#legend")
        send_until(send, "x:1,y:2", lambda: "x" in legend.inner_text())
        send("x:1,y:2,battery:3.7")
        expect(legend).to_contain_text("battery")
        assert page.evaluate("() => run.fields") == ["x", "y", "battery"]
        page.get_by_role("button", name="Start", exact=True).click()
        server.wait_for("Received 'START'")
        send_until(send, "x:1,y:2,battery:3.7", lambda: bool(server.logs))
        # From here on a log has its columns; what comes now is counted under its own heading.
        send("x:5,y:6,battery:3.6,humidity:50", "humidity:51")
        sensor = page.get_by_role("region", name="Sensor")
        expect(sensor).to_contain_text("Too late for this run: 2 values of humidity")
        expect(sensor).not_to_contain_text("Garbled")
        expect(legend.locator(".value").nth(2)).to_have_text("3.6")
        expect(page.locator("#notice")).to_have_text("")
        page.close()
        server.stop()
        assert read_log(server.log)[-1]["battery"] == 3.6

    def test_what_is_passed_over_is_named_once(self, udp: Udp, pages: Pages) -> None:
        server, send = udp
        message = '{"time": "2026-01-05 10:00:00", "model": "Thermo-X", "t": 21.5, "h": NaN}'
        self.start(server, send, message)
        page = pages.connect()
        for _ in range(30):
            send(message)
        sensor = page.get_by_role("region", name="Sensor")
        expect(sensor).to_contain_text("model: 'Thermo-X' is no number")
        expect(sensor).to_contain_text("h: 'nan' is no number")
        expect(sensor).to_contain_text("Sensor ok since")
        expect(sensor).not_to_contain_text("Garbled")
        assert server.output.count("sensor: passed over model: 'Thermo-X'") == 1
        page.close()
        server.stop()
        assert server.log.read_text(encoding="utf-8").splitlines()[1].endswith(",21.5,")

    def test_state_is_not_ok_while_much_cannot_be_read(self, udp: Udp, pages: Pages) -> None:
        server, send = udp
        self.start(server, send, "x:1,y:2")
        page = pages.connect()
        sensor = page.get_by_role("region", name="Sensor")
        expect(sensor).to_have_attribute("data-state", "ok")
        for _ in range(20):
            send("oops", "x:1,y:2", "x:1,y:2", "x:1,y:2")
        expect(sensor).to_contain_text("more than a tenth of the latest lines could not be read")
        expect(sensor).to_have_attribute("data-state", "garbled")
        server.wait_for("more than a tenth of the latest lines could not be read")
        for _ in range(100):
            send("x:1,y:2")
        expect(sensor).to_have_attribute("data-state", "ok")
        assert server.output.count("more than a tenth") == 1

    def test_many_fields_in_a_line(self, start_server: Starter) -> None:
        code = "import time; exec('while True: print(*range(1024), sep=chr(44)); time.sleep(0.05)')"
        server = start_server("--sensor", f'command:python -c "{code}"')
        server.wait_for("readings arrive")
        with control("data") as data, control() as connection:
            hello = json.loads(data.recv(timeout=30))
            assert len(hello["fields"]) == 1024
            connection.send("START")
            server.wait_for("Logging to")
            wait_until(lambda: self.logged(server).count("\n") > 3, "rows")
        server.stop()
        assert list(read_log(server.log)[-1].values())[2:] == list(range(1024))

    def test_fields_that_no_log_can_have(self, tmp_path: Path, udp: Udp) -> None:
        path = tmp_path / "my_sensor.py"
        path.write_text(
            "from common.drivers.sensor import sensor\n"
            "@sensor(fields={f'f{number}': '' for number in range(5000)})\n"
            "def mine():\n    yield [1] * 5000\n"
        )
        own = Server(ROOT / "test15", "--sensor", str(path), "--port", str(free_port()))
        assert own.wait_ended() == 1
        assert "Cannot record this sensor: a log can have 1 to 4,096 fields, not 5,000" in own.output
        # Fields that are learned, with names that are too long all together.
        server, send = udp
        members = ",".join(f'"{number}a": 1' for number in range(3000))
        says = "the names of the fields are "
        send_until(send, f'{{"{"x" * 70}": {{{members}}}}}', lambda: says in server.output)

    def test_wrong_name_is_one_sentence(self) -> None:
        server = Server(ROOT / "test15", "--sensor", "foo")
        assert server.wait_ended() == 1
        assert len(server.lines) == 1
