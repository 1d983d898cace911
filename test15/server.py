"""Step 15: a real sensor, which may block, fail, and send rubbish.

Run:  python server.py      then open the address that it prints, or scan the code with a phone.
      python server.py --sensor cpu      reads this machine; --help says what else.
      python server.py --sensor serial:/dev/ttyUSB0,115200      reads a microcontroller.
New:  a driver that blocks has a thread of its own; a sensor that fails is a state, not a crash.
"""

import asyncio
import json
import math
import threading
import time
from contextlib import aclosing, suppress
from pathlib import Path

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from common.clients import MAX_BACKLOG, send_to_all
from common.drivers.collector import PassedOver, Sample
from common.drivers.sensor import OPTIONS, explain, open_sensor, values_of
from common.drivers.tally import Tally
from common.http import HttpConnection
from common.network import announce
from common.options import parse_options
from common.running import run
from common.runs.recorder import Recorder
from common.runs.repair import repair
from common.runs.serving import Runs

RETRY = 1  # seconds until a sensor that has failed is tried again
MAX_QUEUED = 1000  # readings that the event loop has yet to take; the driver's thread waits for it then

options = parse_options(__doc__, rate=20, extra=OPTIONS)
try:
    sensor = open_sensor(options.sensor, options.rate, options.seed, options.fields, options.host)
except ValueError as error:
    raise SystemExit(str(error)) from None
silent_after = options.silent_after or max(3, 5 / (sensor.rate or 5))
status = {"state": "waiting", "text": "waiting for the first reading", "since": time.time()}
heard = 0.0  # when there was a reading, in seconds of time.monotonic()
latest_ns = 0  # the time of the latest reading

HERE = Path(__file__).parent
LOGS = HERE / "logs"
history = Runs(LOGS, HERE / "client.html")
controls = set()
running = asyncio.Event()


async def acquire():
    """Keep the sensor open while the server runs. Whatever goes wrong is told, and tried again."""
    global heard
    while True:
        heard = time.monotonic()
        try:
            readings = sensor.readings()
            if hasattr(readings, "__aiter__"):
                async with aclosing(readings):
                    async for reading in readings:
                        take(time.time_ns(), reading)
                        await asyncio.sleep(0)  # one that yields a flood must not keep the loop from others
            else:
                await read_in_thread(readings)
            reason = "its readings have ended"
        except BaseException as error:  # a driver may raise KeyboardInterrupt, too
            if asyncio.current_task().cancelling():
                raise asyncio.CancelledError from None  # the server stops
            reason = explain(error)
        tell("failed", reason)
        heard = math.inf  # that it is silent until it is tried again is no news
        await asyncio.sleep(RETRY)


async def read_in_thread(readings):
    """Let a thread wait for a driver that blocks. The event loop waits for nothing, and gets each reading."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    stop = threading.Event()
    room = threading.Semaphore(MAX_QUEUED)

    def work():
        error = None
        try:
            for reading in readings:
                if stop.is_set():
                    break
                if reading is not None:
                    room.acquire()
                    # The only function of an event loop that another thread may call.
                    loop.call_soon_threadsafe(arrive, time.time_ns(), reading)
            readings.close()  # here, because only its own thread may close a generator
        except BaseException as reason:
            error = reason
        with suppress(RuntimeError):  # the loop has ended before this thread
            # Nobody waits for it any more when the server stops.
            loop.call_soon_threadsafe(lambda: ended.done() or ended.set_result(error))

    def arrive(time_ns, reading):
        room.release()
        if not stop.is_set():
            take(time_ns, reading)

    # A thread cannot be ended from outside; one that is a daemon does not keep the program from ending.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        error = await ended
        if error is not None:
            raise error
    finally:
        stop.set()
        room.release()  # a thread that waits for room goes on, and sees that it is to stop
        thread.join(0.5)


def take(time_ns, reading):
    """Take in what the sensor has yielded. Only the event loop's thread comes here."""
    global heard, latest_ns
    if isinstance(reading, PassedOver):
        tally.passed_over(str(reading))
        return
    try:
        begin()
        if isinstance(reading, Sample):
            # One of a batch can be older than its arrival, but not than the one before it.
            time_ns = max(reading.time_ns, min(time_ns, latest_ns + 1))
            reading = tally.in_time(reading, history.log.fields)
        if reading is None:
            return
        values, passed_over = values_of(reading, history.log.fields if history.log else {})
    except ValueError as error:  # it is garbled, or has fields that no log can have
        tally.garbled(str(error))
        return
    for text in passed_over:
        tally.passed_over(text)
    heard, latest_ns = time.monotonic(), time_ns
    tell(*tally.read())
    if running.is_set():
        history.log.add(time_ns, values)


def begin():
    """Begin the run as soon as its fields are known, and anew if others come before its first reading."""
    log = history.log
    if sensor.fields and (log is None or (log.acquired == 0 and log.fields != sensor.fields)):
        history.begin(Recorder(LOGS, sensor.fields, sensor.rate))
        history.log.start(changed=tell_state)
        if running.is_set():
            history.log.note("start")
        if log:
            log.close()


def tell(name, text):
    """Change the sensor's state, and say so once: on the console, in the log, and to every page."""
    if (status["state"], status["text"]) != (name, text):
        status.update(state=name, text=text, since=time.time())
        say(text)
        tell_state()


def say(text):
    print(f"{time.strftime('%H:%M:%S')} sensor: {text}")
    if history.log:
        history.log.note("sensor", text)


tally = Tally(say)


async def handler(connection):
    role = connection.request.path.partition("?")[0]
    if role not in ("/control", "/data"):
        print(f"Refused a client with the path {role[:100]!r}")
        await connection.close(1008, "the path must be /control or /data")
        return
    print(f"Hello, client ({role[1:]})")
    try:
        await (handle_control(connection) if role == "/control" else history.serve_data(connection))
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
            await asyncio.sleep(0)  # a client that floods this loop must not keep it from the others
    finally:
        controls.discard(connection)


def handle_command(command):
    if command not in ("START", "STOP"):
        return f"ERROR: unknown command {command[:40]!r}; try START or STOP"
    if running.is_set() != (command == "START"):
        if history.log:
            history.log.note(command.lower())
        if command == "START":
            running.set()
        else:
            running.clear()
        tell_state()
    return "OK: started" if command == "START" else "OK: stopped"


def state():
    error = history.log.error if history.log else None
    return json.dumps({"running": running.is_set(), "log_error": error, "sensor": status | tally.report()})


def tell_state():
    send_to_all(controls, state())


async def send_counts():
    """Say four times a second how much there is; and find out whether the sensor has fallen silent."""
    told = {}
    while True:
        if time.monotonic() - heard > silent_after:
            tell("silent", f"no reading for {silent_after:g} s")
        if told != tally.report():
            told = tally.report()
            tell_state()
        log = history.log
        counts = {name: getattr(log, name) if log else 0 for name in ("acquired", "logged", "lost")}
        send_to_all(controls, json.dumps(counts))
        await asyncio.sleep(0.25)


async def main():
    server = await serve(
        handler,
        options.host,
        options.port,
        process_request=history.serve_http,
        create_connection=HttpConnection,
        compression=None,
        write_limit=MAX_BACKLOG,
        close_timeout=2,
        open_timeout=None,  # a download is a part of opening for the library
    )
    for line in repair(LOGS):
        print(line)
    announce(options, serves_page=True)
    try:
        begin()
    except ValueError as error:
        raise SystemExit(f"Cannot record this sensor: {error}") from None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(acquire())
        tasks.create_task(send_counts())
        await server.serve_forever()


if __name__ == "__main__":
    try:
        run(main(), options)
    finally:
        if history.log:
            history.log.close()
