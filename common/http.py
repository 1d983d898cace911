"""Plain HTTP on the port of a WebSocket server: what test9 shows in full.

Unlike there, `serve_file` takes the table of what can be fetched, which can hold a page itself, and sends
nothing that the browser has already. `HttpConnection` sees to what the library leaves out, and `download` to
large files.
"""

import asyncio
import hashlib
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any
from urllib.parse import quote, unquote

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from common.clients import SEND_TIMEOUT, CarefulConnection
from common.console import say

# The lines that announce a body, the one that asks for a WebSocket, and how long a request may be before
# the library has to judge it.
BODY_HEADERS = re.compile(rb"\r\n(?:content-length|transfer-encoding):[^\r\n]*", re.IGNORECASE)
UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*websocket", re.IGNORECASE)
MAX_REQUEST = 2**16
# How long a request may take to arrive, in seconds.
REQUEST_TIMEOUT = 10
# How much of a response the system may hold for a client, in bytes. With more, and a slow client, half a
# minute could pass in which none of it seems to be taken.
SEND_BUFFER = 2**18

# The first line of a request, and what can become one (RFC 9112, section 3): a method, a target, a version.
METHOD, TARGET = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]", rb"[^\x00-\x20\x7f]"
REQUEST_LINE = re.compile(METHOD + rb"+ (" + TARGET + rb"+) HTTP/1\.[01]")
BEGINNING = re.compile(METHOD + rb"*( " + TARGET + rb"*( [HTP/.01]*\r?)?)?")
# The scheme and host before the path in a target, and characters that mean the same encoded or not (RFC 3986,
# section 2.3).
HOST = re.compile(rb"(http|ws)s?://[^/?]*", re.IGNORECASE)
UNRESERVED = re.compile(rb"%(2[DE]|3\d|[46][1-9A-F]|[57][\dA]|5F|7E)", re.IGNORECASE)
NOT_ASCII = re.compile(rb"[\x80-\xff]")


class HttpConnection(CarefulConnection):
    """A connection that lets `process_request` answer every request, with a body or without.

    The library itself hangs up on requests with a body (`websockets.http11.Request.parse`), and takes what
    follows a plain request for WebSocket frames. Here it sees neither.
    """

    request_bytes: bytes | None = b""  # what has arrived of the request; None once it is complete
    is_websocket = True
    is_half_closed = False  # whether the client has said that it sends no more

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.patience = self.loop.call_later(REQUEST_TIMEOUT, self.transport.abort)

    async def handshake(self, *how: Any) -> None:
        try:
            await super().handshake(*how)
        except asyncio.CancelledError:
            # It came in the instant in which the server stops, which waits for it no more.
            self.transport.abort()
            raise

    def _hang_up(self, line: bytes) -> None:
        """Hang up on a client that sends no HTTP, instead of waiting for the rest of it."""
        if line.startswith(b"\x16"):  # how TLS begins
            say("Hung up on a client that speaks TLS: open http:// here, not https://")
        else:
            say(f"Hung up on a client that does not speak HTTP: it sent {line[:40]!r}")
        self.request_bytes, self.is_websocket = None, False
        self.transport.close()

    def respond(self, status: int | HTTPStatus, text: str) -> Response:
        response = super().respond(status, text)
        # What answers HEAD has the length of the text, and not the text itself (RFC 9110, section 9.3.2).
        if self.request is not None and self.request.method == "HEAD":
            response.body = b""
        return response

    def _watch(self, left: int, since: float) -> None:
        """Hang up on a client that takes nothing of its response for too long, or when the server stops.

        Args:
            left: how many bytes waited for the client the last time.
            since: since when it has been as many, by the loop's clock.
        """
        if self.connection_lost_waiter.done():
            return
        size, now = self.transport.get_write_buffer_size(), self.loop.time()
        # What is no request, the library answers by itself.
        is_answered = self.response is not None or self.protocol.handshake_exc is not None
        if size != left or (size == 0 and not is_answered):
            left, since = size, now
        is_over = size == 0 and is_answered and self.is_half_closed
        if is_over or now - since > SEND_TIMEOUT or not self.server.is_serving():
            self.transport.abort()
        else:
            self.loop.call_later(0.5, self._watch, left, since)

    # asyncio asks for True or False, and the library's own method says that it returns nothing.
    def eof_received(self) -> bool | None:  # type: ignore[override]
        # To say so while the response is on its way is no goodbye; the library takes it for one.
        if not self.is_websocket and self.response is None:
            self.is_half_closed = True
            return True
        return super().eof_received()

    def data_received(self, data: bytes) -> None:
        if self.request_bytes is None:
            if self.is_websocket:
                super().data_received(data)
            return
        # A client may send empty lines before its request (RFC 9112, section 2.2).
        self.request_bytes = (self.request_bytes + data).lstrip(b"\r\n")
        request, end, rest = self.request_bytes.partition(b"\r\n\r\n")
        # Of a client that speaks something else, no more than the beginning is waited for.
        line, is_whole, _ = self.request_bytes[:1024].partition(b"\r\n")
        if not (REQUEST_LINE if is_whole else BEGINNING).fullmatch(line):
            self._hang_up(line)
            return
        if not end and len(request) < MAX_REQUEST:
            return
        self.request_bytes = None
        self.patience.cancel()
        if found := REQUEST_LINE.match(request):
            start, stop = found.span(1)
            request = request[:start] + _origin_form(found[1]) + request[stop:]
        self.is_websocket = UPGRADE.search(request) is not None
        if not self.is_websocket:
            request, rest = BODY_HEADERS.sub(b"", request), b""
            # A large file may take a slow network longer than a goodbye may.
            self.close_timeout = None
            self.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER)
            self._watch(-1, 0.0)
        super().data_received(request + end + rest)


def _origin_form(target: bytes) -> bytes:
    """Return the path and query that a request asks for, in one of the several ways to write them.

    A client may write the whole address, as it does for a proxy (RFC 9112, section 3.2.2). It may encode what
    need not be, and leave as it is what should be encoded. What follows a `#` is the client's own business.
    """
    target = target.partition(b"#")[0]
    if host := HOST.match(target):
        target = target[host.end() :]
        if not target.startswith(b"/"):
            target = b"/" + target
    target = UNRESERVED.sub(lambda found: bytes.fromhex(found[1].decode()), target)
    return NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], target)


def client_address(connection: ServerConnection, proxies: Iterable[IPv4Network | IPv6Network] = ()) -> str:
    """Return the IP address of a client, also of one that comes through a proxy.

    A proxy appends the address from which it was asked to the header `X-Forwarded-For`. Anybody can
    write this header, so what counts is only what a trusted proxy has appended: the last address that is not
    itself trusted.

    Args:
        connection: the client's connection.
        proxies: where the proxies are that can be trusted.
    """
    assert connection.request is not None  # it has come, or nobody would ask for its address
    address = str(connection.remote_address[0])
    hops = ",".join(connection.request.headers.get_all("X-Forwarded-For")).split(",")
    while hops and any(ip_address(address) in network for network in proxies):
        try:
            hop = ip_address(hops.pop().strip())
        except ValueError:
            break  # it is no address, so nobody knows who asked that proxy
        if "%" in str(hop):
            break  # what follows may be any text
        # An IPv4 address may be written as an IPv6 one.
        address = str(getattr(hop, "ipv4_mapped", None) or hop)
    return address


TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
STATIC = Path(__file__).parent / "static"
# A tag in If-None-Match. Whether it is weak (W/"…") makes no difference there (RFC 9110, section 13.1.2).
ENTITY_TAG = re.compile(r'"[^"]*"')


def static_files() -> dict[str, Path | str]:
    """Return the files in `common/static/` by the paths under which pages ask for them.

    Besides, there is the icon that browsers ask for where a page names none.
    """
    files: dict[str, Path | str] = {
        f"/common/static/{file.relative_to(STATIC).as_posix()}": file
        for file in STATIC.rglob("*.*")
        if file.suffix in TYPES
    }
    return files | {"/favicon.ico": STATIC / "icon.svg"}


def serve_file(
    connection: ServerConnection, request: Request, files: Mapping[str, Path | str]
) -> Response | None:
    """Answer a plain HTTP request from a table of files.

    A file is read anew for each request, and sent only if the browser has not got the same already
    (RFC 9110, section 13.1.2).

    Args:
        connection: the connection on which the request came.
        request: the request; what follows a question mark in its path does not count.
        files: what can be fetched, by its path: the path of a file, or the text of a page itself. The ending
            of a file's name decides its type; it has to be one of those in `TYPES`.

    Returns:
        The response; None for a request that asks for a WebSocket, which tells the library to open one.
    """
    if "websocket" in ",".join(request.headers.get_all("Upgrade")).lower():
        return None
    file = files.get(unquote(request.path.partition("?")[0]))
    body, content_type = None, "text/html"
    if isinstance(file, str):
        body = file.encode()
    elif file is not None:
        content_type = TYPES[file.suffix]
        with suppress(OSError):
            body = file.read_bytes()
    if request.method not in ("GET", "HEAD"):
        response = connection.respond(405, "This server answers GET and HEAD only.\n")
        response.headers["Allow"] = "GET, HEAD"
    elif body is None:
        pages = [path for path in files if "." not in path]
        response = connection.respond(404, f"Nothing here. There is: {', '.join(pages)}\n")
    else:
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = Headers(
            {
                "Date": formatdate(usegmt=True),
                "Content-Type": f"{content_type}; charset=utf-8",
                "Content-Length": str(len(body)),
                "Connection": "close",
                # A browser asks each time whether the file has changed, so what you edit is what you see.
                "Cache-Control": "no-cache",
                "ETag": tag,
            }
        )
        known = ",".join(request.headers.get_all("If-None-Match"))
        if known.strip() == "*" or tag in ENTITY_TAG.findall(known):
            del headers["Content-Length"]
            response = Response(304, "Not Modified", headers, b"")
        else:
            response = Response(200, "OK", headers, body)
    if request.method == "HEAD":
        response.body = b""
    return response


async def download(
    connection: ServerConnection,
    name: str,
    content_type: str,
    size: int,
    chunks: Generator[bytes, None, None],
) -> Response:
    """Send a file of any size, no faster than the client takes it, and close the connection.

    To be called by `process_request`, of a server with `open_timeout=None`: the library counts a response as
    a part of opening, and a download can take longer than that may.

    Args:
        connection: the connection on which the request came.
        name: the file's name for the client.
        content_type: its type.
        size: how many bytes it has.
        chunks: the bytes; the next chunk is taken in another thread.

    Returns:
        What `process_request` has to return; the response itself has been sent.
    """
    transport, request = connection.transport, connection.request
    assert request is not None  # it is what is answered here
    head = (
        f"HTTP/1.1 200 OK\r\nDate: {formatdate(usegmt=True)}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {size}\r\n"
        f"Content-Disposition: {attachment(name)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    transport.write(head.encode())
    try:
        if request.method != "HEAD":
            while not transport.is_closing() and (chunk := await asyncio.to_thread(next, chunks, b"")):
                transport.write(chunk)
                await connection.drain()
        # What still waits for the network is sent, and then the connection is closed.
        transport.close()
        await asyncio.wait([connection.connection_lost_waiter])
    except (OSError, ConnectionClosed):
        # The client has gone, or the disk has failed: it sees that the file is cut short.
        pass
    finally:
        # A transport that has just sent its last byte must not be ended twice.
        if not connection.connection_lost_waiter.done():
            transport.abort()
        with suppress(ValueError):  # the last chunk is just being read
            chunks.close()
    return Response(200, "OK", Headers(), b"")


def attachment(name: str) -> str:
    """Return the value of the header that has a browser save what it gets (RFC 6266).

    Args:
        name: the name of the file. What a header cannot hold is an underscore for clients that know no
            better, and comes as it is for those that do.
    """
    plain = re.sub(r"[^ !#-~]|[%\\]", "_", name)
    value = f'attachment; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
