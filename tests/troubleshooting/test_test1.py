"""What can go wrong in test1."""

import sys

from playwright.sync_api import expect

from tests.conftest import Pages, shown
from tests.copies import Copy
from tests.readme import Trouble
from tests.support import PORT, Server, raw_connection
from tests.troubleshooting import trouble

SLEEP = "await asyncio.sleep(random.uniform(0, 3))"
RUN = "        asyncio.run(main())\n"

# An event loop that has of add_signal_handler() only what that of Windows has.
WINDOWS_LOOP = """\
class WindowsLoop(asyncio.SelectorEventLoop):
    add_signal_handler = asyncio.AbstractEventLoop.add_signal_handler
"""


class TestTroubles:
    step = "test1"

    @trouble("The page shows one timestamp, then")
    def test_handler_returns(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", SLEEP, "return")
        copy.start()
        page = pages.open(copy.step.url)
        entry.seen_in(shown(page.get_by_role("status"), "Disconnected"), "Disconnected")
        expect(page.get_by_role("listitem")).to_have_count(1)

    @trouble("One page gets its timestamps, a second page stays at `Connecting…`")
    def test_blocking_call(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", "import signal\n", "import signal\nimport time\n")
        copy.replace("server.py", SLEEP, "time.sleep(0.01)")
        server = copy.start()
        first = pages.connect(copy.step.url)
        expect(first.get_by_role("listitem").nth(2)).to_be_visible()
        pages.errors_are_expected = True
        second = pages.open(copy.step.url)

        def some_more() -> None:
            count = first.get_by_role("listitem").count()
            expect(first.get_by_role("listitem").nth(count + 10)).to_be_attached()

        some_more()
        entry.seen_in(second.get_by_role("status").inner_text(), "Connecting")
        server.press_ctrl_c()
        some_more()
        assert server.process.poll() is None
        # A second one ends it, and with it the waiting of the page.
        server.press_ctrl_c()
        assert server.wait_ended() != 0
        expect(second.get_by_role("status")).to_contain_text("Disconnected")

    @trouble("`TypeError: handler() missing 1 required positional argument: 'path'`")
    def test_handler_with_two_arguments(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", "def handler(connection):", "def handler(connection, path):")
        server = copy.start()
        page = pages.open(copy.step.url)
        expect(page.get_by_role("status")).to_contain_text("Disconnected")
        entry.seen_in(server.wait_for("TypeError"))
        entry.seen_in(page.get_by_role("status").inner_text(), "close code")

    @trouble("`RuntimeError: no running event loop`")
    def test_serve_outside_of_a_coroutine(self, copy: Copy, entry: Trouble) -> None:
        old = (
            "        start_server = serve(handler, HOST, PORT)\n"
            "        asyncio.get_event_loop().run_until_complete(start_server)\n"
        )
        copy.replace("server.py", RUN, old)
        entry.seen_in(copy.fail())

    @trouble("`DeprecationWarning: websockets.server.serve is deprecated`")
    def test_old_import(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("server.py", "from websockets.asyncio.server import", "from websockets.server import")
        entry.seen_in(copy.start(environment={"PYTHONWARNINGS": ""}).output)

    @trouble("`connection handler failed`")
    def test_connection_closed_is_not_caught(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("server.py", SLEEP, "await asyncio.sleep(0.01)")
        copy.replace("server.py", "except ConnectionClosed:", "except ZeroDivisionError:")
        server = copy.start()
        with copy.step.connect() as connection:
            connection.close(1001)
        server.wait_for("ConnectionClosedOK")
        assert "Traceback" in server.output
        entry.seen_in(server.output, "connection handler failed")
        entry.seen_in(server.output, "websockets.exceptions.ConnectionClosedOK")

    @trouble("`connection handler failed`")
    def test_code_of_a_crash(self, server: Server, pages: Pages, entry: Trouble) -> None:
        page = pages.connect()
        server.kill()
        entry.seen_in(shown(page.get_by_role("status"), "close code 1006"), "1006")

    @trouble("`connection handler failed`")
    def test_code_of_a_ping_that_is_not_answered(self, copy: Copy, entry: Trouble) -> None:
        serve = "serve(handler, HOST, PORT"
        copy.replace("server.py", f"{serve})", f"{serve}, ping_interval=0.05, ping_timeout=0.05)")
        copy.start()
        received = b""
        with raw_connection("/") as client:
            while b"timeout" not in received:
                more = client.recv(1000)
                assert more, received
                received += more
        # A frame that closes: the code, in two bytes, and the reason.
        _, code, reason = received.partition((1011).to_bytes(2))
        entry.seen_in(str(int.from_bytes(code)), "1011")
        entry.seen_in(reason.decode(), "keepalive")

    @trouble("`Failed to open a WebSocket connection")
    def test_port_in_the_address_bar(self, server: Server, pages: Pages, entry: Trouble) -> None:
        pages.errors_are_expected = True
        entry.seen_in(pages.open(f"http://localhost:{PORT}/").inner_text("body"))

    @trouble("`ModuleNotFoundError: No module named 'websockets.asyncio'")
    def test_file_named_websockets(self, copy: Copy, entry: Trouble) -> None:
        copy.write("websockets.py", "")
        entry.seen_in(copy.fail())

    @trouble(f"`Cannot listen on port {PORT}.")
    def test_second_server(self, server: Server, copy: Copy, entry: Trouble) -> None:
        second = copy.run()
        assert second.wait_ended() != 0
        entry.seen_in(second.output)
        server.stop()
        copy.start()

    @trouble("`NotImplementedError` on Windows")
    def test_signal_handlers_of_the_loop(self, copy: Copy, entry: Trouble) -> None:
        new = "loop.add_signal_handler(signal.SIGINT, stop.set)"
        copy.replace("server.py", "signal.signal(signal.SIGINT, ask_to_stop)", new)
        if sys.platform != "win32":
            copy.replace("server.py", "async def main():\n", f"{WINDOWS_LOOP}\n\nasync def main():\n")
            run = "        asyncio.Runner(loop_factory=WindowsLoop).run(main())\n"
            copy.replace("server.py", RUN, run)
        entry.seen_in(copy.fail())
