"""Step 1: the server sends every client its own stream of timestamps.

Run:  python server.py      then open client.html in a browser, in one tab or in several.
New:  a server; one connection per client; server push.
"""

import asyncio
import random
import signal
from datetime import UTC, datetime

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

HOST = "localhost"
PORT = 5678


# The library calls this function once for each client, with that client's connection, and the
# connection lives until the function returns: this is why there is a loop in it.
async def handler(connection):
    print("Hello, client")
    try:
        while True:
            timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            print(timestamp)
            await connection.send(timestamp)
            # asyncio.sleep() lets the other clients' handlers run meanwhile; time.sleep() would stop them.
            await asyncio.sleep(random.uniform(0, 3))
    except ConnectionClosed:
        # The client has left, which is how every connection ends. The handler notices when it next sends.
        pass
    finally:
        print("Bye, client")


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
