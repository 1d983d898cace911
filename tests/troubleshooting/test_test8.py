"""What can go wrong in test8."""

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Pages, shown
from tests.copies import Copy
from tests.page import GAPS
from tests.promises import start
from tests.readme import Trouble
from tests.troubleshooting import trouble


def first_error(pages: Pages, page: Page) -> str:
    """Press Start, and return the first error in the browser's console."""
    pages.errors_are_expected = True
    with page.expect_event("pageerror") as error:
        pages.command(page, "START")
    return str(error.value)


class TestTroubles:
    step = "test8"

    @trouble("`TypeError: data is a dict-like object`")
    def test_dict_for_one(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", 'json.dumps({"fields": sensor.fields})', '{"fields": sensor.fields}')
        server = copy.start()
        page = pages.open(copy.step.url)
        page.get_by_role("button", name="Connect").click()
        expect(page.get_by_role("status")).to_contain_text("close code 1011")
        assert "close code 1011" in entry.symptom + entry.why
        entry.seen_in(server.wait_for("TypeError"))

    @trouble("`TypeError: data must be str or bytes`")
    def test_dict_for_all(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("server.py", "json.dumps(reading)", "reading")
        server = copy.start()
        with copy.step.connect("data"), copy.step.connect("control") as control:
            control.send("START")
            assert server.wait_ended(30) == 1
        entry.seen_in(server.output)

    @trouble("`Expected property name or '}' in JSON at position 1`")
    def test_str_of_a_dict(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", "json.dumps(reading)", "str(reading)")
        copy.start()
        entry.seen_in(first_error(pages, pages.connect(copy.step.url)))

    @trouble("`Unexpected token 'N'`")
    @pytest.mark.parametrize("missing", ["math.nan", "None"])
    def test_value_that_is_missing(self, copy: Copy, pages: Pages, entry: Trouble, missing: str) -> None:
        values = "[round(value + self._random.gauss(0, 0.08), 3) for value in (x, y, z)]"
        copy.replace("common/sensors.py", values, f"[{missing}, y, z]")
        copy.start("--rate", "100")
        page = pages.connect(copy.step.url)
        if missing == "math.nan":
            error = first_error(pages, page)
            entry.seen_in(error)
            entry.seen_in(error, "NaN")
        else:
            assert missing in entry.quotes
            start(pages, page, 2)
            assert page.evaluate(GAPS) == 1

    @trouble("`ERROR: unknown command '[object Object]'")
    def test_object_from_the_page(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("client.html", 'control.send("START")', 'control.send({ command: "START" })')
        copy.start()
        page = pages.connect(copy.step.url)
        pages.command(page, "START")
        entry.seen_in(shown(page.get_by_label("Response"), "ERROR"))
