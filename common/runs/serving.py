"""Runs for pages, the run of this server and those that are over: what test14b shows in full.

Unlike there, the run may begin when the server is long running, and begin anew, of which pages are told. And
a program can add commands, and what else a page is to know.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from common.clients import MAX_BACKLOG, send_to_all
from common.http import HttpConnection, download, serve_file, static_files
from common.network import Address, announce
from common.runs.recorder import Recorder
from common.runs.recording import Recording, Run, recordings
from common.runs.repair import repair
from common.runs.replay import Replay

# What test14b says of them.
MOST_ROWS, NEWEST, COLUMNS = 100_000, 10_000, 2048


class Runs:
    """The runs in a folder.

    Args:
        folder: where their logs are.
        page: the page, at `/` and `/dashboard`.
        log: the run that is recorded now, or replayed. Where it cannot begin yet, None; `begin` it later.
    """

    def __init__(self, folder: Path, page: Path, log: Recorder | Replay | None = None) -> None:
        self.folder, self.log = folder, log
        self.begun = asyncio.Event()
        self.files = {**static_files(), "/": page, "/dashboard": page}

    def begin(self, log: Recorder) -> None:
        """Let clients have the run that is recorded from now on."""
        self.log = log
        self.begun.set()
        self.begun = asyncio.Event()

    async def open_run(self, name: str | None) -> Run | None:
        """Return a run, which has to be given back to `close_run`.

        Args:
            name: its name, or None for the run that is recorded now.

        Returns:
            The run; None if none has begun yet.

        Raises:
            ValueError: if there is no run of this name, or none that can be read, in words for the reader.
        """
        if name is None or self._is_recorded(name):
            return self.log
        # Only the name of a file that is there leads to a file.
        if name not in [path.stem for path in self.folder.glob("*.csv")]:
            raise ValueError(f"there is no run {name[:40]!r}")
        try:
            return await asyncio.to_thread(Recording, self.folder / f"{name}.csv")
        except OSError as error:
            raise ValueError(f"{name[:40]}.csv cannot be read: {error.strerror}") from None

    def _is_recorded(self, name: str) -> bool:
        """Return whether this is the run that is recorded now; one that is replayed is over."""
        return self.log is not None and self.log.speed is None and name == self.log.name

    def close_run(self, run: Run) -> None:
        """Close what `open_run` has opened."""
        if run is not self.log:
            run.close()

    async def serve_http(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain HTTP request; for `process_request`, with `open_timeout=None`.

        `/runs` is the list of the runs as JSON, as `common.runs.recording.recordings` returns it, each with
        `live`: whether it is the one that is recorded now. `/log.csv` is the log of that one as a download,
        `/log.csv?run=NAME` that of another one, and with `from` and `to`, in seconds of Unix time, it is the
        part of it between these times. Everything else is the page.
        """
        path, _, query_text = request.path.partition("?")
        query = {name: values[-1] for name, values in parse_qs(query_text).items()}
        if path not in ("/runs", "/log.csv") or request.method not in ("GET", "HEAD"):
            return serve_file(connection, request, self.files)
        if path == "/runs":
            runs = await asyncio.to_thread(recordings, self.folder)
            for listed in runs:
                listed["live"] = self._is_recorded(listed["run"])
            response = connection.respond(200, json.dumps(runs))
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "application/json"
            response.headers["Cache-Control"] = "no-store"
            return response
        try:
            start, stop = (_microseconds(query[name]) if name in query else None for name in ("from", "to"))
        except ValueError as error:
            return connection.respond(400, f"{error}\n")
        try:
            run = await self.open_run(query.get("run"))
        except ValueError as error:
            return connection.respond(404, f"{error}; the list of the runs is at /runs\n")
        if run is None:
            return connection.respond(404, "no run has begun yet\n")
        try:
            size, chunks = await asyncio.to_thread(run.export, start, stop)
            name = run.name if start is None and stop is None else f"{run.name}-part"
            return await download(connection, f"{name}.csv", "text/csv; charset=utf-8", size, chunks)
        except OSError as error:
            return connection.respond(404, f"The log cannot be read: {error.strerror}\n")
        finally:
            self.close_run(run)


class Dashboard:
    """The sockets of a run's pages.

    Args:
        runs: the runs that pages can have.
        more_state: returns what pages are told besides whether the acquisition runs, and what is wrong with
            the log; it has to be data that JSON can hold.

    Attributes:
        running: whether the acquisition runs.
        commands: what is called for each command, and returns the reply.
    """

    def __init__(self, runs: Runs, more_state: Callable[[], dict[str, Any]] = dict) -> None:
        self.runs, self.more_state = runs, more_state
        self.running = asyncio.Event()
        self.controls: set[ServerConnection] = set()
        self.commands: dict[str | bytes, Callable[[], str]] = {"START": self._start, "STOP": self._stop}
        self.handlers = {"/control": self.handle_control, "/data": self.handle_data}

    async def listen(self, address: Address) -> Server:
        """Listen, mend the logs of runs that were killed, and say where the page is.

        Raises:
            OSError: if there is no listening at this address.
        """
        server = await serve(
            self.handler,
            address.host,
            address.port,
            process_request=self.runs.serve_http,
            create_connection=HttpConnection,
            compression=None,
            write_limit=MAX_BACKLOG,
            close_timeout=2,
            open_timeout=None,  # a download is a part of opening for the library
        )
        for line in repair(self.runs.folder):
            print(line)
        announce(address, serves_page=True)
        return server

    async def handler(self, connection: ServerConnection) -> None:
        """Serve one socket, by the path of its address."""
        assert connection.request
        role = connection.request.path.partition("?")[0]
        if role not in self.handlers:
            print(f"Refused a client with the path {role[:100]!r}")
            await connection.close(1008, "the path must be /control or /data")
            return
        print(f"Hello, client ({role[1:]})")
        try:
            await self.handlers[role](connection)
        except* (ConnectionClosed, TimeoutError):
            # The client left without a goodbye, or takes nothing of what it is sent.
            connection.transport.abort()
        finally:
            print(f"Bye, client ({role[1:]})")

    async def handle_control(self, connection: ServerConnection) -> None:
        """Serve a control socket: states and counts, and a reply to each command."""
        self.controls.add(connection)
        try:
            await connection.send(self.state())
            async for message in connection:
                print(f"Received {message[:100]!r}")
                await connection.send(json.dumps({"reply": self.handle_command(message)}))
                # A client that floods this loop must not keep it from the others.
                await asyncio.sleep(0)
        finally:
            self.controls.discard(connection)

    def handle_command(self, command: str | bytes) -> str:
        """Do what a command says, and return the reply."""
        if command not in self.commands:
            return f"ERROR: unknown command {command[:40]!r}; try {' or '.join(map(str, self.commands))}"
        return self.commands[command]()

    def _start(self) -> str:
        if not self.running.is_set():
            self.running.set()
            self._note("start")
        return "OK: started"

    def _stop(self) -> str:
        if self.running.is_set():
            self.running.clear()
            self._note("stop")
        return "OK: stopped"

    def _note(self, what: str) -> None:
        if self.runs.log:
            self.runs.log.note(what)
        self.tell_state()

    def state(self) -> str:
        """Return what pages are told when they come, and whenever it changes."""
        error = self.runs.log.error if self.runs.log else None
        return json.dumps({"running": self.running.is_set(), "log_error": error} | self.more_state())

    def tell_state(self) -> None:
        """Tell it to every page."""
        send_to_all(self.controls, self.state())

    async def send_counts(self) -> None:
        """Say four times a second how much there is; by this, pages also notice that the network failed."""
        while True:
            log = self.runs.log
            counts = {name: getattr(log, name) if log else 0 for name in ("acquired", "logged", "lost")}
            send_to_all(self.controls, json.dumps(counts))
            await asyncio.sleep(0.25)

    async def handle_data(self, connection: ServerConnection) -> None:
        """Serve a data socket: the readings of a run, the views of it, and the time.

        Raises:
            ExceptionGroup: of `ConnectionClosed` when the page has gone, of `TimeoutError` when it takes
                nothing.
        """
        assert connection.request
        name = parse_qs(connection.request.path.partition("?")[2]).get("run", [None])[0]
        try:
            opened = await self.runs.open_run(name) if name else None
        except ValueError as error:
            await connection.close(1008, str(error))
            return
        recording: Run | None = None
        sending: asyncio.Task[None] | None = None

        async def greet() -> None:
            """Say what run this is, as soon as there is one, and again when another one has begun."""
            nonlocal recording, sending
            while opened is None or recording is None:
                run = opened or self.runs.log
                if run is None or run is recording:
                    await self.runs.begun.wait()
                    continue
                if sending:
                    sending.cancel()
                recording, sending = run, None
                await connection.send(json.dumps(_hello(run)))

        try:
            async with asyncio.TaskGroup() as tasks:
                greeting = tasks.create_task(greet())
                async for message in connection:
                    match parse(message):
                        case {"ping": ping}:
                            await connection.send(json.dumps({"pong": ping, "now": time.time()}))
                        # As long as there are no readings, the fields can change, and a page asks anew.
                        case {"epoch": epoch, "have": int(have)} if (
                            recording and have >= 0 and not (sending and recording.head)
                        ):
                            if sending:
                                sending.cancel()
                            have = min(have, recording.head) if epoch == recording.epoch else 0
                            sending = tasks.create_task(send_rows(connection, recording, have))
                        case {
                            "view": number,
                            "from": int(start),
                            "to": int(stop),
                            "columns": int(columns),
                        } if recording:
                            view = await asyncio.to_thread(recording.view, start, stop, min(columns, COLUMNS))
                            await connection.send(
                                json.dumps({"view": number, "from": start, "to": stop} | view)
                            )
                        case _:
                            problem = (
                                f"ERROR: {message[:40]!r} is not understood; the README has the protocol"
                            )
                            await connection.send(json.dumps({"error": problem}))
                    await asyncio.sleep(0)
                for task in (greeting, sending):
                    if task:
                        task.cancel()
        finally:
            if opened:
                self.runs.close_run(opened)


def _hello(recording: Run) -> dict[str, Any]:
    """Return what a page is told of a run first."""
    return {
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


async def send_rows(connection: ServerConnection, recording: Run, have: int) -> None:
    """Send what comes after the reading `have`, for ever, and no faster than the page takes it.

    Raises:
        ConnectionClosed: when the page has gone.
        TimeoutError: when it takes nothing for half a minute.
    """
    while True:
        await recording.more_than(have)
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
            await asyncio.sleep(0.05)


def parse(message: str | bytes) -> Any:
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return None


def _microseconds(text: str) -> int:
    """Return a time in seconds of Unix time, as it is in an address, in microseconds."""
    with suppress(ValueError, OverflowError):
        if 0 <= (seconds := float(text)) < 1e12:
            return round(seconds * 1e6)
    raise ValueError(
        f"{text[:40]!r} is no time; from and to are seconds of Unix time, as in ?from=1767225600.5"
    )
