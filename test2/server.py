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
    server = await serve(handler, HOST, PORT)
    print(f"Listening on ws://{HOST}:{PORT} (Ctrl-C stops)")
    await server.serve_forever()


if __name__ == "__main__":
    # SIGTERM, which `kill` sends, does the same as Ctrl-C: it closes every connection and ends.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("Stopped")
    except OSError as error:
        raise SystemExit(f"Cannot listen on port {PORT}. Stop the server that uses it. ({error})") from None
