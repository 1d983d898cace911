"""What test11's page costs the loop that drives it: a call of update(), and track() beside tqdm.

A page is open in a browser meanwhile. Each loop is empty, over a million items, in turns with the others.
"""

import contextlib
import io
import time
from collections.abc import Iterable
from statistics import median

from tqdm import tqdm

from common.live_page import start
from tests.benchmarks.dashboard import browser
from tests.benchmarks.result import Result, at_most
from tests.support import ROOT, free_port

ITEMS = 1_000_000
CALLS = 100_000
RUNS = 9


def run() -> list[Result]:
    port = free_port()
    with contextlib.redirect_stdout(io.StringIO()):
        page = start(ROOT / "test11" / "client.html", host="localhost", port=port, browser=False)
    loops = {"bare": [], "track": [], "tqdm": []}
    with browser() as chromium, contextlib.redirect_stdout(io.StringIO()):
        tab = chromium.new_page()
        tab.goto(f"http://localhost:{port}/")
        tab.get_by_text("Connected to").wait_for()
        updates = []
        for i in range(CALLS):
            before = time.perf_counter_ns()
            page.update(bar=i / CALLS, status="busy")
            updates.append(time.perf_counter_ns() - before)
        for _ in range(RUNS):
            loops["bare"].append(seconds(range(ITEMS)))
            loops["track"].append(seconds(page.track(range(ITEMS), id="steps")))
            # What tqdm draws goes where it would go, into a text stream; a terminal would be slower.
            loops["tqdm"].append(seconds(tqdm(range(ITEMS), file=io.StringIO())))
        tab.get_by_text(f"{ITEMS:,} of {ITEMS:,}").wait_for()
        page.close()
    us = median(updates) / 1000
    ms = {name: round(median(times) * 1000, 1) for name, times in loops.items()}
    print(f"  update(), µs: {us:.2f}; 99 of 100 calls under {sorted(updates)[CALLS * 99 // 100] / 1000:.2f}")
    print(f"  a loop of a million items, ms: {ms}")
    return [
        at_most("loop: update()", us, 5, "µs", ".2f"),
        at_most("loop: track() over a million items, and tqdm's", ms["track"], ms["tqdm"], "ms", ".0f"),
    ]


def seconds(items: Iterable[int]) -> float:
    before = time.perf_counter()
    for _ in items:
        pass
    return time.perf_counter() - before
