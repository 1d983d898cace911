"""What can go wrong in test3; what needs a second machine is in tests/test_other_device.py too."""

import subprocess
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import Pages, Starter
from tests.copies import Copy
from tests.readme import Trouble
from tests.support import PORT, ROOT, Server, Step, free_port, wait_until
from tests.troubleshooting import trouble


def connect_to(page: Page, address: str) -> str:
    """Try to connect to an address, and return what the page says about the failure."""
    page.get_by_role("textbox", name="Server address").fill(address)
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("status")).to_contain_text("Disconnected: ")
    return page.get_by_role("status").inner_text()


def console(page: Page, pages: Pages, text: str) -> str:
    """Return the errors in the browser's console, as soon as one of them has this text."""
    wait_until(lambda: page.title() and text in " ".join(pages.errors), f"{text!r} in the console")
    return " ".join(pages.errors)


@pytest.fixture
def open_from(pages: Pages) -> Callable[[str], Page]:
    """Opens the page as it would come from a server on the internet; its files are given here instead."""

    def give(route: Route) -> None:
        route.fulfill(path=ROOT / urlsplit(route.request.url).path.lstrip("/"))

    def open_from(origin: str) -> Page:
        pages.errors_are_expected = True
        page = pages.open("about:blank")
        page.route(f"{origin}/**", give)
        page.goto(f"{origin}/{pages.step.name}/client.html")
        return page

    return open_from


class TestTroubles:
    step = "test3"

    @trouble(f"`Disconnected: no answer from 192.168.1.20:{PORT}.")
    def test_no_server(self, pages: Pages, start_server: Starter, entry: Trouble) -> None:
        pages.errors_are_expected = True
        entry.seen_in(connect_to(pages.open(), "localhost"), **{"192.168.1.20": "localhost"})
        # The cure of the first question; the others are asked in tests/test_other_device.py.
        entry.seen_in(start_server().output, "of every network interface")
        pages.connect()

    @pytest.mark.skipif(sys.platform == "win32", reason="its Ctrl-C is pressed in another way")
    @trouble("`… 3,120 lines of console output were left out`")
    def test_terminal_that_takes_nothing(self, step: Step, entry: Trouble) -> None:
        with subprocess.Popen(
            [sys.executable, "server.py"], cwd=step.folder, stdout=subprocess.PIPE, encoding="utf-8"
        ) as server:
            try:
                assert server.stdout.readline().startswith("Listening on")
                with step.connect() as client:
                    for _ in range(6000):
                        step.ask(client, "x" * 100)
                lines = iter(server.stdout.readline, "")
                said = next(line for line in lines if "left out" in line)
                entry.seen_in(said, **{"3,120": said.split()[1]})
                with step.connect():
                    assert any("Hello, client" in line for line in lines)
            finally:
                server.terminate()
        assert server.returncode == 0

    @trouble(f"`Disconnected: no answer from 0.0.0.0:{PORT}.")
    def test_address_to_listen_on(self, pages: Pages, start_server: Starter, entry: Trouble) -> None:
        # As on a phone, there is no server on this device.
        pages.errors_are_expected = True
        page = pages.open()
        entry.seen_in(connect_to(page, "0.0.0.0"))
        if sys.platform == "linux":  # one of the systems where it happens to reach this machine
            start_server()
            page.get_by_role("button", name="Connect").click()
            expect(page.get_by_role("status")).to_have_text("Connected to 0.0.0.0")

    @trouble('`Disconnected: "" is not an address')
    def test_no_address(self, pages: Pages, entry: Trouble) -> None:
        entry.seen_in(connect_to(pages.open(), ""))

    @trouble("`Disconnected: this page came by https")
    def test_page_by_https(
        self, server: Server, pages: Pages, open_from: Callable[[str], Page], entry: Trouble
    ) -> None:
        page = open_from("https://dashboard.example")
        entry.seen_in(connect_to(page, "dashboard.example"))
        entry.seen_in(console(page, pages, "insecure WebSocket"), "Mixed Content")
        # What is private passes, and is refused all the same.
        assert f"no answer from localhost:{PORT}" in connect_to(page, "localhost")
        assert "Hello" not in server.output

    @trouble("It works from the file, but not when the page comes from a server on the internet")
    def test_page_with_a_public_address(
        self, server: Server, pages: Pages, open_from: Callable[[str], Page], entry: Trouble
    ) -> None:
        page = open_from("http://dashboard.example")
        entry.seen_in(connect_to(page, "localhost"), "no answer from")
        entry.seen_in(console(page, pages, "net::"), "net::")
        assert "Hello" not in server.output
        pages.connect()

    @trouble(f"`Port {PORT} is already in use")
    def test_second_server(self, server: Server, copy: Copy, entry: Trouble) -> None:
        second = copy.run()
        assert second.wait_ended() != 0
        entry.seen_in(second.output)
        copy.start("--port", str(free_port()))
