"""Reading a sensor at a steady rate: what test5 shows in full.

Unlike there, each reading is yielded, so that what becomes of it stays in the step.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Protocol


class PolledSensor(Protocol):
    """What `common.sensors` describes."""

    fields: dict[str, str]

    def read(self) -> list[float]: ...


async def readings(
    sensor: PolledSensor, rate: float, running: asyncio.Event
) -> AsyncIterator[tuple[int, int, list[float]]]:
    """Yield the sensor's readings while `running` is set, and wait while it is not.

    Args:
        sensor: is read once for each item.
        rate: the sample rate, in readings a second; it is kept on average, whatever the loop's body takes.
        running: set to start, cleared to stop, as often as one likes.

    Yields:
        The number of the reading, counted from 1; the time at which it was taken, in nanoseconds of Unix
        time; and the values of the sensor's fields.
    """
    loop = asyncio.get_running_loop()
    due = loop.time()
    for seq in itertools.count(1):
        if not running.is_set():
            await running.wait()
            due = loop.time()
        yield seq, time.time_ns(), sensor.read()
        due += 1 / rate
        if loop.time() > due + 1:
            due = loop.time()  # the whole machine was asleep: what was missed is not made up for
        await asyncio.sleep(due - loop.time())
