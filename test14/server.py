"""Step 14: the log is the history. Each page is served from it, so what a page has missed comes later.

Run:  python server.py      then open the address that it prints, or scan the code with a phone.
      python server.py --rate 1000      reads faster.
New:  readings have numbers, and a page says up to which it has them; each page is served from the log, at its
      own pace; an epoch tells one run from another.
"""

import asyncio
import contextlib
import json
from pathlib import Path

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from common.clients import MAX_BACKLOG, send_to_all
from common.http import HttpConnection, serve_file, static_files
from common.network import announce
from common.options import parse_options
from common.running import run
from common.runs.recorder import Recorder
from common.runs.repair import repair
from common.sampling import readings
from common.sensors import SENSORS

options = parse_options(__doc__, sensors=["accelerometer", "cpu"], rate=20)
sensor = SENSORS[options.sensor](options.rate, options.seed)
running = asyncio.Event()
controls = set()

HERE = Path(__file__).parent
LOGS = HERE / "logs"
FILES = static_files() | {"/": HERE / "client.html", "/dashboard": HERE / "client.html"}


async def acquire():
    async for _, time_ns, values in readings(sensor, options.rate, running):
        # It gets the next number, and is in the log before any page is told of it.
        log.add(time_ns, values)


async def handler(connection):
    role = connection.request.path.partition("?")[0]
    if role not in HANDLERS:
        print(f"Refused a client with the path {role[:100]!r}")
        await connection.close(1008, "the path must be /control or /data")
        return
    print(f"Hello, client ({role[1:]})")
    try:
        await HANDLERS[role](connection)
    except* (ConnectionClosed, TimeoutError):
        # The client left without a goodbye, or takes nothing of what it is sent.
        connection.transport.abort()
    finally:
        print(f"Bye, client ({role[1:]})")


async def handle_control(connection):
    controls.add(connection)
    try:
        await connection.send(state())
        async for message in connection:
            print(f"Received {message[:100]!r}")
            await connection.send(json.dumps({"reply": handle_command(message)}))
            # A client that floods this loop must not keep it from the others.
            await asyncio.sleep(0)
    finally:
        controls.discard(connection)


async def handle_data(connection):
    """Serve one page from the log. The newest readings are its end, so nothing comes twice, or never."""
    hello = {
        "epoch": log.epoch,
        "run": log.name,
        "head": log.head,
        "fields": list(sensor.fields),
        "units": list(sensor.fields.values()),
        "rate": options.rate,
    }
    await connection.send(json.dumps(hello))
    async with asyncio.TaskGroup() as tasks:
        sending = None
        async for message in connection:
            match parse(message):
                case {"epoch": epoch, "have": int(have)} if sending is None and have >= 0:
                    # What a page has of another run is worth nothing here.
                    have = min(have, log.head) if epoch == log.epoch else 0
                    sending = tasks.create_task(send_rows(connection, have))
                case _:
                    error = f"ERROR: {message[:40]!r} is not understood; the README has the protocol"
                    await connection.send(json.dumps({"error": error}))
            await asyncio.sleep(0)
        # The client has gone; the loop that sends would wait for readings for ever.
        if sending:
            sending.cancel()


async def send_rows(connection, have):
    """Send what comes after the reading `have`, for ever, and no faster than the page takes it."""
    while True:
        await log.more_than(have)
        # A page that takes nothing for half a minute is frozen, or gone. When it is back, it asks anew.
        async with asyncio.timeout(30):
            chunk = await log.chunk(have)
            if chunk.gone:
                await connection.send(json.dumps({"gone": chunk.gone}))
            if chunk.text:
                await connection.send(json.dumps({"lines": chunk.text}))
        have = chunk.last
        if have == log.head:
            # Readings that come one by one are sent together, twenty times a second.
            await asyncio.sleep(0.05)


def parse(message):
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return None


def handle_command(command):
    if command not in ("START", "STOP"):
        return f"ERROR: unknown command {command[:40]!r}; try START or STOP"
    if running.is_set() != (command == "START"):
        log.note(command.lower())
        if command == "START":
            running.set()
        else:
            running.clear()
        tell_state()
    return "OK: started" if command == "START" else "OK: stopped"


def state():
    return json.dumps({"running": running.is_set(), "log_error": log.error})


def tell_state():
    send_to_all(controls, state())


async def send_counts():
    """Say four times a second how much there is; by this, pages also notice that the network failed."""
    while True:
        counts = {"acquired": log.acquired, "logged": log.logged, "lost": log.lost}
        send_to_all(controls, json.dumps(counts))
        await asyncio.sleep(0.25)


async def main():
    server = await serve(
        handler,
        options.host,
        options.port,
        process_request=lambda connection, request: serve_file(connection, request, FILES),
        create_connection=HttpConnection,
        compression=None,
        write_limit=MAX_BACKLOG,
        close_timeout=2,
    )
    for line in repair(LOGS):
        print(line)
    announce(options, serves_page=True)
    log.start(changed=tell_state)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send_counts())
        tasks.create_task(acquire())
        await server.serve_forever()


HANDLERS = {"/control": handle_control, "/data": handle_data}

if __name__ == "__main__":
    with contextlib.closing(Recorder(LOGS, sensor.fields, options.rate)) as log:
        run(main(), options)
