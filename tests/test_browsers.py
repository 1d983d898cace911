"""Browsers and networks that do less than most: no page waits for ever."""

import re
import socket
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Pages
from tests.steps import STEPS
from tests.support import PORT, Server, Step

# test1 and test2 connect to a port that is written in the page, and leave all else to the browser.
CONNECTING = STEPS[2:]

# A WebSocket that comes to nothing and never says so, not even when closed: as for a port that WebKit blocks.
MUTE = """
class Mute extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSING = 2;
  static CLOSED = 3;
  readyState = 0;
  close() { this.readyState = 2; }
  send() { throw new DOMException("still connecting", "InvalidStateError"); }
}
"""

GAVE_UP = re.compile(r"Disconnected: .*(no answer from \S+:\d+\. Is the server running\?|close code 1006)")


@pytest.fixture
def pages(browser: Browser, name: str) -> Iterator[Pages]:
    pages = Pages(browser, Step(name))
    yield pages
    pages.close()


@pytest.fixture
def deaf_server() -> Iterator[None]:
    """What takes connections, at the port of the steps, and never says a word."""
    taken = []
    with socket.create_server(("", PORT), family=socket.AF_INET) as server:

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept())
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection, _ in taken:
        connection.close()


def check_that_it_gives_up(pages: Pages, script: str = "") -> None:
    page = pages.open("about:blank")
    page.add_init_script(script)
    page.clock.install()
    # All pages open from their files, and look for a server on this machine then.
    page.goto((pages.step.folder / "client.html").as_uri())
    status = page.get_by_role("status")
    if pages.step.number <= 9:
        pages.button(page, "Connect").click()
    expect(status).to_have_text("Connecting…")
    page.clock.run_for(7000)
    expect(status).to_have_text(GAVE_UP)
    # A later attempt is not ended by the clock of one before.
    if pages.step.number <= 9:
        for _ in range(2):
            pages.button(page, "Connect").click()
            expect(status).to_have_text("Connecting…")
            page.clock.run_for(4000)
            expect(status).to_have_text("Connecting…")


@pytest.mark.parametrize("name", CONNECTING)
def test_server_that_never_answers(name: str, deaf_server: None, pages: Pages) -> None:
    check_that_it_gives_up(pages)


@pytest.mark.parametrize("name", CONNECTING)
def test_browser_that_never_says_that_it_failed(name: str, pages: Pages) -> None:
    check_that_it_gives_up(pages, f"{MUTE}; window.WebSocket = Mute;")


@pytest.mark.parametrize("name", ["test4", "test4b", "test9", "test15"])
def test_one_of_two_sockets_never_opens(name: str, pages: Pages) -> None:
    server = Server(pages.step.folder)
    try:
        server.wait_listening()
        page = pages.open("about:blank")
        page.add_init_script(
            f"""{MUTE}
            let made = 0;
            window.WebSocket = new Proxy(WebSocket, {{
              construct: (target, args) => (made++ % 2 === 0 ? new target(...args) : new Mute()),
            }});"""
        )
        page.goto((pages.step.folder / "client.html").as_uri())
        if pages.step.number <= 9:
            pages.button(page, "Connect").click()
        server.wait_for("Hello, client")
        expect(page.get_by_role("status")).to_have_text(GAVE_UP, timeout=15_000)
    finally:
        server.stop()
        server.remove_log()
