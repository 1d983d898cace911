"""The exercises of test3. To see how far you are: pytest tests/exercises/test3.py"""

import sys

from playwright.sync_api import expect
from websockets.sync.client import connect

from tests.exercises import Look, exercise
from tests.support import PORT

# Addresses of this machine alone; macOS has only the first.
ADDRESSES = ["127.0.0.1"] if sys.platform == "darwin" else ["127.0.0.1", "127.0.0.2"]


@exercise("handler() knows it: connection.remote_address[0]. Give it to answer() as a second argument.")
def test_1_who_am_i(look: Look) -> None:
    look.start()
    for address in ADDRESSES:
        with connect(f"ws://127.0.0.1:{PORT}", proxy=None, source_address=(address, 0)) as client:
            answer = look.ask(client, "WHO_AM_I")
            look.find(f"the answer to WHO_AM_I from {address}", answer, address)
            error = look.ask(client, "FOO")
            look.find("an error for FOO that names WHO_AM_I too", error, lambda text: "WHO_AM_I" in text)


@exercise(
    "localStorage.setItem('server', text) keeps a text, and localStorage.getItem('server') is it, or null."
)
def test_2_remembered_address(look: Look) -> None:
    look.start()
    page = look.pages.open()
    box = page.get_by_role("textbox", name="Server address")
    look.find("the server address where none is remembered", box.input_value(), "localhost")
    box.fill("127.0.0.1")
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("status")).to_have_text("Connected to 127.0.0.1")
    page.reload()
    look.find("the server address after connecting to 127.0.0.1 and a reload", box.input_value(), "127.0.0.1")
    box.fill("127.0.0.3")  # nobody presses Connect
    page.close()
    box = look.pages.open().get_by_role("textbox", name="Server address")
    look.find("the server address in a page that is opened anew", box.input_value(), "127.0.0.1")
