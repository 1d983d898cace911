"""Sensors: simulated ones, and this machine itself.

A sensor is any object with `fields`, a dict from the name of each field to its unit, and `read()`,
which returns the values of one reading in the same order. `read()` returns at once; what to do with a
sensor that makes its caller wait, or fails, is the subject of test15.
"""

import math
import random
import time

import psutil


class Thermometer:
    """A simulated room thermometer: slow waves around 21 °C, with a little noise.

    Args:
        rate: how often it will be read, in readings a second; its own clock advances by 1/rate a reading.
        seed: the same seed gives the same readings.
    """

    fields = {"temperature": "°C"}

    def __init__(self, rate: float, seed: int | None = None) -> None:
        self._random = random.Random(seed)
        self._interval = 1 / rate
        self._time = self._random.uniform(0, 60)

    def read(self) -> list[float]:
        """Return `[temperature]`, in °C."""
        self._time += self._interval
        waves = 1.5 * math.sin(self._time / 4) + 0.4 * math.sin(self._time / 1.1)
        return [round(21 + waves + self._random.gauss(0, 0.05), 3)]


class Accelerometer:
    """A simulated 3-axis accelerometer in a hand that waves it gently.

    Args:
        rate: how often it will be read, in readings a second; its own clock advances by 1/rate a reading.
        seed: the same seed gives the same readings.
    """

    fields = {"x": "m/s²", "y": "m/s²", "z": "m/s²"}

    def __init__(self, rate: float, seed: int | None = None) -> None:
        self._random = random.Random(seed)
        self._interval = 1 / rate
        self._time = self._random.uniform(0, 60)

    def read(self) -> list[float]:
        """Return `[x, y, z]`, in m/s²; at rest z is 9.81, the acceleration of gravity."""
        self._time += self._interval
        swing = 0.6 + 0.4 * math.sin(self._time / 5)
        x = 4 * swing * math.sin(self._time * 1.3)
        y = 2.5 * swing * math.cos(self._time * 1.3)
        z = 9.81 + 1.2 * swing * math.sin(self._time * 2.6)
        return [round(value + self._random.gauss(0, 0.08), 3) for value in (x, y, z)]


class Processor:
    """How busy this machine's processor is, through `psutil`.

    Args:
        rate: how often it will be read, in readings a second.
        seed: taken so that every sensor is made alike; real readings cannot be repeated.
    """

    fields = {"processor": "%"}

    # The system counts processor time in ticks of 10 ms, so over less than this the load means nothing:
    # https://psutil.readthedocs.io/ (cpu_percent). In between, the latest load is still the reading.
    SHORTEST = 0.1

    def __init__(self, rate: float, seed: int | None = None) -> None:
        self._load = psutil.cpu_percent(interval=self.SHORTEST)
        self._next = time.monotonic() + self.SHORTEST

    def read(self) -> list[float]:
        """Return `[processor]`: the load over all cores, 0 to 100 %."""
        if time.monotonic() >= self._next:
            self._load = psutil.cpu_percent()
            self._next = time.monotonic() + self.SHORTEST
        return [self._load]


class Cpu(Processor):
    """How busy this machine's processor and memory are, through `psutil`; made like `Processor`."""

    fields = {"processor": "%", "memory": "%"}

    def read(self) -> list[float]:
        """Return `[processor, memory]`: the load over all cores and the memory in use, 0 to 100 %."""
        return [*super().read(), psutil.virtual_memory().percent]


# What the option --sensor offers. A sensor of your own goes here.
SENSORS = {
    "thermometer": Thermometer,
    "processor": Processor,
    "accelerometer": Accelerometer,
    "cpu": Cpu,
}
