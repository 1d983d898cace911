"""Step 4: a data acquisition, with one socket for control and one for data.

Run:  python server.py      then open client.html.
New:  two sockets for one page; a first message that tells the role; starting and stopping.
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
    try:
        # The first message says what this connection is for.
        role = await connection.recv()
        if role == "CONTROL":
            await control(connection)
        elif role == "DATA":
            await data(connection)
        else:
            # A close code and a reason reach the page, so that somebody can read what went wrong.
            print(f"Refused a client with the role {role[:100]!r}")
            await connection.close(1008, "the first message must be CONTROL or DATA")
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
