"""What the steps promise, for the test modules of the steps to inherit from.

What one step promises, the later ones keep. So each class here is a promise that begins at some step, and the
module of a step names those that hold for it.
"""

import ast
import http.client
import itertools
import json
import re
import select
import shutil
import signal
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from tests.conftest import Pages, Starter
from tests.page import (
    BREAKS,
    DRAWN_IN_SECONDS,
    LOSE_SOCKET,
    PAINTED,
    count_of,
    wait_for_all,
    wait_for_readings,
)
from tests.rows import disturb
from tests.support import (
    PORT,
    Server,
    Step,
    close_of,
    flood,
    free_port,
    messages,
    raw_connection,
    read_log,
    reset,
    wait_until,
)

needs_terminals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")


def start(pages: Pages, page: Page, readings: int) -> None:
    """Press Start, and wait for so many readings."""
    pages.command(page, "START")
    wait_for_readings(page, readings)


def halt(pages: Pages, page: Page) -> None:
    """Press Stop, and wait for the answer."""
    pages.command(page, "STOP")
    expect(page.get_by_label("Response")).to_have_text("OK: stopped")


def expect_running(page: Page, running: bool) -> None:
    """Wait until the buttons show whether readings are acquired."""
    for name, enabled in [("Start", not running), ("Stop", running)]:
        expect(page.get_by_role("button", name=name, exact=True)).to_be_enabled(enabled=enabled)


def stop(pages: Pages, page: Page) -> None:
    """Press Stop, and wait until the page has everything that the log has."""
    halt(pages, page)
    wait_for_all(page)


def say(connection: ClientConnection, **message: object) -> None:
    connection.send(json.dumps(message))


def hear(connection: ClientConnection, key: str) -> dict[str, Any]:
    """Return the next message with this key; others are passed over."""
    return next(message for message in map(json.loads, messages(connection)) if key in message)


class Console:
    """Every step: the console, stopping, and rubbish."""

    step: str

    def test_says_hello_and_bye(self, server: Server, step: Step, pages: Pages) -> None:
        page = pages.connect()
        server.wait_for("Hello, client", count=len(step.roles))
        page.close()
        server.wait_for("Bye, client", count=len(step.roles))
        assert sum("Listening on" in line for line in server.lines) == 1

    @pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
    def test_stopping_closes_every_connection_with_1001(self, how: str, server: Server, step: Step) -> None:
        if how == "SIGTERM" and sys.platform == "win32":
            pytest.skip("Windows has no SIGTERM to send to another process")
        with ExitStack() as stack:
            connections = [stack.enter_context(step.connect(role)) for role in step.roles for _ in range(2)]
            server.wait_for("Hello, client", count=len(connections))
            server.press_ctrl_c() if how == "Ctrl-C" else server.process.send_signal(signal.SIGTERM)
            for connection in connections:
                assert close_of(connection).code == 1001
        assert server.wait_ended() == 0
        assert server.lines[-1] == "Stopped"
        assert sum("Bye, client" in line for line in server.lines) == len(connections)

    def test_ctrl_c_many_times(self, server: Server, step: Step) -> None:
        for _ in range(8):
            server.press_ctrl_c()
        status = server.wait_ended()
        assert status == 0 or (step.number <= 2 and status == -signal.SIGINT)
        assert "Traceback" not in server.output

    def test_second_server_says_which_port_is_busy(self, server: Server, step: Step) -> None:
        second = Server(step.folder)
        assert second.wait_ended() == 1
        assert len(second.lines) == 1
        if step.number <= 2:
            says = f"Cannot listen on port {PORT}. Is another server still running?"
        else:
            says = (
                f"Port {PORT} is already in use, probably by a server that is still running. Stop that one "
                f"with Ctrl-C, or use another port: python server.py --port {PORT + 1}"
            )
        assert second.output.startswith(says)

    def test_rubbish_and_vanished_clients_are_no_traceback(self, server: Server, step: Step) -> None:
        of_tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        for rubbish in (of_tls, b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b""):
            with socket.create_connection(("localhost", PORT), timeout=30) as client:
                client.sendall(rubbish)
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass
        for role in step.roles:
            reset(raw_connection(f"/{role}"))
        # The server is still there for others. That it printed no traceback is checked when it stops.
        with step.connect():
            server.wait_for("Hello, client")


class Commands:
    """Steps 2 to 9: a clear answer to every message, and nothing else changes."""

    known: tuple[str, ...] = ("START", "STOP")

    def test_bad_commands_get_a_clear_error(self, server: Server, step: Step) -> None:
        with step.connect("control") as client:
            for command in ("FOO", "", "start", b"\x00\xff", "\x1b[31mred", "x" * 100_000, "<b>bold</b>"):
                answer = step.ask(client, command)
                assert answer.startswith("ERROR: unknown command ")
                assert answer.endswith(f"; try {' or '.join(self.known)}")
                assert len(answer) < 250
                assert "\x1b" not in answer
            # The connection is as good as before.
            assert not step.ask(client, self.known[0]).startswith("ERROR")
        server.wait_for(f"Received {self.known[0]!r}")
        server.wait_for(r"Received '\x1b[31mred'")
        assert "\x1b" not in server.output

    def test_message_that_is_not_utf8_ends_only_its_connection(self, server: Server, step: Step) -> None:
        with step.connect("control") as other:
            bad = raw_connection("/control")
            bad.sendall(b"\x81\x82\x00\x00\x00\x00\xff\xfe")
            received = b""
            while chunk := bad.recv(4096):
                received += chunk
            assert b"\x03\xef" in received  # close code 1007, invalid data
            bad.close()
            assert not step.ask(other, self.known[0]).startswith("ERROR")


class Requests:
    """Steps 2 and 3: request and response from the page."""

    def test_requests_from_the_page(self, server: Server, pages: Pages) -> None:
        page = pages.connect()
        response = page.get_by_label("Response")
        pages.command(page, "GET_TIME")
        expect(response).to_have_text(re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"))
        pages.command(page, "GREET_ME")
        expect(response).to_have_text("Hello! Nice to meet you.")
        pages.command(page, "<b>FOO</b>")
        expect(response).to_have_text("ERROR: unknown command '<b>FOO</b>'; try GET_TIME or GREET_ME")
        # Enter sends too.
        command = page.get_by_role("textbox", name="Command")
        command.fill("GREET_ME")
        command.press("Enter")
        expect(response).to_have_text("Hello! Nice to meet you.")
        server.wait_for("Received 'GREET_ME'", count=2)


class Alone:
    """Steps 1 and 2: copied alone into an empty folder, they run."""

    def test_runs_alone_in_an_empty_folder(self, step: Step, tmp_path: Path, pages: Pages) -> None:
        for name in ("server.py", "client.html"):
            shutil.copy(step.folder / name, tmp_path)
        server = Server(tmp_path)
        try:
            server.wait_listening()
            pages.connect((tmp_path / "client.html").as_uri()).close()
        finally:
            server.stop()

    def test_needs_the_library_and_nothing_else(self, step: Step) -> None:
        tree = ast.parse((step.folder / "server.py").read_text(encoding="utf-8"))
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        modules |= {
            name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
        }
        assert {name.split(".")[0] for name in modules} - sys.stdlib_module_names == {"websockets"}
        page = (step.folder / "client.html").read_text(encoding="utf-8")
        assert not re.search(r"<(script|img|link)[^>]+(src|href)=(?!\"data:,\")", page)


class DataAsText:
    """Steps 4 and 5: readings as text."""

    def wait_for_data(self, page: Page) -> None:
        items = page.get_by_label("Data").get_by_role("listitem")
        enough = items.count() + 2
        wait_until(lambda: items.count() >= enough, f"{enough} readings")
        assert all(re.fullmatch(r"\d\d(\.\d+)?", text) for text in items.all_inner_texts())

    def test_list_keeps_the_latest_thousand(self, server: Server, pages: Pages) -> None:
        page = pages.connect(viewport={"width": 640, "height": 900})
        page.evaluate("() => { for (let i = 0; i < 1500; i++) readings.onmessage({ data: `<b>${i}</b>` }); }")
        items = page.get_by_label("Data").get_by_role("listitem")
        expect(items).to_have_count(1000)
        # Text from the network stays text.
        expect(items.last).to_have_text("<b>1499</b>")
        expect(items.last).to_be_in_viewport()


class OnDemand:
    """Steps 3 to 9: connecting when asked to, options, and what the page says about it."""

    def test_page_connects_when_asked_and_only_once(self, server: Server, step: Step, pages: Pages) -> None:
        page = pages.open()
        status = page.get_by_role("status")
        expect(status).to_have_text("Not connected")
        expect(page.get_by_role("textbox", name="Server address")).to_have_value("localhost")
        assert "Hello" not in server.output
        page.get_by_role("textbox", name="Server address").press("Enter")
        expect(status).to_have_text("Connected to localhost")
        # However often it is pressed, what the last press began is all that is left.
        pages.errors_are_expected = True  # the browser notes each attempt that the next one ends
        pages.button(page, "Connect").evaluate("(button) => { for (let i = 0; i < 5; i++) button.click(); }")
        expect(status).to_have_text("Connected to localhost")
        sockets = 1 if step.number == 3 else 2

        def open_now() -> int:
            lines = server.lines
            return sum("Hello" in line for line in lines) - sum("Bye" in line for line in lines)

        wait_until(lambda: open_now() == sockets, "one client left")
        server.stop()
        expect(status).to_have_text(re.compile("Disconnected: .*the server has stopped"))

    def test_address_with_port_of_localhost_and_pasted_address(
        self, start_server: Starter, pages: Pages
    ) -> None:
        port = free_port()
        server = start_server("--host", "localhost", "--port", str(port))
        assert f"Listening on localhost, port {port}" in server.output
        assert "other devices" not in server.output.lower()
        url = f"http://localhost:{port}/" if pages.step.number == 9 else None
        page = pages.open(url)
        if url:
            expect(page.get_by_role("textbox", name="Server address")).to_have_value(f"localhost:{port}")
        for address in (f"localhost:{port}", f" http://127.0.0.1:{port}/dashboard?x#y "):
            page.get_by_role("textbox", name="Server address").fill(address)
            page.get_by_role("button", name="Connect").click()
            host = "localhost" if "localhost" in address else "127.0.0.1"
            expect(page.get_by_role("status")).to_have_text(f"Connected to {host}:{port}")

    def test_errors_are_worth_reading_and_connect_works_after_each(
        self, server: Server, pages: Pages
    ) -> None:
        pages.errors_are_expected = True
        page = pages.open()
        status = page.get_by_role("status")
        address = page.get_by_role("textbox", name="Server address")
        for wrong, says in [
            ("localhost:1", "Disconnected: .*no answer from localhost:1. Is the server running"),
            ("a:b:c", "Disconnected: .*is not an address; try "),
        ]:
            address.fill(wrong)
            page.get_by_role("button", name="Connect").click()
            expect(status).to_have_text(re.compile(says))
            address.fill("localhost")
            page.get_by_role("button", name="Connect").click()
            expect(status).to_have_text("Connected to localhost")


class Stalled:
    """Steps 3 and 5: a client that floods the server and reads nothing does not keep it from stopping."""

    def test_ctrl_c_with_a_client_that_reads_nothing(self, server: Server) -> None:
        with flood("/control") as client:
            server.wait_for("Received", count=1000, timeout=20)
            # Its answers pile up until no more can be sent to it, and then not even a goodbye.
            wait_until(lambda: stands_still(server, client), "the flood has come to a standstill", 30)
            server.press_ctrl_c()
            assert server.wait_ended() == 0
        assert "clients that did not answer were cut off" in server.output


def stands_still(server: Server, client: socket.socket) -> bool:
    """Return whether the server takes and prints nothing for a while, and not for want of the processor."""
    before = len(server.lines)
    process = psutil.Process(server.process.pid)
    for _ in range(10):
        time.sleep(0.05)
        # Elsewhere than on Linux every process is called running.
        busy = sys.platform == "linux" and process.status() == psutil.STATUS_RUNNING
        _, has_room, _ = select.select([], [client], [], 0)
        if busy or has_room or len(server.lines) != before:
            return False
    return True


class OtherPages:
    """Steps 3 to 9: the page also works from `python -m http.server` at the root.

    That it does so for steps 3 to 8 from another device is tested in test_other_device.py.
    """

    def test_page_from_a_web_server(self, server: Server, step: Step, web_server: str, pages: Pages) -> None:
        page = pages.connect(f"{web_server}/{step.name}/client.html")
        expect(page.get_by_role("textbox", name="Server address")).to_have_value("127.0.0.1")
        expect(page.get_by_role("status")).to_have_text("Connected to 127.0.0.1")


class Acquisition:
    """Steps 4 to 9: starting and stopping."""

    def test_start_stop_and_lost_sockets_on_the_page(self, fast_server: Server, pages: Pages) -> None:
        page = pages.connect()
        response = page.get_by_label("Response")
        for _ in range(2):
            pages.command(page, "START")
            expect(response).to_have_text("OK: started")
            self.wait_for_data(page)
            pages.command(page, "STOP")
            expect(response).to_have_text("OK: stopped")
        fast_server.wait_for("Received 'START'", count=2)
        fast_server.wait_for("Received 'STOP'", count=2)
        for name, says in [("control", "control socket"), ("readings", "data socket")]:
            expect(page.get_by_role("status")).to_contain_text("Connected to")
            # What the browser tells a page whose connection broke.
            page.evaluate(LOSE_SOCKET, name)
            expect(page.get_by_role("status")).to_have_text(
                re.compile(f"Disconnected: {says}: the connection was lost \\(close code 1006\\)")
            )
            page.get_by_role("button", name="Connect").click()
        expect(page.get_by_role("status")).to_contain_text("Connected to")

    def wait_for_data(self, page: Page) -> None:
        wait_for_readings(page, 2)

    def test_no_reading_after_stop(self, fast_server: Server, step: Step) -> None:
        with step.connect("control") as control, step.connect("data") as data:
            for _ in range(3):
                assert step.ask(control, "START") == "OK: started"
                data.recv(timeout=30)
                assert step.ask(control, "STOP") == "OK: stopped"
                # What the data socket answers comes after every reading that was sent before.
                data.send("hello")
                while "ERROR: this is the data socket" not in data.recv(timeout=30):
                    pass
                with pytest.raises(TimeoutError):
                    data.recv(timeout=0.1)

    def test_seeded_sensor_repeats(self, start_server: Starter, step: Step) -> None:
        def first_readings() -> list[list[float]]:
            server = start_server("--seed", "7", "--rate", "200")
            with step.connect("data") as data, step.connect("control") as control:
                # The server has both clients before the first reading, so none is missed.
                server.wait_for("Hello, client", count=2)
                step.ask(control, "START")
                values = [step.values(data.recv(timeout=30)) for _ in range(5)]
            server.stop()
            return values

        assert first_readings() == first_readings()

    def test_own_machine_as_sensor(self, start_server: Starter, step: Step) -> None:
        start_server("--sensor", "cpu" if step.number >= 8 else "processor", "--rate", "50")
        with step.connect("data") as data, step.connect("control") as control:
            step.ask(control, "START")
            values = step.values(data.recv(timeout=30))
        assert len(values) == (2 if step.number >= 8 else 1)
        assert all(0 <= value <= 100 for value in values)


class Roles:
    """Steps 4b to 9: the path tells the role."""

    def test_unknown_path_is_refused_with_a_reason(self, server: Server) -> None:
        for path in ("", "foo", "control/x"):
            with connect(f"ws://localhost:{PORT}/{path}", proxy=None) as client:
                assert close_of(client) == Close(1008, "the path must be /control or /data")
        server.wait_for("Refused a client with the path '/foo'")
        # What follows a question mark is not part of the path.
        with connect(f"ws://localhost:{PORT}/data?x=1", proxy=None) as client:
            client.send("FOO")
            assert "this is the data socket" in client.recv(timeout=30)


class Shared:
    """Steps 5 to 9: many clients, one acquisition, and the log."""

    def test_all_agree_whatever_others_do(self, fast_server: Server, pages: Pages) -> None:
        first, second = pages.connect(), pages.connect()
        pages.command(first, "START")
        wait_for_readings(second, 10)
        # A client killed without a goodbye, one that stops reading, and one that sends rubbish at full speed.
        reset(raw_connection("/data"))
        frozen = raw_connection("/data", buffer=4096)
        late = pages.connect()
        with flood("/control"):
            for page in (first, second, late):
                wait_for_readings(page, 15)
            wait_until(lambda: fast_server.output.count("Received") > 1000, "a flood")
        halt(pages, second)
        frozen.close()

        rows = read_log(fast_server.log)
        sent = rows[::4]
        expected = [list(row.values())[2:] for row in sent]
        times = [row["time_ns"] / 1e9 for row in rows]
        assert max(b - a for a, b in itertools.pairwise(times)) < 3, "the acquisition was held up"
        for page in (first, second, late):
            shown = wait_until(lambda page=page: self.complete(page, expected), "every reading on every page")
            if page is not late:
                assert len(shown) == len(expected)
        # Anybody can start it again, for all.
        pages.command(late, "START")
        wait_for_readings(first, 2)

    def complete(self, page: Page, expected: list[list[float]]) -> list[list[float]] | None:
        """Return what the page shows once it has the last reading; it must be the end of `expected`."""
        shown = self.shown(page)
        if not shown or shown[-1] != expected[-1]:
            return None
        assert shown == expected[-len(shown) :]
        return shown

    def shown(self, page: Page) -> list[list[float]]:
        return [row[1:] for row in page.evaluate(DRAWN_IN_SECONDS)]

    def test_default_rate_and_every_fourth_reading(self, server: Server, step: Step) -> None:
        def steady_second() -> bool:
            # On a busy machine a reading may be late, and the next ones follow it faster.
            times = [row["time_ns"] / 1e9 for row in read_log(server.log, torn=True)]
            return any(0.8 < after - before < 1.2 for before, after in zip(times, times[20:], strict=False))

        with step.connect("data") as data, step.connect("control") as control:
            server.wait_for("Hello, client", count=2)
            step.ask(control, "START")
            received = [step.values(data.recv(timeout=30)) for _ in range(6)]
            wait_until(steady_second, "20 readings a second")
            step.ask(control, "STOP")
        rows = read_log(server.log)
        assert [list(row.values())[2:] for row in rows[: 6 * 4 : 4]] == received

    def test_each_run_that_reads_has_a_log_of_its_own(
        self, start_server: Starter, step: Step, copied_folder: Path
    ) -> None:
        server = start_server(folder=copied_folder)
        with step.connect("data"):
            server.wait_for("Hello, client")
        server.stop()
        assert not (copied_folder / "logs").exists()
        contents = {}
        for _ in range(2):
            server = start_server("--rate", "100", folder=copied_folder)
            with step.connect("data") as data, step.connect("control") as control:
                step.ask(control, "START")
                data.recv(timeout=30)
            server.stop()
            for path, text in contents.items():
                assert path.read_text() == text
            contents[server.log] = server.log.read_text()
            assert len(read_log(server.log)) >= 1
        assert len(contents) == 2

    def test_killed_server_leaves_a_log_that_reads_back(self, start_server: Starter, step: Step) -> None:
        server = start_server("--rate", "1000")
        with step.connect("data") as data, step.connect("control") as control:
            step.ask(control, "START")
            for _ in range(50):
                data.recv(timeout=30)
            log = server.log
            server.kill()
        assert len(read_log(log, torn=True)) >= 50 * 4 - 3

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit the files of a running process")
    def test_full_disk_is_told_and_live_data_goes_on(self, fast_server: Server, pages: Pages) -> None:
        import resource

        page = pages.connect()
        start(pages, page, 5)
        # 20 bytes more fit into the file: the next row only in part.
        size = fast_server.log.stat().st_size
        resource.prlimit(fast_server.process.pid, resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))
        says = "ERROR: cannot write the log in logs: File too large"
        problem = page.get_by_text(says)
        expect(problem).to_be_visible()
        fast_server.wait_for(says)
        wait_for_readings(page, 10)
        # A page that is opened now is told too.
        expect(pages.connect().get_by_text(says)).to_be_visible()
        # There is room again: the log goes on where it was, and nothing is lost.
        resource.prlimit(fast_server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        fast_server.wait_for("OK: the log is written again")
        expect(problem).to_have_count(0)
        wait_for_readings(page, 5)
        halt(pages, page)
        assert fast_server.output.count("ERROR: cannot write the log") == 1
        assert len(read_log(fast_server.log)) >= 4 * count_of(page) - 3

    @pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
    def test_log_that_somebody_takes_away_is_told_and_goes_on(
        self, start_server: Starter, pages: Pages, copied_folder: Path
    ) -> None:
        server = start_server("--rate", "100", folder=copied_folder)
        page, other = pages.connect(), pages.connect()
        start(pages, page, 5)
        old = server.log
        disturb(old, "replaced")
        begin = time.monotonic()
        says = re.compile(f"ERROR: somebody has deleted or changed {re.escape(old.name)}; the log goes on")
        for one in (page, other, pages.connect()):
            expect(one.get_by_text(says)).to_be_visible()
        server.wait_for("Logging to ", count=2)
        assert time.monotonic() - begin < 5, "at once, but for what a busy machine takes"
        wait_for_readings(page, 10)
        expect(page.get_by_text(says)).to_be_visible()
        pages.command(page, "STOP")
        expect(page.get_by_label("Response")).to_contain_text("OK: stopped")
        rows = read_log(server.logs[-1], begins_late=True)
        assert rows[0]["seq"] > 4
        assert old.read_bytes() == b"something else"
        assert server.output.count("ERROR") == 1


class Plot:
    """Steps 6 to 9: the live plot."""

    def test_plot_in_light_and_dark_fills_a_phone_and_a_desktop(
        self, fast_server: Server, pages: Pages
    ) -> None:
        page = pages.connect(color_scheme="light")
        start(pages, page, 10)
        expect(page.get_by_role("figure", name="Live plot")).to_be_visible()
        assert page.evaluate(PAINTED, "#0b6bcb")
        halt(pages, page)
        # The colours follow the system's, also while no reading arrives.
        page.emulate_media(color_scheme="dark")
        wait_until(lambda: page.evaluate(PAINTED, "#5cabff"), "the line in its colour for dark")
        for width, height in [(390, 844), (1280, 800)]:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_function(
                """() => {
                  const [figure, plot] = [document.querySelector("figure"), document.querySelector(".uplot")];
                  return plot.clientWidth === figure.clientWidth && plot.clientHeight === figure.clientHeight;
                }"""
            )
            box = page.get_by_role("figure", name="Live plot").bounding_box()
            assert box["width"] > 0.9 * width
            assert box["height"] > 0.35 * height
            drawn = page.locator(".uplot").bounding_box()
            assert box["x"] <= drawn["x"], "nothing of the plot is cut off"
            assert box["y"] <= drawn["y"]
            assert drawn["x"] + drawn["width"] <= box["x"] + box["width"]
            assert drawn["y"] + drawn["height"] <= box["y"] + box["height"]
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("document.documentElement.scrollHeight") <= height

    def test_drawn_once_a_frame_and_bounded(self, server: Server, step: Step, pages: Pages) -> None:
        page = pages.connect()
        # 20,000 readings over 200 s, through the page's own handler, in ten bursts of one frame each.
        message = "JSON.stringify({ time, x: 1, y: 2, z: 3 })" if step.number >= 8 else '"21.5"'
        drawn = page.evaluate(
            """async (makeMessage) => {
              let time = 1e9, draws = 0;
              const clock = Date.now;
              Date.now = () => time * 1000;
              while (!window.plots.length) await new Promise(requestAnimationFrame);
              window.plots.at(-1).hooks.draw = [() => { draws += 1; }];
              const message = new Function("time", `return ${makeMessage}`);
              for (let burst = 0; burst < 10; burst++) {
                for (let i = 0; i < 2000; i++) {
                  time += 0.01;
                  readings.onmessage({ data: message(time) });
                }
                await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
              }
              Date.now = clock;
              return draws;
            }""",
            message,
        )
        assert 1 <= drawn <= 20, "drawn once an animation frame, not once a reading"
        assert count_of(page) == 20_000
        length = page.evaluate("() => window.plots.at(-1).data[0].length")
        assert 6000 <= length <= 7100, "the last 60 s, of which what has left goes ten seconds at a time"
        low, high = page.evaluate(
            "() => { const { min, max } = window.plots.at(-1).scales.x; return [min, max]; }"
        )
        assert high - low == pytest.approx(60)


class Buttons:
    """Steps 7 to 9: the true state on every page, and the legend."""

    def test_every_page_shows_the_true_state_at_once(self, server: Server, step: Step, pages: Pages) -> None:
        first, second = pages.open(), pages.connect()
        for name in ("Start", "Stop"):
            expect(first.get_by_role("button", name=name, exact=True)).to_be_disabled()
        first.get_by_role("button", name="Connect").click()
        for page in (first, second):
            expect_running(page, False)
        # By keyboard: what was pressed gives its focus to what can be pressed next.
        first.get_by_role("button", name="Start", exact=True).press("Enter")
        expect(first.get_by_role("button", name="Stop", exact=True)).to_be_focused()
        late = pages.connect()
        for page in (first, second, late):
            expect_running(page, True)
        # Whoever stops it, and with whatever program.
        with step.connect("control") as control:
            step.ask(control, "STOP")
        for page in (first, second, late):
            expect_running(page, False)

    def test_legend_has_name_unit_and_latest_value_and_a_pause_is_a_gap(
        self, fast_server: Server, step: Step, pages: Pages
    ) -> None:
        page = pages.connect()
        units = {"temperature": "°C"} if step.number == 7 else dict.fromkeys("xyz", "m/s²")
        legend = page.get_by_role("list", name="Legend").get_by_role("listitem")
        expect(legend).to_have_text(
            [re.compile(rf"{name}\s*\u2013\s*{unit}") for name, unit in units.items()]
        )
        start(pages, page, 3)
        halt(pages, page)
        row = read_log(fast_server.log)[::4][-1]
        # A sensor's -0.0 is 0 on a page, and so is -0.0 + 0.
        expect(legend).to_have_text(
            [re.compile(rf"{name}\s*{row[name] + 0:g}\s*{unit}") for name, unit in units.items()]
        )
        before = count_of(page)
        start(pages, page, 3)
        assert before in page.evaluate(BREAKS)


class SeveralFields:
    """Steps 8 and 9: JSON, sensor time, and lines to hide."""

    def test_drawn_by_the_sensors_time_and_hidden_on_demand(self, fast_server: Server, pages: Pages) -> None:
        page = pages.connect(color_scheme="light")
        before = time.time()
        start(pages, page, 10)
        button = page.get_by_role("button", name=re.compile("^y "))
        for pressed in ("true", "false", "true"):
            expect(button).to_have_attribute("aria-pressed", pressed)
            visible = page.evaluate("() => window.plots.at(-1).series.slice(1).map((series) => series.show)")
            assert visible == [True, pressed == "true", True]
            wait_for_readings(page, 2)
            assert page.evaluate(PAINTED, "#c2410c") is (pressed == "true")
            button.press("Enter")
        halt(pages, page)
        rows = [
            [row["time_ns"] / 1e9, row["x"], row["y"], row["z"]] for row in read_log(fast_server.log)[::4]
        ]
        assert before <= rows[0][0] <= rows[-1][0] <= time.time()
        wait_until(lambda: page.evaluate(DRAWN_IN_SECONDS) == rows, "what is drawn is what is logged")

    def test_same_page_with_another_sensor(self, start_server: Starter, pages: Pages) -> None:
        start_server("--sensor", "cpu", "--rate", "200")
        page = pages.connect()
        start(pages, page, 2)
        legend = page.get_by_role("list", name="Legend").get_by_role("listitem")
        expect(legend).to_have_text([re.compile(rf"{name}\s*[\d.]+\s*%") for name in ("processor", "memory")])


def next_event(connection: ClientConnection, name: str, timeout: float = 30) -> Any:
    """Return the data of the next event of this name; what else arrives is passed over."""
    events = map(json.loads, messages(connection, timeout))
    return next(event for event in events if event["event"] == name).get("data")


def send_event(connection: ClientConnection, name: str, data: Any = None) -> None:
    connection.send(json.dumps({"event": name, "data": data}))


class Programs:
    """From step 10 on: a page that connects by itself, wherever it comes from."""

    def test_page_from_a_file_and_from_a_web_server(
        self, server: Server, step: Step, web_server: str, pages: Pages
    ) -> None:
        page = pages.open((step.folder / "client.html").as_uri())
        expect(page.get_by_role("status")).to_have_text("Connected to localhost")
        page = pages.open(f"{web_server}/{step.name}/client.html")
        expect(page.get_by_role("status")).to_have_text("Connected to 127.0.0.1")


class NamedEvents(Programs):
    """Steps 10, 12 and 13: what every server of named events does, and its page with it."""

    def test_page_at_any_port_connects_by_itself_and_comes_back(
        self, start_server: Starter, pages: Pages
    ) -> None:
        pages.errors_are_expected = True
        port = free_port()
        server = start_server("--port", str(port))
        assert f"Listening on port {port}" in server.output
        assert f"On this device, open: http://localhost:{port}/" in server.output
        page = pages.connect(f"http://localhost:{port}/")
        expect(page.get_by_role("status")).to_have_text(f"Connected to localhost:{port}")
        server.stop()
        expect(page.get_by_role("status")).to_have_text(
            "Disconnected: the server has stopped (close code 1001). Waiting for the server…"
        )
        start_server("--port", str(port))
        expect(page.get_by_role("status")).to_have_text(f"Connected to localhost:{port}")

    def test_bad_messages_get_an_error_and_nothing_else_changes(self, server: Server, step: Step) -> None:
        with step.connect() as other, step.connect() as client:
            for message, says in [
                ("rubbish", "'rubbish' is not an event; try "),
                ("", "'' is not an event; try "),
                ("[1, 2]", "'[1, 2]' is not an event; try "),
                ('{"data": 1}', " is not an event; try "),
                ('{"event": 1}', " is not an event; try "),
                ('{"event": "\\u001b[31mx", "data": NaN}', " is not an event; try "),
                ("[" * 100_000, " is not an event; try "),
                ('{"event": "\\u001b[31mx"}', r"unknown event '\x1b[31mx'; try '"),
                (b"\x00\xff", "a message has to be text, not binary"),
                ("x" * 2_000_000, "a message of 2000000 characters; the limit is 1048576"),
            ]:
                client.send(message)
                error = next_event(client, "error")
                assert says in error
                assert len(error) < 400
                assert "\x1b" not in error
            assert "\x1b" not in server.output
            assert "failed" not in server.output
            next_event(other, "heartbeat")


def request(
    method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> http.client.HTTPResponse:
    """Make a plain HTTP request, and return the response, whose text is in `body`."""
    connection = http.client.HTTPConnection("localhost", PORT, timeout=30)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    response.body = response.read()
    connection.close()
    return response
