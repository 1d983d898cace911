"""Plain HTTP on the port of a WebSocket server."""

import re

from websockets.asyncio.server import ServerConnection

BODY_HEADER = re.compile(rb"^(?:content-length|transfer-encoding):.*\r\n", re.IGNORECASE | re.MULTILINE)


class HttpConnection(ServerConnection):
    """A connection that lets `process_request` answer a request that has a body, such as a POST.

    The library itself hangs up on those without a word (`websockets.http11.Request.parse`). Here the headers
    that announce the body are taken out before the library sees them. The body is not read: the library
    discards whatever follows a plain HTTP request, and closes the connection after the response.
    """

    def data_received(self, data: bytes) -> None:
        if self.request is None:
            data = BODY_HEADER.sub(b"", data)
        super().data_received(data)
