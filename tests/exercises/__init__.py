"""The exercises at the end of each step. To see how far you are with those of test4, in the environment:

    pytest tests/exercises/test4.py

The check of an exercise runs your server and opens your page. It says what it looked for, and what it saw.
"""

import functools
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.conftest import Pages
from tests.page import count_of
from tests.support import ROOT, Server, Step


class NotYet(Exception):
    """What an exercise asks for is not there yet.

    Args:
        what: what the check looked for.
        saw: what it saw instead.
        stuck: whether the check could not go on, which no check may do with the step as it stands.
    """

    def __init__(self, what: str, saw: object, *, stuck: bool = False) -> None:
        super().__init__(f"looked for {what}; saw {saw}")
        self.what, self.saw, self.stuck = what, saw, stuck


class Look:
    """Looks at a step as a reader has changed it: through its page, its sockets, and its terminal.

    Args:
        name: the step.
        browser: returns the browser, which is started only if a check opens a page.
        tree: where the step and `common` are.
    """

    def __init__(self, name: str, browser: Callable[[], Browser], tree: Path = ROOT) -> None:
        self.step = Step(name, tree)
        self.connect, self.ask = self.step.connect, self.step.ask
        self.tree = tree
        self.found: list[str] = []
        self.servers: list[Server] = []
        self._browser, self._pages = browser, None

    def start(self, *options: str) -> Server:
        """Start the server as the reader does, and wait until it listens."""
        here = {"PYTHONPATH": str(self.tree)}
        server = Server(self.step.folder, *options, environment=here, at_once=True)
        self.servers.append(server)
        try:
            server.wait_listening()
        except AssertionError:
            raise NotYet("a server that starts", server.output) from None
        return server

    def help(self) -> str:
        """Return what the server prints with the option --help."""
        server = Server(self.step.folder, "--help", environment={"PYTHONPATH": str(self.tree)})
        self.find("a server that tells its options", server.wait_ended(30), 0)
        return server.output

    @property
    def pages(self) -> Pages:
        if self._pages is None:
            self._pages = Pages(self._browser(), self.step)
        return self._pages

    def page(self, **options: object) -> Page:
        """Open the step's page, connected to the server."""
        return self.pages.connect(**options)

    def find(self, what: str, saw: object, wanted: object) -> None:
        """Note that something has been found, or tell the reader that it is not there yet.

        Args:
            what: what is looked for, in plain words.
            saw: what there is.
            wanted: what there should be: a value, a pattern for the whole of a text, or a function that says
                of what there is whether that is right.
        """
        if not is_wanted(saw, wanted):
            raise NotYet(what, repr(saw) if isinstance(saw, str) else saw)
        self.found.append(what)

    def wait(self, what: str, see: Callable[[], Any], wanted: object, timeout: float = 5) -> None:
        """The same for what may take a moment: `see` is called until it returns what is wanted."""
        deadline = time.monotonic() + timeout
        while not is_wanted(saw := see(), wanted) and time.monotonic() < deadline and not self.traceback:
            time.sleep(0.02)
        self.find(what, saw, wanted)

    def readings(self, page: Page, more: int) -> None:
        """Wait until that many more readings have been shown, from test5 on."""
        enough = count_of(page) + more
        self.wait(
            f"{more} more readings in the page", lambda: count_of(page), lambda count: count >= enough, 10
        )

    @property
    def traceback(self) -> str:
        """The end of what a server has printed that has failed."""
        failed = [server for server in self.servers if "Traceback" in server.output]
        return "\n".join(failed[0].lines[-12:]) if failed else ""

    def finish(self) -> None:
        """Close the pages, stop the servers with Ctrl-C, and look for what no change may bring."""
        if self._pages:
            self._pages.close()
            self.find("no error in the browser's console", self._pages.errors, [])
        for server in self.servers:
            if server.process.returncode is None:  # else the check itself has ended it
                server.press_ctrl_c()
                server.wait_ended()
            self.find("no traceback in the terminal", server.output, lambda output: "Traceback" not in output)

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self._pages:
            self._pages.close()
        for server in self.servers:
            server.kill()
            server.remove_log()


def sent_so_far(client: ClientConnection) -> list[str]:
    """Return what has been sent to a client up to now: the answer to a ping comes after all that."""
    messages: list[str] = []
    answered = client.ping()
    deadline = time.monotonic() + 20
    while not answered.is_set():
        if time.monotonic() > deadline:
            raise TimeoutError("no answer to a ping within 20 s")
        with suppress(TimeoutError):
            messages.append(client.recv(timeout=0.05))
    with suppress(TimeoutError):
        while time.monotonic() < deadline:
            messages.append(client.recv(timeout=0))
    return messages


def received(client: ClientConnection, count: int) -> list[str]:
    """Return the next messages, or fewer if no more come."""
    messages: list[str] = []
    with suppress(TimeoutError):
        while len(messages) < count:
            messages.append(client.recv(timeout=5))
    return messages


def is_wanted(saw: object, wanted: object) -> bool:
    if isinstance(wanted, re.Pattern):
        return bool(wanted.fullmatch(str(saw)))
    return bool(wanted(saw)) if callable(wanted) else saw == wanted


def exercise(hint: str) -> Callable[[Callable[[Look], None]], Callable[[Look], None]]:
    """Make the check of an exercise of a function whose name has its number, as in `test_1_dice`.

    Args:
        hint: what a reader is told who asks for a hint.
    """

    def make(check: Callable[[Look], None]) -> Callable[[Look], None]:
        @functools.wraps(check)
        def checked(look: Look) -> None:
            try:
                check(look)
                look.finish()
            except NotYet as missing:
                # Why a server has failed says more than what is missing since.
                if look.traceback and not missing.stuck:
                    raise NotYet("no traceback in the terminal", look.traceback, stuck=True) from None
                raise
            except (
                AssertionError,
                PlaywrightError,
                ConnectionClosed,
                OSError,
                ValueError,
                LookupError,
            ) as error:
                # A server hangs up before it prints why.
                deadline = time.monotonic() + (2 if isinstance(error, ConnectionClosed) else 0)
                while not look.traceback and time.monotonic() < deadline:
                    time.sleep(0.02)
                if look.traceback:
                    raise NotYet("no traceback in the terminal", look.traceback, stuck=True) from error
                raise NotYet(
                    "a step that works otherwise as before", f"{type(error).__name__}: {error}", stuck=True
                ) from error
            finally:
                look.close()

        checked.hint = hint
        checked.number = int(re.match(r"test_(\d)_", check.__name__)[1])
        return checked

    return make
