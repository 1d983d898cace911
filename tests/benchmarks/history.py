"""test14b's server and page with a run of ten million readings, three fields, at 1,000 readings a second.

The run grows as fast as its log takes it, which takes two minutes, and a page shows it all the time. Memory
is what the server's process has to itself, and what the page's JavaScript heap and all that hangs on it hold
after a garbage collection. When there is an hour of it, it goes on at 1,000 a second, and the page is opened
with nothing in the browser's cache: the picture is complete when there is colour in every column of it, and
the page has a reading that is newer than its connection. Of ten million readings, parts of all sizes are
asked for, each three times, of which the median counts: that is less disturbed by what else the machine does.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from playwright.sync_api import Browser, Page
from websockets.sync.client import connect

from common.runs.index import MOST_ROWS
from common.runs.recording import Recording
from tests.benchmarks.dashboard import browser
from tests.benchmarks.plot import memory
from tests.benchmarks.result import Result, at_most
from tests.conftest import REMEMBER_PLOTS
from tests.support import ROOT, free_port

RATE = 1000
FEW, HOUR, MANY = 10_000, 3_600_000, 10_000_000
OPENINGS = 5
VIEWS, RUNS, COLUMNS = 200, 3, 2000
CLIENTS = 10
SECONDS = 5  # for which drawings are counted, and the server's work is measured

# In each frame, looks whether the picture is complete. A bin is at most two pixels wide, so at either edge so
# many columns can be empty.
VISITOR = """
  window.complete = new Promise((resolve) => {
    function isComplete() {
      const chart = plots.at(-1);
      if (!chart || run.head === 0 || run.have <= run.head) return false;
      const { left, top, width, height } = chart.bbox;
      const { data } = chart.ctx.getImageData(left, top, width, height);
      for (let x = 2; x < width - 2; x += 1) {
        let y = 0;
        for (; y < height; y += 1) {
          const at = 4 * (y * width + x);
          const [r, g, b] = [data[at], data[at + 1], data[at + 2]];
          if (data[at + 3] > 64 && Math.max(r, g, b) - Math.min(r, g, b) > 64) break;
        }
        if (y === height) return false;
      }
      return true;
    }
    function look() {
      if (isComplete()) resolve(Date.now());
      else requestAnimationFrame(look);
    }
    look();
  });
"""

# Counts frames, and those of them in which the plot was drawn.
COUNT_DRAWINGS = """(seconds) => new Promise((resolve) => {
  const start = performance.now();
  let [drawings, frames] = [0, 0];
  const chart = plots.at(-1);
  (chart.hooks.draw ??= []).push(() => (drawings += 1));
  function frame() {
    frames += 1;
    const passed = (performance.now() - start) / 1000;
    if (passed < seconds) return requestAnimationFrame(frame);
    resolve([drawings / passed, frames / passed]);
  }
  requestAnimationFrame(frame);
})"""


class FastRun:
    """test14b's server, whose run can grow faster than time passes."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(ROOT / "test14b", folder / "test14b", ignore=shutil.ignore_patterns("logs"))
        self.logs = folder / "test14b" / "logs"
        self.port = free_port()
        command = [sys.executable, "-u", "-m", "tests.benchmarks.fast_run", folder / "test14b" / "server.py"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--rate", str(RATE), "--seed", "1"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        lines = iter(self.process.stdout.readline, "")
        self.url = next(found[0] for line in lines if (found := re.search(r"http://\S+", line)))
        self.control = connect(f"ws://127.0.0.1:{self.port}/control", proxy=None)
        self.data = connect(f"ws://127.0.0.1:{self.port}/data", proxy=None, max_size=None)
        self.data.recv(timeout=10)

    def grow(self, readings: int) -> None:
        """Have it grow quickly to so many readings; after that it goes on at its rate."""
        begin = time.monotonic()
        self.process.stdin.write(f"{readings}\n")
        self.process.stdin.flush()
        self.control.send("START")
        while json.loads(self.control.recv(timeout=10)).get("logged", 0) < readings:
            pass
        print(f"  {readings:,} readings after {time.monotonic() - begin:.0f} s more", flush=True)

    def private_memory(self) -> int:
        return psutil.Process(self.process.pid).memory_full_info().uss

    def view(self, start_us: int, stop_us: int, columns: int) -> dict[str, Any]:
        """Ask for a part of the run as a page does."""
        self.data.send(json.dumps({"view": 1, "from": start_us, "to": stop_us, "columns": columns}))
        return json.loads(self.data.recv(timeout=10))

    def close(self) -> None:
        self.control.close()
        self.data.close()
        self.process.terminate()
        self.process.communicate()


@contextmanager
def clients(port: int) -> Iterator[None]:
    """Have so many clients without a browser connected that take every reading."""
    with ThreadPoolExecutor(CLIENTS) as threads, ExitStack() as stack:
        for _ in range(CLIENTS):
            client = stack.enter_context(connect(f"ws://127.0.0.1:{port}/data", proxy=None))
            hello = json.loads(client.recv(timeout=10))
            client.send(json.dumps({"epoch": hello["epoch"], "have": hello["head"]}))
            client.recv(timeout=10)
            threads.submit(deque, client, 0)  # takes and forgets all that comes
        yield


def run() -> list[Result]:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, browser() as chromium:
        server = FastRun(Path(folder))
        try:
            server.grow(FEW)
            page, _ = open_page(chromium, server)
            wait_for(page, FEW)
            before = server.private_memory(), memory(page)
            server.grow(HOUR)
            openings = [opening(chromium, server) for _ in range(OPENINGS)]
            print(f"  ms to a complete picture: {[round(ms) for ms in sorted(openings)]}", flush=True)
            drawings, frames = page.evaluate(COUNT_DRAWINGS, SECONDS)
            with clients(server.port):
                process = psutil.Process(server.process.pid)
                process.cpu_percent()
                busy = process.cpu_percent(interval=SECONDS)
            server.grow(MANY)
            wait_for(page, MANY)
            after = server.private_memory(), memory(page)
            page.close()
            asked = views(server.view, *span(server.logs))
        finally:
            server.close()
        (log,) = server.logs.glob("*.csv")
        recording = Recording(log)
        computed = views(recording.view, *span(server.logs))
        recording.close()
    more = [(now - then) / 2**20 for now, then in zip(after, before, strict=True)]
    return [
        at_most("history: view of ten million, median", computed[0], 50, "ms", ".1f"),
        at_most("history: the slowest of 200", computed[1], 50, "ms", ".1f"),
        Result("history: the same over a socket", f"{asked[0]:.1f}, {asked[1]:.1f} ms", "", True),
        at_most("history: an hour, complete picture", median(openings), 1000, "ms"),
        at_most("history: server, ten million", more[0], 32, "MiB", "+.1f"),
        at_most("history: page, ten million", more[1], 32, "MiB", "+.1f"),
        Result("history: server with 11 clients", f"{busy:.0f} % of a core", "", True),
        Result("history: the page's drawings, frames", f"{drawings:.0f}, {frames:.0f} a second", "", True),
    ]


def open_page(chromium: Browser, server: FastRun) -> tuple[Page, float]:
    """Open the page with nothing in the browser's cache, and return it and when that began."""
    page = chromium.new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(REMEMBER_PLOTS)
    page.add_init_script(VISITOR)
    begin = time.time()
    page.goto(server.url)
    return page, begin


def opening(chromium: Browser, server: FastRun) -> float:
    """Return the milliseconds from the beginning of a visit to the complete picture."""
    page, begin = open_page(chromium, server)
    complete = page.evaluate("complete")
    page.close()
    return complete - begin * 1000


def wait_for(page: Page, readings: int) -> None:
    """Wait until the page has so many readings."""
    page.wait_for_function("(readings) => run.have >= readings", arg=readings)


def span(logs: Path) -> tuple[int, int]:
    """Return the times of a log's first and last reading, in µs."""
    (log,) = logs.glob("*.csv")
    with log.open("rb") as file:
        file.readline()
        first = file.readline()
        file.seek(-1000, 2)
        last = file.read().splitlines()[-2]  # the last one can be half written
    return tuple(int(line.split(b",", 2)[1]) // 1000 for line in (first, last))


def views(view: Callable[[int, int, int], dict[str, Any]], oldest: int, newest: int) -> tuple[float, float]:
    """Return the median and the longest of the milliseconds that views of parts of all sizes take."""
    random = Random(1)
    parts = []
    for number in range(VIEWS):
        size = (newest - oldest) * 10 ** -random.uniform(0, 6)
        if number % 4 == 0:
            # So many readings, or a few less, are read one by one for their extremes, which is the most work.
            size = MOST_ROWS / RATE * 1e6 * random.uniform(0.9, 1)
        start = int(random.uniform(oldest, newest - size))
        parts.append((start, int(start + size)))
    times: list[list[float]] = [[] for _ in parts]
    for _ in range(RUNS):
        for (start, stop), taken in zip(parts, times, strict=True):
            begin = time.perf_counter()
            answer = view(start, stop, COLUMNS)
            taken.append((time.perf_counter() - begin) * 1000)
            if not (answer.get("bins") or answer["lines"]) and stop - start > 2e6 / RATE:
                raise SystemExit(f"Nothing came for the view from {start}")
    figures = sorted(map(median, times))
    print(f"  slowest views, ms: {[round(ms, 1) for ms in figures[-5:]]}", flush=True)
    return median(figures), figures[-1]
