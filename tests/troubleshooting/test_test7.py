"""What can go wrong in test7."""

import re

from playwright.sync_api import Page, expect

from tests.conftest import Pages, Starter
from tests.copies import Copy
from tests.page import wait_for_readings
from tests.readme import Trouble
from tests.troubleshooting import trouble


def expect_buttons(page: Page, *enabled: str) -> None:
    """Check that of Start and Stop these can be pressed, and no other."""
    for name in ("Start", "Stop"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_enabled(enabled=name in enabled)


class TestTroubles:
    step = "test7"

    @trouble("Two pages show different buttons")
    def test_page_that_changes_its_own_buttons(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("client.html", 'showState(rest[0] === "running");', "return;")
        for name, running in (("Start", "true"), ("Stop", "false")):
            send = f'control.send("{name.upper()}")'
            copy.replace("client.html", f"() => {send};", f"() => {{ {send}; showState({running}); }};")
        opened = "        wasOpen = true;\n"
        copy.replace("client.html", opened, f"{opened}        start.disabled = false;\n")
        copy.start("--rate", "100")
        first, second = pages.connect(copy.step.url), pages.connect(copy.step.url)
        pages.command(first, "START")
        wait_for_readings(second, 2)
        expect_buttons(first, "Stop")
        expect_buttons(second, "Start")

    @trouble("A page that was opened late shows nothing, or the wrong state.")
    def test_server_that_tells_changes_only(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", '            await connection.send(f"FIELD {name} {unit}")\n', "")
        copy.replace("server.py", "            await connection.send(state())\n", "")
        copy.start()
        with copy.step.connect("control") as control:
            assert copy.step.ask(control, "START") == "OK: started"
        page = pages.connect(copy.step.url)
        # By the answer to a command, everything that the server says before it has arrived.
        page.evaluate("() => control.send('hello')")
        expect(page.get_by_label("Response")).to_contain_text("ERROR")
        expect_buttons(page)
        expect(page.get_by_role("list", name="Legend").get_by_role("listitem")).to_have_count(0)

    @trouble("A field that you named `room temperature` shows as `room`")
    def test_name_with_a_space(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        name, shown, unit = entry.quotes[:3]
        copy.replace("common/sensors.py", 'fields = {"temperature": "°C"}', f'fields = {{"{name}": "°C"}}')
        copy.start()
        page = pages.connect(copy.step.url)
        field = page.get_by_role("list", name="Legend").get_by_role("listitem")
        expect(field).to_have_text(re.compile(rf"^{shown}\s*\u2013\s*{unit}$"))

    @trouble("Both buttons are grey.")
    def test_not_connected(self, start_server: Starter, pages: Pages, entry: Trouble) -> None:
        pages.errors_are_expected = True  # no server is there at first
        page = pages.open()
        expect_buttons(page)
        connect = page.get_by_role("button", name="Connect")
        connect.click()
        expect(page.get_by_role("status")).to_have_text(re.compile("^Disconnected: .*Is the server running"))
        expect_buttons(page)
        start_server()
        connect.click()
        expect_buttons(page, "Start")
