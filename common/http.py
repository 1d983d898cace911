"""Plain HTTP on the port of a WebSocket server."""

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

# The lines that announce a body, the one that asks for a WebSocket, and how long a request may be before
# the library has to judge it.
BODY_HEADERS = re.compile(rb"\r\n(?:content-length|transfer-encoding):[^\r\n]*", re.IGNORECASE)
UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*websocket", re.IGNORECASE)
MAX_REQUEST = 2**16


class HttpConnection(ServerConnection):
    """A connection that lets `process_request` answer every request, with a body or without.

    The library itself hangs up on requests with a body (`websockets.http11.Request.parse`), and takes what
    follows a plain request for WebSocket frames. Here it sees neither.
    """

    request_bytes: bytes | None = b""  # what has arrived of the request; None once it is complete
    is_websocket = True

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
            # A large file may take a slow network longer than a goodbye may; open_timeout is its limit.
            self.close_timeout = None
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
