"""A web page driven from an ordinary Python loop: what test11 is the example of.

    page = start("client.html")
    for i in range(1000):
        work()
        page.update(bar=i / 10, status=f"item {i}")
    page.close()

The page is any HTML file with the line `<script src="/common/static/live_page.js"></script>`, and elements
with ids. It is served from a thread of its own (`common/events.py`), so nothing here waits for a network.

How the values travel: thirty times a second the thread looks at what has changed. A page is sent the latest
values that it has not got yet, and the next ones only after it has said that it shows these. So a slow page
skips values, and never falls behind. The events are `values`, with
`{"version": 7, "values": {id: value, …}, "ended": ""}`, and the page's answer `shown`, with
`{"version": 7, "unknown": [ids that the page does not have], "refused": {id: why it is not shown}}`.
"""

import atexit
import base64
import errno
import json
import math
import os
import sys
import threading
import time
import webbrowser
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from common.console import drain, printable, say
from common.events import (
    MAX_INTEGER,
    MAX_MESSAGE,
    PRECISION,
    Client,
    Data,
    Event,
    EventServer,
    kind_of_numbers,
    last_line,
    shortest,
)
from common.network import announce, page_address

Item = TypeVar("Item")

# How often the pages get what has changed, in times a second.
UPDATES = 30

# How long close() waits for pages that have not shown the last values yet, in seconds.
CLOSE_TIMEOUT = 2.0

# How long a page that is still open may take to find the program's next start, in seconds.
RETURN_TIMEOUT = 5.0

# How much one message with values holds, in bytes; a picture takes a third more than its file.
MAX_SIZE = MAX_MESSAGE * 3 // 4

# How many ports are tried.
PORTS = 100

# The rate of a loop is that of its latest seconds, so items that were skipped in no time are soon forgotten.
LATEST = 3.0

# The latest page of this process for each port that was asked for. Whoever starts a page again, as a cell of
# a notebook does that is run again, goes on where the last one was.
_latest: dict[int, "LivePage"] = {}
_starting = threading.Lock()

# What Python has handed to `sys.excepthook`, and the function that was there before.
_raised: BaseException | None = None
_hook: Callable[..., object] | None = None


def start(page: Path | str, *, host: str | None = None, port: int = 5678, browser: bool = True) -> "LivePage":
    """Serve a page, open it in the browser, print its address, and return at once.

    A page that this process has started before at the same `port` is closed, and the new one takes its
    place: it has the same address, and where the first is still open in a browser, no other is opened.

    Args:
        page: the HTML file; where it is not found in the current folder, it is looked for beside the program.
        host: the address to listen on; None for every network interface.
        port: the port to listen on; if it is in use, the next one that is free.
        browser: whether to open the page on this machine.

    Returns:
        The page, which can be used in a `with` statement, so that it is closed at its end.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the server cannot listen at the host, or all ports are in use.
    """
    file = Path(page)
    if not file.exists():
        file = Path(getattr(sys.modules["__main__"], "__file__", None) or ".").parent / page
    EventServer().register_page("", file)  # which raises an error, while the page before is still there
    attempts = list(range(port, min(port + PORTS, 65536)))
    awaited = False
    with _starting:
        before = _latest.get(port)
        if before is not None and before._process == os.getpid():
            before.close()
            awaited = before._left_open
            attempts = [before._server.port, *[at for at in attempts if at != before._server.port]]
        for attempt in attempts:
            server = EventServer(host, attempt)
            server.register_page("", file)
            try:
                server.start()
            except OSError as error:
                if error.errno != errno.EADDRINUSE or attempt == attempts[-1]:
                    raise
            else:
                break
        _latest[port] = LivePage(server, browser, awaited=awaited)
        return _latest[port]


class LivePage:
    """A page whose elements show this program's values; made by `start`.

    All methods may be called from any thread of the process that made it.
    """

    def __init__(self, server: EventServer, browser: bool, *, awaited: bool = False) -> None:
        self._server = server
        # Re-entrant, because the garbage collector may end a track() at any moment that was left unfinished.
        self._lock = threading.RLock()
        self._changed: dict[str, Any] = {}
        self._tracks: list[_Track] = []
        self._ended = ""
        self._deadline = 0.0
        # What follows is for the server's thread alone.
        self._values: dict[str, _Value] = {}  # in the order of their versions
        self._version = 0
        self._pages: dict[Client, _Page] = {}
        self._came = threading.Event()  # set with the first page
        self._unknown: set[str] = set()
        self._told: set[str] = set()  # the ids whose values cannot be shown
        self._final = ""
        self._delivered = threading.Event()

        server.on_connect(self._on_connect)
        server.on_disconnect(self._on_disconnect)
        server.on_message("shown", self._on_shown)
        server.every(1 / UPDATES, self._send)
        announce(server, serves_page=True)
        drain()  # before whatever the program itself prints
        atexit.register(self._close_at_exit)
        _watch_uncaught()
        self._process = os.getpid()
        self._browser = threading.Thread(target=self._open_browser, daemon=True)
        self._opened = False
        self._awaited = awaited  # a page is still open somewhere, and comes back by itself
        self._left_open = False
        if browser:
            self._browser.start()

    def update(self, /, **values: Any) -> None:
        """Show values in the elements whose ids are the names. It takes about half a microsecond.

        A `<progress>` or `<meter>` takes a number (None: nobody knows); a checkbox True or False; any other
        input its text; an `<img>` the bytes of an image, or its address; everything else shows the value as
        text. A number may be one of NumPy, PyTorch and the like, also in an array of one element. What an
        element cannot show is told on the console. For ids that are no Python names:
        `page.update(**{"my-bar": 3})`. After `close` it does nothing.

        Args:
            values: what to show, by the id of the element; looked at a little later, so do not change it.
        """
        with self._lock:
            self._changed.update(values)

    def track(self, items: Iterable[Item], *, id: str, total: float | None = None) -> Iterator[Item]:
        """Go through the items of a loop and show how far it is: `for item in page.track(items, id="bar"):`.

        A `<progress>` or `<meter>` with the id shows the part that is done, and the element with the same id
        and `-text` after it (which is made if the page has none) the count, the rate and the time left. Any
        other element with the id shows these itself. The rate, and with it the time left, is that of the
        latest three seconds. What has no length has no time left, but a time so far; so has a loop that turns
        out to be longer than it was said to be.

        Args:
            items: what to go through.
            id: the id of the element.
            total: how many they are, if they cannot say it themselves, or wrongly.

        Raises:
            ValueError: the total is less than 0, or no number.
        """
        if total is None and isinstance(items, Sized):
            # It may say only when asked that it has no length, or have too large a one.
            with suppress(TypeError, OverflowError):
                total = len(items)
        track = _Track(id, _whole(total))
        with self._lock:
            self._tracks.append(track)
        count = 0
        try:
            # The loop only counts. How far it is, the server's thread sees for itself.
            for item in items:
                yield item
                count += 1
                track.count = count
            track.complete = True
        finally:
            with self._lock:
                self._tracks.remove(track)
                self._changed[id] = track.progress(ended=True)

    def close(self) -> None:
        """Show the last values and that the run has ended on every page, and free the port.

        It waits for the pages, and for one that a browser is just opening, `CLOSE_TIMEOUT` seconds at most.
        A program that ends, for whatever reason, does it without being asked.
        """
        self._close("The run has ended.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(_how_it_ended(error))

    def _close_at_exit(self) -> None:
        if os.getpid() != self._process:
            return  # it is a process that this one has forked that ends; the page is not there
        with suppress(KeyboardInterrupt):  # Ctrl-C, pressed once more, ends the waiting
            self._close(_how_it_ended(_uncaught()))

    def _close(self, ended: str) -> None:
        with self._lock:
            if not self._ended:
                comes_back = self._awaited and not self._came.is_set()
                self._ended, self._deadline = (
                    ended,
                    time.monotonic() + (RETURN_TIMEOUT if comes_back else CLOSE_TIMEOUT),
                )
        atexit.unregister(self._close_at_exit)
        # Two threads may close it at the same time. Both return when it is closed.
        self._delivered.wait(max(0, self._deadline - time.monotonic()))
        self._left_open |= bool(self._pages)
        self._server.close()

    # All below runs in the server's thread.

    def _send(self) -> None:
        with self._lock:
            for track in self._tracks.copy():
                progress, shown = track.progress(), self._values.get(track.id)
                # The garbage collector may just have ended it, and what stands still need not be sent.
                if track in self._tracks and (shown is None or shown.value != progress):
                    self._changed[track.id] = progress
            changed, self._changed = self._changed, {}
            ended = self._ended
        for id, value in changed.items():
            self._version += 1
            latest = _Value(self._version, id, value)
            self._values.pop(id, None)
            self._values[id] = latest
            if latest.problem and id not in self._told:
                self._told.add(id)
                say(f"The value for the id {id!r} {latest.problem}")
        if ended and not self._final:
            self._version += 1
            self._final = ended
        for client, page in self._pages.items():
            if page.shown == page.sent < self._version:
                self._send_new(client, page)
        self._check_delivered()

    def _send_new(self, client: Client, page: "_Page") -> None:
        """Send a page what is newer than what it shows; what is too much for one message, it gets later."""
        new, size = {}, 0
        page.sent = self._version
        for value in self._values.values():
            if value.version > page.shown:
                size += value.size
                if size > MAX_SIZE:
                    page.sent = value.version - 1
                    break
                new[value.id] = value.value
        ended = self._final if page.sent == self._version else ""
        client.send("values", {"version": page.sent, "ended": ended, "values": new})

    def _check_delivered(self) -> None:
        if self._final and all(page.shown == self._version for page in self._pages.values()):
            comes = (self._opened or self._awaited) and not self._came.is_set()
            awaited = self._browser.is_alive() or comes
            if not awaited:
                self._delivered.set()

    def _on_connect(self, e: Event) -> None:
        say(f"Hello, client ({e.client.address})")
        self._came.set()
        self._pages[e.client] = _Page()
        self._send()

    def _on_disconnect(self, e: Event) -> None:
        say(f"Bye, client ({e.client.address})")
        del self._pages[e.client]
        self._check_delivered()

    def _on_shown(self, e: Event) -> None:
        try:
            version, unknown = e.data.version, list(e.data.unknown)
            refused = vars(getattr(e.data, "refused", Data()))
        except (AttributeError, TypeError):
            # It was not live_page.js that said so.
            e.client.send("error", "'shown' needs { version: 1, unknown: [], refused: {} }")
            return
        page = self._pages[e.client]
        if version == page.sent:
            page.shown = page.sent
        for id in unknown:
            if isinstance(id, str) and id in self._values and id not in self._unknown:
                self._unknown.add(id)
                say(f"The page has no element with the id {id!r}")
        for id, why in refused.items():
            if isinstance(why, str) and id in self._values and id not in self._told:
                self._told.add(id)
                say(f"The element with the id {id!r} {printable(why[:200])}")
        self._check_delivered()

    def _open_browser(self) -> None:
        if self._awaited and self._came.wait(RETURN_TIMEOUT):
            return
        # Where there is no screen, Python would start a browser in the terminal, which is this program's own.
        screen = sys.platform != "linux" or any(
            os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
        )
        self._opened = screen and webbrowser.open(page_address(self._server.host, self._server.port))
        if not self._opened:
            say("There is no browser on this machine; open the address on another")


class _Value:
    """A value that a page can show, how much it is, and what keeps it from being shown, if anything does."""

    def __init__(self, version: int, id: str, value: Any) -> None:
        self.version, self.id, self.problem = version, id, ""
        try:
            self.value = _plain(value)
            self.size = len(json.dumps([id, self.value]))
            if self.size > MAX_SIZE:
                self.problem = f"takes {self.size:,} bytes, and the limit is {MAX_SIZE:,}"
        except Exception as error:  # whatever somebody's own __str__() may raise
            self.problem = f"has no text: {type(error).__name__}"
        if self.problem:
            self.value = f"(This value {self.problem}.)"
            self.size = len(json.dumps([id, self.value]))


class _Page:
    """What a page has been sent, and what of it is shown, as versions."""

    sent = 0
    shown = 0


class _Track:
    """How far a loop is."""

    def __init__(self, id: str, total: int | None) -> None:
        self.id = id
        self.total = total
        self.count = 0
        self.complete = False
        self.started = time.monotonic()
        self.looks = deque([(self.started, 0)])

    def progress(self, *, ended: bool = False) -> "_Progress":
        """Return the count, the total (None: nobody knows), and both in words with the rate and the time."""
        now, count = time.monotonic(), self.count
        total: float | None = self.total
        if total is not None and count > total:
            total = None  # there are more than was said
        took = now - self.started
        rate = count / max(took, 1e-9) if ended else self._rate(now, count)
        words = [f"{count:,}" if total is None else f"{count:,} of {total:,}"]
        if rate:
            words.append(f"{rate:,.1f} a second" if rate >= 1 else f"{1 / rate:,.1f} s each")
        if self.complete:
            words.append(f"took {_duration(took)}")
            total = count if total is None else total
        elif ended:
            words.append(f"stopped after {_duration(took)}")
        elif total is None:
            words.append(f"for {_duration(took)}")
        elif rate:
            words.append(f"{_duration((total - count) / rate)} left")
        if total is not None and total > MAX_INTEGER:
            total = float(min(total, 10**300))  # more than a page can count
        return _Progress(count=count, total=total, text=" · ".join(words))

    def _rate(self, now: float, count: int) -> float:
        """Return how many items there are in a second now."""
        if count > self.looks[-1][1]:
            self.looks.append((now, count))
        # It is that of the seconds before the loop moved on last, with one item in them at least.
        last = self.looks[-1][0]
        while len(self.looks) > 2 and self.looks[1][0] <= last - LATEST:
            self.looks.popleft()
        since, before = self.looks[0]
        if last == since:
            return 0
        # An item that takes longer than those before it slows the rate down while it is worked on.
        return min((count - before) / (last - since), (count - before + 1) / (now - since))


class _Progress(dict[str, Any]):
    """How far a loop is, as a page is told."""


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02} h"
    return f"{minutes}:{seconds:02} min" if minutes else f"{seconds} s"


def _whole(total: float | None) -> int | None:
    """Return how many items a loop has, in whole ones; None if nobody knows."""
    if total is None or total == math.inf:
        return None
    try:
        whole = math.ceil(total)
    except (TypeError, ValueError, OverflowError):
        whole = -1
    if whole < 0:
        raise ValueError(f"a loop has no {total!r:.40} items; its total is a number from 0 on, or None")
    return whole


def _note_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    global _raised
    _raised = error
    if _hook is not None:
        _hook(kind, error, trace)


def _watch_uncaught() -> None:
    """See what Python hands to `sys.excepthook` from now on."""
    global _hook
    if _hook is None:
        _hook, sys.excepthook = sys.excepthook, _note_uncaught


def _uncaught() -> BaseException | None:
    """Return the error that ends the program, if one does.

    Python keeps it in `sys.last_value`. Interpreters, notebooks and test runners keep their latest error
    there too, but caught it and went on: it did not pass all that was called, or was not handed to the hook.
    """
    error = getattr(sys, "last_value", None)
    trace = getattr(error, "__traceback__", None)
    if sys.flags.inspect or hasattr(sys, "ps1") or trace is None or trace.tb_frame.f_back is not None:
        return None
    return None if sys.excepthook is _note_uncaught and error is not _raised else error


def _how_it_ended(error: BaseException | None) -> str:
    if error is None or isinstance(error, SystemExit):
        return "The run has ended."
    if isinstance(error, KeyboardInterrupt):
        return "The run has been interrupted."
    return f"The run has failed: {last_line(error)}"[:200]


# The first bytes of the images that browsers show.
IMAGES = {b"\x89PNG": "png", b"\xff\xd8": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"<": "svg+xml"}


def _plain(value: Any) -> Any:
    """Turn a value into what a page can show: a number, text, a truth value, None, a loop's progress."""
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value)
        kind = next((kind for start, kind in IMAGES.items() if value.startswith(start)), "png")
        return f"data:image/{kind};base64,{base64.b64encode(value).decode()}"
    if hasattr(value, "shape"):
        value = _element(value)
    if isinstance(value, Fraction):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # A page has only floating-point numbers, so longer integers travel as text.
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return str(value)
    if value is None or isinstance(value, str | int | float | _Progress):
        return value
    return str(value)


def _element(value: Any) -> Any:
    """Return the number in an array of one element, of NumPy, PyTorch and the like; else what it is given."""
    kind = kind_of_numbers(value)
    # A time of NumPy's would come out as a bare count of nanoseconds.
    if kind.startswith(("datetime", "timedelta")):
        return value
    try:
        if any(side != 1 for side in value.shape):
            return value
        # What is masked is no number; tolist() knows it, item() does not.
        number = value.tolist() if hasattr(value, "tolist") else value.item()
        while isinstance(number, list):
            (number,) = number
    except Exception:  # it only looks like an array
        return value
    return shortest(number, PRECISION[kind]) if kind in PRECISION else number
