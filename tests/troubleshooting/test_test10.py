"""What can go wrong in test10."""

import itertools

from playwright.sync_api import expect

from tests.conftest import Pages, shown
from tests.copies import Copy
from tests.promises import next_event, send_event
from tests.readme import Trouble
from tests.troubleshooting import trouble


class TestTroubles:
    step = "test10"

    @trouble("`ModuleNotFoundError: No module named 'common.events'")
    def test_file_named_common(self, copy: Copy, entry: Trouble) -> None:
        copy.write("common.py", "")
        entry.seen_in(copy.fail())

    @trouble("`ERROR: unknown event 'clack'")
    def test_another_name(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("client.html", 'socket.send("click"', 'socket.send("clack"')
        copy.start()
        page = pages.connect()
        page.get_by_role("button", name="Click me").click()
        entry.seen_in(shown(page.get_by_label("Response"), "ERROR"))

    @trouble("`count_click(), the handler of the event 'click' failed")
    def test_callback_that_raises(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", "if isinstance(e.data, Data) else None", "")
        copy.replace("client.html", 'socket.send("click", { count })', 'socket.send("click", count)')
        server = copy.start()
        page = pages.connect()
        page.get_by_role("button", name="Click me").click()
        entry.seen_in(server.wait_for("count_click()"))
        # The page is told too, and everything else goes on.
        expect(page.get_by_label("Response")).to_contain_text("vars() argument must have __dict__ attribute")
        with copy.step.connect() as client:
            next_event(client, "time")

    @trouble("`TypeError: JSON cannot hold")
    def test_what_json_cannot_hold(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("server.py", 'server.send_all("total", total)', 'server.send_all("total", Path("a/b"))')
        server = copy.start()
        with copy.step.connect() as client:
            send_event(client, "click", {"count": 1})
            entry.seen_in(server.wait_for("JSON cannot hold"))
        server.kill()
        copy.replace("server.py", 'Path("a/b")', 'str(Path("a/b"))')
        copy.start()
        with copy.step.connect() as client:
            assert next_event(client, "total") == 0
            send_event(client, "click", {"count": 1})
            assert next_event(client, "total") in ("a/b", r"a\b")

    @trouble("Everything stands still for a moment")
    def test_callback_that_takes_its_time(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("server.py", "    total += 1\n", "    total += 1\n    time.sleep(0.5)\n")
        server = copy.start()
        with copy.step.connect() as client, copy.step.connect() as other:
            first = next_event(other, "time")["seconds"]
            send_event(client, "click", {"count": 1})
            later = (next_event(other, "time")["seconds"] for _ in itertools.count())
            assert any(b - a >= 0.4 for a, b in itertools.pairwise(itertools.chain([first], later)))
        server.kill()
        # One that waits for ever keeps nobody else waiting, if it waits as a coroutine does.
        copy.replace("server.py", "time.sleep(0.5)", "await asyncio.sleep(10_000)")
        copy.replace("server.py", "import time\n", "import asyncio\nimport time\n")
        copy.replace("server.py", "def count_click(e):", "async def count_click(e):")
        server = copy.start()
        with copy.step.connect() as client, copy.step.connect() as other:
            send_event(client, "click", {"count": 1})
            server.wait_for("Click 1 of")
            next_event(other, "time")

    @trouble('`ERROR: "click" was not sent')
    def test_no_connection(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        pages.errors_are_expected = True
        copy.replace("client.html", "      button.disabled = true;\n", "")
        server = copy.start()
        page = pages.connect()
        server.kill()
        expect(page.get_by_role("status")).to_contain_text("Disconnected")
        page.get_by_role("button", name="Click me").click()
        entry.seen_in(page.get_by_label("Response").inner_text())
