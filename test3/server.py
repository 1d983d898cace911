"""Step 3: the same answers, for any device on the network.

Run:  python server.py      then open client.html here; the README says how to open it on another device.
New:  listening on every network interface; options; telling the reader which address to use.
"""

from datetime import UTC, datetime

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from common.network import announce
from common.options import parse_options
from common.running import run

options = parse_options(__doc__)


async def handler(connection):
    print("Hello, client")
    try:
        async for message in connection:
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
    # Steps 1 and 2 listened on "localhost", which no other device can reach. The host None, the default
    # of --host, means every network interface of this machine.
    server = await serve(handler, options.host, options.port)
    announce(options)
    await server.serve_forever()


if __name__ == "__main__":
    # Options, a busy port, Ctrl-C and SIGTERM as in steps 1 and 2, now kept in common/.
    run(main(), options)
