"""Sending to many clients at once: what test5 shows in full."""

from collections.abc import Collection

from websockets.asyncio.server import ServerConnection, broadcast

from common.console import say

# How many bytes may wait for one client before it is cut off. Give the same to serve() as its write_limit:
# above that limit the library's keepalive waits for the slow client, and so never finds it dead.
MAX_BACKLOG = 2**20


def send_to_all(connections: Collection[ServerConnection], message: str) -> None:
    """Send a message to every connection, waiting for none of them.

    What a slow client has not taken yet piles up in memory, so a client for which more than `MAX_BACKLOG`
    bytes wait is cut off; its page sees the close code 1006.
    """
    broadcast(connections, message)
    for connection in connections:
        if connection.transport.get_write_buffer_size() > MAX_BACKLOG:
            say("Cut off a client that does not read what it is sent")
            connection.transport.abort()
