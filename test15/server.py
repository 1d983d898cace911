"""Step 15: a real sensor, which may block, fail, and send rubbish.

Run:  python server.py      then open the address that it prints, or scan the code with a phone.
      python server.py --sensor cpu      reads this machine; --help says what else.
      python server.py --sensor serial:/dev/ttyUSB0,115200      reads a microcontroller.
New:  a driver that blocks has a thread of its own; a sensor that fails is a state, not a crash.
"""

import asyncio
import math
import threading
import time
from contextlib import aclosing, suppress
from pathlib import Path

from common.drivers.collector import PassedOver, Sample
from common.drivers.sensor import OPTIONS, explain, open_sensor, values_of
from common.drivers.tally import Tally
from common.options import parse_options
from common.running import run
from common.runs.recorder import Recorder
from common.runs.serving import Dashboard, Runs

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
dashboard = Dashboard(Runs(LOGS, HERE / "client.html"), lambda: {"sensor": status | tally.report()})
log = None  # the run, as soon as its fields are known


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
            reading = tally.in_time(reading, log.fields)
        if reading is None:
            return
        values, passed_over = values_of(reading, log.fields if log else {})
    except ValueError as error:  # it is garbled, or has fields that no log can have
        tally.garbled(str(error))
        return
    for text in passed_over:
        tally.passed_over(text)
    heard, latest_ns = time.monotonic(), time_ns
    tell(*tally.read())
    if dashboard.running.is_set():
        log.add(time_ns, values)


def begin():
    """Begin the run as soon as its fields are known, and anew if others come before its first reading."""
    global log
    if not sensor.fields or (log and (log.acquired > 0 or log.fields == sensor.fields)):
        return
    before, log = log, Recorder(LOGS, sensor.fields, sensor.rate)
    log.start(changed=dashboard.tell_state)
    dashboard.runs.begin(log)
    if dashboard.running.is_set():
        log.note("start")
    if before:
        before.close()


def tell(name, text):
    """Change the sensor's state, and say so once: on the console, in the log, and to every page."""
    if (status["state"], status["text"]) != (name, text):
        status.update(state=name, text=text, since=time.time())
        say(text)
        dashboard.tell_state()


def say(text):
    print(f"{time.strftime('%H:%M:%S')} sensor: {text}")
    if log:
        log.note("sensor", text)


tally = Tally(say)


async def watch():
    """Find out whether the sensor has fallen silent, and what could not be read of what it sends."""
    told = {}
    while True:
        if time.monotonic() - heard > silent_after:
            tell("silent", f"no reading for {silent_after:g} s")
        if told != tally.report():
            told = tally.report()
            dashboard.tell_state()
        await asyncio.sleep(0.25)


async def main():
    server = await dashboard.listen(options)
    try:
        begin()
    except ValueError as error:
        raise SystemExit(f"Cannot record this sensor: {error}") from None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(acquire())
        tasks.create_task(watch())
        tasks.create_task(dashboard.send_counts())
        await server.serve_forever()


if __name__ == "__main__":
    try:
        run(main(), options)
    finally:
        if log:
            log.close()
