"""Plain HTTP on the port of the WebSockets, from test9 on: what other clients than browsers send too."""

import asyncio
import email.utils
import gc
import http.client
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from common.events import EventServer
from common.http import HttpConnection, client_address, serve_file
from tests.promises import request
from tests.support import PORT, ROOT, Server, raw_connection, run, wait_until

# How long "at once" may be on a busy machine, in seconds; less than the patience with a slow client.
AT_ONCE = 4

# What an old and a new TLS client send first, without the rest of it.
HELLO = bytes.fromhex("16030100c8010000c40303")
TLS = "Hung up on a client that speaks TLS: open http:// here, not https://"

NO_HTTP = [
    [HELLO],
    [HELLO[:1]],
    [HELLO[:2], HELLO[2:]],
    [b"\x80\x2e\x01\x03\x01"],  # SSL 2
    [b"SSH-2.0-OpenSSH_9.2\r\n"],
    [b"\x00\x00\x00\x08\x04\xd2\x16\x2f"],  # PostgreSQL
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    [b"GET / RTSP/1.0\r\n"],
    [b"GET / HTTP/1.1 \r\n"],
    [b"GET  / HTTP/1.1"],
    [b"GET /\r\n"],
    [b"GET / X"],
    [b"GET\t/ HTTP/1.1"],
    [b" GET / HTTP/1.1"],
    [b"temp:21\n"],
    [b'{"sensor_id": 1}\n'],
    [b"\r\n", b"\x00"],
]
NO_REQUEST = [
    b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    b"GET /control HTTP/1.1\r\nUpgrade: websocket\r\nHo st: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
]
SLOW = [
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
    (b"\r\n\r\nGET / HTTP/1.0\r\n\r\n", 200),
    (b"VERSION-CONTROL /?a=%20&b=[]'! HTTP/1.1\r\n\r\n", 405),
]


@pytest.fixture(scope="class", params=["test9", "test10", "test14b"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server that shows its HTTP in full, one of named events, and one that has downloads."""
    server = Server(ROOT / request.param)
    server.wait_listening()
    yield server
    server.stop()


def count_of(text: str, server: Server) -> int:
    return sum(text in line for line in server.lines)


def answer_to(*parts: bytes, wait: float = 0) -> bytes:
    """Send a request in parts, and return all of the answer."""
    with socket.create_connection(("localhost", PORT), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            client.sendall(part)
            time.sleep(wait)
        answer = bytearray()
        while piece := client.recv(2**16):
            answer += piece
        return bytes(answer)


def status_of(target: str, *headers: str, method: str = "GET") -> int:
    """Ask for a target that is sent as it is."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "", ""]
    answer = answer_to("\r\n".join(lines).encode())
    return int(answer.split()[1]) if answer else 0


class TestServers:
    """All tests that need one of the three servers, each of which is started once."""

    def test_what_is_no_http_is_hung_up_on_at_once(self, server: Server) -> None:
        before, tls = count_of("Hung up", server), count_of(TLS, server)
        for number, parts in enumerate(NO_HTTP, 1):
            begun = time.monotonic()
            # It may hang up before the second part comes.
            with suppress(ConnectionError):
                assert answer_to(*parts, wait=0.01) == b"", parts
            assert time.monotonic() - begun < AT_ONCE, parts
            server.wait_for("Hung up on a client that ", count=before + number)
        assert count_of(TLS, server) == tls + 3

    def test_what_was_sent_plays_no_tricks_on_the_terminal(self, server: Server) -> None:
        assert answer_to(b"\x1b[31m" + b"x" * 1000) == b""
        server.wait_for(r"Hung up on a client that does not speak HTTP: it sent b'\x1b[31mxxx")
        assert len(server.lines[-1]) < 120

    def test_slow_client_is_waited_for(self, server: Server) -> None:
        before = count_of("Hung up", server)
        for text, status in SLOW:
            answer = answer_to(*(bytes([byte]) for byte in text), wait=0.005)
            assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert count_of("Hung up", server) == before

    def test_long_request_line_is_refused_in_words(self, server: Server) -> None:
        assert status_of("/?" + "x" * 5000) == 200
        assert status_of("/" + "x" * 10_000) == 414
        assert status_of("/", f"X: {'x' * 10_000}") == 431

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows counts no descriptors")
    def test_of_what_is_no_request_there_is_nothing(self, server: Server) -> None:
        process = psutil.Process(server.process.pid)
        assert status_of("/") == 200
        before = process.num_fds()
        for sent in NO_REQUEST * 5:
            with suppress(ConnectionError):
                answer_to(sent)  # waits until the server sends no more, and closes
        wait_until(lambda: process.num_fds() <= before + 1, "the connections are closed")

    def test_ways_to_write_the_same(self, server: Server) -> None:
        for target in [
            "/", "/?a=b", "/#part", "/?a#part", "http://localhost/", "HTTP://localhost:5678/?a=b",
            "https://elsewhere.example/", "http://localhost", "http://localhost?a=b", "http://[::1]:5678/#x",
            "http://user:word@localhost/", "/?a=http://elsewhere.example/", "/?é", "/?%zz",
            "/favicon.ico", "/%66avicon.ico", "/favicon%2Eico", "/favicon%2eico",
            "http://localhost/favicon.ico", "/common/static/%69con.svg",
        ]:  # fmt: skip
            for method in ("GET", "HEAD"):
                assert status_of(target, method=method) == 200, target

    def test_what_is_something_else(self, server: Server) -> None:
        for target in [
            "//", "//localhost/", "/%2F", "/favicon%252Eico", "/%2566avicon.ico", "*", "localhost:5678",
            "http:///nothing", "ftp://localhost/", "httpx://localhost/", "#", "?", "/é", "/\udcff".encode(
                errors="surrogateescape").decode("latin-1"), "http://localhost//", "/%00", "/FAVICON.ICO",
            "http://localhost/http://localhost/", "/%2e%2e/common/http.py",
        ]:  # fmt: skip
            assert status_of(target) == 404, target

    def test_websocket(self, server: Server) -> None:
        paths = ["/"] if server.folder.name == "test10" else ["/control", "/%63ontrol#x"]
        for path in paths:
            for start in ("", "http://localhost:5678", "ws://elsewhere.example"):
                raw_connection(f"{start}{path}").close()
        server.wait_for("Hello, client", count=3 * len(paths))
        assert "Refused" not in server.output
        if server.folder.name != "test10":
            with raw_connection("http://localhost/else") as client:
                assert "the path must be /control or /data" in client.recv(1000).decode(errors="ignore")
            server.wait_for("Refused a client with the path '/else'")

    def paths(self, server: Server) -> list[str]:
        downloads = ["/runs", "/log.csv", "/log.csv?run=nothing", "/log.csv?from=x"]
        return ["/", "/favicon.ico", "/nothing", *(downloads if server.folder.name == "test14b" else [])]

    def test_date(self, server: Server) -> None:
        for path in self.paths(server):
            for method in ("GET", "HEAD", "POST"):
                dates = request(method, path).headers.get_all("Date")
                assert len(dates) == 1, path
                said = email.utils.parsedate_to_datetime(dates[0])
                assert abs(said.timestamp() - time.time()) < 60
                assert dates[0].endswith(" GMT")

    def test_head_has_no_body(self, server: Server) -> None:
        for path in self.paths(server):
            asked = f" {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            head, _, body = answer_to(b"HEAD" + asked).partition(b"\r\n\r\n")
            assert (body, b"Content-Length: 0\r\n" in head) == (b"", False), path
            assert head.split()[1] == answer_to(b"GET" + asked).split()[1]

    @pytest.mark.parametrize("server", ["test10", "test14b"], indirect=True)
    def test_if_none_match(self, server: Server) -> None:
        tag = request("GET", "/").headers["ETag"]
        for header, status in [
            ("*", 304), (" * ", 304), (tag, 304), (f"W/{tag}", 304), (f'"a", {tag}', 304),
            (f'W/"a",W/{tag},"b"', 304), (f',,"a,b" ,  {tag},', 304),
            ("", 200), ('""', 200), ('"a"', 200), ('"*"', 200), (tag.strip('"'), 200), (f'"a{tag}', 200),
            ('W/"a", "b"', 200), (tag[:-2] + '"', 200), ('"a", *', 200),
        ]:  # fmt: skip
            for method in ("GET", "HEAD"):
                got = request(method, "/", {"If-None-Match": header})
                assert got.status == status, header
                assert got.headers["ETag"] == tag
                assert bool(got.body) == (status == 200 and method == "GET")
        assert status_of("/", 'If-None-Match: "a"', f"If-None-Match: {tag}") == 304
        assert status_of("/nothing", "If-None-Match: *") == 404
        assert status_of("/", "If-None-Match: *", method="DELETE") == 405

    def test_several_requests_with_one_client(self, server: Server) -> None:
        client = http.client.HTTPConnection("localhost", PORT, timeout=30)
        for path in ("/", "/favicon.ico", "http://localhost/", "/#part"):
            client.request("GET", path)
            response = client.getresponse()
            assert (response.status, bool(response.read())) == (200, True)

    def test_icon(self, server: Server) -> None:
        icon = request("GET", "/favicon.ico")
        assert icon.body == (ROOT / "common" / "static" / "icon.svg").read_bytes()
        assert icon.headers["Content-Type"] == "image/svg+xml; charset=utf-8"


def test_an_answered_request_is_not_kept() -> None:
    """A timer that goes on would keep it, with its answer: hundreds of MiB, if there are many a second."""

    def kept() -> int:
        gc.collect()
        return sum(isinstance(thing, HttpConnection) for thing in gc.get_objects())

    async def ask() -> None:
        def page(connection: ServerConnection, request: Request) -> Response | None:
            return serve_file(connection, request, {"/": "x" * 1000})

        how = {"create_connection": HttpConnection, "process_request": page}
        async with serve(lambda _: None, "localhost", PORT, **how):
            for sent in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HT"):
                reader, writer = await asyncio.open_connection("localhost", PORT)
                writer.write(sent)
                if sent.endswith(b"\n"):
                    await reader.read()
                writer.close()
            # Well before the ten seconds that a request may take.
            for _ in range(50):
                if not kept():
                    return
                await asyncio.sleep(0.1)
            pytest.fail(f"{kept()} connections are kept")

    run(ask())


def test_only_a_request_has_to_arrive_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.http.REQUEST_TIMEOUT", 0.3)

    async def talk() -> None:
        async def echo(connection: ServerConnection) -> None:
            async for message in connection:
                await connection.send(message)

        async with serve(echo, "localhost", PORT, create_connection=HttpConnection):
            client = await connect(f"ws://localhost:{PORT}", proxy=None)
            reader, writer = await asyncio.open_connection("localhost", PORT)
            writer.write(b"GET / HT")
            async with asyncio.timeout(10):
                assert await reader.read() == b"", "the request is waited for no longer"
                await client.send("still here")
                assert await client.recv() == "still here"
            writer.close()
            await client.close()

    run(talk())


def test_an_answer_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.http.SEND_TIMEOUT", 0.1)
    looks: list[float] = []
    enough = asyncio.Event()

    class Watched(HttpConnection):
        def _watch(self, *how: float) -> None:
            looks.append(self.loop.time())
            if looks[-1] - looks[0] > 0.4:
                enough.set()
            super()._watch(*how)

    async def ask() -> None:
        async def page(connection: ServerConnection, request: Request) -> Response | None:
            await asyncio.wait_for(enough.wait(), 30)
            return serve_file(connection, request, {"/": "late"})

        how = {"create_connection": Watched, "process_request": page}
        async with serve(lambda _: None, "localhost", PORT, **how):
            reader, writer = await asyncio.open_connection("localhost", PORT)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await reader.read()).endswith(b"late")
            writer.close()

    run(ask())


class TestClientAddress:
    @pytest.mark.parametrize(
        ("peer", "header", "address"),
        [
            ("192.0.2.1", [], "192.0.2.1"),
            ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # nobody trusts it
            ("127.0.0.1", [], "127.0.0.1"),
            ("127.0.0.1", [""], "127.0.0.1"),
            ("127.0.0.1", ["198.51.100.7"], "198.51.100.7"),
            ("127.0.0.1", ["10.1.1.1, 198.51.100.7"], "198.51.100.7"),  # the first is what a client claims
            ("127.0.0.1", ["9.9.9.9,198.51.100.7 , 10.1.1.1"], "198.51.100.7"),  # two proxies
            ("127.0.0.1", ["9.9.9.9", "198.51.100.7", "10.1.1.1"], "198.51.100.7"),
            ("127.0.0.1", ["10.1.1.2, 10.1.1.1"], "10.1.1.2"),
            ("127.0.0.1", ["198.51.100.7, unknown"], "127.0.0.1"),
            ("127.0.0.1", ["198.51.100.7, unknown, 10.1.1.1"], "10.1.1.1"),
            ("127.0.0.1", ["198.51.100.7,"], "127.0.0.1"),
            ("127.0.0.1", ["<b>x</b>", "\x9b31m"], "127.0.0.1"),
            ("127.0.0.1", ["," * 100_000], "127.0.0.1"),
            ("127.0.0.1", ["198.51.100.7:1234"], "127.0.0.1"),
            ("127.0.0.1", ["2001:DB8::0:1"], "2001:db8::1"),
            ("127.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
            ("127.0.0.1", ["fe80::1%<b>"], "127.0.0.1"),
            ("127.0.0.1", ["9" * 5000], "127.0.0.1"),
            ("::1", ["198.51.100.7"], "198.51.100.7"),
            ("fe80::1%eth0", ["198.51.100.7"], "fe80::1%eth0"),
        ],
    )
    def test_address(self, peer: str, header: list[str], address: str) -> None:
        proxies = EventServer(trusted_proxies=["127.0.0.1", "::1", "10.0.0.0/8"])._trusted_proxies
        headers = Headers([("X-Forwarded-For", value) for value in header])
        connection = SimpleNamespace(remote_address=(peer, 40000), request=SimpleNamespace(headers=headers))
        assert client_address(connection, proxies) == address
        assert client_address(connection) == peer

    def test_what_is_no_address_is_refused(self) -> None:
        for wrong in ("localhost", "10.0.0.1/8", "10.0.0", ""):
            with pytest.raises(ValueError, match=r"10\.0\.0|appear"):
                EventServer(trusted_proxies=[wrong])
