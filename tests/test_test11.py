"""test11: a page driven from an ordinary Python loop. For what any program can do: test_live_page.py."""

import re

from playwright.sync_api import Page, expect

from tests.conftest import Pages, Starter
from tests.promises import Console, Programs
from tests.support import PORT, Server, Step, wait_until


def value_of(page: Page, id: str) -> float:
    return page.evaluate("(id) => document.getElementById(id).value", id)


class TestStep11(Console, Programs):
    step = "test11"

    def test_second_server_says_which_port_is_busy(self, server: Server, step: Step) -> None:
        # Here it takes the next port instead, so that two runs on one machine do not disturb one another.
        second = Server(step.folder)
        try:
            second.wait_listening()
            assert f"On this device, open: http://localhost:{PORT + 1}/" in second.output
            second.stop()
        finally:
            second.process.kill()

    def test_bar_goes_to_100_and_back(self, start_server: Starter, pages: Pages) -> None:
        start_server("--rate", "60")
        page = pages.connect()
        expect(page.locator("#connection")).to_have_text("Connected to localhost")
        wait_until(lambda: value_of(page, "bar") > 60, "the bar goes up")
        wait_until(lambda: value_of(page, "bar") < 40, "the bar goes down")
        wait_until(lambda: value_of(page, "bar") > 60, "the bar goes up again")
        shown = page.evaluate("[bar, document.getElementById('status').textContent].map((e) => e.value ?? e)")
        assert shown[1] == f"The bar is at {shown[0]}"
        assert 0 < value_of(page, "load") < 100
        assert re.fullmatch(r"\d+ %", page.locator("#percent").inner_text())
        assert re.fullmatch(
            r"\d+ of 601 · \d+\.\d a second · \d+ s left", page.locator("#steps-text").inner_text()
        )

    def test_end_of_the_run(self, start_server: Starter, pages: Pages) -> None:
        pages.errors_are_expected = True  # the page looks for the next run
        server = start_server("--rate", "500")
        page, other = pages.connect(), pages.connect()
        assert server.wait_ended(20) == 0
        for shown in (page, other):
            expect(shown.locator("#connection")).to_have_text("The run has ended.")
            expect(shown.locator("#status")).to_have_text("All is done")
            expect(shown.locator("#steps-text")).to_have_text(
                re.compile("601 of 601 · .* a second · took . s")
            )
            assert value_of(shown, "steps") == 601
            assert value_of(shown, "bar") == 0
        # The next run finds the page waiting.
        start_server()
        expect(page.locator("#connection")).to_have_text("Connected to localhost")
        expect(page.locator("#steps-text")).to_have_text(re.compile("^[1-9]\\d? of 601 · "))
