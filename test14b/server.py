"""Step 14b: the whole run at a glance, and earlier ones: the log, in as many points as a screen has.

Run:  python server.py      then open the address that it prints, or scan the code with a phone.
      python server.py --rate 1000      reads faster.
      python server.py --replay logs/FILE.csv --speed 10      plays a run that is over.
New:  minimum and maximum instead of every reading where there are more than pixels; a view that is asked for;
      earlier runs, to open, to download and to play again.
"""

import asyncio
import contextlib
import json
import time
from pathlib import Path
from urllib.parse import parse_qs

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from common.clients import MAX_BACKLOG, send_to_all
from common.http import HttpConnection
from common.network import announce
from common.options import parse_options, parse_speed
from common.running import run
from common.runs.recorder import Recorder
from common.runs.repair import repair
from common.runs.replay import Replay
from common.runs.serving import Runs
from common.sampling import readings
from common.sensors import SENSORS

# A page that has more than so many readings to catch up gets the extremes of all but the newest of them, in
# at most so many columns.
MOST_ROWS, NEWEST, COLUMNS = 100_000, 10_000, 2048

options = parse_options(
    __doc__,
    sensors=["accelerometer", "cpu"],
    rate=20,
    extra={
        "--replay": {"type": Path, "metavar": "FILE", "help": "play a log instead of reading a sensor"},
        "--speed": {"type": parse_speed, "default": 1, "help": "how many times as fast (%(default)g)"},
    },
)
HERE = Path(__file__).parent
LOGS = HERE / "logs"
sensor = SENSORS[options.sensor](options.rate, options.seed)
controls = set()
running = asyncio.Event()


async def acquire():
    if options.replay:
        await log.play(running)
        running.clear()
        tell_state()
    else:
        log.start(changed=tell_state)
        async for _, time_ns, values in readings(sensor, options.rate, running):
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
    name = parse_qs(connection.request.path.partition("?")[2]).get("run", [None])[0]
    try:
        recording = await runs.open_run(name)
    except ValueError as error:
        await connection.close(1008, str(error))
        return
    hello = {
        "epoch": recording.epoch,
        "run": recording.name,
        "live": recording.live,
        "first": recording.first,
        "head": recording.head,
        "fields": list(recording.fields),
        "units": list(recording.fields.values()),
        "rate": recording.rate,
        "speed": recording.speed,
    }
    try:
        await connection.send(json.dumps(hello))
        async with asyncio.TaskGroup() as tasks:
            sending = None
            async for message in connection:
                match parse(message):
                    case {"epoch": epoch, "have": int(have)} if sending is None and have >= 0:
                        have = min(have, recording.head) if epoch == recording.epoch else 0
                        sending = tasks.create_task(send_rows(connection, recording, have))
                    case {"view": number, "from": int(start), "to": int(stop), "columns": int(columns)}:
                        view = await asyncio.to_thread(recording.view, start, stop, min(columns, COLUMNS))
                        await connection.send(json.dumps({"view": number, "from": start, "to": stop} | view))
                    case {"ping": ping}:
                        await connection.send(json.dumps({"pong": ping, "now": time.time()}))
                    case _:
                        error = f"ERROR: {message[:40]!r} is not understood; the README has the protocol"
                        await connection.send(json.dumps({"error": error}))
                await asyncio.sleep(0)
            # The client has gone; the loop that sends would wait for readings for ever.
            if sending:
                sending.cancel()
    finally:
        runs.close_run(recording)


async def send_rows(connection, recording, have):
    """Send what comes after the reading `have`, for ever, and no faster than the page takes it."""
    while True:
        await recording.more_than(have)
        # A page that takes nothing for half a minute is frozen, or gone. When it is back, it asks anew.
        async with asyncio.timeout(30):
            if recording.head - have > min(MOST_ROWS, recording.most_rows):
                extremes, have = await asyncio.to_thread(recording.extremes, have, NEWEST, COLUMNS)
                if extremes:
                    await connection.send(json.dumps({"extremes": extremes}))
            chunk = await recording.chunk(have)
            if chunk.gone:
                await connection.send(json.dumps({"gone": chunk.gone}))
            if chunk.text:
                waited = (recording.now_ns() - chunk.time_ns) / 1e9 / (recording.speed or 1)
                lines = {"lines": chunk.text, "sent": time.time(), "waited": waited}
                await connection.send(json.dumps(lines))
        have = chunk.last
        if have == recording.head:
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
    if command == "START" and options.replay and log.over:
        return "ERROR: the recording is over; start the server again to see it again"
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


def make_log():
    if not options.replay:
        return Recorder(LOGS, sensor.fields, options.rate)
    try:
        return Replay(options.replay, options.speed)
    except (OSError, ValueError) as error:
        raise SystemExit(f"Cannot replay {options.replay}: {error}") from None


async def main():
    server = await serve(
        handler,
        options.host,
        options.port,
        process_request=runs.serve_http,
        create_connection=HttpConnection,
        compression=None,
        write_limit=MAX_BACKLOG,
        close_timeout=2,
        open_timeout=None,  # a download is a part of opening for the library
    )
    for line in repair(LOGS):
        print(line)
    announce(options, serves_page=True)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send_counts())
        tasks.create_task(acquire())
        await server.serve_forever()


HANDLERS = {"/control": handle_control, "/data": handle_data}

if __name__ == "__main__":
    with contextlib.closing(make_log()) as log:
        runs = Runs(LOGS, HERE / "client.html", log)
        run(main(), options)
