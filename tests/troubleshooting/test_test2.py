"""What can go wrong in test2."""

from tests.conftest import Pages, shown
from tests.copies import Copy
from tests.readme import Trouble
from tests.support import Server
from tests.troubleshooting import trouble


class TestTroubles:
    step = "test2"

    @trouble("A traceback that ends in `ConnectionClosedOK")
    def test_recv_in_a_loop(self, copy: Copy, entry: Trouble) -> None:
        copy.replace(
            "server.py",
            "        async for message in connection:\n",
            "        while True:\n            message = await connection.recv()\n",
        )
        copy.replace("server.py", "except ConnectionClosed:", "except ZeroDivisionError:")
        server = copy.start()
        with copy.step.connect() as connection:
            connection.close(1001)
        entry.seen_in(server.wait_for("ConnectionClosedOK"))
        assert "Traceback" in server.output

    @trouble("`ERROR: unknown command 'get_time'")
    def test_small_letters(self, server: Server, pages: Pages, entry: Trouble) -> None:
        page = pages.connect()
        pages.command(page, "get_time")
        entry.seen_in(shown(page.get_by_label("Response"), "ERROR"))
