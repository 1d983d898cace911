"""Another device: the server in one network namespace, the browser in another, each with its own address.

Only root can make network namespaces, and only Linux has them. In CI on Linux the tests run, or fail.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zxingcpp
from playwright.sync_api import Browser, Page, Playwright, expect

from tests.browser import LAUNCH_ARGS
from tests.conftest import Pages, Starter
from tests.page import GAPS, HIDE, ROWS, count_of, wait_for_readings
from tests.promises import stop
from tests.steps import PART_I, PART_II, PART_III, kept_by
from tests.support import PORT, ROOT, Server, Step, gaps_in, rows_of, wait_until


def can_isolate() -> bool:
    """Whether processes may have a network of their own: as root, outside of most containers."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    return subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL).returncode == 0


if sys.platform != "linux" or not (can_isolate() or "CI" in os.environ):
    pytest.skip("network namespaces need Linux, root and the command ip", allow_module_level=True)

SERVER, DEVICE = f"livedata-server-{os.getpid()}", f"livedata-device-{os.getpid()}"
SERVER_ADDRESS, DEVICE_ADDRESS = "10.77.0.1", "10.77.0.2"
# An address as a server on the internet has one; this one is kept for documentation (RFC 5737).
PUBLIC_ADDRESS = "203.0.113.1"
IN_SERVER = ("ip", "netns", "exec", SERVER)
IN_DEVICE = ("ip", "netns", "exec", DEVICE)
URL = f"http://{SERVER_ADDRESS}:{PORT}/"
PHONE = {"width": 390, "height": 844}


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """Two machines on one cable."""
    for name in (SERVER, DEVICE):
        ip("netns", "add", name)
    try:
        ip("-n", SERVER, "link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", DEVICE)
        for name, address in ((SERVER, SERVER_ADDRESS), (DEVICE, DEVICE_ADDRESS)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "lan")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "lan", "up")
        ip("-n", SERVER, "address", "add", PUBLIC_ADDRESS, "dev", "lan")
        ip("-n", DEVICE, "route", "add", PUBLIC_ADDRESS, "dev", "lan")
        yield
    finally:
        for name in (SERVER, DEVICE):
            ip("netns", "delete", name)


@pytest.fixture(scope="module")
def browser(
    network: None,
    playwright: Playwright,
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Browser]:
    """A browser on the other device."""
    starter: Path = tmp_path_factory.mktemp("device") / "browser"
    starter.write_text(f'#!/bin/sh\nexec {" ".join(IN_DEVICE)} "{pytestconfig.browser_path}" "$@"\n')
    starter.chmod(0o755)
    browser = playwright.chromium.launch(executable_path=starter, args=LAUNCH_ARGS)
    yield browser
    browser.close()


@pytest.fixture
def step(request: pytest.FixtureRequest) -> Step:
    """The step that the test is about: test9, or each in turn."""
    return Step(getattr(request, "param", "test9"))


@pytest.fixture
def web_server(network: None) -> Iterator[None]:
    """`python -m http.server` at the root of the repository, on the server's machine."""
    process = subprocess.Popen(
        [*IN_SERVER, sys.executable, "-m", "http.server"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    code = f"import socket; socket.create_connection(('{SERVER_ADDRESS}', 8000), 1)"
    ask = [*IN_DEVICE, sys.executable, "-c", code]

    def answers() -> bool:
        return subprocess.run(ask, stderr=subprocess.DEVNULL).returncode == 0

    try:
        wait_until(answers, "the web server answers")
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("step", kept_by(PART_I[2:-1]), indirect=True)
def test_page_on_another_device(step: Step, start_server: Starter, web_server: None, pages: Pages) -> None:
    server = start_server(prefix=IN_SERVER)
    assert f"On other devices, server address: {SERVER_ADDRESS}" in server.output
    page = pages.open(f"http://{SERVER_ADDRESS}:8000/{step.name}/client.html", viewport=PHONE)
    expect(page.get_by_role("textbox", name="Server address")).to_have_value(SERVER_ADDRESS)
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("status")).to_have_text(f"Connected to {SERVER_ADDRESS}")
    if step.number == 3:
        pages.command(page, "GREET_ME")
        expect(page.get_by_label("Response")).to_have_text("Hello! Nice to meet you.")
    elif step.number == 4:
        pages.command(page, "START")
        expect(page.get_by_label("Data").get_by_role("listitem").nth(2)).to_be_visible()
    else:
        pages.command(page, "START")
        wait_for_readings(page, 3)


def scan(server: Server) -> str:
    """Read the QR code that the server printed, as a phone reads it from a dark terminal."""
    server.wait_for("▀" * 20)  # the last line of the code
    lines = [line for line in server.lines if line.strip(" ") and set(line) <= set(" █▀▄")]
    pixels = [
        [255 * (character in bright) for character in line] for line in lines for bright in ("█▀", "█▄")
    ]
    size = 4
    image = b"".join(bytes(p for p in row for _ in range(size)) for row in pixels for _ in range(size))
    shape = [len(pixels) * size, len(pixels[0]) * size]
    (code,) = zxingcpp.read_barcodes(memoryview(image).cast("B", shape=shape))
    return code.text


def test_dashboard_on_many_devices(start_server: Starter, pages: Pages) -> None:
    server = start_server(prefix=IN_SERVER)
    assert f"On other devices, open: {URL}" in server.output
    assert scan(server) == URL
    phone = pages.connect(URL, viewport=PHONE, has_touch=True)
    laptop = pages.connect(f"{URL}dashboard")
    expect(laptop.get_by_role("textbox", name="Server address")).to_have_value(SERVER_ADDRESS)
    phone.get_by_role("button", name="Start").tap()
    wait_for_readings(laptop, 3)
    laptop.get_by_role("button", name="Stop").click()
    expect(phone.get_by_role("button", name="Start")).to_be_enabled()
    wait_until(lambda: count_of(phone) == count_of(laptop), "the same on both")


@contextlib.contextmanager
def unplugged(page: Page) -> Iterator[None]:
    """For as long as the block runs, the cable is out, as the page knows; then it is connected again."""
    status = page.get_by_role("status")
    ip("-n", SERVER, "link", "set", "lan", "down")
    try:
        says = f"Disconnected: nothing heard from {SERVER_ADDRESS}:{PORT} for 5 seconds"
        expect(status).to_contain_text(says, timeout=9000)
        yield
    finally:
        ip("-n", SERVER, "link", "set", "lan", "up")
    expect(status).to_have_text(f"Connected to {SERVER_ADDRESS}")


def test_network_that_fails_and_comes_back(start_server: Starter, pages: Pages) -> None:
    pages.errors_are_expected = True
    start_server("--rate", "100", prefix=IN_SERVER)
    page = pages.connect(URL)
    pages.command(page, "START")
    wait_for_readings(page, 10)
    with unplugged(page):
        expect(page.get_by_role("status")).to_contain_text("Trying again…")
        last = page.evaluate("() => window.plots.at(-1).data[0].at(-1)")
    # The acquisition went on, which the page sees, and what it missed is a gap.
    expect(page.get_by_role("button", name="Stop")).to_be_enabled()
    wait_for_readings(page, 10)
    times, values = page.evaluate("() => window.plots.at(-1).data.slice(0, 2)")
    outage = max(range(1, len(times)), key=lambda i: times[i] - times[i - 1])
    assert times[outage - 1] == last
    assert times[outage] - last > 4
    assert values[outage - 1] is None


@pytest.mark.parametrize("step", kept_by(PART_II + PART_III), indirect=True)
def test_program_on_another_device(step: Step, start_server: Starter, pages: Pages) -> None:
    # Two of them lose their network below.
    pages.errors_are_expected = step.name in ("test10", "test11")
    server = start_server(prefix=IN_SERVER)
    assert f"On other devices, open: {URL}" in server.output
    page = pages.connect(URL, viewport={"width": 360, "height": 740}, has_touch=True)
    expect(page.get_by_role("status")).to_have_text(f"Connected to {SERVER_ADDRESS}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if step.name in ("test10", "test11"):
        with unplugged(page):
            pass


@pytest.mark.parametrize("step", ["test14b"], indirect=True)
def test_history_has_no_gap_where_the_network_failed(step: Step, start_server: Starter, pages: Pages) -> None:
    pages.errors_are_expected = True
    server = start_server("--rate", "200", prefix=IN_SERVER)
    page = pages.connect(URL)
    pages.command(page, "START")
    wait_for_readings(page, 200)
    with unplugged(page):
        pass
    wait_for_readings(page, 200)
    stop(pages, page)
    assert page.evaluate(ROWS) == rows_of(server.log)
    assert page.evaluate(GAPS) <= gaps_in(server.log)


@pytest.mark.parametrize("step", ["test3", "test9"], indirect=True)
def test_why_another_device_cannot_connect(
    step: Step, start_server: Starter, web_server: None, pages: Pages
) -> None:
    pages.errors_are_expected = True
    start_server("--host", "localhost", prefix=IN_SERVER)
    page = pages.open(f"http://{SERVER_ADDRESS}:8000/{step.name}/client.html")
    # A server that listens on localhost, an address where nobody is, and what http.server prints.
    for address in (SERVER_ADDRESS, "10.77.0.99", "0.0.0.0"):
        page.get_by_role("textbox", name="Server address").fill(address)
        page.get_by_role("button", name="Connect").click()
        expect(page.get_by_role("status")).to_have_text(
            re.compile(f"Disconnected: .*no answer from {address}:{PORT}. Is the server running"),
            timeout=7000,
        )


@pytest.mark.parametrize("step", ["test3"], indirect=True)
def test_browser_refuses_localhost_to_a_page_with_a_public_address(
    start_server: Starter, web_server: None, pages: Pages
) -> None:
    pages.errors_are_expected = True
    start_server(prefix=IN_DEVICE)
    page = pages.open(f"http://{PUBLIC_ADDRESS}:8000/test3/client.html")
    page.get_by_role("textbox", name="Server address").fill("localhost")
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("status")).to_contain_text(f"Disconnected: no answer from localhost:{PORT}")
    assert "ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS" in " ".join(pages.errors)


def test_client_that_reads_nothing_is_cut_off(start_server: Starter, pages: Pages) -> None:
    # The systems of both machines keep little for a slow client here, so that it takes seconds, not minutes.
    subprocess.run(
        [*IN_SERVER, "sh", "-c", "echo 4096 16384 65536 > /proc/sys/net/ipv4/tcp_wmem"], check=True
    )
    server = start_server("--rate", "10000", prefix=IN_SERVER)
    page = pages.connect(URL)
    server.wait_for("Hello, client", count=2)
    stalled = subprocess.Popen(
        [
            *IN_DEVICE, sys.executable, "-c",
            "import sys; from tests.support import raw_connection;"
            f"client = raw_connection('/data', host='{SERVER_ADDRESS}', buffer=4096); sys.stdin.read()",
        ],
        cwd=ROOT, stdin=subprocess.PIPE,
    )  # fmt: skip
    with contextlib.closing(stalled.stdin):
        server.wait_for("Hello, client", count=3)
        page.evaluate(HIDE)  # what comes so fast takes long to draw
        pages.command(page, "START")
        server.wait_for("Cut off a client that does not read what it is sent", timeout=40)
        server.wait_for("Bye, client (data)")
        page.evaluate("() => showAgain()")
        wait_for_readings(page, 1000)
        expect(page.get_by_role("status")).to_have_text(f"Connected to {SERVER_ADDRESS}")
    stalled.wait()
