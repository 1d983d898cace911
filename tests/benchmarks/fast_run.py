"""test14's server with a run that grows faster than time passes: what took hours is there in a minute.

python -m tests.benchmarks.fast_run SERVER.PY OPTIONS…

The server is the reader's own, unchanged, and so is all that it does with a reading. Only the sensor is read
as fast as the log takes it, up to the number of readings that the standard input says last, and from there on
at the server's rate. Each reading has the time that it would have had at that rate, hours ago.
"""

import asyncio
import itertools
import runpy
import sys
import threading
import time
from collections.abc import AsyncIterator

import common.sampling
from common.runs.recorder import Recorder
from common.sampling import PolledSensor

HOURS = 3
# How many readings may wait for the log; many more than 400,000 would be lost.
MOST_WAITING = 20_000

wanted = 0
logs: list[Recorder] = []
start = Recorder.start


def start_and_remember(log: Recorder, changed: object) -> None:
    logs.append(log)
    start(log, changed)


def listen() -> None:
    global wanted
    for line in sys.stdin:
        wanted = int(line)


async def readings(
    sensor: PolledSensor, rate: float, running: asyncio.Event
) -> AsyncIterator[tuple[int, int, list[float]]]:
    await running.wait()
    (log,) = logs
    begin = time.time_ns() - HOURS * 3600 * 10**9
    due = time.monotonic()
    for seq in itertools.count(1):
        yield seq, begin + int(seq * 1e9 / rate), sensor.read()
        due += 1 / rate
        if seq < wanted:
            due = time.monotonic()
            if log.acquired - log.logged > MOST_WAITING:
                await asyncio.sleep(0.005)
            elif seq % 200 == 0:
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(due - time.monotonic())


if __name__ == "__main__":
    Recorder.start = start_and_remember
    common.sampling.readings = readings
    threading.Thread(target=listen, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
