"""The server's processor time for a message to each of 100 clients.

Every server sends the same reading at the same pace to the same client program, which offers no compression.
The server has one core and the clients another, where the system allows that. The time is
`time.process_time()` of the server, and counts only once every client has received every message.
"""

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Timer

from tests.benchmarks.result import Result, at_most

ROOT = Path(__file__).parents[2]
RUNS = 15
CLIENTS = 100
BROADCASTS = 50  # in one run
INTERVAL = 0.008  # seconds from broadcast to broadcast, which leaves even the slowest some rest
TIMEOUT = 60


# What each server of `tests.benchmarks.servers` does.
SERVERS = {
    "bare asyncio": "writes one ready-made frame to each transport, and does nothing else",
    "websockets": "its broadcast() alone, which is what send_to_all() calls",
    "test9": "its own server.py: logs 4 readings, sends 1 to all with common.clients.send_to_all()",
    "FastAPI": "on uvicorn with its default, the package websockets; await client.send_text() for each",
    "aiohttp": "await client.send_str() for each client",
    "Tornado": "client.write_message() for each client",
    "python-socketio": "on uvicorn; await sio.emit()",
}


def run() -> list[Result]:
    for name, does in SERVERS.items():
        print(f"  {name:22}{does}")
    packages = ["websockets", "fastapi", "uvicorn", "aiohttp", "tornado", "python-socketio"]
    print(" ", ", ".join(f"{name} {version(name)}" for name in packages))

    times: dict[str, list[float]] = {name: [] for name in SERVERS}
    with ExitStack() as stack:
        pairs = {name: _start_pair(stack, name) for name in SERVERS}
        for pair in pairs.values():
            measure(*pair)  # to warm up
        for number in range(RUNS):
            # Every other run goes backwards, so that a machine that gets slower or faster favours none.
            for name in list(SERVERS)[:: -1 if number % 2 else 1]:
                times[name].append(measure(*pairs[name]))

    medians = {name: median(values) for name, values in times.items()}
    bare = medians["bare asyncio"]
    print(f"\n  {f'µs a delivery, median of {RUNS} runs':37}times bare asyncio   lowest … highest")
    for name in sorted(medians, key=medians.get):
        spread = f"{min(times[name]):.1f} … {max(times[name]):.1f}"
        print(f"  {name:24}{medians[name]:9.1f}{medians[name] / bare:22.2f}   {spread}")

    # Equal servers differ by up to a tenth from one bench to the next: that much is level.
    # Bare asyncio has no factor: its time is the system's for a write, which varies twofold by machine.
    factors = {"websockets": 1.4, "FastAPI": 1.1, "Tornado": 0.7, "python-socketio": 0.7}
    return [
        at_most(f"fan-out: test9 against {rival}", medians["test9"] / medians[rival], factor, "times", ".2f")
        for rival, factor in factors.items()
    ]


def measure(server: subprocess.Popen[str], clients: subprocess.Popen[str]) -> float:
    """Have the server broadcast and the clients receive, and return the server's microseconds a delivery."""
    _say(server, "broadcast")
    _wait_for(clients, "All received")
    _say(server, "all received")
    return float(_wait_for(server, r"Processor time (\S+)")) / (CLIENTS * BROADCASTS) * 1e6


def pin(core: int) -> None:
    """Keep this process on one of the cores, where the system allows that."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})


def _start_pair(stack: ExitStack, name: str) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """Start a server and its clients, and wait until they are connected."""
    folder = stack.enter_context(TemporaryDirectory())
    server = _start(stack, "servers", name, folder)
    clients = _start(stack, "clients", name, _wait_for(server, r"port (\d+)"))
    _wait_for(server, "Ready")
    return server, clients


def _start(stack: ExitStack, module: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.enter_context(process)  # closes the pipes and waits,
    stack.callback(process.kill)  # which comes before that
    return process


def _say(process: subprocess.Popen[str], line: str) -> None:
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _wait_for(process: subprocess.Popen[str], pattern: str) -> str:
    watchdog = Timer(TIMEOUT, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            if match := re.search(pattern, line):
                return match[match.re.groups]
    finally:
        watchdog.cancel()
    raise SystemExit(f"{' '.join(process.args[2:4])} ended before it said {pattern!r}")
