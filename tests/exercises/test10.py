"""The exercises of test10. To see how far you are: pytest tests/exercises/test10.py"""

import re

from playwright.sync_api import Locator, Page

from tests.exercises import Look, exercise
from tests.promises import next_event, request
from tests.support import PORT


def total(page: Page) -> Locator:
    return page.get_by_role("region", name="Clicks on all pages")


def connected(page: Page) -> list[str]:
    """Return what the list of who is connected has."""
    return page.get_by_role("list", name="Connected now").get_by_role("listitem").all_inner_texts()


@exercise(
    "The page sends an event of its own, as it does with 'click'; its function does the rest, and tells all."
)
def test_1_reset(look: Look) -> None:
    look.start()
    page = look.page()
    reset = page.get_by_role("button", name="Reset")
    look.find("one button Reset", reset.count(), 1)
    other = look.page()
    for _ in range(2):
        page.get_by_role("button", name="Click me").click()
    look.wait("2 clicks on another page", total(other).inner_text, "2")
    reset.click()
    look.wait("0 clicks after Reset", total(page).inner_text, "0")
    look.wait("0 clicks on another page after Reset", total(other).inner_text, "0")
    page.get_by_role("button", name="Click me").click()
    look.wait("1 click on another page, after one more", total(other).inner_text, "1")
    reset.click()
    look.wait("0 clicks after Reset, pressed again", total(page).inner_text, "0")
    with look.connect() as later:
        look.find("a total of 0 for a page that comes later", next_event(later, "total"), 0)


@exercise("Remember names in a dict by client, as e.client says who sent one; then call tell_who_is_there().")
def test_2_names(look: Look) -> None:
    look.start()
    page = look.page()
    look.find("one textbox Name", page.get_by_role("textbox", name="Name").count(), 1)
    other = look.page()
    look.wait("2 who are connected", lambda: len(connected(page)), 2)
    for shown, name in [(page, "Ada"), (other, "<b>Eve</b>")]:
        shown.get_by_role("textbox", name="Name").fill(name)
        shown.get_by_role("textbox", name="Name").press("Enter")
        what = f"{name} and one other in the list of who is connected"
        look.wait(what, lambda: connected(page), lambda items, name=name: name in items and len(items) == 2)
    look.wait("both names on the other page", lambda: sorted(connected(other)), ["<b>Eve</b>", "Ada"])
    other.close()
    look.wait("one name when the other page is closed", lambda: connected(page), ["Ada"])


@exercise(
    "server.register_page('teacher', …) takes a path or the text of a page. The page listens to 'total'."
)
def test_3_teacher(look: Look) -> None:
    look.start()
    look.find("a page at /teacher, with the HTTP status 200", request("GET", "/teacher").status, 200)
    teacher = look.pages.open(f"http://localhost:{PORT}/teacher")

    def shown() -> str:
        """Return what stands under the heading, whatever elements that is made of."""
        text = teacher.locator("body").inner_text()
        found = re.search(r"Clicks on all pages\s+(\S+)", text, flags=re.I)
        return found[1] if found else f"no heading Clicks on all pages with something under it in {text!r}"

    look.find("no button at /teacher", teacher.get_by_role("button").count(), 0)
    look.wait("0 clicks at /teacher before the first", shown, "0")
    look.page().get_by_role("button", name="Click me").click()
    look.wait("1 click at /teacher after the first", shown, "1")
