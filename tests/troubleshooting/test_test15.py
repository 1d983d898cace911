"""What can go wrong in test15."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib

import pytest
from playwright.sync_api import expect

from tests.conftest import Pages, Starter
from tests.copies import Copy
from tests.promises import hear, needs_terminals
from tests.readme import Trouble, fences, part_of
from tests.support import ROOT, Board, Server, free_port, wait_until
from tests.troubleshooting import trouble

PORT_IN_README = "/dev/ttyUSB0"

# Drops the right of root to open what nobody may open, so that a refusal is one for root too.
AS_ANYBODY = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


class TestTroubles:
    step = "test15"

    def send_until_readings_arrive(self, board: Board, server: Server) -> None:
        def sent() -> bool:
            board.send(b"x,y\n1,2\n")
            return "readings arrive" in server.output

        wait_until(sent, "readings arrive")

    @trouble("`A serial port needs pyserial.")
    def test_without_pyserial(self, copy: Copy, entry: Trouble) -> None:
        # It is found before the one that is installed.
        (copy.folder / "serial.py").write_text("raise ModuleNotFoundError(name='serial')\n")
        entry.seen_in(copy.fail("--sensor", "serial:/dev/ttyUSB0,115200"))
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert any("pyserial" in needed for needed in project["optional-dependencies"]["serial"])

    @trouble("`cannot open /dev/ttyUSB0: there is no such port")
    @needs_terminals
    def test_no_such_port(self, board: Board, start_server: Starter, entry: Trouble) -> None:
        board.unplug()
        server = start_server("--sensor", f"serial:{board.path},115200")
        entry.seen_in(server.wait_for("cannot open"), **{PORT_IN_README: str(board.path)})
        (command,) = [quote for quote in entry.quotes if quote.startswith("python ")]
        subprocess.run([sys.executable, *command.split()[1:]], check=True, capture_output=True)
        board.plug_in()
        self.send_until_readings_arrive(board, server)

    @trouble("`cannot open /dev/ttyUSB0: permission denied")
    @needs_terminals
    def test_port_that_one_may_not_use(self, board: Board, start_server: Starter, entry: Trouble) -> None:
        is_root = os.geteuid() == 0
        if is_root and not shutil.which("setpriv"):
            pytest.skip("nothing is denied to root")
        terminal = board.path.resolve()
        terminal.chmod(0)
        server = start_server("--sensor", f"serial:{board.path},115200", prefix=AS_ANYBODY if is_root else ())
        entry.seen_in(server.wait_for("cannot open"), **{PORT_IN_README: str(board.path)})
        terminal.chmod(0o600)
        self.send_until_readings_arrive(board, server)

    @trouble("`cannot open /dev/ttyUSB0: another program has opened it`")
    @needs_terminals
    def test_port_that_another_program_has(
        self, board: Board, start_server: Starter, copy: Copy, entry: Trouble
    ) -> None:
        other = copy.start("--sensor", f"serial:{board.path},115200", "--port", str(free_port()))
        self.send_until_readings_arrive(board, other)
        server = start_server("--sensor", f"serial:{board.path},115200")
        entry.seen_in(server.wait_for("cannot open"), **{PORT_IN_README: str(board.path)})
        other.stop()
        self.send_until_readings_arrive(board, server)

    @trouble("`Garbled: 512, the latest at")
    @needs_terminals
    def test_wrong_baud_rate(self, board: Board, start_server: Starter, pages: Pages, entry: Trouble) -> None:
        import termios

        server = start_server("--sensor", f"serial:{board.path},9600")
        page = pages.connect()
        shown = page.locator("#garbled")
        # A pseudo-terminal has no wire, so it passes on what arrives where 115200 bits a second are read
        # as 9600.
        noise = b"\xe6\x1e\x98\x00\xe0\x86\n"

        def garbled() -> bool:
            board.send(noise * 8)
            return "not text" in shown.inner_text()

        wait_until(garbled, "garbled lines")
        text = shown.inner_text()
        count, at = re.search(r"Garbled: (\d+), .* at (\d\d:\d\d:\d\d)", text).groups()
        entry.seen_in(text, **{"512": count, "12:03:04": at})
        assert "readings arrive" not in server.output
        # The number after the comma is the rate at which the port is read.
        assert termios.tcgetattr(board.terminal)[4] == termios.B9600

    @trouble("`not a reading: 'ERROR: no answer from the MPU-6050'`")
    @needs_terminals
    def test_loose_wire(self, board: Board, start_server: Starter, entry: Trouble) -> None:
        (sketch,) = fences(part_of("test15", "What to do"), "cpp")
        error = re.search(r'println\("(ERROR.*?)"\)', sketch)[1]
        server = start_server("--sensor", f"serial:{board.path},115200")

        def sent() -> bool:
            board.send(f"{error}\r\n".encode())
            return "garbled" in server.output

        wait_until(sent, "garbled lines")
        entry.seen_in(server.output)

    @trouble("`too late for this run, whose log has its columns: battery`")
    def test_field_that_comes_late(self, copy: Copy, entry: Trouble) -> None:
        copy.write(
            "board.py",
            "import itertools, pathlib, time\n\n"
            "for _ in itertools.repeat(None):\n"
            "    print('x:1,y:2,z:3')\n"
            "    if pathlib.Path('charged').exists():\n        print('battery:3.7')\n"
            "    time.sleep(0.01)\n",
        )
        sensor = ("--sensor", "command:python board.py")
        server = copy.start(*sensor)
        with copy.step.connect("control") as control:
            server.wait_for("readings arrive")
            control.send("START")
            server.wait_for("Logging to")
            copy.write("charged", "")
            entry.seen_in(server.wait_for("too late"))
        server.stop()
        named = copy.start(*sensor, "--fields", "x,y,z,battery")
        with copy.step.connect("control") as control, copy.step.connect("data") as data:
            hello = json.loads(data.recv(timeout=30))
            data.send(json.dumps({"epoch": hello["epoch"], "have": 0}))
            control.send("START")
            # Alone in its reading, or with the values of the line after it.
            while ",3.7\n" not in hear(data, "lines")["lines"]:
                pass
        named.stop()
        assert "too late" not in named.output

    @trouble("`2 bytes without a line's end; every reading has to end with one: '1 '`")
    def test_line_without_an_end(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("common/drivers/lines.py", "ENDLESS_SECONDS = 4096, 5.0", "ENDLESS_SECONDS = 4096, 0.5")
        copy.write("roll.py", "import time\n\nprint(1, end=' ')\ntime.sleep(60)\n")
        server = copy.start("--sensor", "command:python roll.py")
        entry.seen_in(server.wait_for("without a line's end"))
        server.stop()
        copy.write("roll.py", "import time\n\nprint(1)\ntime.sleep(60)\n")
        copy.start("--sensor", "command:python roll.py").wait_for("readings arrive")

    @trouble("`readings arrive, but more than a tenth of the latest lines could not be read`")
    def test_messages_among_the_readings(self, copy: Copy, entry: Trouble, pages: Pages) -> None:
        copy.write(
            "board.py",
            "import time\n\nwhile True:\n"
            "    print('x:1,y:2\\nx:1,y:2\\nx:1,y:2\\nRetrying…')\n    time.sleep(0.01)\n",
        )
        server = copy.start("--sensor", "command:python board.py")
        entry.seen_in(server.wait_for("more than a tenth"))
        expect(pages.connect().get_by_role("region", name="Sensor")).to_contain_text("Garbled")

    @trouble("Nothing comes from a program, then everything at once")
    @pytest.mark.skipif(not shutil.which("stdbuf"), reason="needs stdbuf, which Linux has")
    def test_program_that_holds_its_output_back(self, copy: Copy, entry: Trouble) -> None:
        copy.write(
            "roll.py",
            "import pathlib, time\n\n"
            "print('4;2')\n"
            "until = time.monotonic() + 60\n"
            "while not pathlib.Path('enough').exists() and time.monotonic() < until:\n    time.sleep(0.01)\n",
        )
        command = "command:sh -c \"python roll.py | {}tr ';' ','\""
        server = copy.start("--sensor", command.format(""), "--silent-after", "0.5")
        server.wait_for("sensor: no reading for 0.5 s")
        assert "readings arrive" not in server.output
        copy.write("enough", "")
        server.wait_for("sensor: readings arrive")
        server.stop()
        (copy.step.folder / "enough").unlink()
        (helps,) = [quote for quote in entry.quotes if quote.startswith("stdbuf")]
        cured = copy.start("--sensor", command.format(f"{helps} "))
        cured.wait_for("sensor: readings arrive")
        cured.stop()  # which ends the program too

    @trouble("Nothing comes by UDP from another device")
    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has two addresses of this kind")
    def test_udp_for_this_machine_only(self, start_server: Starter, entry: Trouble) -> None:
        port = free_port()
        options = ("--sensor", f"udp:{port}", "--fields", "x,y", "--silent-after", "0.5")
        (only_here,) = [quote for quote in entry.quotes if quote.startswith("--host")]
        server = start_server(*options, *only_here.split())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

            def send(address: str, server: Server, text: str) -> bool:
                sender.sendto(b"x:1,y:2", (address, port))
                return text in server.output

            # What is sent to this machine's other address does not arrive, as from another device.
            wait_until(lambda: send("127.0.0.2", server, "no reading for 0.5 s"), "the sensor is silent")
            assert "readings arrive" not in server.output
            wait_until(lambda: send("127.0.0.1", server, "readings arrive"), "readings from this machine")
            server.stop()
            for_all = start_server(*options)
            wait_until(lambda: send("127.0.0.2", for_all, "readings arrive"), "readings from elsewhere")

    @pytest.mark.parametrize("kind", ["async def", "def"])
    @trouble("Every page stands still while the sensor waits")
    def test_async_driver_that_blocks(self, copy: Copy, entry: Trouble, kind: str) -> None:
        blocking, cure = (quote for quote in entry.quotes if quote.endswith("def"))
        assert (blocking, cure) == ("async def", "def")
        copy.write(
            "my_sensor.py",
            f"""\
import pathlib
import time

from common.drivers.sensor import sensor

stuck = pathlib.Path("stuck")


@sensor(fields={{"distance": "mm"}}, rate=20)
{kind} rangefinder():
    while True:
        yield [500]
        if stuck.exists():
            print("it waits", flush=True)
        while stuck.exists():
            time.sleep(0.01)
        time.sleep(0.01)
""",
        )
        copy.start("--sensor", "my_sensor.py").wait_for("sensor: readings arrive")
        with copy.step.connect("control") as control:
            hear(control, "running")
            copy.write("stuck", "")
            copy.servers[0].wait_for("it waits")
            control.send("START")
            if kind == blocking:
                # When it is well, it tells counts all the time; now it is silent before it has replied.
                messages = iter(lambda: json.loads(control.recv(timeout=0.5)), None)
                with pytest.raises(TimeoutError):
                    next(message for message in messages if "reply" in message)
                (copy.step.folder / "stuck").unlink()
            assert hear(control, "reply")["reply"] == "OK: started"
