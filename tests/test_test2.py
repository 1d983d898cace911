"""test2: request and response."""

import re
import threading
from datetime import UTC, datetime

from playwright.sync_api import expect
from websockets.sync.client import connect

from tests.conftest import Pages
from tests.promises import Alone, Commands, Console, Requests
from tests.support import PORT, Server


class TestStep2(Console, Commands, Requests, Alone):
    step = "test2"
    known = ("GET_TIME", "GREET_ME")

    def test_page_says_that_the_server_has_stopped(self, server: Server, pages: Pages) -> None:
        page = pages.connect()
        server.stop()
        expect(page.get_by_role("status")).to_contain_text("Disconnected: ")
        expect(page.get_by_role("button", name="Send")).to_be_disabled()

    def test_many_requests_and_many_clients(self, server: Server) -> None:
        answers: list[str] = []

        def ask_often() -> None:
            with connect(f"ws://localhost:{PORT}", proxy=None) as client:
                for command in ("GET_TIME", "GREET_ME") * 50:
                    client.send(command)
                    answers.append(client.recv(timeout=30))

        clients = [threading.Thread(target=ask_often) for _ in range(20)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert len(answers) == 20 * 100
        assert answers.count("Hello! Nice to meet you.") == 20 * 50
        times = [answer for answer in answers if re.fullmatch(r"[\d-]+T[\d:.]+Z", answer)]
        assert len(times) == 20 * 50
        assert all(
            abs(datetime.fromisoformat(time) - datetime.now(UTC)).total_seconds() < 60 for time in times
        )
        server.wait_for("Received", count=20 * 100)
