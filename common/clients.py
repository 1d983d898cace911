"""Clients that do not read what they are sent: what test5 shows in full.

Unlike there, `send_to_all` takes the connections themselves. And `CarefulConnection`, which test5 leaves to
this module, watches what the library sends by itself.
"""

import asyncio
from collections.abc import Collection

from websockets.asyncio.server import ServerConnection, broadcast

from common.console import say

# How many bytes may wait for one client before it is cut off. Give the same to serve() as its write_limit:
# above that limit the library's keepalive waits for the slow client, and so never finds it dead.
MAX_BACKLOG = 2**20

# How long a client for which more than that waits may take nothing of it, in seconds.
SEND_TIMEOUT = 30


def send_to_all(connections: Collection[ServerConnection], message: str) -> None:
    """Send a message to every connection, waiting for none of them.

    What a slow client has not taken yet piles up in memory, so a client for which more than `MAX_BACKLOG`
    bytes wait is cut off; its page sees the close code 1006.
    """
    broadcast(connections, message)
    for connection in connections:
        if connection.transport.get_write_buffer_size() > MAX_BACKLOG:
            cut_off(connection)


def cut_off(connection: ServerConnection) -> None:
    """End a connection at once, without a goodbye, which could not be sent."""
    say("Cut off a client that does not read what it is sent")
    connection.transport.abort()


class CarefulConnection(ServerConnection):
    """A connection that is cut off, too, where it is not `send_to_all` that sends what nobody reads.

    The library answers each ping by itself, whether or not the answers before it have been taken. And a
    handler that waits until its own answer can be sent would wait for ever.
    """

    answers = 0  # of the bytes that wait for the client, at most so many are the library's answers
    timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # How much is taken in at a time, in bytes. All else waits meanwhile, and asyncio's 256 KiB hold pings
        # for half a second. The attribute is asyncio's own, and no interface has it.
        self.transport.max_size = 2**12  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        before = self.transport.get_write_buffer_size()
        super().data_received(data)
        added = self.transport.get_write_buffer_size() - before
        self.answers = min(self.answers, before) + max(0, added)
        if self.answers > MAX_BACKLOG:
            cut_off(self)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        # A frame that closes has room for so many bytes; with more, the library raises an error.
        await super().close(code, reason.encode(errors="replace")[:123].decode(errors="ignore"))

    def send_data(self) -> None:
        # All at once: from Python 3.12 on, each write takes as long as there are others that still wait.
        if len(writes := self.protocol.writes) > 1:
            end = [b""] if b"" in writes else []
            self.protocol.writes = [b"".join(writes), *end]
        super().send_data()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timer:
            self.timer.cancel()  # it would keep the connection in memory, with all that it has received

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_again(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.timer:
            self.timer.cancel()

    def _look_again(self, size: int) -> None:
        self.timer = self.loop.call_later(SEND_TIMEOUT, self._look, size)

    def _look(self, size: int) -> None:
        """Cut off the client, if it has taken nothing since as many bytes waited for it."""
        if self.paused and not self.transport.is_closing():
            if (left := self.transport.get_write_buffer_size()) >= size:
                cut_off(self)
            else:
                self._look_again(left)
