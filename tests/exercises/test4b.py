"""The exercises of test4b. To see how far you are: pytest tests/exercises/test4b.py"""

import re
from datetime import datetime

from playwright.sync_api import expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.exercises import Look, exercise, sent_so_far
from tests.support import PORT, close_of

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
READING = re.compile(r"-?\d+(\.\d+)?")


def connect_to(path: str) -> ClientConnection:
    return connect(f"ws://localhost:{PORT}{path}", proxy=None)


def next_message(client: ClientConnection) -> str:
    """Return the next message, or why there is none."""
    try:
        return client.recv(timeout=5)
    except TimeoutError:
        return "nothing for 5 seconds"
    except ConnectionClosed as closed:
        return f"the connection was closed: {closed}"


@exercise("Copy the loop of test1's handler() into a function, and call that where the paths are told apart.")
def test_1_time(look: Look) -> None:
    look.start()
    with connect_to("/time") as client:
        first = next_message(client)
        look.find("a timestamp on /time, as test1 sends it", first, TIMESTAMP)
        second = next_message(client)
        look.find("another timestamp", second, TIMESTAMP)
        between = (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()
        look.find("about a second from one to the next", between, lambda seconds: seconds > 0.9)
    with connect_to("/foo") as client:
        reason = close_of(client).reason
        look.find("a reason for refusing /foo that names /time too", reason, lambda text: "/time" in text)


@exercise(
    "In the server, data() receives PAUSE and knows the sender. In the page, readings.send('PAUSE') sends it."
)
def test_2_pause(look: Look) -> None:
    look.start("--rate", "100")
    with look.connect() as control, look.connect("data") as paused, look.connect("data") as other:

        def while_another_gets_twenty() -> list[str]:
            sent_so_far(other)
            for _ in range(20):
                reading = next_message(other)
                if not READING.fullmatch(reading):
                    look.find("a reading of another client after PAUSE", reading, READING)
            return sent_so_far(paused)

        look.ask(control, "START")
        paused.recv(timeout=10)
        paused.send("PAUSE")
        errors = [text for text in while_another_gets_twenty() if text.startswith("ERROR")]
        look.find("no error after PAUSE on a data socket", ", ".join(errors), "")
        look.wait(
            "no readings there after PAUSE, while another client gets twenty", while_another_gets_twenty, []
        )

        page = look.page()
        data, button = page.get_by_label("Data"), page.get_by_role("button", name="Pause")
        look.find("a button Pause in the page", button.count(), 1)

        def answered(command: str, answer: str) -> None:
            """Wait for an answer, before which the page has shown what came before it."""
            look.pages.command(page, command)
            expect(page.get_by_label("Response")).to_contain_text(answer)

        def page_meanwhile() -> str:
            answered("FOO", "ERROR")
            before = data.inner_text()
            while_another_gets_twenty()
            answered("START", "OK")
            return "no more readings" if data.inner_text() == before else "more readings"

        look.wait("readings in the page", data.get_by_role("listitem").count, lambda count: count > 0)
        button.click()
        look.wait(
            "no more readings in the page after a click on Pause, while another client gets twenty",
            page_meanwhile,
            "no more readings",
        )
