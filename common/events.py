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
import math
import threading
import traceback
from array import array as array_of_python
from collections import Counter
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
from common.console import printable, say
from common.http import TYPES, HttpConnection, client_address, serve_file, static_files
from common.network import announce
from common.running import expect_hang_ups, run

MESSAGE_EVENT = "message"
CONNECT_EVENT = "connect"
DISCONNECT_EVENT = "disconnect"

# How long a message may be, in characters. A longer one from a client is answered with an error; one more
# than four times as long ends its connection with the close code 1009, before it fills the memory.
MAX_MESSAGE = 2**20

# A page has floating-point numbers only, so integers are exact in it up to this one, on either side of 0.
MAX_INTEGER = 2**53

# How many binary digits small floating-point numbers have. What was 0.05 is sent as that, and not as the
# 0.05000000074505806 that a float32 makes of it.
PRECISION = {"float32": 24, "float16": 11, "bfloat16": 8}

# These names are the page's own: for its connection, and for the sign of life that it hears every second.
RESERVED = ("open", "close", "heartbeat")

# How many messages from other threads may wait for the event loop before their senders wait too.
MAX_QUEUED_CALLS = 1000

# How long connections may take to say goodbye, in seconds.
CLOSE_TIMEOUT = 2.5


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

    def _add(
        self,
        key: tuple[str, str | None],
        func: Callback | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Callback:
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
            data: numbers, text, True, False, None, lists, tuples, dicts with text or integers for keys,
                `Data`, and numbers and arrays of NumPy and the like. A page gets exactly this, or nothing. A
                float32 arrives as the shortest number that is the same (0.05), a masked value as null.

        Raises:
            TypeError: the name is no text; or the data is, or contains, something that JSON cannot hold, or
                a key that is neither text nor an integer.
            ValueError: the data contains NaN or an infinite number, an integer beyond `MAX_INTEGER`, two
                keys that are the same text, or itself; the message would be longer than `MAX_MESSAGE`, so
                that even a client that reads might be cut off; or the name is `open`, `close` or `heartbeat`,
                which are a page's own.
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

            def end() -> None:
                if not stop.done():
                    stop.set_result(None)

            with suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(end)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2 * CLOSE_TIMEOUT)
            atexit.unregister(self._close_at_exit)

    def _close_at_exit(self) -> None:
        if self._thread is None or not self._thread.is_alive():
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
        self._waiting = threading.BoundedSemaphore(MAX_QUEUED_CALLS)
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
            # In a task that is cancelled, the asyncio.timeout() of Python 3.11.2 raises no TimeoutError.
            try:
                await asyncio.wait_for(server.wait_closed(), CLOSE_TIMEOUT)
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
        return serve_file(connection, request, self._files.copy())

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


def _bind(func: Callback, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., Any]:
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
    except (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise  # it is the server that stops
        what = printable(f"the handler of {about} failed: {last_line(error)}"[:500])
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


_json = json.JSONEncoder(check_circular=False, allow_nan=False)


def _encode(event: str, data: Any) -> str:
    if not isinstance(event, str):
        raise TypeError(f"the name of an event is text, not {_brief(event)}")
    try:
        message = _json.encode({"event": event, "data": _sendable(data)})
    except _Unsendable as error:
        raise error.kind(error.words(f"data{error.place}")) from None
    except RecursionError:
        raise ValueError("JSON cannot hold data that contains itself, or is nested too deeply") from None
    if len(message) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(message)} characters; the limit is {MAX_MESSAGE}")
    return message


class _Unsendable(Exception):
    """What a page would not get as it is."""

    def __init__(self, kind: type[Exception], what: str, instead: str) -> None:
        super().__init__(what)
        self.kind, self.what, self.instead, self.place = kind, what, instead, ""

    def words(self, place: str) -> str:
        """Return what is wrong, where, and what would be right."""
        if len(place) > 100:
            place = f"{place[:60]}…{place[-30:]}"
        return printable(f"JSON cannot hold {self.what} ({place}); {self.instead}")


def _sendable(value: Any) -> Any:
    """Return the value in such types that a page gets it exactly; raise `_Unsendable` if it cannot."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            # A page would round it, and show another one.
            raise _Unsendable(
                ValueError, f"{_brief(value)} exactly for a page", "send it as text, with str()"
            )
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _Unsendable(ValueError, f"{value}", "send None, or text")
        return value
    if isinstance(value, Data):
        value = vars(value)
    if isinstance(value, dict):
        return _sendable_members(value)
    if isinstance(value, list | tuple):
        return _sendable_items(value)
    if hasattr(value, "tolist") and not isinstance(value, memoryview):
        return _sendable_array(value)
    hint = "send numbers, text, lists, dicts or Data"
    raise _Unsendable(TypeError, _brief(value), hint)


def _sendable_members(members: dict[Any, Any]) -> dict[str, Any]:
    result = {}
    for key, value in members.items():
        # An integer becomes text, as in JavaScript. The json module does that to None and True as well, and
        # sends two members of one name.
        if type(key) is int:
            key = str(key)
        if not isinstance(key, str):
            raise _Unsendable(TypeError, f"the key {_brief(key)}", "keys have to be text, as with str()")
        if key in result:
            raise _Unsendable(ValueError, f"two keys {_brief(key)}", "one of them is a number; rename it")
        try:
            result[key] = _sendable(value)
        except _Unsendable as error:
            error.place = f".{key}{error.place}"
            raise
    return result


def _sendable_items(items: list[Any] | tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
    kinds = set(map(type, items))
    # Long lists of plain numbers are common, and looked through faster like this.
    if kinds == {float} and all(map(math.isfinite, items)):
        return items
    if kinds == {int} and min(items) >= -MAX_INTEGER and max(items) <= MAX_INTEGER:
        return items
    result = []
    for i, value in enumerate(items):
        try:
            result.append(_sendable(value))
        except _Unsendable as error:
            error.place = f"[{i}]{error.place}"
            raise
    return result


def _sendable_array(array: Any) -> Any:
    """Return the numbers in something of NumPy, PyTorch, pandas and the like."""
    kind = kind_of_numbers(array)
    # As lists, times are bare counts of something, and records have no names.
    if kind.startswith(("datetime", "timedelta", "void", "record")):
        raise _Unsendable(TypeError, f"{_brief(array)} of the type {kind}", "send numbers or text")
    try:
        plain = array.tolist()
    except Exception as error:  # whatever it may raise
        what = f"{_brief(array)}, whose tolist() failed: {printable(last_line(error))[:100]}"
        raise _Unsendable(TypeError, what, "send a list") from None
    if type(plain) is type(array):  # as a number of more digits than Python's
        raise _Unsendable(TypeError, _brief(array), "send numbers or lists")
    return _sendable(shortest(plain, PRECISION[kind]) if kind in PRECISION else plain)


def kind_of_numbers(array: Any) -> str:
    """Return the name of the type of an array's numbers, such as "float32"; "" if it has none."""
    if isinstance(array, array_of_python):
        return "float32" if array.typecode == "f" else ""
    dtype = getattr(array, "dtype", "")
    name = getattr(dtype, "name", None)
    return name if isinstance(name, str) else str(dtype).removeprefix("torch.")


def shortest(number: Any, precision: int) -> Any:
    """Return the number with the fewest decimal digits that is this one in so many binary digits.

    In a list it does so with each number.
    """
    if isinstance(number, list):
        return [shortest(item, precision) for item in number]
    if not isinstance(number, float) or not math.isfinite(number):
        return number
    fraction, exponent = math.frexp(number)
    half = math.ldexp(1, exponent - precision - 1)
    if abs(fraction) == 0.5:
        half /= 2  # the next number below a power of two is only half as far away
    # So many digits are never too many, because zeros at the end are no digits.
    enough = int((precision - 1) * math.log10(2))
    shorter = (float(f"{number:.{digits}g}") for digits in range(enough, 17))
    return next((short for short in shorter if abs(short - number) < half), number)


def _brief(value: Any) -> str:
    try:
        return f"{value!r:.60}"
    except Exception:  # whatever somebody's own __repr__() may raise, as that of a very long number does
        return f"this {type(value).__name__}"


def _decode(message: str | bytes) -> tuple[str, Any]:
    """Return the name and the data of an event; raise ValueError, in words for its sender, if it is none."""
    if isinstance(message, bytes):
        raise ValueError("a message has to be text, not binary")
    if len(message) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(message)} characters; the limit is {MAX_MESSAGE}")
    why = ""
    try:
        decoded = json.loads(
            message, object_pairs_hook=_data, parse_int=_integer, parse_float=_float, parse_constant=_refuse
        )
    except json.JSONDecodeError:
        decoded = None
    except RecursionError:
        decoded, why = None, " (it is nested too deeply)"
    except ValueError as error:
        decoded, why = None, f" ({error})"
    name = getattr(decoded, "event", None)
    if not isinstance(decoded, Data) or not isinstance(name, str):
        raise ValueError(f'{message[:40]!r} is not an event; try {{"event": "a name", "data": 1}}{why}')
    return name, getattr(decoded, "data", None)


def _data(members: list[tuple[str, Any]]) -> Data:
    data = Data()
    vars(data).update(members)
    if len(vars(data)) < len(members):
        counts = Counter(name for name, _ in members)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the name {twice[:40]!r} is there twice in one object")
    return data


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"a number of {len(text)} digits is too long; send it as text") from None


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large for a number; send it as text")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; send null, or text")
