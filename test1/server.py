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
