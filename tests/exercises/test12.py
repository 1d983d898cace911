"""The exercises of test12. To see how far you are: pytest tests/exercises/test12.py"""

import itertools
import json
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Page

from tests.exercises import Look, exercise
from tests.promises import next_event, send_event
from tests.support import wait_until

# How far the clocks of Nepal are ahead of Greenwich, in seconds.
NEPAL = 5.75 * 3600


@contextmanager
def recording(*prices: str) -> Iterator[str]:
    """Write a recording of one symbol, TEA, and return where it is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prices.csv"
        rows = [f"{i},TEA,{price}\n" for i, price in enumerate(prices)]
        path.write_text("time,symbol,price\n" + "".join(rows), encoding="utf-8")
        yield str(path)


@exercise(
    "update() sees that market.ended. open_market() makes another market, with the recording's beginning."
)
def test_1_again(look: Look) -> None:
    with recording("1.00", "2.00", "3.00") as path:
        look.start("--source", path, "--rate", "20")
        seen = []
        with look.connect() as client:
            send_event(client, "subscribe", ["TEA"])
            with suppress(TimeoutError):
                while len(seen) < 8:
                    seen.append(next_event(client, "quotes", timeout=2)["TEA"][0])
        after = {"1.00": "2.00", "2.00": "3.00", "3.00": "1.00"}
        look.find(
            "prices that go on with the first after the last, eight in all",
            seen,
            lambda seen: len(seen) == 8 and all(after[a] == b for a, b in itertools.pairwise(seen)),
        )


def caption(page: Page) -> str:
    return page.get_by_role("table", name="Quotes").locator("caption").inner_text()


@exercise(
    "An event of its own, sent with each update, and in welcome() to who comes later. It has Unix time; the "
    "page makes the clock's time of it: new Date(1000 * seconds).toLocaleTimeString([], { hourCycle: 'h23' })"
)
def test_2_time_of_the_update(look: Look) -> None:
    with recording("1.00", "2.00") as path:
        look.start("--source", path, "--rate", "0.6")
        page = look.page(timezone_id="Asia/Kathmandu")
        page.locator("#rows .price").get_by_text(re.compile(r"\d")).wait_for()
        pattern = re.compile(r"Quotes of (\d\d):(\d\d):\d\d")
        look.wait("the caption, such as 'Quotes of 14:03:07'", lambda: caption(page), pattern, timeout=1)
        shown = caption(page)
        hours, minutes = map(int, pattern.fullmatch(shown).groups())
        local = time.gmtime(time.time() + NEPAL)
        late = (local.tm_hour - hours) * 60 + local.tm_min - minutes
        what = f"the caption of a visitor in Nepal, where it is {time.strftime('%H:%M:%S', local)}"
        look.find(what, shown, lambda _: late % 1440 <= 1)
        goes_on = page.get_by_text("has ended").count() == 0
        page.get_by_text("has ended").wait_for()
        if goes_on:
            look.wait("another time at the end of the recording", lambda: caption(page) != shown, True)
            shown = caption(page)
        now = "Quotes of %H:%M:%S"
        wait_until(lambda: time.strftime(now, time.gmtime(time.time() + NEPAL)) != shown, "a second passes")
        later = look.page(timezone_id="Asia/Kathmandu")
        look.wait("the same time on a page that comes later", lambda: caption(later), shown)


@exercise(
    "One function that returns the symbols that a text means serves is_refused(), subscribe() and "
    "unsubscribe(). In the page, a snapshot may have symbols that have no row yet."
)
def test_3_letters(look: Look) -> None:
    look.start()
    with look.connect() as client:
        wanted = [symbol for symbol in next_event(client, "symbols") if symbol.startswith("B")]

        def answer(symbol: str) -> dict:
            send_event(client, "subscribe", [symbol])
            while (message := json.loads(client.recv(timeout=10)))["event"] not in ("snapshot", "error"):
                pass
            return message

        said = answer("B*")
        shown = f"{said['event']} {said['data']!r:.60}"
        look.find("the event that answers B*", shown, re.compile("snapshot .*"))
        look.find("the symbols in it", list(said["data"]), wanted)
        sent = set(next_event(client, "quotes"))
        look.find("no quotes of others", sent - set(wanted), set())
        look.find("the answer to ZENON", list(answer("ZENON")["data"]), ["ZENON"])
        said = answer("Q*")
        look.find("an error that answers Q*", said["data"], lambda text: "unknown symbol 'Q*'" in text)
    page = look.page()
    page.get_by_role("checkbox", name="ZENON").wait_for()
    page.get_by_role("textbox", name="Search symbols").fill("B*")
    page.get_by_role("textbox", name="Search symbols").press("Enter")
    heads = page.get_by_role("table", name="Quotes").get_by_role("rowheader")

    def missing() -> list[str]:
        return sorted(set(wanted) - set(heads.all_inner_texts()))

    look.wait("no symbol that lacks a row in the page after B* and Enter", missing, [])
    without = page.locator("#rows .price").get_by_text("\u2013", exact=True)
    look.wait("no row without a price", without.count, 0)
