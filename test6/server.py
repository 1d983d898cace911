"""Step 6: a live plot. The server is that of step 5; what is new is in the page.

Run:  python server.py      then open client.html in several tabs or on several devices.
New:  nothing here; the log, the timing and the broadcast of step 5 are now kept in common/.
"""

import asyncio
from pathlib import Path

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from common.clients import MAX_BACKLOG, CarefulConnection, send_to_all
from common.log import Log
from common.network import announce
from common.options import parse_options
from common.running import run
from common.sampling import readings
from common.sensors import SENSORS

SEND_EVERY = 4  # of the logged readings, clients get every fourth

options = parse_options(__doc__, sensors=["thermometer", "processor"], rate=20)
sensor = SENSORS[options.sensor](options.rate, options.seed)
running = asyncio.Event()
clients = {"/control": set(), "/data": set()}
log = Log(Path(__file__).parent / "logs", sensor.fields, lambda text: send_to_all(clients["/control"], text))


async def acquire():
    async for seq, time_ns, values in readings(sensor, options.rate, running):
        log.write(seq, time_ns, values)
        if (seq - 1) % SEND_EVERY == 0:
            send_to_all(clients["/data"], f"{values[0]}")


async def handler(connection):
    role = connection.request.path.partition("?")[0]
    if role not in clients:
        print(f"Refused a client with the path {role[:100]!r}")
        await connection.close(1008, "the path must be /control or /data")
        return
    print(f"Hello, client ({role[1:]})")
    clients[role].add(connection)
    try:
        if log.error and role == "/control":
            await connection.send(log.error)
        async for message in connection:
            print(f"Received {message[:100]!r}")
            await connection.send(handle_command(role, message))
            # A client that floods this loop must not keep it from the others.
            await asyncio.sleep(0)
    except ConnectionClosed:
        # The client left without a goodbye: it crashed, or its network failed.
        pass
    finally:
        clients[role].discard(connection)
        print(f"Bye, client ({role[1:]})")


def handle_command(role, command):
    if role == "/data":
        return "ERROR: this is the data socket; send commands on the control socket"
    if command == "START":
        running.set()
        return f"OK: started, but {log.error}" if log.error else "OK: started"
    if command == "STOP":
        running.clear()
        return "OK: stopped"
    return f"ERROR: unknown command {command[:40]!r}; try START or STOP"


async def main():
    server = await serve(
        handler,
        options.host,
        options.port,
        create_connection=CarefulConnection,
        compression=None,
        write_limit=MAX_BACKLOG,
        close_timeout=2,
    )
    announce(options)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(acquire())
        await server.serve_forever()


if __name__ == "__main__":
    with log:
        run(main(), options)
