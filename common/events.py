"""Named events between a Python program and web pages: what test10 is the example of.

On the wire each event is one text message, `{"event": name, "data": …}` in JSON, in both directions. The
page's side is `common/static/events.js`. The interface follows vizhtml, the module of WorldViz Vizard
(https://docs.worldviz.com/vizard/latest/vizhtml_WebSockets.htm).

A program that is a server:

    server = EventServer()
    server.register_page("", Path("client.html"))
    server.on_message("click", lambda e: server.send_all("clicked", e.data))
    server.run()

A program that is not one calls `server.start()`, does its work, and calls `server.close()`.
"""

import asyncio
import atexit
import inspect
import json
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from common.clients import MAX_BACKLOG, send_to_all
from common.console import say
from common.http import TYPES, HttpConnection, answer, client_address, static_files
from common.network import announce
from common.running import expect_hang_ups, run

MESSAGE_EVENT = "message"
CONNECT_EVENT = "connect"
DISCONNECT_EVENT = "disconnect"

# How long a message may be, in characters. A longer one from a client is answered with an error; one more
# than four times as long ends its connection with the close code 1009, before it fills the memory.
MAX_MESSAGE = 2**20

# These names are the page's own: for its connection, and for the sign of life that it hears every second.
RESERVED = ("open", "close", "heartbeat")

# How many messages from other threads may wait for the event loop before their senders wait too.
MAX_WAITING = 1000

# How long connections may take to say goodbye, in seconds.
GRACE = 2.5


class Data(SimpleNamespace):
    """Named values, as in `Data(count=3).count`; a JSON object on the wire.

    `vars(data)` is the dict of them, for names that are no Python names, or that one has to look for.
    """


class Client:
    """One connected page or program."""

    address: str
    """The IP address of the client, and not that of a proxy that the server trusts."""

    def __init__(self, server: "EventServer", connection: ServerConnection) -> None:
        self.address = client_address(connection, server._trusted_proxies)
        self._server = server
        self._connection = connection

    def send(self, event: str, data: Any = None) -> None:
        """Send an event to this client alone; like `EventServer.send_all` in everything else."""
        self._server._send(event, data, self)

    def __repr__(self) -> str:
        return f"<Client {self.address}>"


@dataclass(frozen=True)
class Event:
    """What a callback is called with.

    Attributes:
        kind: `MESSAGE_EVENT`, `CONNECT_EVENT` or `DISCONNECT_EVENT`.
        client: who sent the message, came or left.
        event: the name of the message's event; None if a client came or left.
        data: what the message brought: a number, text, True, False, None, a list, or a `Data` for an object.
    """

    kind: str
    client: Client
    event: str | None = None
    data: Any = None


Callback = Callable[..., Any]
Job = Callable[[], Coroutine[Any, Any, Any]]


class EventServer:
    """A server of pages, and of named events between them and this program.

    Callbacks are called with an `Event`, and with the arguments that were given with them. They may be plain
    functions or coroutine functions. All run in the thread of the event loop, so a plain function must return
    at once; a coroutine function may wait (`await`), and keeps only its own client's next events waiting.
    What a callback raises is told on the console and to the client whose event it was; everything goes on.

    All methods may be called from any thread, and at any time.

    Args:
        host: the address to listen on; None for every network interface.
        port: the port to listen on.
        trusted_proxies: the IP addresses, or networks such as `10.0.0.0/8`, of proxies in front of this
            server, which say truly on whose behalf they ask (in the header `X-Forwarded-For`).

    Raises:
        ValueError: what should be an address or a network is none.
    """

    def __init__(
        self, host: str | None = None, port: int = 5678, *, trusted_proxies: Iterable[str] = ()
    ) -> None:
        # Other ways to say the same; None listens on IPv4 and IPv6 alike.
        self.host = None if host in ("", "0.0.0.0", "::") else host
        self.port = port
        self._trusted_proxies = [ip_network(proxy) for proxy in trusted_proxies]
        self._files: dict[str, Path | str] = static_files()
        self._callbacks: dict[tuple[str, str | None], list[Callable[[Event], Any]]] = {}
        self._jobs: list[Job] = []
        self._clients: dict[Client, None] = {}  # a dict keeps them in the order in which they came
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._prints = False

    # Pages

    def register_page(self, name: str, page: Path | str) -> None:
        """Serve a page at `/name`, or at `/` if the name is empty.

        A page loads its side of the events with `<script src="/common/static/events.js"></script>`.

        Args:
            name: the rest of the address.
            page: the HTML itself, or the path of a file (`.html`, `.css`, `.js`, `.svg`, `.txt`), which is
                read anew for each visitor.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file's name ends in something else.
        """
        if isinstance(page, Path) and not page.is_file():
            raise FileNotFoundError(f"there is no page {str(page)!r}")
        if isinstance(page, Path) and page.suffix not in TYPES:
            raise ValueError(f"{page.name!r} ends in none of {', '.join(TYPES)}")
        self._files[f"/{name.removeprefix('/')}"] = page

    # Callbacks

    def callback(self, kind: str, func: Callback | None = None, /, *args: Any, **kwargs: Any) -> Callback:
        """Call a function for every event of a kind: each client that comes or leaves, or each message.

        Without a function it is a decorator: `@server.callback(MESSAGE_EVENT)`.

        Args:
            kind: `MESSAGE_EVENT` (whatever the message's name), `CONNECT_EVENT` or `DISCONNECT_EVENT`.
            func: is called as `func(event, *args, **kwargs)`.
            args: as it says.
            kwargs: as it says.

        Returns:
            The function.

        Raises:
            TypeError: what should be a function is none.
            ValueError: the kind is none of the three.
        """
        if kind not in (MESSAGE_EVENT, CONNECT_EVENT, DISCONNECT_EVENT):
            raise ValueError(
                f"{kind!r} is no kind of event; to listen to a message, use on_message({kind!r}, …)"
            )
        return self._add((kind, None), func, args, kwargs)

    def on_connect(self, func: Callback | None = None, /, *args: Any, **kwargs: Any) -> Callback:
        """Call a function for each client that connects; see `callback`."""
        return self.callback(CONNECT_EVENT, func, *args, **kwargs)

    def on_disconnect(self, func: Callback | None = None, /, *args: Any, **kwargs: Any) -> Callback:
        """Call a function for each client that leaves, or is lost; see `callback`."""
        return self.callback(DISCONNECT_EVENT, func, *args, **kwargs)

    def on_message(self, event: str, func: Callback | None = None, /, *args: Any, **kwargs: Any) -> Callback:
        """Call a function for each message with this name; see `callback`."""
        return self._add((MESSAGE_EVENT, event), func, args, kwargs)

    def every(self, seconds: float, func: Callback | None = None, /, *args: Any, **kwargs: Any) -> Callback:
        """Call `func(*args, **kwargs)` again and again while the server runs; also as a decorator.

        Args:
            seconds: the time from one call to the next, kept on average.
            func: a plain function or a coroutine function.
            args: as it says.
            kwargs: as it says.

        Raises:
            ValueError: the time is not more than 0.
        """
        if func is None:
            return lambda func: self.every(seconds, func, *args, **kwargs)
        if not seconds > 0:
            raise ValueError(f"a timer needs more than 0 seconds, not {seconds!r}")
        self._add_job(partial(_repeat, seconds, _bind(func, args, kwargs)))
        return func

    def background(self, func: Callback, /, *args: Any, **kwargs: Any) -> None:
        """Run a coroutine function beside everything else, from the server's start to its end at most.

        Args:
            func: is called as `func(*args, **kwargs)`, once each time that the server starts.
            args: as it says.
            kwargs: as it says.
        """
        self._add_job(partial(_attempt, "the background", _bind(func, args, kwargs)))

    def _add(self, key: tuple[str, str | None], func: Callback | None, args: tuple, kwargs: dict) -> Callback:
        if func is None:
            return lambda func: self._add(key, func, args, kwargs)
        self._callbacks.setdefault(key, []).append(_bind(func, args, kwargs))
        return func

    # Clients

    @property
    def clients(self) -> list[Client]:
        """Those who are connected now, in the order in which they came."""
        return list(self._clients)

    @property
    def client_count(self) -> int:
        """How many are connected now."""
        return len(self._clients)

    def send_all(self, event: str, data: Any = None) -> None:
        """Send an event to every client, waiting for none; one that does not read what it is sent is cut off.

        Args:
            event: the name.
            data: anything that JSON can hold, `Data`, and numbers and arrays of NumPy.

        Raises:
            TypeError: the data is, or contains, something that JSON cannot hold.
            ValueError: the data contains NaN or an infinite number, or itself; the message would be longer
                than `MAX_MESSAGE`, so that even a client that reads might be cut off; or the name is `open`,
                `close` or `heartbeat`, which are a page's own.
        """
        self._send(event, data, None)

    def _send(self, event: str, data: Any, client: Client | None) -> None:
        if event in RESERVED:
            raise ValueError(f"{event!r} is a name of the page's own events; use another one")
        self._in_loop(self._deliver, _encode(event, data), client)

    def _deliver(self, message: str, client: Client | None = None) -> None:
        clients = self._clients if client is None else [client]
        send_to_all([client._connection for client in clients], message)

    # Running

    def run(self) -> None:
        """Run the server until Ctrl-C is pressed, SIGTERM arrives, or `close` is called.

        For a program that is a server: the console tells the address, who comes and goes, and what arrives.

        Raises:
            SystemExit: with a message, if the server cannot listen at its host and port.
        """
        self._prints = True
        run(self._serve(lambda: announce(self, serves_page=True)), self)

    def start(self) -> None:
        """Run the server in a thread of its own, and return once it accepts connections.

        For a program that is not a server. The server is closed when the program ends, at the latest.

        Raises:
            OSError: the server cannot listen at its host and port.
            RuntimeError: the server runs already.
        """
        if self._loop is not None:
            raise RuntimeError("the server runs already")
        started: Future[None] = Future()

        def target() -> None:
            try:
                asyncio.run(self._serve(lambda: started.set_result(None)))
            except BaseException as error:
                if not started.done():
                    started.set_exception(error)
                elif not isinstance(error, RuntimeError) or self._loop is not None:
                    raise
                # Else all is closed, and Python, about to end, has refused asyncio a thread to tidy up in.

        self._thread = threading.Thread(target=target, name="EventServer", daemon=True)
        self._thread.start()
        started.result()
        atexit.unregister(self._close_at_exit)
        atexit.register(self._close_at_exit)

    def close(self) -> None:
        """Close every connection with the close code 1001, and free the port. A second call does nothing.

        After `start` it returns when that is done, unless a callback calls it.
        """
        if (loop := self._loop) is not None:
            stop = self._stop
            with suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(lambda: stop.done() or stop.set_result(None))
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2 * GRACE)
            atexit.unregister(self._close_at_exit)

    def _close_at_exit(self) -> None:
        if not self._thread.is_alive():
            return  # as in a process that this one has forked
        with suppress(KeyboardInterrupt):  # Ctrl-C, pressed once more, ends the waiting
            self.close()

    async def _serve(self, ready: Callable[[], None]) -> None:
        expect_hang_ups()
        # Messages longer than a client may send are read all the same, up to a limit, so that they get an
        # answer. Only few are read ahead, so that they cannot fill the memory.
        server = await serve(
            self._handler,
            self.host,
            self.port,
            process_request=self._process_request,
            create_connection=HttpConnection,
            compression=None,
            max_size=4 * MAX_MESSAGE,
            max_queue=4,
            write_limit=MAX_BACKLOG,
            open_timeout=60,
            close_timeout=2,
        )
        loop = asyncio.get_running_loop()
        self._stop = loop.create_future()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._tasks = {asyncio.create_task(self._send_heartbeat())}
        self._started: set[Job] = set()
        self._loop_thread = threading.get_ident()
        self._loop = loop
        for job in self._jobs.copy():
            self._start_job(job)
        ready()
        try:
            await self._stop
        finally:
            for task in self._tasks:
                task.cancel()
            server.close()
            try:
                async with asyncio.timeout(GRACE):
                    await server.wait_closed()
            except TimeoutError:
                for client in self.clients:
                    client._connection.transport.abort()
            self._loop = None

    def _in_loop(self, func: Callable[..., Any], *args: Any) -> None:
        """Call a function in the event loop's thread: now, if this is it, else soon."""
        loop = self._loop
        if loop is None:
            return
        if threading.get_ident() == self._loop_thread:
            func(*args)
            return
        # A thread that sends faster than the loop can pass on waits here, before messages fill the memory.
        waiting = self._waiting
        while not waiting.acquire(timeout=0.1):
            if self._loop is not loop:
                return

        def call() -> None:
            waiting.release()
            func(*args)

        with suppress(RuntimeError):  # the loop has just been closed
            loop.call_soon_threadsafe(call)

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        return answer(connection, request, self._files.copy())

    async def _handler(self, connection: ServerConnection) -> None:
        client = Client(self, connection)
        self._print(f"Hello, client ({client.address})")
        self._clients[client] = None
        try:
            await self._call((CONNECT_EVENT, None), Event(CONNECT_EVENT, client))
            async for message in connection:
                self._print(f"Received {message[:100]!r}")
                await self._receive(client, message)
                # A client that floods this loop must not keep it from the others.
                await asyncio.sleep(0)
        except ConnectionClosed:
            pass  # it left without a goodbye
        finally:
            del self._clients[client]
            self._print(f"Bye, client ({client.address})")
            await self._call((DISCONNECT_EVENT, None), Event(DISCONNECT_EVENT, client))

    async def _receive(self, client: Client, message: str | bytes) -> None:
        try:
            name, data = _decode(message)
            keys = [(MESSAGE_EVENT, None), (MESSAGE_EVENT, name)]
            if not any(key in self._callbacks for key in keys):
                names = [repr(name) for _, name in list(self._callbacks) if name is not None]
                raise ValueError(f"unknown event {name[:40]!r}; try {' or '.join(names) or 'nothing'}")
        except ValueError as error:
            client.send("error", str(error))
            return
        for key in keys:
            await self._call(key, Event(MESSAGE_EVENT, client, name, data))

    async def _call(self, key: tuple[str, str | None], event: Event) -> None:
        about = f"the event {event.event[:40]!r}" if event.event else f"the {event.kind} event"
        for callback in list(self._callbacks.get(key, ())):
            if error := await _attempt(about, callback, event):
                event.client.send("error", error)

    def _add_job(self, job: "Job") -> None:
        self._jobs.append(job)
        self._in_loop(self._start_job, job)

    def _start_job(self, job: "Job") -> None:
        # Both the start of the server and, in another thread at that moment, _add_job() may come here.
        if job not in self._started:
            self._started.add(job)
            self._tasks.add(asyncio.create_task(job()))

    async def _send_heartbeat(self) -> None:
        """Say something every second: a page that hears nothing for a while knows that its network failed."""
        while True:
            self._deliver('{"event": "heartbeat"}')
            await asyncio.sleep(1)

    def _print(self, text: str) -> None:
        if self._prints:
            say(text)


def _bind(func: Callback, args: tuple, kwargs: dict) -> Callable[..., Any]:
    """Return the function with its further arguments given, and its own name kept for messages."""

    def bound(*event: Event) -> Any:
        return func(*event, *args, **kwargs)

    if not callable(func):
        raise TypeError(f"{func!r} is no function")
    bound.__name__ = getattr(func, "__name__", repr(func))
    return bound


async def _repeat(seconds: float, callback: Callable[[], Any]) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await _attempt(f"the timer of {seconds:g} s", callback)
        # What was missed while the machine slept, or the callback took its time, is not made up for.
        due = max(due + seconds, loop.time())
        await asyncio.sleep(due - loop.time())


async def _attempt(about: str, callback: Callable[..., Any], *event: Event) -> str | None:
    """Call a callback; if it raises, say so on the console, and return what went wrong."""
    try:
        result = callback(*event)
        if inspect.isawaitable(result):
            await result
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and asyncio.current_task().cancelling():
            raise  # it is the server that stops
        what = _printable(f"the handler of {about} failed: {last_line(error)}"[:500])
        # The traceback begins in this module, which called the callback.
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
        lines = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
        say(f"{callback.__name__}(), {what} ({lines})")
        return what
    return None


def last_line(error: BaseException) -> str:
    """Return the line that ends an error's traceback, whatever its own `__str__` may raise."""
    lines = traceback.format_exception_only(error)
    return next(line for line in lines if not line.startswith(" ")).strip()


def _printable(text: str) -> str:
    """Replace what could play tricks on a terminal, or could not be printed at all, as `repr()` does."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _encode(event: str, data: Any) -> str:
    message = json.dumps({"event": event, "data": data}, default=_plain, allow_nan=False)
    if len(message) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(message)} characters; the limit is {MAX_MESSAGE}")
    return message


def _plain(value: Any) -> Any:
    """Turn what JSON does not know into something that it does."""
    if isinstance(value, Data):
        return vars(value)
    if hasattr(value, "tolist"):
        return value.tolist()  # numbers and arrays of NumPy
    raise TypeError(f"JSON cannot hold {value!r}; send numbers, text, lists, dicts or Data")


def _decode(message: str | bytes) -> tuple[str, Any]:
    """Return the name and the data of an event; raise ValueError, in words for its sender, if it is none."""
    if isinstance(message, bytes):
        raise ValueError("a message has to be text, not binary")
    if len(message) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(message)} characters; the limit is {MAX_MESSAGE}")
    try:
        decoded = json.loads(message, object_hook=_data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        decoded = None
    name = getattr(decoded, "event", None)
    if not isinstance(decoded, Data) or not isinstance(name, str):
        raise ValueError(f'{message[:40]!r} is not an event; try {{"event": "a name", "data": 1}}')
    return name, getattr(decoded, "data", None)


def _data(members: dict[str, Any]) -> Data:
    data = Data()
    vars(data).update(members)
    return data


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
