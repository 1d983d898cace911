"""Fixtures: servers as processes, and pages in a real browser."""

import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

from tests import forked
from tests.browser import LAUNCH_ARGS, find_browser
from tests.copies import Copy
from tests.steps import between
from tests.support import ROOT, Board, Server, Step, free_port, listening, run

# Busy machines need more than Playwright's own 5 s now and then.
expect.set_options(timeout=30_000)

# Keeps every plot that a page makes, so that a test can ask what is drawn.
REMEMBER_PLOTS = """
window.plots = [];
let uPlotOfPage;
Object.defineProperty(window, "uPlot", {
  get: () => uPlotOfPage,
  set: (value) => {
    uPlotOfPage = new Proxy(value, {
      construct(target, args) {
        const plot = new target(...args);
        window.plots.push(plot);
        return plot;
      },
    });
  },
});
"""


# What the fixture start_server is: it takes the options of a server, and returns that as soon as it listens.
Starter = Callable[..., Server]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="try what steps have in common at all of them")


# The last, so that a step of which alone the tests are run has all of them.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is tried at an earlier and at a newer step too."""
    if not config.getoption("--all"):
        of_steps = set(between((item.cls, item.name) for item in items if item.cls))
        left_out = {
            item for item in items if (item.cls, item.name) in of_steps or item.get_closest_marker("with_all")
        }
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Share the tests among the cores, and three more, because tests wait now and then."""
    return (os.cpu_count() or 1) + 3


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "with_all: tried with --all alone")
    forked.enabled &= not config.getoption("--all")
    # Where several processes share the tests, each uses what the first of them has found.
    config.browser_path = os.environ.get("TESTS_BROWSER") or find_browser()
    os.environ["TESTS_BROWSER"] = config.browser_path or ""


@pytest.fixture(scope="session")
def browser_type_launch_args(pytestconfig: pytest.Config, browser_type_launch_args: dict) -> dict:
    assert pytestconfig.browser_path, "no browser; run: python -m tests.browser"
    return browser_type_launch_args | {"executable_path": pytestconfig.browser_path, "args": LAUNCH_ARGS}


@pytest.fixture
def step(request: pytest.FixtureRequest) -> Step:
    """The step that the test's class is about."""
    return Step(request.cls.step)


@pytest.fixture
def start_server(step: Step) -> Iterator[Starter]:
    """Start the step's server with these options; at the end of the test it is stopped with Ctrl-C."""
    servers: list[Server] = []

    def start(*options: str, folder: Path = step.folder, **how: object) -> Server:
        server = Server(folder, *options, at_once=True, **how)
        servers.append(server)
        server.wait_listening()
        return server

    yield start
    try:
        for server in servers:
            server.stop()
    finally:
        for server in servers:
            if server.process.returncode is None:
                server.kill()
            server.remove_log()


@pytest.fixture
def server(start_server: Starter) -> Server:
    return start_server()


@pytest.fixture
def fast_server(start_server: Starter) -> Server:
    """A server whose sensor is read 100 times a second, so that tests need not wait for readings."""
    return start_server("--rate", "100")


@pytest.fixture
def copied_folder(step: Step, tmp_path: Path) -> Path:
    """A copy of the step's folder, for what must not be done where somebody's own logs may be."""
    folder = tmp_path / step.name
    shutil.copytree(step.folder, folder, ignore=shutil.ignore_patterns("logs"))
    shutil.copytree(ROOT / "common" / "static", tmp_path / "common" / "static")
    return folder


@pytest.fixture
def copy(step: Step, tmp_path: Path) -> Iterator[Copy]:
    """A copy of the step and of `common`, for mistakes and other changes."""
    copy = Copy(step.name, tmp_path)
    yield copy
    copy.close()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """A microcontroller that is plugged in."""
    board = Board(tmp_path / "ttyUSB0")
    board.plug_in()
    yield board
    board.unplug()


class Pages:
    """Opens pages, and notes every error in their consoles."""

    def __init__(self, browser: Browser, step: Step) -> None:
        self.browser, self.step = browser, step
        self.contexts: dict[str, BrowserContext] = {}
        self.errors: list[str] = []
        self.errors_are_expected = False

    def open(self, url: str | None = None, **options: object) -> Page:
        """Open the step's page, or another address, and leave it as a reader first sees it."""
        # Small windows are drawn fast.
        options = {"viewport": {"width": 640, "height": 480}} | options
        if str(options) not in self.contexts:
            context = self.contexts[str(options)] = self.browser.new_context(**options)
            context.add_init_script(REMEMBER_PLOTS)
            context.on("weberror", lambda error: self.errors.append(str(error.error)))
            context.on("console", self._note)
        page = self.contexts[str(options)].new_page()
        page.set_default_timeout(30_000)
        page.goto(url or self.step.url)
        return page

    def connect(self, url: str | None = None, **options: object) -> Page:
        """Open the page and connect it to the server; some pages do that by themselves."""
        page = self.open(url, **options)
        if 3 <= self.step.number <= 9:
            self.button(page, "Connect").click()
        # The first, because somebody may add an <output>, which has this role too.
        expect(page.get_by_role("status").first).to_contain_text("Connected to")
        return page

    def button(self, page: Page, name: str) -> Locator:
        """Return a button of the page, or say that it is not there."""
        button = page.get_by_role("button", name=name, exact=True)
        expect(button, f"{self.step.name}/client.html: no button {name!r}").to_be_visible()
        return button

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location['url']})")

    def close(self) -> None:
        """Close all pages."""
        for context in self.contexts.values():
            context.close()
        self.contexts.clear()

    def command(self, page: Page, text: str) -> None:
        """Give a command as a person does: by typing it, or with the button from step 7 on."""
        if self.step.number >= 7:
            self.button(page, text.capitalize()).click()
        else:
            page.get_by_role("textbox", name="Command").fill(text)
            self.button(page, "Send").click()


def shown(element: Locator, text: str) -> str:
    """Wait until an element has this text, and return all that it has."""
    expect(element).to_contain_text(text)
    return element.inner_text()


@pytest.fixture
def pages(browser: Browser, step: Step, start_server: object) -> Iterator[Pages]:
    pages = Pages(browser, step)
    yield pages
    pages.close()
    if not pages.errors_are_expected:
        assert pages.errors == []


@pytest.fixture
def web_server() -> Iterator[str]:
    """`python -m http.server` at the root of the repository, and its address."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with listening(command, port, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that this machine may use for the internet has no part in tests on the machine itself."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
