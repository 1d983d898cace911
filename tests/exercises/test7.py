"""The exercises of test7. To see how far you are: pytest tests/exercises/test7.py"""

import re

from playwright.sync_api import Page
from websockets.sync.client import ClientConnection

from tests.exercises import Look, exercise, received
from tests.page import count_of, wait_for_drawing


def told(control: ClientConnection) -> list[str]:
    """Return what the server tells a control client by itself, up to the answer to a command."""
    control.send("FOO")
    messages = [control.recv(timeout=10)]
    while not messages[-1].startswith("ERROR"):
        messages.append(control.recv(timeout=10))
    return messages[:-1]


def shown(page: Page) -> str:
    """Return what the page says of the number of pages."""
    found = re.search(r"Pages: *\S*", page.locator("body").inner_text())
    return found[0] if found else "nothing that begins with Pages:"


@exercise("clients['/control'] has a connection a page. Send to all after .add() and after .discard().")
def test_1_pages(look: Look) -> None:
    look.start()
    with look.connect() as first:
        look.find("PAGES 1 told to the first control client", told(first), lambda got: "PAGES 1" in got)
        with look.connect() as second:
            look.find("PAGES 2 told to the second one", told(second), lambda got: "PAGES 2" in got)
            look.find("PAGES 2 told to the first one too", told(first), lambda got: "PAGES 2" in got)
    page = look.page()
    look.wait("Pages: 1 in the page", lambda: shown(page), "Pages: 1")
    another = look.page()
    look.wait("Pages: 2 in both pages, when another is opened", lambda: shown(page), "Pages: 2")
    look.wait("Pages: 2 in both pages, when another is opened", lambda: shown(another), "Pages: 2")
    look.pages.command(page, "START")
    look.wait("the answer to Start", page.get_by_label("Response").inner_text, "OK: started")
    look.find("Pages: 2 still there after an answer", shown(page), "Pages: 2")
    another.close()
    look.wait("Pages: 1 again, when the other is closed", lambda: shown(page), "Pages: 1")


@exercise("A variable `paused`, which the button turns round, and which add() asks before anything else.")
def test_2_pause(look: Look) -> None:
    look.start("--rate", "100")
    page = look.page()
    pause = page.get_by_role("button", name="Pause", exact=True)
    resume = page.get_by_role("button", name="Continue", exact=True)
    look.find("a button Pause", pause.count(), 1)
    look.pages.command(page, "START")
    look.readings(page, 2)
    pause.click()
    look.wait("a button Continue after Pause", resume.count, 1)
    look.find("no button Pause meanwhile", pause.count(), 0)
    wait_for_drawing(page)
    still = drawn(page)
    with look.connect("data") as other:
        look.find("5 readings for another client meanwhile", len(received(other, 5)), 5)
    wait_for_drawing(page)
    look.find("the same readings on this page as before", drawn(page), still)
    resume.click()
    look.wait("more readings after Continue", lambda: drawn(page), lambda now: now != still)
    look.find("the button Pause again", pause.count(), 1)


def drawn(page: Page) -> str:
    """Return how much the page shows, in words."""
    values = "() => window.plots.at(-1).data[1].filter((value) => value !== null).length"
    return f"{count_of(page)} readings counted, {page.evaluate(values)} in the plot"
