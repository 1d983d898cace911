"""The runs in a folder, for clients: the run of this server, and those that are over."""

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from common.http import download, serve_file, static_files
from common.runs.recording import Recording, Run, recordings

# What test14 says of them.
MOST_ROWS, NEWEST, COLUMNS = 100_000, 10_000, 2048


class Runs:
    """The runs in a folder.

    Args:
        folder: where their logs are.
        page: the page, at `/` and `/dashboard`.
        log: the run that is recorded now, or replayed. Where it cannot begin yet, None; `begin` it later.
    """

    def __init__(self, folder: Path, page: Path, log: Run | None = None) -> None:
        self.folder, self.log = folder, log
        self._begun = asyncio.Event()
        self.files = {**static_files(), "/": page, "/dashboard": page}

    def begin(self, log: Run) -> None:
        """Let clients have the run that is recorded from now on."""
        self.log = log
        self._begun.set()
        self._begun = asyncio.Event()

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
            for run in runs:
                run["live"] = self._is_recorded(run["run"])
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

    async def serve_data(self, connection: ServerConnection) -> None:
        """Serve the data socket of one page: what test14 shows in full.

        Raises:
            ExceptionGroup: of `ConnectionClosed` when the page has gone, of `TimeoutError` when it takes
                nothing.
        """
        name = parse_qs(connection.request.path.partition("?")[2]).get("run", [None])[0]
        try:
            opened = await self.open_run(name) if name else None
        except ValueError as error:
            await connection.close(1008, str(error))
            return
        recording = sending = None

        async def greet() -> None:
            """Say what run this is, as soon as there is one, and again when another one has begun."""
            nonlocal recording, sending
            while opened is None or recording is None:
                run = opened or self.log
                if run is None or run is recording:
                    await self._begun.wait()
                    continue
                if sending:
                    sending.cancel()
                recording, sending = run, None
                await connection.send(json.dumps(_hello(run)))

        try:
            async with asyncio.TaskGroup() as tasks:
                greeting = tasks.create_task(greet())
                async for message in connection:
                    match _parse(message):
                        case {"ping": ping}:
                            await connection.send(json.dumps({"pong": ping, "now": time.time()}))
                        # As long as there are no readings, the fields can change, and a page asks anew.
                        case {"epoch": epoch, "have": int(have)} if (
                            recording and have >= 0 and not (sending and recording.head)
                        ):
                            if sending:
                                sending.cancel()
                            have = min(have, recording.head) if epoch == recording.epoch else 0
                            sending = tasks.create_task(_send_rows(connection, recording, have))
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
                            error = f"ERROR: {message[:40]!r} is not understood; the README has the protocol"
                            await connection.send(json.dumps({"error": error}))
                    await asyncio.sleep(0)
                for task in (greeting, sending):
                    if task:
                        task.cancel()
        finally:
            if opened:
                self.close_run(opened)


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


async def _send_rows(connection: ServerConnection, recording: Run, have: int) -> None:
    """Send what comes after the reading `have`, for ever, and no faster than the page takes it."""
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


def _parse(message: str | bytes) -> Any:
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
