"""test9: the server serves the dashboard itself."""

import itertools
import re
import socket

from playwright.sync_api import expect

from tests.conftest import Pages, Starter
from tests.page import DRAWN_IN_SECONDS, wait_for_readings
from tests.promises import (
    Acquisition,
    Buttons,
    Commands,
    Console,
    OnDemand,
    OtherPages,
    Plot,
    Roles,
    SeveralFields,
    Shared,
    request,
)
from tests.support import PORT, ROOT, Server

FILES = {
    "/": ("test9/client.html", "text/html"),
    "/dashboard": ("test9/client.html", "text/html"),
    "/common/static/style.css": ("common/static/style.css", "text/css"),
    "/common/static/page.js": ("common/static/page.js", "text/javascript"),
    "/common/static/plot.js": ("common/static/plot.js", "text/javascript"),
    "/common/static/vendor/uPlot.iife.min.js": ("common/static/vendor/uPlot.iife.min.js", "text/javascript"),
    "/common/static/vendor/uPlot.min.css": ("common/static/vendor/uPlot.min.css", "text/css"),
    "/common/static/icon.svg": ("common/static/icon.svg", "image/svg+xml"),
    "/favicon.ico": ("common/static/icon.svg", "image/svg+xml"),
}


class TestStep9(
    Console, Commands, OnDemand, OtherPages, Roles, Acquisition, Shared, Plot, Buttons, SeveralFields
):
    step = "test9"

    def test_files_of_the_page_and_nothing_else(self, server: Server) -> None:
        for path, (file, content_type) in FILES.items():
            content = (ROOT / file).read_bytes()
            got = request("GET", f"{path}?from=a-bookmark")
            assert got.status == 200
            assert got.body == content
            assert got.headers["Content-Type"] == f"{content_type}; charset=utf-8"
            head = request("HEAD", path)
            assert (head.status, head.body) == (200, b"")
            assert head.headers["Content-Length"] == str(len(content))
            assert head.headers["Content-Type"] == got.headers["Content-Type"]
        for path in [
            "/nothing", "/server.py", "/client.html", "/logs", "/logs/", "/common/", "/common/static/",
            "/common/log.py", "/../README.md", "/common/static/../log.py", "/common/static/%2e%2e/log.py",
            "/common/static/..%2flog.py", "//etc/passwd", "/%00", "/dashboard/", "*",
        ]:  # fmt: skip
            response = request("GET", path)
            assert response.status == 404, path
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert response.body == b"Nothing here. The dashboard is at / and at /dashboard.\n"
        for method, body in itertools.product(
            ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO"], [None, b"x" * 100_000]
        ):
            response = request(method, "/", body=body)
            assert response.status == 405, method
            assert response.headers["Allow"] == "GET, HEAD"
            assert response.body == b"This server answers GET and HEAD only.\n"

    def test_page_at_the_other_path_needs_nothing_else(self, server: Server, pages: Pages) -> None:
        assert f"On this device, open: http://localhost:{PORT}/" in server.output
        page = pages.open(f"http://localhost:{PORT}/dashboard")
        loaded: list[str] = []
        page.on("request", lambda request: loaded.append(request.url))
        page.reload()
        paths = {url.removeprefix(f"http://localhost:{PORT}") for url in loaded}
        assert paths <= set(FILES)
        assert paths >= {"/dashboard", "/common/static/style.css", "/common/static/plot.js"}
        pages.button(page, "Connect").click()
        pages.command(page, "START")
        wait_for_readings(page, 2)

    def test_requests_that_the_library_would_hang_up_on(self, server: Server) -> None:
        for parts, status in [
            ([b"POST / HTTP/1.1\r\nContent-Le", b"ngth: 3\r\n\r\nabc"], 405),
            ([b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"], 200),
            ([b"GET / HTTP/1.1\r\nSec-WebSocket-Key: x\r\n\r\nabc"], 200),
            ([b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"], 200),
        ]:
            with socket.create_connection(("localhost", PORT), timeout=30) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for part in parts:
                    client.sendall(part)
                assert client.recv(4096).startswith(f"HTTP/1.1 {status} ".encode()), parts

    def test_page_comes_back_after_the_server_restarts(self, start_server: Starter, pages: Pages) -> None:
        pages.errors_are_expected = True
        server = start_server("--rate", "200")
        first, second = pages.connect(), pages.connect()
        pages.command(first, "START")
        for page in (first, second):
            wait_for_readings(page, 10)
        server.kill()
        for page in (first, second):
            expect(page.get_by_role("status")).to_have_text(re.compile("Disconnected: .* Trying again…"))
            expect(page.get_by_role("button", name="Start")).to_be_disabled()
            expect(page.get_by_role("button", name="Stop")).to_be_disabled()
        before = first.evaluate(DRAWN_IN_SECONDS)
        start_server("--rate", "200")
        for page in (first, second):
            expect(page.get_by_role("status")).to_have_text("Connected to localhost")
            # The true state: the new server has not started anything.
            expect(page.get_by_role("button", name="Start")).to_be_enabled()
        pages.command(second, "START")
        wait_for_readings(first, 10)
        pages.command(second, "STOP")
        expect(second.get_by_label("Response")).to_have_text("OK: stopped")
        # What was there is still there, then comes a gap, then what is new.
        times, values = first.evaluate("() => window.plots.at(-1).data.slice(0, 2)")
        assert first.evaluate("() => window.plots.length") == 1
        outage = max(range(1, len(times)), key=lambda i: times[i] - times[i - 1])
        assert len(before) <= outage < len(times) - 5
        assert values[outage - 1] is None

    def test_connection_lost_again_at_once_is_told_too(self, server: Server, pages: Pages) -> None:
        page = pages.connect()
        # As after a few attempts, the last of which opened and closes before the server said anything.
        page.evaluate("() => { attempts = 3; readings.onclose(new CloseEvent('close', { code: 1006 })); }")
        expect(page.get_by_role("status")).to_contain_text(
            "Disconnected: data socket: the connection was lost"
        )
        expect(page.get_by_role("status")).to_have_text("Connected to localhost")
