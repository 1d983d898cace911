"""Browsers that can do less than most, and networks: no page waits for ever, and the oldest browsers do."""

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import Pages
from tests.copies import Copy
from tests.page import wait_for_readings
from tests.readme import README
from tests.steps import STEPS, kept_by
from tests.support import PORT, ROOT, Server, Step
from tests.test_list import tracked

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
def server(pages: Pages) -> Iterator[Server]:
    server = Server(pages.step.folder)
    server.wait_listening()
    yield server
    pages.close()
    server.stop()
    server.remove_log()


def open_with(pages: Pages, script: str, url: str) -> Page:
    """Open a page in a browser that this script has changed, and connect it to the server."""
    page = pages.open("about:blank")
    page.add_init_script(script)
    page.goto(url)
    if 3 <= pages.step.number <= 9:
        pages.button(page, "Connect").click()
    return page


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


@pytest.mark.parametrize("name", ["test3", "test4", "test9", "test10", "test15"])
def test_server_that_never_answers(name: str, deaf_server: None, pages: Pages) -> None:
    check_that_it_gives_up(pages)


@pytest.mark.parametrize("name", kept_by(CONNECTING))
def test_browser_that_never_says_that_it_failed(name: str, pages: Pages) -> None:
    check_that_it_gives_up(pages, f"{MUTE}; window.WebSocket = Mute;")


@pytest.mark.parametrize("name", ["test4", "test9", "test15"])
def test_one_of_two_sockets_never_opens(server: Server, pages: Pages) -> None:
    script = f"""{MUTE}
    let made = 0;
    window.WebSocket = new Proxy(WebSocket, {{
      construct: (target, args) => (made++ % 2 === 0 ? new target(...args) : new Mute()),
    }});"""
    page = open_with(pages, script, (pages.step.folder / "client.html").as_uri())
    server.wait_for("Hello, client")
    expect(page.get_by_role("status")).to_have_text(GAVE_UP)


# What browsers have got since Chrome 95, Firefox 93 and Safari 15.4, and pages like to use.
NEWER = """
const newer = {
  "Array.prototype": "findLast findLastIndex group toReversed toSorted toSpliced with",
  "Object.getPrototypeOf(Int8Array.prototype)": "findLast findLastIndex toReversed toSorted with",
  "Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()))":
    "drop every filter find flatMap forEach map reduce some take toArray",
  "String.prototype": "isWellFormed toWellFormed",
  "Map.prototype": "getOrInsert getOrInsertComputed",
  "Set.prototype": "difference intersection isDisjointFrom isSubsetOf isSupersetOf symmetricDifference union",
  "ArrayBuffer.prototype": "resize transfer transferToFixedLength",
  "Array": "fromAsync",
  "Object": "groupBy",
  "Map": "groupBy",
  "Promise": "try withResolvers",
  "RegExp": "escape",
  "Error": "captureStackTrace isError",
  "Intl": "DurationFormat Segmenter supportedValuesOf",
  "URL": "canParse parse",
  "URLSearchParams.prototype": "size",
  "AbortSignal": "any timeout",
  "AbortSignal.prototype": "reason throwIfAborted",
  "Response": "json",
  "Response.prototype": "bytes",
  "Blob.prototype": "bytes",
  "Crypto.prototype": "randomUUID",
  "Element.prototype": "checkVisibility computedStyleMap getHTML moveBefore role setHTML setHTMLUnsafe",
  "HTMLElement.prototype": "attachInternals hidePopover inert popover showPopover togglePopover",
  "HTMLDialogElement.prototype": "close requestClose show showModal",
  "HTMLInputElement.prototype": "showPicker",
  "HTMLSelectElement.prototype": "showPicker",
  "Document.prototype": "adoptedStyleSheets startViewTransition",
  "CanvasRenderingContext2D.prototype":
    "createConicGradient direction filter fontKerning letterSpacing reset roundRect wordSpacing",
  "Navigator.prototype": "clipboard locks share userActivation userAgentData vibrate wakeLock",
  "Performance.prototype": "memory",
  "window": "cookieStore Iterator navigation requestIdleCallback scheduler structuredClone",
};
for (const [owner, names] of Object.entries(newer)) {
  for (const name of names.split(" ")) delete new Function(`return ${owner}`)()[name];
}
for (const name of Object.getOwnPropertyNames(Element.prototype)) {
  if (name.startsWith("aria")) delete Element.prototype[name];
}
"""

# The same in style sheets. What a browser does not understand there, it passes over.
NEWER_STYLE = re.compile(r":has\(|light-dark\(|color-mix\(|\b(?<=\d)[dsl]v[hw]\b")


def make_old(copy: Copy) -> None:
    """Leave only that in the pages and style sheets which an old browser understands."""
    for path in [copy.step.folder / "client.html", *copy.folder.glob("common/static/**/*.css")]:
        text = path.read_text(encoding="utf-8")
        path.write_text(
            NEWER_STYLE.sub(lambda found: f"unknown-{found[0].lstrip(':')}", text), encoding="utf-8"
        )


def has_runs(pages: Pages) -> bool:
    """Whether the page offers earlier runs."""
    return STEPS.index(pages.step.name) >= STEPS.index("test14b")


def try_out(pages: Pages, page: Page, earlier: str) -> None:
    """Do what the page is for."""
    step = pages.step.number
    if step == 1:
        expect(page.get_by_role("listitem").first).to_be_visible()
    elif step <= 3:
        pages.command(page, "GREET_ME")
        expect(page.get_by_label("Response")).to_have_text("Hello! Nice to meet you.")
    elif step <= 9 or step >= 14:
        pages.command(page, "START")
        expect(page.get_by_label("Response")).to_contain_text("OK: started")
        if step >= 5:
            wait_for_readings(page, 3)
        else:
            expect(page.get_by_label("Data").get_by_role("listitem").first).to_be_visible()
    elif step == 10:
        pages.button(page, "Click me").click()
        expect(page.get_by_label("Response")).to_contain_text("your click 1.")
    elif step == 11:
        expect(page.get_by_text(re.compile(r"\d+ of 601"))).to_be_visible()
    elif step == 12:
        expect(page.get_by_role("img", name=re.compile("up|down|unchanged")).first).to_be_visible()
        name = page.get_by_role("rowheader").first.inner_text()
        pages.button(page, f"Remove {name}").click()
        expect(page.get_by_label("Response")).to_have_text(f"Removed {name}.")
    if step in (8, 9, 13) or step >= 14:
        field = page.locator("#legend").get_by_role("button").first
        field.click()
        expect(field).to_have_attribute("aria-pressed", "false")
    if has_runs(pages):
        this_run, in_view = (
            page.get_by_role("link", name=f"Download {what}") for what in ("this run", "what is in view")
        )
        expect(this_run).to_have_attribute("href", re.compile(r"/log\.csv$"))
        expect(in_view).to_have_attribute("href", re.compile(r"/log\.csv\?from=[\d.]+&to=[\d.]+$"))
        page.get_by_label("Run").focus()
        page.get_by_label("Run").select_option(earlier)
        expect(page.locator("#count")).to_have_text("3 readings")
        expect(this_run).to_have_attribute("href", re.compile(rf"/log\.csv\?run={earlier}$"))
        expect(in_view).to_have_attribute("href", re.compile(rf"/log\.csv\?run={earlier}&from="))
        with page.expect_download() as download:
            this_run.click()
        assert len(download.value.path().read_text(encoding="utf-8-sig").splitlines()) == 4


@pytest.mark.parametrize("name", STEPS)
def test_oldest_browsers(name: str, tmp_path: Path, pages: Pages) -> None:
    copy = Copy(name, tmp_path)
    earlier = "2026-01-05T10-59-20.000000"
    if has_runs(pages):
        (copy.step.folder / "logs").mkdir()
        rows = "".join(f"{seq},17676107600{seq}0000000,1,2,3\n" for seq in (1, 2, 3))
        copy.write(f"logs/{earlier}.csv", f"seq,time_ns,x,y,z\n{rows}")
    make_old(copy)
    copy.start()
    try:
        page = open_with(pages, NEWER, copy.step.url)
        expect(page.get_by_role("status").first).to_contain_text("Connected to")
        try_out(pages, page, earlier)
        assert pages.errors == []
    finally:
        pages.close()
        copy.close()


def test_readme_names_the_oldest_browsers() -> None:
    assert "Chrome or Edge 95, Firefox 93 or Safari 15.4" in " ".join(README.split())


@pytest.mark.parametrize("path", tracked("test*/client.html", "common/static/*.js"))
def test_scripts_have_no_newer_syntax(path: str) -> None:
    # Lookbehind is from Safari 16.4 on, static blocks too, and the flag v from 17 on.
    text = (ROOT / path).read_text(encoding="utf-8")
    assert "uPlot" in path or not re.search(r"\(\?<[=!]|\bstatic \{|/[dgimsuy]*v[dgimsuy]*[,;).]", text)


@pytest.mark.parametrize(
    ("name", "language"),
    [("test6", "C"), ("test9", "C"), ("test9", ""), ("test9", "en_US.UTF-8"), ("test14b", "C")],
)
def test_browser_whose_language_is_none(language: str, server: Server, pages: Pages) -> None:
    script = f"Object.defineProperty(Navigator.prototype, 'language', {{ get: () => {language!r} }});"
    page = open_with(pages, script, pages.step.url)
    expect(page.locator("figure canvas")).to_be_visible()
    assert pages.errors == []
