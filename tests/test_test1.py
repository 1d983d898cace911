"""test1: timestamps, a stream of its own for each client."""

import itertools
import re
from datetime import UTC, datetime

from playwright.sync_api import Page, expect

from tests.conftest import Pages
from tests.promises import Alone, Console
from tests.support import Server, wait_until

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def timestamps(page: Page) -> list[str]:
    return page.get_by_role("listitem").all_inner_texts()


class TestStep1(Console, Alone):
    step = "test1"

    def test_list_fills_and_each_timestamp_is_printed_first(self, server: Server, pages: Pages) -> None:
        before = datetime.now(UTC)
        page = pages.connect()
        shown = wait_until(lambda: (seen := timestamps(page))[2:] and seen, "three timestamps", 20)
        printed = [line for line in server.lines if TIMESTAMP.fullmatch(line)]
        assert all(TIMESTAMP.fullmatch(timestamp) for timestamp in shown)
        assert printed[: len(shown)] == shown
        for timestamp in shown:
            seconds = (datetime.fromisoformat(timestamp) - before).total_seconds()
            assert -0.001 <= seconds <= 20
        times = [datetime.fromisoformat(timestamp) for timestamp in shown]
        waits = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
        assert all(wait < 5 for wait in waits)
        assert len(set(waits)) > 1, "random intervals"

    def test_streams_are_independent(self, server: Server, pages: Pages) -> None:
        first, second = pages.connect(), pages.connect()
        wait_until(
            lambda: len(timestamps(first)) > 1 and len(timestamps(second)) > 1, "two timestamps each", 20
        )
        assert timestamps(first)[:2] != timestamps(second)[:2]

    def test_page_says_that_the_server_has_stopped(self, server: Server, pages: Pages) -> None:
        page = pages.connect()
        server.stop()
        expect(page.get_by_role("status")).to_contain_text("Disconnected: ")
        expect(page.get_by_role("status")).to_contain_text("1001")

    def test_page_without_a_server(self, pages: Pages) -> None:
        pages.errors_are_expected = True
        page = pages.open()
        expect(page.get_by_role("status")).to_contain_text(
            "Disconnected: close code 1006. Is the server running?"
        )
