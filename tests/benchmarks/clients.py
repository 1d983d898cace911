"""The clients of the fan-out benchmark, the same for every server: they count what arrives, little else."""

import asyncio
import sys
from collections.abc import Callable

from tests.benchmarks.fanout import BROADCASTS, CLIENTS, pin


class Client(asyncio.Protocol):
    """A WebSocket client that counts readings, and calls `complete` after each `BROADCASTS` of them."""

    def __init__(self, request: str, complete: Callable[[], None]) -> None:
        self.request = request
        self.complete = complete
        self.buffer = bytearray()
        self.upgraded = False
        self.count = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.write(self.request.encode())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.upgraded:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                raise SystemExit(f"The server refused a client: {head.decode()}")
            self.upgraded = True
            self.buffer = rest
        while len(self.buffer) >= 4:
            start, length = 2, self.buffer[1]
            if length == 126:
                start, length = 4, int.from_bytes(self.buffer[2:4])
            if len(self.buffer) < start + length:
                return
            first, payload = self.buffer[0], self.buffer[start : start + length]
            del self.buffer[: start + length]
            self.frame_received(first, payload)

    def frame_received(self, first: int, payload: bytes) -> None:
        if first == 0x81 and b'"time"' in payload:
            self.count += 1
            if self.count % BROADCASTS == 0:
                self.complete()
        elif first == 0x89:
            self.send(0x8A, payload)
        # Socket.IO has messages of its own: "open" is answered with "connect", and "ping" with "pong".
        elif payload.startswith(b"0"):
            self.send(0x81, b"40")
        elif payload == b"2":
            self.send(0x81, b"3")

    def send(self, first: int, payload: bytes) -> None:
        # Masked, as a client must, with the mask 0, which changes nothing.
        self.transport.write(bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload)

    def connection_lost(self, error: Exception | None) -> None:
        print(f"Lost a client after {self.count} messages: {error}", file=sys.stderr)


async def main(name: str, port: int) -> None:
    path = "/socket.io/?EIO=4&transport=websocket" if name == "python-socketio" else "/data"
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    clients: list[Client] = []

    def complete() -> None:
        # Of every run, each client gets each message exactly once.
        if all(client.count == clients[0].count for client in clients):
            print("All received", flush=True)

    loop = asyncio.get_running_loop()
    for _ in range(CLIENTS):
        _, client = await loop.create_connection(lambda: Client(request, complete), "127.0.0.1", port)
        clients.append(client)
    await asyncio.Event().wait()


if __name__ == "__main__":
    pin(1)
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
