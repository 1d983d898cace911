"""The proof of test14b: whatever happens, every page shows every reading of the log, each once, in order.

python -m tests.soak --seconds 60 --rate 1000 --seed 1

While the acquisition runs, pages come and go, connections are cut or stall, a whole browser is frozen, and
the server is killed and started again; the seed says when and which. Each page and each client without a
browser has a network of its own, which can fail: a small TCP proxy between it and the server.

At the end, and whenever the server has been killed, what the pages hold is compared with the log itself, and
at the end what they draw as well.
"""

import argparse
import asyncio
import heapq
import itertools
import json
import os
import socket
import struct
import sys
import threading
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from playwright.sync_api import Browser, Error, Page, sync_playwright
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.browser import LAUNCH_ARGS, find_browser
from tests.conftest import REMEMBER_PLOTS
from tests.copies import Copy
from tests.support import free_port, wait_until

STEP = "test14b"
CLIENTS = 3
MOST_PAGES = 4
# How often each thing happens, compared with the others. A kill has a schedule of its own.
ACTIONS = {
    "open a page": 2,
    "close a page": 1,
    "cut a page": 3,
    "cut a client": 3,
    "stall a page": 2,
    "stall a client": 2,
    "freeze a browser": 1,
    "replace a client": 1,
    "stop for a while": 1,
    "look elsewhere": 2,
}
# With these limits a quarter of a minute has in it what otherwise takes an hour: a page that keeps no more
# than the latest readings, a client that gets extremes, readings that are only on the disk.
SMALL = [
    ("server.py", "NEWEST, COLUMNS = 100_000, 10_000, 2048", "NEWEST, COLUMNS = 8000, 1000, 512"),
    ("common/runs/recorder.py", "\nRECENT = 2**20\n", "\nRECENT = 2**16\n"),
    ("common/static/runs/run.js", "static RING = 2 ** 17;", "static RING = 2 ** 13;"),
    ("common/static/runs/run.js", "static BINS = 4096;", "static BINS = 512;"),
]

# What a page holds. As text, numbers arrive as they are, and quickly.
HELD = """() => {
  const list = (part, column) => Array.from(column.subarray(0, part.length));
  const { epoch, have, received, gone, ring, overview } = run;
  const { lows, highs } = overview;
  return JSON.stringify({
    epoch, have, received, gone,
    times: list(ring, ring.times),
    values: ring.values.map((column) => list(ring, column)),
    width: overview.width,
    bins: list(overview, overview.numbers),
    counts: list(overview, overview.counts),
    extremes: lows.flatMap((low, field) => [list(overview, low), list(overview, highs[field])]),
  });
}"""

# Shows a part of the run, and gives what is drawn of it as soon as that is every reading: a list of points,
# which are the time in seconds and a value for each field.
DRAWN = """async ([from, to]) => {
  plot.go(from, to);
  const frame = () => new Promise(requestAnimationFrame);
  const begin = performance.now();
  do {
    await frame();
    await frame();
    if (performance.now() - begin > 10000) throw new Error(find("resolution").textContent);
  } while (find("resolution").textContent !== "Every reading is shown.");
  const [times, ...fields] = plots.at(-1).data;
  const view = plot.view();
  const points = times.map((time, i) => [time, ...fields.map((values) => values[i] ?? null)]);
  const isReading = ([time, ...values]) =>
    values.some((value) => value !== null) && view.from / 1e6 <= time && time <= view.to / 1e6;
  return JSON.stringify({ ...view, points: points.filter(isReading) });
}"""


class Difference(Exception):
    """The proof has failed; the text says where."""


def compare(what: str, found: list, expected: list, first: int = 1) -> None:
    """Name the first place, counted from `first`, at which two lists are not the same."""
    if found == expected:
        return
    pairs = itertools.zip_longest(found, expected, fillvalue="nothing")
    number, (one, other) = next((i, pair) for i, pair in enumerate(pairs, first) if pair[0] != pair[1])
    raise Difference(f"{what}, number {number}: {one} instead of {other}")


class Log:
    """A log, read whole, without any code of the server's."""

    def __init__(self, path: Path) -> None:
        # A run that was killed before its first reading has no log.
        self.data = path.read_bytes() if path.exists() else b"seq,time_ns\n"
        lines = self.data.splitlines(keepends=True)
        header = lines.pop(0)
        self.starts = array("q", [len(header)])
        self.times = array("q")  # in µs
        self.values = [array("d") for _ in range(header.count(b",") - 1)]
        for number, line in enumerate(lines, 1):
            seq, time_ns, *values = line.split(b",")
            if not line.endswith(b"\n") or len(values) != len(self.values) or b"" in values:
                raise Difference(f"{path.name}, row {number} is torn: {line!r}")
            if int(seq) != number:
                raise Difference(f"{path.name}, row {number} has the number {int(seq)}")
            self.starts.append(self.starts[-1] + len(line))
            self.times.append(int(time_ns) // 1000)
            for column, value in zip(self.values, values, strict=True):
                column.append(float(value))
        if list(self.times) != sorted(self.times):
            raise Difference(f"{path.name}: the times do not increase")
        self.rows = len(self.times)

    def text(self, first: int, last: int) -> str:
        """Return the lines of the readings from one number to another."""
        return self.data[self.starts[first - 1] : self.starts[last]].decode()

    def bins(self, width: int, first: int, last: int) -> list[list[float]]:
        """Return the number of each bin that these readings fall into, how many do, and their extremes."""
        found = []
        at = first - 1
        while at < last:
            number = self.times[at] // width
            end = min(last, bisect_left(self.times, (number + 1) * width, at))
            extremes = [pick(column[at:end]) for column in self.values for pick in (min, max)]
            found.append([number, end - at, *extremes])
            at = end
        return found


@lru_cache(maxsize=3)
def read_log(path: Path, size: int) -> Log:
    """Return a log; `size`, that of the file, is for the cache to know whether it is still the same."""
    return Log(path)


class Kept:
    """What a client without a browser has got of one run: all of it, message by message."""

    def __init__(self) -> None:
        self.have = 0
        self.messages: list[tuple[int, int, str | dict]] = []
        self.views: deque[dict] = deque(maxlen=30)
        self.oldest = self.newest = 0

    def take(self, message: dict[str, Any]) -> None:
        match message:
            case {"lines": text, "sent": _}:
                count = text.count("\n")
                newest = text[text.rfind("\n", 0, -1) + 1 :]
                self._add(int(text[: text.index(",")]), self.have + count, text)
                self.newest = int(newest.split(",", 2)[1]) // 1000
                self.oldest = self.oldest or int(text.split(",", 2)[1]) // 1000
            case {"extremes": extremes}:
                self._add(extremes["first"], extremes["last"], extremes)
                if extremes["gone"]:
                    raise Difference(f"{extremes['gone']} readings to {self.have} are said to be gone")
                self.oldest = self.oldest or extremes["bins"][0][0] * extremes["width"]
            case {"gone": [first, last]}:
                raise Difference(f"readings {first} to {last} are said to be gone")
            case {"view": _}:
                self.views.append(message)
            case _:
                raise Difference(f"not a message of the protocol: {str(message)[:200]}")

    def _add(self, first: int, last: int, what: str | dict) -> None:
        if first != self.have + 1:
            raise Difference(f"reading {first} came where {self.have + 1} was due")
        self.messages.append((first, last, what))
        self.have = last

    def check(self, name: str, log: Log) -> None:
        """Compare it with the log, which can have more."""
        if self.have > log.rows:
            raise Difference(f"{name} has reading {self.have}, and the log only {log.rows}")
        for first, last, what in self.messages:
            if isinstance(what, str):
                if what != log.text(first, last):
                    compare(name, what.splitlines(), log.text(first, last).splitlines(), first)
                continue
            width = what["width"]
            counts = [entry[:2] for entry in log.bins(width, first, last)]
            compare(f"{name}, counts of {first} to {last}", [entry[:2] for entry in what["bins"]], counts)
            # Extremes are those of whole bins, also of what the client had before of the first of them.
            begin = bisect_left(log.times, what["bins"][0][0] * width) + 1
            extremes = [entry[2:] for entry in log.bins(width, begin, last)]
            compare(f"{name}, extremes of {first} to {last}", [entry[2:] for entry in what["bins"]], extremes)
        for view in self.views:
            self._check_view(f"{name}, view from {view['from']} to {view['to']}", view, log)

    def _check_view(self, name: str, view: dict[str, Any], log: Log) -> None:
        width = view["width"]
        last = bisect_right(log.times, view["to"])
        if width == 0:
            first = bisect_left(log.times, view["from"]) + 1
            text = log.text(first, last) if first <= last else ""
            compare(name, view["lines"].splitlines(), text.splitlines(), first)
        else:
            first = bisect_left(log.times, view["from"] // width * width) + 1
            compare(name, view["bins"], log.bins(width, first, last))


class Network:
    """The event loop, in a thread of its own, of the proxies and of the clients without a browser."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)


class Link:
    """The way of one page or client to the server: a TCP proxy that can be cut, and can stall."""

    def __init__(self, network: Network, to: int) -> None:
        self.network, self.to = network, to
        self.writers: set[asyncio.StreamWriter] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.server = network.run(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        onward = None
        # A side that fails, or is gone, takes the other one with it.
        with suppress(OSError):
            back, onward = await asyncio.open_connection("127.0.0.1", self.to)
            self.writers.add(onward)
            await asyncio.gather(self._pump(reader, onward), self._pump(back, writer))
        for one in (writer, onward):
            if one:
                self.writers.discard(one)
                reset(one)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**14):
            await self.flowing.wait()
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    def cut(self) -> None:
        """Reset every connection, wherever in a message it is."""
        self.network.loop.call_soon_threadsafe(lambda: [reset(writer) for writer in list(self.writers)])

    def stall(self) -> None:
        """Carry nothing more, as a network does whose cable is out."""
        self.network.loop.call_soon_threadsafe(self.flowing.clear)

    def resume(self) -> None:
        self.network.loop.call_soon_threadsafe(self.flowing.set)

    def close(self) -> None:
        self.network.loop.call_soon_threadsafe(self.server.close)
        self.resume()
        self.cut()


def reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        linger = struct.pack("ii" if os.name == "posix" else "hh", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


class Client:
    """A client without a browser: it keeps what it gets, and asks for views of all sizes."""

    def __init__(self, network: Network, link: Link, name: str, random: Random) -> None:
        self.network, self.link, self.name, self.random = network, link, name, random
        self.runs: dict[str, Kept] = {}
        self.epoch = ""
        self.error: Exception | None = None
        self.task = asyncio.run_coroutine_threadsafe(self._live(), network.loop)

    async def _live(self) -> None:
        while True:
            try:
                url = f"ws://127.0.0.1:{self.link.port}/data"
                async with connect_async(url, proxy=None, open_timeout=5, close_timeout=1) as connection:
                    await self._talk(connection)
            except (OSError, WebSocketException):
                await asyncio.sleep(self.random.uniform(0.05, 0.5))
            except Exception as error:
                self.error = error
                return

    async def _talk(self, connection: ClientConnection) -> None:
        hello = json.loads(await connection.recv())
        self.epoch = hello["epoch"]
        kept = self.runs.setdefault(self.epoch, Kept())
        await connection.send(json.dumps({"epoch": self.epoch, "have": kept.have}))
        async for text in connection:
            kept.take(json.loads(text))
            if self.random.random() < 0.02 and kept.newest > kept.oldest > 0:
                span = (kept.newest - kept.oldest) * 10 ** -self.random.uniform(0, 4)
                start = int(self.random.uniform(kept.oldest, kept.newest - span))
                view = {"view": kept.have, "from": start, "to": int(start + span), "columns": 200}
                await connection.send(json.dumps(view))

    def has(self, epoch: str, have: int) -> bool:
        return self.error is not None or (epoch in self.runs and self.runs[epoch].have >= have)

    def close(self) -> None:
        self.task.cancel()
        self.link.close()


class Tab:
    """A page in a browser, with a network of its own."""

    def __init__(self, browser: Browser, link: Link, name: str, errors: list[str]) -> None:
        self.browser, self.link, self.name = browser, link, name
        # A window of its own, because pages in the background draw nothing. Small windows are drawn fast.
        self.page: Page = browser.new_page(viewport={"width": 480, "height": 400})
        self.page.set_default_timeout(30_000)
        self.page.add_init_script(REMEMBER_PLOTS)
        self.page.on("pageerror", lambda error: errors.append(f"{name}: {error}"))
        self.page.goto(f"http://localhost:{link.port}/", wait_until="domcontentloaded")

    def held(self) -> dict[str, Any]:
        return json.loads(self.page.evaluate(HELD))

    def close(self) -> None:
        self.page.close()
        self.link.close()


def check_held(name: str, held: dict[str, Any], log: Log) -> None:
    """Compare what a page holds with the log, which can have more."""
    have, length = held["have"], len(held["times"])
    if have > log.rows:
        raise Difference(f"{name} has reading {have}, and the log only {log.rows}")
    if (held["received"], held["gone"]) != (have, 0):
        raise Difference(f"{name} has {have} readings: {held['received']} received, {held['gone']} gone")
    first = have - length + 1
    compare(f"{name}, times", held["times"], list(log.times[first - 1 : have]), first)
    for field, values in enumerate(held["values"]):
        compare(f"{name}, field {field}", values, list(log.values[field][first - 1 : have]), first)
    bins = [list(entry) for entry in zip(held["bins"], held["counts"], *held["extremes"], strict=True)]
    compare(f"{name}, bins of {held['width']} µs", bins, log.bins(held["width"], 1, have))


class Soak:
    """One run of the proof."""

    def __init__(self, options: argparse.Namespace, copy: Copy, browsers: list[Browser]) -> None:
        self.options, self.copy, self.browsers = options, copy, browsers
        self.random = Random(options.seed)
        self.network = Network()
        self.port = free_port()
        self.errors: list[str] = []
        self.done: Counter[str] = Counter()
        self.numbers = itertools.count(1)
        self.later: list[tuple[float, int, Callable[[], None]]] = []
        self.frozen: list[psutil.Process] = []
        self.clients: list[Client] = []
        self.departed: list[Client] = []
        self.runs = self.readings = self.held = 0
        self.begin = time.monotonic()
        self.start_server()
        self.tabs = [self.open_tab(browser) for browser in browsers]
        self.clients = [self.open_client() for _ in range(CLIENTS)]

    # What happens.

    def run(self) -> None:
        self.begin = time.monotonic()
        end = self.begin + self.options.seconds
        bag: list[str] = []
        now = self.begin
        kill = now + self.until_kill()
        while now < end:
            # The last run is long enough to have everything in it, too.
            if kill <= now < end - 0.4 * self.options.seconds:
                self.do("kill the server", self.kill_server)
                kill = time.monotonic() + self.until_kill()
            elif self.later and now >= self.later[0][0]:
                heapq.heappop(self.later)[2]()
            else:
                # All of them in turn, in another order each time, so that a short run has everything in it.
                if not bag:
                    bag = list(Counter(ACTIONS).elements())
                    self.random.shuffle(bag)
                what = bag.pop()
                self.do(what, getattr(self, what.replace(" ", "_")))
                self.check_so_far()
                time.sleep(self.random.uniform(0.1, 0.5))
            now = time.monotonic()
        while self.later:
            heapq.heappop(self.later)[2]()

    def until_kill(self) -> float:
        """Return how long the server may live: seconds or minutes, with two lives at least in a short run."""
        return min(5 * 100 ** self.random.random(), 0.4 * self.options.seconds)

    def do(self, what: str, action: Callable[[], object]) -> None:
        if self.options.verbose:
            print(f"{time.monotonic() - self.begin:8.2f}  {what}", flush=True)
        # What cannot be done now, to a page in a browser that is frozen for example, is left out.
        if action() is not False:
            self.done[what] += 1

    def after(self, action: Callable[[], None]) -> None:
        """Do something a while later: in a long run sometimes after the server has given up waiting."""
        wait = self.random.choice([1, 2, 4, 7, 40] if self.options.seconds > 300 else [1, 2, 3])
        when = time.monotonic() + wait * self.random.uniform(0.5, 1)
        heapq.heappush(self.later, (when, next(self.numbers), action))

    def open_tab(self, browser: Browser) -> Tab:
        return Tab(browser, Link(self.network, self.port), f"page {next(self.numbers)}", self.errors)

    def open_client(self) -> Client:
        number = next(self.numbers)
        random = Random(self.options.seed * 1000 + number)
        return Client(self.network, Link(self.network, self.port), f"client {number}", random)

    def awake(self) -> list[Tab]:
        return [tab for tab in self.tabs if not (self.frozen and tab.browser is self.browsers[1])]

    def open_a_page(self) -> None:
        if len(self.tabs) == MOST_PAGES:
            self.close_a_page()
        browsers = self.browsers[:1] if self.frozen else self.browsers
        self.tabs.append(self.open_tab(self.random.choice(browsers)))

    def close_a_page(self) -> bool | None:
        tabs = [tab for tab in self.awake() if tab.link.flowing.is_set()]
        if len(self.tabs) <= 2 or not tabs:
            return False
        tab = self.random.choice(tabs)
        self.tabs.remove(tab)
        tab.close()

    def cut_a_page(self) -> None:
        self.random.choice(self.tabs).link.cut()

    def cut_a_client(self) -> None:
        self.random.choice(self.clients).link.cut()

    def stall_a_page(self) -> None:
        self.stall(self.tabs)

    def stall_a_client(self) -> None:
        self.stall(self.clients)

    def stall(self, those: list[Tab] | list[Client]) -> None:
        link = self.random.choice(those).link
        link.stall()
        self.after(link.resume)

    def replace_a_client(self) -> None:
        client = self.clients.pop(self.random.randrange(len(self.clients)))
        client.close()
        self.departed.append(client)
        self.clients.append(self.open_client())

    def look_elsewhere(self) -> bool | None:
        if not (tabs := self.awake()):
            return False
        part = sorted([self.random.random(), self.random.random()])
        self.random.choice(tabs).page.evaluate(
            """([from, to]) => {
              const length = run.newest - run.oldest;
              if (plot && to > 0.9) plot.follow(Infinity);
              else if (plot) plot.go(run.oldest + from * length, run.oldest + to * length);
            }""",
            part,
        )

    def freeze_a_browser(self) -> bool | None:
        if self.frozen:
            return False
        session = self.browsers[1].new_browser_cdp_session()
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        session.detach()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                self.frozen.append(psutil.Process(process["id"]))
                self.frozen[-1].suspend()
        self.after(self.thaw)

    def thaw(self) -> None:
        for process in self.frozen:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        self.frozen.clear()

    def stop_for_a_while(self) -> None:
        self.command("STOP")
        self.after(lambda: self.command("START"))

    def command(self, text: str) -> dict[str, Any]:
        """Give a command, and return the next counts."""
        with connect(f"ws://127.0.0.1:{self.port}/control", proxy=None, close_timeout=1) as control:
            control.send(text)
            while "reply" not in (message := json.loads(control.recv(timeout=20))):
                pass
            assert message["reply"].startswith("OK"), message
            while "acquired" not in (message := json.loads(control.recv(timeout=20))):
                pass
        return message

    def start_server(self) -> None:
        options = {"--host": "127.0.0.1", "--port": self.port}
        options |= {"--rate": self.options.rate, "--seed": self.options.seed}
        self.server = self.copy.start(*(str(part) for option in options.items() for part in option))
        with connect(f"ws://127.0.0.1:{self.port}/data", proxy=None, close_timeout=1) as connection:
            self.epoch = json.loads(connection.recv(timeout=20))["epoch"]
        self.command("START")
        self.runs += 1

    def kill_server(self) -> None:
        self.server.kill()
        self.check_output()
        # Now nothing more can come, so what the pages show is what the log of this run has to have.
        held = [(tab.name, tab.held()) for tab in self.awake()]
        over = self.epoch
        self.start_server()
        self.readings += self.log_of(over).rows
        for name, what in held:
            if what["epoch"]:
                check_held(name, what, self.log_of(what["epoch"]))
                self.held += 1

    # What is compared.

    def log_of(self, epoch: str) -> Log:
        path = self.copy.step.folder / "logs" / f"{epoch.partition(' ')[0]}.csv"
        return read_log(path, path.stat().st_size if path.exists() else 0)

    def check_so_far(self) -> None:
        """Compare what clients have of runs that are over, and forget it."""
        for client in self.clients + self.departed:
            if client.error:
                raise Difference(f"{client.name}: {client.error!r}")
            # One that is still there can get more of a run until it has been told of the next.
            goes_on = client.epoch if client in self.clients else self.epoch
            for epoch in [epoch for epoch in list(client.runs) if epoch != goes_on]:
                client.runs.pop(epoch).check(client.name, self.log_of(epoch))
        self.departed = [client for client in self.departed if client.runs]
        if self.errors:
            raise Difference(self.errors[0])

    def check_output(self) -> None:
        for sign in ("Traceback", "Warning", "ERROR"):
            if sign in self.server.output:
                raise Difference(f"the server printed:\n{self.server.output}")

    def check_end(self) -> None:
        """Stop the acquisition, wait until everybody has everything, and compare it."""
        self.command("STOP")
        counts = wait_until(self.all_logged, "all that was acquired is logged", 30)
        rows, epoch, patience = counts["acquired"], self.epoch, 60
        log = self.log_of(epoch)
        if log.rows != rows:
            raise Difference(f"{rows} readings were acquired, and the log has {log.rows}")
        self.readings += rows
        for client in self.clients:
            try:
                wait_until(lambda client=client: client.has(epoch, rows), client.name, patience)
            except AssertionError:
                have = client.runs.get(epoch, Kept()).have
                raise Difference(f"{client.name} got {have} of {rows} readings, and no more") from None
        self.check_so_far()
        for client in self.clients + self.departed:
            client.runs[epoch].check(client.name, log)
        for tab in self.tabs:
            self.check_tab(tab, epoch, log, patience)
        if self.errors:
            raise Difference(self.errors[0])

    def all_logged(self) -> dict[str, Any] | None:
        counts = self.command("STOP")
        return counts if counts["acquired"] == counts["logged"] else None

    def check_tab(self, tab: Tab, epoch: str, log: Log, patience: float) -> None:
        """Compare what a page holds and what it draws with the log."""
        has_all = "([epoch, rows]) => run.epoch === epoch && run.have >= rows"
        try:
            tab.page.wait_for_function(has_all, arg=[epoch, log.rows], timeout=patience * 1000)
        except Error:
            have, status = tab.page.evaluate("[run.have, find('status').textContent]")
            raise Difference(f"{tab.name} has {have} of {log.rows} readings, and says: {status}") from None
        check_held(tab.name, tab.held(), log)
        self.held += 1
        # Parts of the run, and the end of it, which the page follows.
        count = min(400, log.rows)
        starts = [self.random.randrange(log.rows - count + 1) for _ in range(3)] + [log.rows - count]
        for start in starts:
            try:
                part = [log.times[start], log.times[start + count - 1]]
                drawn = json.loads(tab.page.evaluate(DRAWN, part))
            except Error as error:
                raise Difference(f"{tab.name} does not show every reading from {part}: {error}") from None
            first, last = bisect_left(log.times, drawn["from"]), bisect_right(log.times, drawn["to"])
            columns = [[time_us / 1e6 for time_us in log.times[first:last]]]
            columns += [list(column[first:last]) for column in log.values]
            expected = [list(row) for row in zip(*columns, strict=True)]
            if len(expected) < count:
                raise Difference(f"{tab.name} shows {len(expected)} readings instead of {count} from {part}")
            compare(f"{tab.name}, drawn", drawn["points"], expected, first + 1)

    def close(self) -> None:
        """End everything; to be called in any case."""
        self.thaw()
        for client in self.clients:
            client.close()
        self.copy.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="for how long (%(default)g)")
    parser.add_argument("--rate", type=float, default=1000, help="readings a second (%(default)g)")
    parser.add_argument("--seed", type=int, help="what happens, and when; without it, something new")
    parser.add_argument("--small", action="store_true", help="keep less in pages and server, to see more")
    parser.add_argument("--verbose", action="store_true", help="say what happens when it does")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = Random().randrange(10**6)
    print(f"{options.seconds:g} s at {options.rate:g} readings a second, seed {options.seed}", flush=True)
    failure = None
    path = find_browser()
    with TemporaryDirectory(ignore_cleanup_errors=True) as name, sync_playwright() as playwright:
        copy = Copy(STEP, Path(name))  # so that nothing is left in the step's folder
        if options.small:
            for name, old, new in SMALL:
                copy.replace(name, old, new)
        browsers = [playwright.chromium.launch(executable_path=path, args=LAUNCH_ARGS) for _ in range(2)]
        soak = Soak(options, copy, browsers)
        try:
            soak.run()
            soak.check_end()
            soak.check_output()
            soak.server.stop()
        except (Difference, AssertionError) as error:
            failure = error
        finally:
            soak.close()
            for browser in browsers:
                browser.close()
    for what, count in sorted(soak.done.items()):
        print(f"{count:6} x {what}")
    if failure:
        sys.exit(f"DIFFERENCE: {failure}")
    print(
        f"{soak.readings:,} readings in {soak.runs} runs; {soak.held} times what a page held was compared, "
        f"{len(soak.tabs)} pages and {len(soak.clients)} clients at the end: each reading once, in order"
    )


if __name__ == "__main__":
    main()
