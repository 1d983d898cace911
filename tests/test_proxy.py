"""Behind a proxy that encrypts, nginx or Caddy, with the configurations that the README shows.

Where one of the two is missing the tests are skipped. In CI on Linux they run, or fail.
"""

import http.client
import inspect
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from tests.conftest import Pages
from tests.copies import Copy
from tests.page import wait_for_readings
from tests.readme import SECTIONS, fences
from tests.support import PORT, ROOT, Server, Step, free_port, listening, run

NGINX, OPENSSL, CADDY = map(shutil.which, ("nginx", "openssl", "caddy"))

if not (NGINX and CADDY and OPENSSL) and not (sys.platform == "linux" and "CI" in os.environ):
    pytest.skip("needs nginx, caddy and openssl", allow_module_level=True)

SECTION = SECTIONS["Behind a proxy"]
NAME, CERTIFICATE = "live.example.org", "/etc/ssl/live.example.org"

# What nginx has around the file in the README: it uses nothing of the system's, and stays in the foreground.
AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
    {deaf}
}}
"""
# A Caddy without its other services: it would listen for orders, and on port 80.
BEFORE = """
{
    admin off
    auto_https off
    persist_config off
}
"""


def put(text: str, **here: str) -> str:
    """Return a configuration of the README with what is different here."""
    for old, new in here.items():
        assert old in text, f"README, section 'Behind a proxy': no {old!r} in\n{text}"
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """The ports of nginx, of Caddy, and of an nginx that passes on no upgrade; they run for all tests."""
    assert all((NGINX, CADDY, OPENSSL)), "a proxy is missing; run: python -m tests.browser"
    folder = tmp_path_factory.mktemp("proxies")
    certificate = str(folder / "own")
    subprocess.run(
        [
            OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2",
            "-keyout", f"{certificate}.key", "-out", f"{certificate}.crt",
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    nginx_port, deaf_port, caddy_port = free_port(), free_port(), free_port()
    (server,) = fences(SECTION, "nginx")
    server = put(
        server, **{CERTIFICATE: certificate, NAME: "localhost", "listen 443": f"listen {nginx_port}"}
    )
    deaf = put(server, **{f"listen {nginx_port}": f"listen {deaf_port}"})
    deaf = re.sub(r".* (Upgrade|Connection) .*\n", "", deaf)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, server=server, deaf=deaf))
    (site,) = fences(SECTION, "text")
    site = put(site, **{CERTIFICATE: certificate, NAME: f"localhost:{caddy_port}"})
    (folder / "Caddyfile").write_text(BEFORE + site)
    nginx = [NGINX, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    caddy = [CADDY, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with listening(nginx, nginx_port), listening(caddy, caddy_port, env=os.environ | home):
        yield [nginx_port, caddy_port, deaf_port]


@pytest.fixture
def ports(proxies: list[int]) -> list[int]:
    return proxies[:2]


@pytest.fixture
def step(request: pytest.FixtureRequest) -> Step:
    return Step(getattr(request, "param", "test9"))


def unverified() -> ssl.SSLContext:
    """Return a context that takes a certificate of anybody's own making."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
    """Make a request through a proxy, and return the response, whose text is in `body`."""
    connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=unverified())
    connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
    response = connection.getresponse()
    response.body = response.read()
    connection.close()
    return response


def wait_for_live_data(page: Page, step: Step) -> None:
    """Wait until the page shows more than it showed at first."""
    match step.number:
        case 10:
            shown = page.get_by_role("region", name="Script time")
            expect(shown).to_have_text(re.compile(r"^\d+\.\d s$"))
            expect(shown).not_to_have_text(shown.inner_text())
            page.get_by_role("button", name="Click me").click()
            expect(page.get_by_label("Response")).to_have_text("The server has received your click 1.")
        case 12:
            expect(page.locator("#rows .price").first).to_have_text(re.compile(r"\d"))
            rows = page.locator("#rows")
            expect(rows).not_to_have_text(rows.inner_text())
        case _:
            wait_for_readings(page, 3)


@pytest.mark.parametrize("step", ["test9", "test10", "test12", "test13", "test14b", "test15"], indirect=True)
def test_page(step: Step, ports: list[int], start_server: Callable[..., Server], pages: Pages) -> None:
    start_server("--host", "localhost")
    for port in ports:
        sockets: list[str] = []
        page = pages.open("about:blank", ignore_https_errors=True)
        page.on("websocket", lambda socket, sockets=sockets: sockets.append(socket.url))
        page.goto(f"https://localhost:{port}/")
        if step.number == 9:
            expect(page.get_by_role("textbox", name="Server address")).to_have_value(f"localhost:{port}")
            page.get_by_role("button", name="Connect").click()
        expect(page.get_by_role("status").first).to_have_text(f"Connected to localhost:{port}")
        expect(page.get_by_role("status").first).to_have_attribute("data-state", "open")
        if step.number not in (10, 12, 13):
            # The first page starts what all of them show.
            name = "Start" if port == ports[0] else "Stop"
            expect(page.get_by_role("button", name=name)).to_be_enabled()
            if name == "Start":
                pages.command(page, "START")
        wait_for_live_data(page, step)
        if step.number >= 14:
            page.get_by_role("button", name="Stop").click()
            with page.expect_download() as download:
                page.get_by_role("link", name="Download this run").click()
            assert download.value.url.startswith(f"https://localhost:{port}/log.csv")
            assert download.value.path().read_text(encoding="utf-8-sig").startswith("seq,time_ns,")
            page.get_by_role("button", name="Start").click()
        assert sockets
        assert all(url.startswith(f"wss://localhost:{port}/") for url in sockets)


@pytest.mark.parametrize("step", ["test9", "test10"], indirect=True)
def test_proxy_that_passes_on_no_upgrade(
    step: Step, proxies: list[int], start_server: Callable[..., Server], pages: Pages
) -> None:
    pages.errors_are_expected = True
    start_server()
    page = pages.open(f"https://localhost:{proxies[2]}/", ignore_https_errors=True)
    if step.number == 9:
        page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("status")).to_contain_text(f"no answer from localhost:{proxies[2]}")
    assert "the page says `no answer`" in SECTION


@pytest.mark.parametrize("step", ["test9", "test14b"], indirect=True)
def test_requests(step: Step, ports: list[int], start_server: Callable[..., Server]) -> None:
    start_server()
    for port in ports:
        assert ask(port, "GET", "/dashboard?a=b").body == (step.folder / "client.html").read_bytes()
        assert ask(port, "GET", "/nothing").status == 404
        assert ask(port, "HEAD", "/").body == b""
        refused = ask(port, "POST", "/", b"x" * 500_000)
        assert (refused.status, refused.body) == (405, b"This server answers GET and HEAD only.\n")
        if step.name == "test14b":
            tag = ask(port, "GET", "/").headers["ETag"]
            assert ask(port, "GET", "/", If_None_Match=f'"x", W/{tag}').status == 304


@pytest.mark.parametrize("step", ["test14b"], indirect=True)
def test_download(copy: Copy, ports: list[int]) -> None:
    rows = "".join(f"{i},{1767225600_000000000 + i * 1000000},{i / 7},0\n" for i in range(1, 50_001))
    (copy.step.folder / "logs").mkdir()
    (copy.step.folder / "logs" / "old.csv").write_text(f"seq,time_ns,x,y\n{rows}")
    copy.start()
    for port in ports:
        log = ask(port, "GET", "/log.csv?run=old")
        assert log.headers["Content-Disposition"] == 'attachment; filename="old.csv"'
        lines = log.body.splitlines()
        assert (len(lines), lines[-1].split(b",")[0]) == (50_001, b"50000")


def address_told(address: str, port: int, claim: str | None = None) -> str:
    """Connect to test10 from one of the addresses of this machine, and return which one it says to be ours.

    Args:
        address: where to come from.
        port: the server's, or that of a proxy.
        claim: what to send as X-Forwarded-For.
    """
    told: list[str] = []

    async def ask() -> None:
        # The library's other client reads and writes in two threads, which TLS in Python may take amiss.
        async with connect(
            f"{'ws' if port == PORT else 'wss'}://localhost:{port}/",
            host="127.0.0.1",
            port=port,
            local_addr=(address, 0),
            ssl=None if port == PORT else unverified(),
            proxy=None,
            additional_headers={"X-Forwarded-For": claim} if claim else {},
        ) as client:
            async for message in client:
                event = json.loads(message)
                if event["event"] == "clients":
                    told.append(event["data"][-1])  # who came last
                    break

    run(ask())
    return told[0]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more addresses for this machine alone")
@pytest.mark.parametrize("step", ["test10"], indirect=True)
def test_address_of_the_client(copy: Copy, ports: list[int]) -> None:
    # No proxy is trusted unless one says so.
    server = copy.start()
    for port in ports:
        assert address_told("127.0.0.2", port) == "127.0.0.1"
    server.kill()
    (line,) = fences(SECTION, "python")
    copy.replace("server.py", "server = EventServer(options.host, options.port)\n", line)
    server = copy.start()
    for port in ports:
        for claim in (None, "198.51.100.7", "127.0.0.1", "<b>nobody</b>, \x80", ",,,"):
            assert address_told("127.0.0.2", port, claim) == "127.0.0.2", claim
    # Whoever is no proxy is not believed; and a proxy that says nothing that can be read is a client itself.
    assert address_told("127.0.0.3", PORT, "198.51.100.7") == "127.0.0.3"
    assert address_told("127.0.0.1", PORT, "198.51.100.7") == "198.51.100.7"
    assert address_told("127.0.0.1", PORT, "<b>nobody</b>") == "127.0.0.1"
    server.wait_for("Hello, client (198.51.100.7)")


def test_each_connection_is_pinged_before_a_proxy_takes_it_for_dead() -> None:
    assert "20 seconds" in SECTION
    assert inspect.signature(serve).parameters["ping_interval"].default == 20
    for path in (*ROOT.glob("test*/server.py"), *(ROOT / "common").glob("*.py")):
        assert "ping_interval" not in path.read_text(encoding="utf-8"), path
