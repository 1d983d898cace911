"""Step 4b: the same data acquisition as in step 4, with the role in the path of the address.

Run:  python server.py      then open client.html.
New:  routing by path, /control and /data; one handler a role.
"""

import asyncio

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from common.network import announce
from common.options import parse_options
from common.running import run
from common.sensors import SENSORS

options = parse_options(__doc__, sensors=["thermometer", "processor"], rate=5)
sensor = SENSORS[options.sensor](options.rate, options.seed)

# Set while the acquisition runs. Coroutines can wait for an Event without using the processor.
running = asyncio.Event()


async def handler(connection):
    # A page that opens ws://localhost:5678/control asks for the path /control; what follows a "?" is not
    # part of the path. The role is known before the first message, so no message has to tell it.
    path = connection.request.path.partition("?")[0]
    try:
        if path == "/control":
            await control(connection)
        elif path == "/data":
            await data(connection)
        else:
            # A close code and a reason reach the page, so that somebody can read what went wrong.
            print(f"Refused a client with the path {path[:100]!r}")
            await connection.close(1008, "the path must be /control or /data")
    except ConnectionClosed:
        # The client left without a goodbye: it crashed, or its network failed.
        pass


async def control(connection):
    print("Hello, client (control)")
    try:
        async for message in connection:
            print(f"Received {message[:100]!r}")
            await connection.send(handle_command(message))
    finally:
        print("Bye, client (control)")


def handle_command(command):
    if command == "START":
        running.set()
        return "OK: started"
    if command == "STOP":
        running.clear()
        return "OK: stopped"
    return f"ERROR: unknown command {command[:40]!r}; try START or STOP"


async def data(connection):
    print("Hello, client (data)")
    # One task sends while this function receives: a connection does both at once.
    sender = asyncio.create_task(send_readings(connection))
    try:
        async for _ in connection:
            await connection.send("ERROR: this is the data socket; send commands on the control socket")
    finally:
        # The client has left, perhaps while nothing was being sent. Its sender must not wait for ever.
        sender.cancel()
        print("Bye, client (data)")


async def send_readings(connection):
    try:
        while True:
            await running.wait()
            (value,) = sensor.read()
            await connection.send(f"{value}")
            await asyncio.sleep(1 / options.rate)
    except ConnectionClosed:
        pass


async def main():
    server = await serve(handler, options.host, options.port)
    announce(options)
    await server.serve_forever()


if __name__ == "__main__":
    run(main(), options)
