"""Plain HTTP on the port of a WebSocket server."""

import re

from websockets.asyncio.server import ServerConnection

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
        super().data_received(request + end + rest)
