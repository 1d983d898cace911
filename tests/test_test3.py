"""test3: the same from another device; that it is reached from one is tested in test_other_device.py."""

from playwright.sync_api import expect

from tests.conftest import Pages
from tests.promises import Commands, Console, OnDemand, OtherPages, Requests, Stalled
from tests.support import PORT, Server


class TestStep3(Console, Stalled, Commands, Requests, OnDemand, OtherPages):
    step = "test3"
    known = ("GET_TIME", "GREET_ME")

    def test_what_is_not_an_address(self, server: Server, pages: Pages) -> None:
        page = pages.open()
        for wrong in ("localhost:99999", "", "::1", "<b>"):
            page.get_by_role("textbox", name="Server address").fill(wrong)
            page.get_by_role("button", name="Connect").click()
            expect(page.get_by_role("status")).to_have_text(
                f'Disconnected: "{wrong}" is not an address; try 192.168.1.20 or 192.168.1.20:{PORT}.'
            )
