"""The exercises of test11. To see how far you are: pytest tests/exercises/test11.py"""

import re

from playwright.sync_api import Locator

from tests.exercises import Look, exercise


def value(bar: Locator) -> float:
    return bar.evaluate("(bar) => bar.value")


@exercise("Keep it in a variable that begins before the loop: highest = max(highest, load).")
def test_1_highest(look: Look) -> None:
    look.start("--rate", "60")
    page = look.page()
    highest = page.get_by_role("meter", name="Highest load so far")
    look.find("one meter Highest load so far", highest.count(), 1)
    load = page.get_by_role("meter", name="Load", exact=True).element_handle()
    shown: list[list[float]] = []

    def see() -> list[float]:
        both = "(highest, load) => [load, highest].map((meter) => Math.round(meter.value))"
        shown.append(highest.evaluate(both, load))
        return shown[-1]

    what = "[load, highest], of which the highest stays when the load falls by 10"
    look.wait(what, see, lambda both: both[0] <= both[1] - 10)
    wrong = [pair for pair in shown if pair[0] > pair[1]]
    look.find("no moment at which the load is above the highest", wrong, [])
    look.find("a highest load that the load has had", shown[-1][1], lambda high: high <= 95)


@exercise(
    "page.track(range(5), id=…) in work(), with a fifth of the sleep in each part. work() needs the page."
)
def test_2_parts(look: Look) -> None:
    look.start("--rate", "4")
    page = look.page()
    bar = page.get_by_role("progressbar", name="This step")
    look.find("one bar This step", bar.count(), 1)
    seen: set[float] = set()

    def see() -> set[float]:
        seen.add(value(bar))
        return seen

    look.wait("three different lengths of the bar This step", see, lambda lengths: len(lengths) >= 3)
    look.find("5 parts in the bar This step", bar.evaluate("(bar) => bar.max"), 5)
    look.wait("one text such as '2 of 5'", page.get_by_text(re.compile(r"^\d of 5\b")).count, 1)
    steps = page.get_by_role("progressbar", name="All steps")
    look.wait("2 steps or more that are done, of all", lambda: value(steps), lambda count: count >= 2)


@exercise(
    "The latest loads are collections.deque(maxlen=100). In SVG, y grows downwards: each point is x,100-load."
)
def test_3_picture(look: Look) -> None:
    look.start()
    page = look.page()
    picture = page.get_by_role("img", name="The latest loads")
    look.find("one picture The latest loads", picture.count(), 1)

    def width() -> int:
        return picture.evaluate("(picture) => picture.naturalWidth")

    look.wait("a picture that the browser can show, by its width", width, bool)
    first = picture.get_attribute("src")
    look.wait("another picture after a moment", lambda: picture.get_attribute("src") != first, True)
    look.wait("that the browser can show it, too", width, bool)
