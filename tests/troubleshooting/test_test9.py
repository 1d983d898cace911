"""What can go wrong in test9, and with a sensor of one's own."""

import re
import subprocess
import sys
import time

import pytest
from playwright.sync_api import Error, expect

from common.http import REQUEST_TIMEOUT
from tests.conftest import Pages, Starter, shown
from tests.copies import Copy
from tests.page import GAPS, count_of
from tests.promises import start
from tests.readme import SECTIONS, Trouble, fences
from tests.support import PORT, Server, free_port
from tests.troubleshooting import trouble


class TestTroubles:
    step = "test9"

    @trouble(f"`Disconnected: control socket: no answer from localhost:{PORT}. …`")
    def test_server_that_is_not_running(self, start_server: Starter, pages: Pages, entry: Trouble) -> None:
        pages.errors_are_expected = True  # the browser notes each attempt
        server = start_server()
        page = pages.open()
        server.stop()
        page.get_by_role("button", name="Connect").click()
        status = page.get_by_role("status")
        expect(status).to_contain_text("no answer")
        # Which of the two sockets is told first is not known.
        told = status.inner_text().replace("data socket", "control socket")
        entry.seen_in(told)
        entry.seen_in(told, "Trying again")
        start_server()
        expect(status).to_have_text("Connected to localhost")

    @trouble("The pages are back after a restart, but no data comes.")
    def test_server_begins_stopped(self, start_server: Starter, pages: Pages, entry: Trouble) -> None:
        pages.errors_are_expected = True  # the browser notes each attempt
        server = start_server("--rate", "100")
        page = pages.connect()
        start(pages, page, 2)
        server.stop()
        expect(page.get_by_role("status")).to_contain_text("Trying again")
        before = count_of(page)
        again = start_server("--rate", "100")
        expect(page.get_by_role("button", name="Start")).to_be_enabled()
        assert count_of(page) == before
        start(pages, page, 2)
        assert server.log != again.log

    @trouble(f"`Disconnected: nothing heard from 192.168.1.20:{PORT} for 5 seconds.")
    def test_server_that_is_held_up(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        pages.errors_are_expected = True  # the browser notes each attempt
        # The sensor's driver waits for a line, and everything waits with it.
        copy.replace("server.py", "HERE = ", "sensor.read = lambda: [len(input('Held up\\n'))] * 3\nHERE = ")
        server = copy.start(stdin=subprocess.PIPE)
        page = pages.open()
        page.clock.install()
        page.get_by_role("button", name="Connect").click()
        expect(page.get_by_role("status")).to_have_text("Connected to localhost")
        pages.command(page, "START")
        server.wait_for("Held up")
        page.clock.fast_forward("00:05")
        status = page.get_by_role("status")
        entry.seen_in(shown(status, "nothing heard"), **{"192.168.1.20": "localhost"})
        # The page goes on trying, until the server has time for it.
        with server.process.stdin as line:
            line.write("\n" * 1000)
            line.flush()
            expect(status).to_have_text("Connected to localhost")
            pages.close()
            server.kill()

    @trouble("The phone opens nothing")
    def test_another_port(self, server: Server, pages: Pages, entry: Trouble) -> None:
        with pytest.raises(Error) as error:
            pages.open(f"http://localhost:{free_port()}/")
        entry.seen_in(str(error.value))

    @pytest.mark.skipif(sys.platform == "darwin", reason="macOS has only one address for this machine alone")
    @trouble("The phone opens nothing")
    def test_server_for_this_machine_only(self, start_server: Starter, pages: Pages, entry: Trouble) -> None:
        # Another address of this machine stands for the one that other devices use.
        address = f"http://127.0.0.2:{PORT}/"
        server = start_server()
        pages.open(address)
        pages.errors_are_expected = True  # what the page still loads is refused
        server.stop()
        (option,) = [quote for quote in entry.quotes if quote.startswith("--host")]
        start_server(*option.split())
        with pytest.raises(Error) as error:
            pages.open(address)
        entry.seen_in(str(error.value))

    @trouble("`https://` opens nothing")
    def test_https(self, server: Server, pages: Pages, entry: Trouble) -> None:
        begun = time.monotonic()
        with pytest.raises(Error) as error:
            pages.open(f"https://localhost:{PORT}/")
        assert time.monotonic() - begun < REQUEST_TIMEOUT
        entry.seen_in(str(error.value), "ERR")
        entry.seen_in(server.wait_for("Hung up"), "Hung up")

    @trouble("A change in `server.py` does nothing.")
    def test_change_that_is_not_read(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        server = copy.start()
        page = pages.open()
        copy.replace("server.py", '"OK: started"', '"OK: it begins"')
        copy.replace("client.html", "<h1>Live dashboard</h1>", "<h1>My dashboard</h1>")
        expect(page.get_by_role("heading", level=1)).to_have_text("Live dashboard")
        with copy.step.connect() as control:
            assert copy.step.ask(control, "START") == "OK: started"
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("My dashboard")
        pages.close()  # which may still be fetching its icon
        server.kill()
        copy.start()
        with copy.step.connect() as control:
            assert copy.step.ask(control, "START") == "OK: it begins"


class TestOwnSensor:
    """What the section "Your own sensor" says of mistakes."""

    step = "test9"
    text = SECTIONS["Your own sensor"]

    def add(self, copy: Copy, *changes: tuple[str, str]) -> None:
        """Add the first sensor of the section to the copy, with changes."""
        code = fences(self.text, "python")[0]
        for old, new in changes:
            assert old in code
            code = code.replace(old, new)
        copy.add_sensor(code, "Network")

    def name(self, copy: Copy) -> None:
        """Name it in the step's list."""
        (line,) = re.findall(r"`(sensors=\[.*?\])`", self.text)
        copy.replace("server.py", 'sensors=["accelerometer", "cpu"]', line)

    def test_sensor_that_is_not_named_in_the_list(self, copy: Copy) -> None:
        self.add(copy)
        server = copy.run("--sensor", "network")
        assert server.wait_ended(30) == 2
        (quote,) = re.findall(r"the server answers `(.*?)`", self.text)
        assert quote in server.output

    def test_exception_stops_the_server(self, copy: Copy) -> None:
        self.add(copy, ("return [received", "raise OSError('unplugged')\n        return [received"))
        self.name(copy)
        server = copy.start("--sensor", "network")
        with copy.step.connect() as control:
            control.send("START")
            assert server.wait_ended(30) == 1
        assert "**An exception in `read()` stops the server,** with a traceback." in self.text
        assert "Traceback" in server.output
        assert "OSError: unplugged" in server.output

    def test_none_is_a_gap_and_none_in_the_log(self, copy: Copy, pages: Pages) -> None:
        self.add(copy, ("return [received / 1000, sent / 1000]", "return [None, None]"))
        self.name(copy)
        server = copy.start("--sensor", "network", "--rate", "100")
        page = pages.connect()
        start(pages, page, 2)
        assert page.evaluate(GAPS) == 1
        assert "the line has a gap, and the log says `None`" in self.text
        assert server.log.read_text(encoding="utf-8").splitlines()[1].endswith(",None,None")
