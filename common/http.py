"""Plain HTTP on the port of a WebSocket server."""

import asyncio
import hashlib
import re
from collections.abc import Generator, Mapping
from contextlib import suppress
from pathlib import Path
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from common.clients import STALLED, CarefulConnection

# The lines that announce a body, the one that asks for a WebSocket, and how long a request may be before
# the library has to judge it.
BODY_HEADERS = re.compile(rb"\r\n(?:content-length|transfer-encoding):[^\r\n]*", re.IGNORECASE)
UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*websocket", re.IGNORECASE)
MAX_REQUEST = 2**16
# How long a request may take to arrive, in seconds.
PATIENCE = 10
# How much of a response the system may hold for a client, in bytes. With more, and a slow client, half a
# minute could pass in which none of it seems to be taken.
SEND_BUFFER = 2**18


class HttpConnection(CarefulConnection):
    """A connection that lets `process_request` answer every request, with a body or without.

    The library itself hangs up on requests with a body (`websockets.http11.Request.parse`), and takes what
    follows a plain request for WebSocket frames. Here it sees neither.
    """

    request_bytes: bytes | None = b""  # what has arrived of the request; None once it is complete
    is_websocket = True
    is_half_closed = False  # whether the client has said that it sends no more

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.loop.call_later(PATIENCE, self._give_up)

    async def handshake(self, *how: Any) -> None:
        try:
            await super().handshake(*how)
        except asyncio.CancelledError:
            # It came in the instant in which the server stops, which waits for it no more.
            self.transport.abort()
            raise

    def _give_up(self) -> None:
        if self.request_bytes is not None:
            self.transport.abort()

    def _watch(self, left: int, since: float) -> None:
        """Hang up on a client that takes nothing of its response for too long, or when the server stops.

        Args:
            left: how many bytes waited for the client the last time.
            since: since when it has been as many, by the loop's clock.
        """
        if self.connection_lost_waiter.done():
            return
        size, now = self.transport.get_write_buffer_size(), self.loop.time()
        if size != left or (size == 0 and self.response is None):
            left, since = size, now
        is_over = size == 0 and self.response is not None and self.is_half_closed
        if is_over or now - since > STALLED or not self.server.is_serving():
            self.transport.abort()
        else:
            self.loop.call_later(0.5, self._watch, left, since)

    def eof_received(self) -> bool | None:
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
        self.request_bytes += data
        request, end, rest = self.request_bytes.partition(b"\r\n\r\n")
        if not end and len(request) < MAX_REQUEST:
            return
        self.request_bytes = None
        self.is_websocket = UPGRADE.search(request) is not None
        if not self.is_websocket:
            request, rest = BODY_HEADERS.sub(b"", request), b""
            # A large file may take a slow network longer than a goodbye may.
            self.close_timeout = None
            self.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER)
            self._watch(-1, 0.0)
        super().data_received(request + end + rest)


TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
STATIC = Path(__file__).parent / "static"


def static_files() -> dict[str, Path | str]:
    """Return the files in `common/static/` by the paths under which pages ask for them."""
    return {f"/common/static/{file.name}": file for file in STATIC.iterdir() if file.suffix in TYPES}


def answer(
    connection: ServerConnection, request: Request, files: Mapping[str, Path | str]
) -> Response | None:
    """Answer a plain HTTP request from a table of files: what test9 shows in full.

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
                "Content-Type": f"{content_type}; charset=utf-8",
                "Content-Length": str(len(body)),
                "Connection": "close",
                # A browser asks each time whether the file has changed, so what you edit is what you see.
                "Cache-Control": "no-cache",
                "ETag": tag,
            }
        )
        if tag in ",".join(request.headers.get_all("If-None-Match")):
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
    pieces: Generator[bytes, None, None],
) -> Response:
    """Send a file of any size, no faster than the client takes it, and close the connection.

    To be called by `process_request`, of a server with `open_timeout=None`: the library counts a response as
    a part of opening, and a download can take longer than that may.

    Args:
        connection: the connection on which the request came.
        name: the file's name for the client.
        content_type: its type.
        size: how many bytes it has.
        pieces: the bytes; the next piece is taken in another thread.

    Returns:
        What `process_request` has to return; the response itself has been sent.
    """
    transport = connection.transport
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {size}\r\n"
        f'Content-Disposition: attachment; filename="{name}"\r\n'
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    transport.write(head.encode())
    try:
        if connection.request.method != "HEAD":
            while not transport.is_closing() and (piece := await asyncio.to_thread(next, pieces, b"")):
                transport.write(piece)
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
        with suppress(ValueError):  # the last piece is just being read
            pieces.close()
    return Response(200, "OK", Headers(), b"")
