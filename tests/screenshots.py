"""Take the README's pictures afresh: `make screenshots`; with names of steps, only theirs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import LAUNCH_ARGS, find_browser
from tests.page import count_of
from tests.steps import STEPS
from tests.support import Server, Step, wait_until

FOLDER = Path(__file__).parent / "screenshots"
DESKTOP = {"viewport": {"width": 1000, "height": 625}}
TALL = {"viewport": {"width": 1000, "height": 780}}
SIZES = {"test10": (1000, 400), "test11": (1000, 440), "test12": (1000, 620), "test13": (1100, 940)}
SIZES |= {"test14": (1150, 700), "test14b": (1150, 760), "test15": (1150, 820)}
LOW = {"viewport": {"width": 1000, "height": 400}}
PHONE = {"viewport": {"width": 390, "height": 780}, "device_scale_factor": 2, "color_scheme": "dark"}


@contextmanager
def running(step: Step) -> Iterator[None]:
    """Run the server of a step, and leave no log behind."""
    seeded = step.number >= 4 and step.name != "test10"
    server = Server(step.folder, *(["--seed", "3"] if seeded else []))
    try:
        server.wait_listening()
        yield
    finally:
        server.stop()
        server.remove_log()


def picture(browser: Browser, step: Step, name: str, options: dict, *, readings: int = 0) -> None:
    """Take one picture of the page of a step of Part I in use."""
    page: Page = browser.new_page(**options)
    page.goto(step.url)
    if step.number >= 3:
        page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("status")).to_contain_text("Connected to")
    if step.number == 1:
        expect(page.get_by_role("listitem")).to_have_count(8, timeout=60_000)
    elif step.number <= 6:
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_label("Response")).not_to_be_empty()
        if step.number == 4:
            expect(page.get_by_label("Data").get_by_role("listitem")).to_have_count(12, timeout=60_000)
    elif page.get_by_role("button", name="Start").is_enabled():
        page.get_by_role("button", name="Start").click()
    if step.number >= 5:
        wait_until(lambda: count_of(page) >= readings, f"{readings} readings", 90)
    page.screenshot(path=FOLDER / f"{name}.png")
    page.close()


def picture_of_program(browser: Browser, step: Step, name: str, options: dict) -> None:
    """Take one picture of the page of a step of Part II or III in use."""
    page: Page = browser.new_page(**options)
    page.goto(step.url)
    expect(page.get_by_role("status")).to_contain_text("Connected to")
    if step.name == "test10":
        others = [browser.new_page() for _ in range(2)]
        for other in others:
            other.goto(step.url)
            other.get_by_role("button", name="Click me").click()
        page.get_by_role("button", name="Click me").click()
        expect(page.get_by_label("Response")).not_to_be_empty()
        expect(page.get_by_role("list", name="Connected now").get_by_role("listitem")).to_have_count(3)
    elif step.name == "test11":
        wait_until(lambda: page.evaluate("steps.value") > 140, "140 steps", 60)
    elif step.name == "test12":
        drawn = "document.querySelector('tbody tr polyline')?.getAttribute('points').trim().split(' ').length"
        wait_until(lambda: (page.evaluate(drawn) or 0) >= 60, "a chart that is full", 120)
    elif step.name == "test13":
        alerts = page.get_by_role("list", name="Alerts").get_by_role("listitem")
        wait_until(lambda: alerts.count() >= 2, "two alerts", 180)
    elif step.number >= 14:
        if page.get_by_role("button", name="Start", exact=True).is_enabled():
            page.get_by_role("button", name="Start", exact=True).click()
        wait_until(lambda: count_of(page) >= 1200, "a minute", 120)
        expect(page.locator("#missing")).to_have_text("0")
    page.screenshot(path=FOLDER / f"{name}.png")
    page.close()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    browser_path = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=LAUNCH_ARGS)
        for name in sys.argv[1:] or STEPS:
            step = Step(name)
            if step.number >= 10:
                with running(step):
                    width, height = SIZES[name]
                    options = {"viewport": {"width": width, "height": height}}
                    picture_of_program(browser, step, name, options)
                    if name in ("test14", "test14b"):
                        picture_of_program(browser, step, f"{name}-phone", PHONE)
                print(f"tests/screenshots/{name}.png", flush=True)
                continue
            with running(step):
                # Five readings a second reach a page, so this is a bit less than its window of a minute.
                options = LOW if step.number <= 3 else TALL if step.number <= 5 else DESKTOP
                picture(browser, step, name, options, readings=25 if step.number == 5 else 270)
                if step.number == 9:
                    picture(browser, step, f"{name}-phone", PHONE, readings=270)
            print(f"tests/screenshots/{name}.png", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
