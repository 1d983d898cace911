"""The exercises of test13. To see how far you are: pytest tests/exercises/test13.py"""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager

from playwright.sync_api import Page

from tests.exercises import Look, exercise
from tests.promises import next_event
from tests.support import free_port
from tests.test_test13 import Feed

TIME = r"\d\d:\d\d:\d\d"


@contextmanager
def started(look: Look, silent_after: float) -> Iterator[Feed]:
    """Start the server without its simulated sensors, and a program that sends readings to it."""
    port = free_port()
    server = look.start("--listen-tcp", str(port), "--silent-after", str(silent_after))
    server.wait_for("Programs send readings")
    with closing(Feed(port)) as feed:
        yield feed


def alerts(page: Page) -> list[str]:
    return page.get_by_role("list", name="Alerts").get_by_role("listitem").all_inner_texts()


@exercise("An event of its own, whose function does for each alert what acknowledge() does for one.")
def test_1_acknowledge_all(look: Look) -> None:
    with started(look, 60) as feed:
        page = look.page()
        button = page.get_by_role("button", name="Acknowledge all", exact=True)
        look.find("one button Acknowledge all", button.count(), 1)
        for name in ("oven-01", "oven-02"):
            feed.send(*[85] * 10, sensor_id=name)
        look.wait("2 alerts, of two sensors that are too hot", lambda: len(alerts(page)), 2, timeout=20)
        button.click()
        each = page.get_by_role("button", name=re.compile("Acknowledge oven"))
        look.wait("no button to acknowledge a single one, after Acknowledge all", each.count, 0)
        not_yet = [text for text in alerts(page) if "acknowledged" not in text]
        look.find("no alert that is not acknowledged", not_yet, [])
        with look.connect() as other:
            told = [alert["sensor_id"] for alert in next_event(other, "alerts") if "acknowledged" in alert]
            look.find("the alerts that are acknowledged on every page", told, ["oven-01", "oven-02"])
            feed.send(*[85] * 10, sensor_id="oven-03")
            look.wait("1 button to acknowledge an alert that comes later", each.count, 1)


@exercise(
    "find_silent() knows when it begins, record() when it ends. An alert needs to say what it is of, so that "
    "the page can tell; and a sensor may have one of each kind."
)
def test_2_silence(look: Look) -> None:
    with started(look, 0.3) as feed:
        feed.send(20)
        with look.connect() as client:
            while "silent" not in [sensor["state"] for sensor in next_event(client, "sensors")]:
                pass

        def told() -> int:
            """Return how many alerts a page is told of that connects now."""
            with look.connect() as later:
                return len(next_event(later, "alerts"))

        look.wait("1 alert when a sensor is silent", told, 1)
        page = look.page()

        def of_oven() -> list[str]:
            return [" ".join(text.split()) for text in alerts(page) if "oven-01" in text]

        for what, end in [("still silent", "still silent"), ("cleared when heard again", f"cleared {TIME}")]:
            pattern = re.compile(rf".*oven-01 raised {TIME}, {end}.*")
            look.wait(
                f"its alert in the list, {what}",
                of_oven,
                lambda texts, pattern=pattern: any(map(pattern.fullmatch, texts)),
                timeout=20,
            )
            feed.send(20)
        feed.send(*[85] * 10, sensor_id="oven-02")
        look.wait(
            "an alert 'still too hot' of another sensor",
            lambda: [text for text in alerts(page) if "oven-02" in text],
            lambda texts: any("still too hot" in text for text in texts),
            timeout=20,
        )
