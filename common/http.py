"""Plain HTTP on the port of a WebSocket server."""

import re

from websockets.asyncio.server import ServerConnection

BODY_HEADER = re.compile(rb"^(?:content-length|transfer-encoding):.*\r\n", re.IGNORECASE | re.MULTILINE)


class HttpConnection(ServerConnection):
    """A connection that lets `process_request` answer a request that has a body, such as a POST.

    The library itself hangs up on those without a word (`websockets.http11.Request.parse`). Here it
    sees neither the headers that announce the body nor the body, which is read and thrown away.
    """

    has_body = False

    def data_received(self, data: bytes) -> None:
        if self.has_body:
            return
        if self.request is None and BODY_HEADER.search(data):
            self.has_body = True
            headers = data.partition(b"\r\n\r\n")[0] + b"\r\n"
            data = BODY_HEADER.sub(b"", headers) + b"\r\n"
        super().data_received(data)
