"""test10: named events, and who is connected."""

import re

from playwright.sync_api import expect

from tests.conftest import Pages
from tests.promises import Console, NamedEvents, next_event, send_event
from tests.support import PORT, Server, Step


class TestStep10(Console, NamedEvents):
    step = "test10"

    def test_time_of_the_script_ten_times_a_second(self, server: Server, step: Step, pages: Pages) -> None:
        with step.connect() as client:
            times = [next_event(client, "time")["seconds"] for _ in range(30)]
        # A busy machine makes some of them late, but not all.
        assert 0.7 <= min(times[i + 9] - times[i] for i in range(20)) <= 1.2
        page = pages.connect()
        shown = page.get_by_role("region", name="Script time")
        expect(shown).to_have_text(re.compile(r"^\d+\.\d s$"))
        before = float(shown.inner_text().rstrip("s"))
        page.wait_for_function(
            "(t) => parseFloat(document.getElementById('time').textContent) > t + 0.5", arg=before
        )

    def test_clicks_are_printed_with_the_address_and_counted_for_all(
        self, server: Server, pages: Pages
    ) -> None:
        first, second = pages.connect(f"http://127.0.0.1:{PORT}/"), pages.connect()
        for count in (1, 2):
            first.get_by_role("button", name="Click me").click()
            server.wait_for(f"Click {count} of 127.0.0.1")
            expect(first.get_by_label("Response")).to_have_text(
                f"The server has received your click {count}."
            )
        second.get_by_role("button", name="Click me").click()
        server.wait_for("Click 1 of ", count=2)
        for page in (first, second, pages.connect()):
            expect(page.get_by_role("region", name="Clicks on all pages")).to_have_text("3")
        # The others are not told about the click of one.
        expect(second.get_by_label("Response")).to_have_text("The server has received your click 1.")

    def test_who_is_connected(self, server: Server, step: Step, pages: Pages) -> None:
        page = pages.connect(f"http://127.0.0.1:{PORT}/")
        items = page.get_by_role("list", name="Connected now").get_by_role("listitem")
        expect(items).to_have_text(["127.0.0.1"])
        other = pages.connect(f"http://127.0.0.1:{PORT}/")
        expect(items).to_have_text(["127.0.0.1", "127.0.0.1"])
        other.close()
        expect(items).to_have_text(["127.0.0.1"])

    def test_button_follows_the_connection_and_errors_are_shown(
        self, server: Server, step: Step, pages: Pages
    ) -> None:
        pages.errors_are_expected = True
        page = pages.connect()
        response = page.get_by_label("Response")
        page.evaluate("() => socket.send('<b>clack</b>')")
        expect(response).to_have_text("ERROR: unknown event '<b>clack</b>'; try 'click'")
        page.evaluate("() => socket.send('click', 7)")
        expect(response).to_have_text("ERROR: 'click' needs a count, such as { count: 3 }")
        page.get_by_role("button", name="Click me").click()
        expect(response).to_have_text("The server has received your click 1.")
        server.kill()
        expect(page.get_by_role("button", name="Click me")).to_be_disabled()
        assert page.evaluate("() => socket.send('click', { count: 1 })") is False
        expect(response).to_have_text('ERROR: "click" was not sent: there is no connection.')

    def test_clicks_without_a_count_are_refused_in_words(self, server: Server, step: Step) -> None:
        counts = (True, None, 0, 1.5, "\x1b[31m" * 1000, [1], 10**400)
        with step.connect() as client:
            for data in ("text", [1, 2], 7, None, {}, {"other": 1}, *({"count": count} for count in counts)):
                send_event(client, "click", data)
                assert next_event(client, "error") == "'click' needs a count, such as { count: 3 }"
            send_event(client, "click", {"count": 3})
            assert next_event(client, "thanks") == "The server has received your click 3."
        assert "built-in" not in server.output
        assert "\x1b" not in server.output
