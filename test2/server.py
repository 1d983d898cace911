"""Step 2: the client asks, the server answers.

Run:  python server.py      then open client.html in a browser.
New:  receiving messages in a loop; replying to each; a clear answer to what is not understood.
"""

import asyncio
import signal
from datetime import UTC, datetime

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

HOST = "localhost"
PORT = 5678


async def handler(connection):
    print("Hello, client")
    try:
        # The loop waits for the next message, and ends when the client says goodbye.
        async for message in connection:
            # !r is repr(): it shows control characters instead of sending them to the terminal.
            print(f"Received {message[:100]!r}")
            await connection.send(answer(message))
    except ConnectionClosed:
        # The client left without a goodbye: it crashed, or its network failed.
        pass
    finally:
        print("Bye, client")


def answer(command):
    if command == "GET_TIME":
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if command == "GREET_ME":
        return "Hello! Nice to meet you."
    return f"ERROR: unknown command {command[:40]!r}; try GET_TIME or GREET_ME"


async def main():
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_to_stop(number, frame):
        loop.call_soon_threadsafe(stop.set)
        signal.signal(number, signal.SIG_DFL)  # a second Ctrl-C ends the program at once

    # Ctrl-C sends SIGINT, and `kill` sends SIGTERM. Listening to them in this way works on Windows too.
    signal.signal(signal.SIGINT, ask_to_stop)
    signal.signal(signal.SIGTERM, ask_to_stop)
    # At the end of this block every connection is closed, with the close code 1001: going away.
    async with serve(handler, HOST, PORT):
        print(f"Listening on ws://{HOST}:{PORT} (Ctrl-C stops)")
        await stop.wait()
    print("Stopped")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except OSError as error:
        raise SystemExit(
            f"Cannot listen on port {PORT}. Is another server still running? ({error.strerror})"
        ) from None
