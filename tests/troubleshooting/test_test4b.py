"""What can go wrong in test4b."""

from tests.conftest import Pages, Starter, shown
from tests.copies import Copy
from tests.readme import Trouble
from tests.support import Server, Step
from tests.troubleshooting import trouble

PATH = "connection.request.path.partition"


class TestTroubles:
    step = "test4b"

    @trouble("`Disconnected: … socket: the path must be /control or /data")
    def test_page_of_another_step(self, server: Server, pages: Pages, entry: Trouble) -> None:
        page = pages.open(Step("test4").url)
        page.get_by_role("button", name="Connect").click()
        entry.seen_in(shown(page.get_by_role("status"), "Disconnected"))

    @trouble("`Disconnected: … socket: the path must be /control or /data")
    def test_server_of_another_step(self, start_server: Starter, pages: Pages, entry: Trouble) -> None:
        start_server(folder=Step("test4").folder)
        page = pages.connect()
        pages.command(page, "START")
        entry.seen_in(shown(page.get_by_role("status"), "Disconnected"), "the first message")

    @trouble("`AttributeError: 'ServerConnection' object has no attribute 'path'`")
    def test_old_attribute(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("server.py", PATH, "connection.path.partition")
        server = copy.start()
        with copy.step.connect():
            entry.seen_in(server.wait_for("AttributeError"))

    @trouble("`AttributeError: 'WebSocketServerProtocol' object has no attribute 'request'`")
    def test_old_library(self, copy: Copy, entry: Trouble) -> None:
        copy.replace(
            "server.py", "websockets.asyncio.server import serve", "websockets.legacy.server import serve"
        )
        server = copy.start(environment={"PYTHONWARNINGS": ""})
        with copy.step.connect():
            entry.seen_in(server.wait_for("AttributeError"))
