"""test5: many clients, one acquisition, and the log."""

from playwright.sync_api import Page, expect

from tests.conftest import Pages
from tests.page import count_of, wait_for_readings
from tests.promises import (
    Acquisition,
    Commands,
    Console,
    DataAsText,
    OnDemand,
    OtherPages,
    Roles,
    Shared,
    Stalled,
)
from tests.support import Server


class TestStep5(Console, Stalled, Commands, OnDemand, OtherPages, Roles, DataAsText, Acquisition, Shared):
    step = "test5"

    def shown(self, page: Page) -> list[list[float]]:
        return [[float(text)] for text in page.get_by_label("Data").get_by_role("listitem").all_inner_texts()]

    def test_clear(self, server: Server, pages: Pages) -> None:
        page = pages.connect()
        pages.command(page, "START")
        wait_for_readings(page, 3)
        pages.command(page, "STOP")
        expect(page.get_by_label("Response")).to_have_text("OK: stopped")
        assert count_of(page) == len(self.shown(page))
        page.get_by_role("button", name="Clear").click()
        assert count_of(page) == 0
        assert self.shown(page) == []
