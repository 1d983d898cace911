"""Step 5: many clients share one acquisition, and every reading is logged.

Run:  python server.py      then open client.html in several tabs or on several devices.
New:  one acquisition task, whoever is connected; broadcast; a log that never loses or overwrites.
"""

import asyncio
import itertools
import os
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

from common.clients import CarefulConnection
from common.network import announce
from common.options import parse_options
from common.running import run
from common.sensors import SENSORS

SEND_EVERY = 4  # of the logged readings, clients get every fourth
MAX_BACKLOG = 2**20  # bytes that may wait for one client before it is cut off
MAX_UNWRITTEN = 2**24  # bytes that may wait for the disk

options = parse_options(__doc__, sensors=["thermometer", "processor"], rate=20)
sensor = SENSORS[options.sensor](options.rate, options.seed)
running = asyncio.Event()
clients = {"/control": set(), "/data": set()}


class Log:
    """One new CSV file for this run. What write() is given is with the operating system when it returns."""

    def __init__(self, folder, fields, tell):
        self.folder, self.fields, self.tell = folder, fields, tell
        self.file = self.error = self.loss = None
        self.unwritten, self.size, self.is_torn = bytearray(), 0, False

    def write(self, seq, time_ns, values):
        # While the disk refuses, rows wait here for it, but not without limit: memory is no disk.
        if len(self.unwritten) < MAX_UNWRITTEN:
            self.unwritten += f"{seq},{time_ns},{','.join(map(str, values))}\n".encode()
        self.flush()

    def flush(self):
        problem = None
        try:
            if self.file:
                self.look_after(self.file)
            if self.unwritten and self.file is None:
                self.open()
            # A write may take only a part of a row. The rest of it goes first next time.
            while self.file and self.unwritten:
                done = self.file.write(self.unwritten)
                self.size, self.is_torn = self.size + done, self.unwritten[done - 1] != ord("\n")
                del self.unwritten[:done]
        except OSError as error:
            problem = f"ERROR: cannot write the log in {self.folder.name}: {error.strerror}"
        problem = problem or self.loss
        if problem != self.error:
            self.error = problem
            print(problem or "OK: the log is written again")
            self.tell(problem or "OK: the log is written again")

    def look_after(self, file):
        # Whoever deletes, replaces or cuts the file takes it away. The log goes on in a new one.
        with suppress(FileNotFoundError):
            there, ours = self.path.stat(), os.fstat(file.fileno())
            if os.path.samestat(there, ours) and there.st_size == self.size:
                return
        file.close()
        self.file = None
        self.loss = f"ERROR: somebody has deleted or changed {self.path.name}; the log goes on in a new file"
        if self.is_torn:  # the beginning of this row is in the old file
            del self.unwritten[: self.unwritten.find(b"\n") + 1]

    def open(self):
        self.folder.mkdir(exist_ok=True)
        self.path = self.folder / datetime.now().strftime("%Y-%m-%dT%H-%M-%S.%f.csv")
        # Mode "x" makes a new file, never an earlier run's; unbuffered, nothing waits in Python.
        self.file = self.path.open("xb", buffering=0)
        self.size, self.is_torn = 0, True
        self.unwritten[:0] = f"seq,time_ns,{','.join(self.fields)}\n".encode()
        print(f"Logging to {self.folder.name}/{self.path.name}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.flush()
        if self.unwritten:
            print(f"ERROR: {len(self.unwritten)} bytes of readings could not be written and are lost")
        if self.file:
            self.file.close()


log = Log(Path(__file__).parent / "logs", sensor.fields, lambda text: send_to_all("/control", text))


async def acquire():
    """Read the sensor while the acquisition runs. The only task that does, however many clients there are."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    for seq in itertools.count(1):
        if not running.is_set():
            await running.wait()
            due = loop.time()
        time_ns, values = time.time_ns(), sensor.read()
        log.write(seq, time_ns, values)
        if (seq - 1) % SEND_EVERY == 0:
            send_to_all("/data", f"{values[0]}")
        # Sleeping until the next is due, not for a fixed time, keeps the sample rate whatever the rest took.
        due += 1 / options.rate
        if loop.time() > due + 1:
            due = loop.time()  # the whole machine was asleep: what was missed is not made up for
        await asyncio.sleep(due - loop.time())


def send_to_all(role, message):
    # broadcast() waits for nobody. What a slow client has not taken yet piles up in memory instead, so a
    # client that lets too much pile up has to go.
    broadcast(clients[role], message)
    for connection in clients[role]:
        if connection.transport.get_write_buffer_size() > MAX_BACKLOG:
            print("Cut off a client that does not read what it is sent")
            connection.transport.abort()


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
    # Above write_limit even the library's keepalive waits for a slow client, so it is as high as ours.
    # Compression would take more time than it saves; and at the end, who does not answer gets 2 s, not 10.
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
