"""common/live_page.py: a page driven from an ordinary loop, and programs that use it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import UserList
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from websockets.sync.client import ClientConnection, connect

from common.console import Console
from common.events import EventServer
from common.live_page import CLOSE_TIMEOUT, LivePage, _how_it_ended, _Track, start
from tests.conftest import Pages
from tests.promises import next_event, send_event
from tests.support import PORT, ROOT, Server, free_port, printed, wait_until

# Somebody's own page: no style, ids, and one line.
OWN_PAGE = """<!doctype html>
<meta charset="utf-8">
<script src="/common/static/live_page.js"></script>
<title id="title">My run</title>
<progress id="bar" max="100"></progress> <meter id="meter" max="10"></meter>
<input id="name"> <input id="tick" type="checkbox"> <select id="choice"><option>a<option>b</select>
<table><tr><td id="cell"></table>
<img id="picture" alt="a picture"> <p id="text"></p> <input id="file" type="file">
<progress id="outer"></progress> <p id="outer-text"></p> <p id="inner"></p>
"""

# The smallest picture that there is: one pixel, as a GIF.
GIF = bytes.fromhex("47494638396101000100800000ff0000ffffff21f90400000000002c00000000010001000002024401003b")


@pytest.fixture
def own_page(tmp_path: Path) -> Path:
    path = tmp_path / "client.html"
    path.write_text(OWN_PAGE, encoding="utf-8")
    return path


def shown(client: ClientConnection) -> dict[str, Any]:
    """Return the next values, and say as a page does that they are shown."""
    values = next_event(client, "values")
    send_event(client, "shown", {"version": values["version"], "unknown": []})
    return values["values"]


class Bad(Exception):
    """What has no text."""

    def __str__(self) -> str:
        raise RuntimeError


class TestLivePage:
    step = "test11"

    @pytest.fixture
    def live_page(self, own_page: Path) -> Iterator[LivePage]:
        with start(own_page, host="localhost", port=free_port(), browser=False) as page:
            yield page

    @staticmethod
    def url(live_page: LivePage) -> str:
        return f"http://localhost:{live_page._server.port}/"

    @pytest.fixture
    def page(self, live_page: LivePage, pages: Pages) -> Page:
        return pages.connect(self.url(live_page))

    @contextlib.contextmanager
    def client(self, live_page: LivePage) -> Iterator[ClientConnection]:
        """A page that answers only when the test does."""
        url = self.url(live_page).replace("http", "ws")
        with connect(url, proxy=None, close_timeout=1) as client:
            yield client

    def test_elements_of_every_kind(self, live_page: LivePage, page: Page, pages: Pages) -> None:
        live_page.update(bar=37.5, meter=4, name="<b>x</b>", tick=True, choice="b", cell=0.25, picture=GIF)
        live_page.update(text="<b>bold</b>", title="Run 7", **{"outer-text": None})
        expect(page.locator("#text")).to_have_text("<b>bold</b>")
        expect(page).to_have_title("Run 7")
        values = "(ids) => ids.map((id) => document.getElementById(id).value)"
        assert page.evaluate(values, ["bar", "meter", "name", "choice"]) == [37.5, 4, "<b>x</b>", "b"]
        expect(page.locator("#tick")).to_be_checked()
        expect(page.locator("#cell")).to_have_text("0.25")
        wait_until(lambda: page.evaluate("picture.naturalWidth") == 1, "the picture is shown")
        live_page.update(bar=None, tick=False, text=2**53 + 1, cell=float("nan"))
        expect(page.locator("#text")).to_have_text("9007199254740993")
        expect(page.locator("#cell")).to_have_text("nan")
        expect(page.locator("#tick")).not_to_be_checked()
        assert page.evaluate("bar.matches(':indeterminate')")
        tensor = SimpleNamespace(shape=(), item=lambda: 0.5)
        live_page.update(text=Path("a/b"), cell=None, bar=tensor, meter=Decimal("2.5"))
        expect(page.locator("#text")).to_have_text(str(Path("a/b")))
        expect(page.locator("#cell")).to_have_text("")
        assert page.evaluate(values, ["bar", "meter"]) == [0.5, 2.5]
        live_page.update(picture=memoryview(GIF), cell="last")
        expect(page.locator("#cell")).to_have_text("last")
        assert page.evaluate("picture.src").startswith("data:image/gif;base64,")
        assert pages.errors == []
        # One that takes no value does not stop the others.
        pages.errors_are_expected = True
        for text in ("first", "second"):
            live_page.update(file="a/b", text=text)
            expect(page.locator("#text")).to_have_text(text)
        assert "accepts a filename" in pages.errors[0]

    def test_numbers_of_every_kind(self, live_page: LivePage, page: Page) -> None:
        float32 = SimpleNamespace(shape=(1, 1), dtype="torch.float32", item=lambda: 0.05000000074505806)
        for value, number, text in [
            (np.array([0.5]), 0.5, "0.5"),
            (np.array([[[7]]]), 7, "7"),
            (np.array(2), 2, "2"),
            (np.float32(0.05), 0.05, "0.05"),
            (np.array([1.05], dtype="f4"), 1.05, "1.05"),
            (np.float16(0.1), 0.1, "0.1"),
            (np.float64(0.1), 0.1, "0.1"),
            (np.longdouble("0.25"), 0.25, "0.25"),
            (float32, 0.05, "0.05"),
            (np.uint8(3), 3, "3"),
            (np.True_, 1, "true"),
            (True, 1, "true"),
            (Decimal("2.50"), 2.5, "2.50"),
            (Fraction(1, 4), 0.25, "0.25"),
            (" 4e0", 4, " 4e0"),
            (5.0, 5, "5"),
        ]:
            live_page.update(meter=value, cell=value)
            expect(page.locator("#cell")).to_have_text(text)
            assert page.evaluate("meter.value") == number, repr(value)

    def test_values_that_an_element_cannot_show_are_told_once(
        self, live_page: LivePage, page: Page, pages: Pages, capsys: pytest.CaptureFixture[str]
    ) -> None:
        unknown = "The page has no element with the id 'bra'"
        pages.errors_are_expected = True  # the page looks for the server that ends, if it has the time
        for number, (value, told) in enumerate(
            [
                (np.array([0.5, 0.6]), "takes a number, and not [0.5 0.6]"),
                ([0.5], "takes a number, and not [0.5]"),
                (np.ma.masked_all(1), None),
                (np.datetime64(1, "ns"), "takes a number, and not 1970-01-01T00:00:00.000000001"),
                (1 + 2j, "takes a number, and not (1+2j)"),
                (np.float32("inf"), "takes a number, and not inf"),
                (Decimal("NaN"), "takes a number, and not NaN"),
                (10**400, "takes a number, and not 1000"),
                ("0x10", "takes a number, and not 0x10"),
                ("y" * 50, f"takes a number, and not {'y' * 40}…"),
                (11, "goes from 0 to 10, and not to 11"),
                (np.array([-1.5]), "goes from 0 to 10, and not to -1.5"),
            ]
        ):
            live_page._told.clear()
            for again in range(2):
                live_page.update(meter=value, text=f"{number}, {again}", bra=again)
                expect(page.locator("#text")).to_have_text(f"{number}, {again}")
            live_page.update(meter=None, text="next")
            expect(page.locator("#text")).to_have_text("next")
            output = printed(capsys).splitlines()
            said = [line for line in output if line.startswith("The element with the id 'meter' ")]
            assert len(said) == (told is not None), (value, output)
            assert not said or told in said[0]
            assert output.count(unknown) == (number == 0), output
        live_page.update(tick="False", choice="c", text="last")
        expect(page.locator("#text")).to_have_text("last")
        expect(page.locator("#tick")).not_to_be_checked()
        live_page.close()
        output = printed(capsys)
        assert "The element with the id 'tick' takes True or False, and not False" in output
        assert "The element with the id 'choice' cannot show c" in output

    def test_large_values_take_several_messages_and_too_large_ones_are_told(
        self, live_page: LivePage, pages: Pages, capsys: pytest.CaptureFixture[str]
    ) -> None:
        live_page.update(text="x" * 500_000, cell="y" * 500_000, name="z")
        page = pages.connect(self.url(live_page))
        expect(page.locator("#name")).to_have_value("z")
        lengths = "[text.textContent.length, cell.textContent.length]"
        wait_until(lambda: page.evaluate(lengths) == [500_000, 500_000], "all values are there")
        live_page.update(text="x" * 1_000_000, cell="small")
        expect(page.locator("#cell")).to_have_text("small")
        expect(page.locator("#text")).to_have_text(
            "(This value takes 1,000,012 bytes, and the limit is 786,432.)"
        )
        live_page.update(text="x" * 1_000_000, cell="again")
        expect(page.locator("#cell")).to_have_text("again")
        assert printed(capsys).count("The value for the id 'text' takes 1,000,") == 1

    def test_value_that_has_no_text_is_told_and_takes_no_other_with_it(
        self, live_page: LivePage, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with self.client(live_page) as client:
            live_page.update(self=0, before=1, text=Bad(), cell=10**5000, after=2)
            values = next_event(client, "values")["values"]
        assert (values["self"], values["before"], values["after"]) == (0, 1, 2)
        assert values["text"] == "(This value has no text: RuntimeError.)"
        assert "The value for the id 'cell' has no text: ValueError" in printed(capsys)

    def test_tracked_loops_within_one_another(self, live_page: LivePage, page: Page) -> None:
        go_on, reached = threading.Event(), threading.Event()

        def loop() -> None:
            for _ in live_page.track(range(4), id="outer"):
                for item in live_page.track(iter(range(1_000_000)), id="inner"):
                    if item == 5:
                        reached.set()
                        go_on.wait(10)
                        break

        thread = threading.Thread(target=loop)
        thread.start()
        assert reached.wait(10)
        expect(page.locator("#inner")).to_have_text(re.compile(r"^5 · [\d,.]+ a second · for \d s$"))
        expect(page.locator("#outer-text")).to_have_text("0 of 4")
        go_on.set()
        thread.join()
        took = re.compile(r"^4 of 4 · [\d,.]+ a second · took \d s$")
        expect(page.locator("#outer-text")).to_have_text(took)
        stopped = re.compile(r"^5 · [\d,.]+ a second · stopped after \d s$")
        expect(page.locator("#inner")).to_have_text(stopped)
        assert page.evaluate("[outer.value, outer.max]") == [4, 4]
        assert list(live_page.track([], id="outer")) == []
        expect(page.locator("#outer-text")).to_have_text("0 of 0 · took 0 s")
        assert page.evaluate("[outer.value, outer.max]") == [1, 1]

    def test_total_that_is_given_or_that_nobody_knows(self, live_page: LivePage) -> None:
        class Batches(UserList):
            def __len__(self) -> int:
                raise TypeError("a stream has no length")

        with self.client(live_page) as client:
            for total, begins in [
                (10, "3 of 10 · "),
                (np.int64(3), "3 of 3 · "),
                (2.5, "3 of 3 · "),
                (float("inf"), "3 · "),
                (2, "3 · "),  # there are more than was said
                (0, "3 · "),
            ]:
                loop = live_page.track(iter("abcd"[:3]), id="inner", total=total)
                assert list(loop) == ["a", "b", "c"]
                while "took" not in (progress := shown(client)["inner"])["text"]:
                    pass
                assert progress["text"].startswith(begins)
                # The bar is full when a loop is done, unless it has been shorter than was said.
                assert (progress["count"], progress["total"]) == (3, 10 if total == 10 else 3)
            for total in (None, 10**400):
                assert list(live_page.track("abc", id="outer", total=total)) == ["a", "b", "c"]
        assert list(live_page.track(Batches("abc"), id="outer")) == ["a", "b", "c"]
        assert next(live_page.track(range(10**20), id="outer")) == 0
        for wrong in (-1, float("nan"), "5", [5]):
            with pytest.raises(ValueError, match="its total is a number from 0 on"):
                next(live_page.track("abc", id="inner", total=wrong))

    def test_track_that_ends_while_it_is_looked_at(
        self, live_page: LivePage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loop = live_page.track(range(5), id="inner")
        next(loop), next(loop)
        progress = _Track.progress

        def ending(track: _Track, *, ended: bool = False) -> object:
            result = progress(track, ended=ended)
            if not ended:
                loop.close()  # as the garbage collector does
            return result

        monkeypatch.setattr(_Track, "progress", ending)
        with self.client(live_page) as client:
            while "stopped after" not in str(shown(client)):
                pass

    def test_late_reloaded_and_reconnected_pages_show_the_current_values(
        self, live_page: LivePage, pages: Pages
    ) -> None:
        pages.errors_are_expected = True
        live_page.update(bar=1, text="early")
        live_page.update(bar=2)
        page = pages.connect(self.url(live_page))
        expect(page.locator("#text")).to_have_text("early")
        assert page.evaluate("bar.value") == 2
        page.reload()
        expect(page.locator("#text")).to_have_text("early")
        # The network fails, and the values change meanwhile.
        for client in live_page._server.clients:
            client._connection.transport.abort()
        live_page.update(text="meanwhile")
        expect(page.locator("#text")).to_have_text("meanwhile")
        expect(page.get_by_role("status")).to_contain_text("Connected to")

    def test_slow_page_gets_the_latest_values_and_no_backlog(self, live_page: LivePage) -> None:
        with self.client(live_page) as slow:
            live_page.update(bar=0, text="first")
            values = next_event(slow, "values")
            assert values["values"] == {"bar": 0, "text": "first"}
            # It does not say that it shows them. Whatever happens now, nothing more is sent.
            for i in range(1, 100_001):
                live_page.update(bar=i)
            next_event(slow, "heartbeat")
            send_event(slow, "shown", {"version": values["version"], "unknown": []})
            # What comes next is the very last value, and only what has changed.
            assert next_event(slow, "values")["values"] == {"bar": 100_000}

    def test_page_that_is_busy_catches_up_at_once(self, live_page: LivePage, page: Page) -> None:
        page.evaluate("""() => {
          window.changes = 0;
          new MutationObserver(() => changes++).observe(text, { childList: true });
          setTimeout(() => { const end = Date.now() + 1000; while (Date.now() < end); }, 0);
        }""")
        for i in range(1000):
            live_page.update(text=f"item {i}")
            time.sleep(0.001)
        expect(page.locator("#text")).to_have_text("item 999")
        # At most one in each drawing; how long the loop above takes is the machine's affair.
        assert page.evaluate("changes") < 200

    def test_updates_from_many_threads(self, live_page: LivePage) -> None:
        def work(name: str) -> None:
            for i in range(2000):
                live_page.update(**{name: i})

        threads = [threading.Thread(target=work, args=(f"id{n}",)) for n in range(20)]
        seen: dict[str, int] = {}
        with self.client(live_page) as client:
            for thread in threads:
                thread.start()
            while seen != {f"id{n}": 1999 for n in range(20)}:
                values = shown(client)
                assert all(seen.get(id, 0) <= value for id, value in values.items())
                seen |= values
            for thread in threads:
                thread.join()

    def test_page_that_comes_back_after_the_end_shows_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("common.live_page.CLOSE_TIMEOUT", 0.0)
        monkeypatch.setattr("common.live_page.RETURN_TIMEOUT", 20.0)
        server = EventServer("localhost", free_port())
        server.start()
        live_page = LivePage(server, False, awaited=True)
        live_page.update(text="again")
        closing = threading.Thread(target=live_page.close)
        closing.start()
        wait_until(lambda: live_page._ended, "it is being closed")
        with self.client(live_page) as client:
            values = next_event(client, "values")
            assert (values["values"], values["ended"]) == ({"text": "again"}, "The run has ended.")
            send_event(client, "shown", {"version": values["version"], "unknown": []})
            closing.join(10)
        assert not closing.is_alive()

    def test_close_is_bounded_in_time(self, live_page: LivePage, page: Page, pages: Pages) -> None:
        pages.errors_are_expected = True  # the page looks for the server
        # The one says what it shows, the other does not.
        with self.client(live_page) as client:
            live_page.update(text="unanswered")
            assert next_event(client, "values")["values"] == {"text": "unanswered"}
            before = time.monotonic()
            other = threading.Thread(target=live_page.close)
            other.start()
            live_page.close()
            assert CLOSE_TIMEOUT - 0.2 <= time.monotonic() - before < CLOSE_TIMEOUT + 3
            other.join()
            before = time.monotonic()
            live_page.update(text="too late")
            live_page.close()
            assert time.monotonic() - before < 1

    def test_rubbish_does_not_fill_the_console(
        self, live_page: LivePage, capsys: pytest.CaptureFixture[str]
    ) -> None:
        live_page.update(text="here")
        with self.client(live_page) as client:
            version = next_event(client, "values")["version"]
            zero = {"version": 0, "unknown": []}
            for rubbish in (
                None,
                {},
                {"version": [], "unknown": 7},
                {"version": 0, "unknown": [[1], None]},
                {**zero, "refused": [7]},
                {**zero, "refused": {"text": 7}},
                {**zero, "refused": {"text": "takes \x1b[31m\n" + "x" * 1000}},
            ):
                send_event(client, "shown", rubbish)
            send_event(client, "shown", {"version": version, "unknown": []})
            live_page.update(text="there")
            assert next_event(client, "values")["values"] == {"text": "there"}
        live_page.close()
        output = printed(capsys)
        assert "failed" not in output
        assert rf"The element with the id 'text' takes \x1b[31m\n{'x' * 188}" in output

    def test_address_is_printed_before_what_the_program_prints(
        self, own_page: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines: list[str] = []

        def print_slowly(text: str) -> None:
            time.sleep(0.1)
            lines.append(text)

        monkeypatch.setattr("common.console._aside", Console(print_slowly))
        with start(own_page, host="localhost", browser=False):
            assert "Listening on localhost" in "".join(lines)

    def test_page_that_is_not_there_and_port_after_the_last(self, own_page: Path) -> None:
        with pytest.raises(FileNotFoundError, match=re.escape("nothing.html")):
            start("nothing.html")
        with socket.create_server(("localhost", 65535)), pytest.raises(OSError, match="in use"):
            start(own_page, host="localhost", port=65535, browser=False)


class TestRate:
    """How fast a loop is, by a clock of the test's own, which is looked at thirty times a second."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        clock = SimpleNamespace(now=1000.0)
        monkeypatch.setattr("common.live_page.time", SimpleNamespace(monotonic=lambda: clock.now))
        return clock

    @staticmethod
    def pass_time(clock: SimpleNamespace, track: _Track, seconds: float) -> str:
        """Return what is told at the end of this time."""
        for _ in range(round(seconds * 30)):
            clock.now += 1 / 30
            text = track.progress()["text"]
        return text

    def test_items_that_were_skipped_are_forgotten(self, clock: SimpleNamespace) -> None:
        for each in (0.1, 0.5, 3, 60):
            track = _Track("bar", 1000)
            track.count = 400
            self.pass_time(clock, track, 1 / 30)
            # What is slow is known after the first slow item, or after three seconds.
            for _ in range(max(1, round(3.2 / each))):
                text = self.pass_time(clock, track, each)
                track.count += 1
            text = self.pass_time(clock, track, 1 / 30)
            left = 0
            for part in re.search(r" · ([\d:]+) \w+ left$", text)[1].split(":"):
                left = 60 * left + int(part)
            assert left == pytest.approx((1000 - track.count) * each, rel=0.1), text

    def test_rate_is_steady_and_falls_when_the_loop_stands_still(self, clock: SimpleNamespace) -> None:
        track = _Track("bar", 100)
        for _ in range(10):
            text = self.pass_time(clock, track, 2)
            track.count += 1
        seen = {self.pass_time(clock, track, 0.1).split(" · ")[1] for _ in range(20)}
        assert seen == {"2.0 s each"}
        text = self.pass_time(clock, track, 38)
        # Two items in 44 seconds at best: what is worked on now may be done the next moment.
        assert text.split(" · ")[1] in {"14.0 s each", "14.7 s each", "20.0 s each", "21.0 s each"}, text

    def test_more_items_than_were_said(self, clock: SimpleNamespace) -> None:
        track = _Track("bar", 10)
        self.pass_time(clock, track, 1)
        track.count = 15
        assert self.pass_time(clock, track, 2) == "15 · 5.3 a second · for 3 s"
        track.complete = True
        progress = track.progress(ended=True)
        assert progress == {"count": 15, "total": 15, "text": "15 · 5.0 a second · took 3 s"}


def test_how_a_run_has_ended_in_words() -> None:
    noted = ValueError("too hot")
    noted.add_note("See the log.")
    assert _how_it_ended(noted) == "The run has failed: ValueError: too hot"
    assert _how_it_ended(ValueError()) == "The run has failed: ValueError"
    assert _how_it_ended(SystemExit(3)) == "The run has ended."
    assert "Bad" in _how_it_ended(Bad())


# Programs as people write them. Each says where it is, and then does the one thing that its test is about.
PROGRAM = """
import sys, time
from common.live_page import start
page = start("client.html")
page.update(text="before the end")
input()
"""
AGAIN = 'page = start("client.html")\npage.update(text="again")\ninput()\n'


STARTED = """
import atexit, code, sys
atexit.register(lambda: print("ENDED:", page._ended))
from common.live_page import start
page = start(PAGE, host="localhost", browser=False)
def fails():
    1 / 0
"""
FAILED = "The run has failed: ZeroDivisionError: division by zero"
ENDED = "The run has ended."


class TestHowItEnds:
    """An error that ends the program, or one that was met on the way and is still remembered."""

    step = "test11"

    @pytest.mark.parametrize(
        ("options", "code", "how"),
        [
            (["-c"], "fails()", FAILED),
            (["-c"], "try:\n    fails()\nfinally:\n    print('so what')", FAILED),
            (["-c"], "try:\n    fails()\nexcept KeyError:\n    pass", FAILED),
            (["-c"], "code.InteractiveInterpreter(globals()).runsource('fails()')", ENDED),
            (["-c"], "code.InteractiveInterpreter().runsource('1 / 0')\nfails()", FAILED),
            (["-c"], "try:\n    exec('fails()')\nexcept Exception as e:\n    sys.last_value = e", ENDED),
            (["-c"], "sys.last_value = ValueError('of somebody')", ENDED),
            (["-c"], "sys.excepthook = lambda *error: None\nfails()", FAILED),
            (["-c"], "sys.ps1 = 'In: '\nfails()", ENDED),
            (["-i", "-c"], "", ENDED),
        ],
    )
    def test_how(self, options: list[str], code: str, how: str, own_page: Path) -> None:
        program = STARTED.replace("PAGE", repr(str(own_page))) + code
        result = subprocess.run(
            [sys.executable, *options, program],
            input="fails()\nprint('on')\n" if "-i" in options else "",
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert f"ENDED: {how}" in result.stdout.splitlines(), result


class TestPrograms:
    step = "test11"

    @pytest.fixture
    def run(self, own_page: Path) -> Iterator[Callable[..., Server]]:
        """Run a program with a page of its own beside it, from another folder."""
        programs: list[Program] = []

        def run(code: str, **environment: str) -> Program:
            program = Program(own_page.parent, code, environment)
            programs.append(program)
            program.wait_listening()
            return program

        yield run
        for program in programs:
            program.kill()
            program.process.stdin.close()

    @pytest.fixture(autouse=True)
    def errors_are_expected(self, pages: Pages) -> None:
        """The browser's own, when a page looks for a program that has ended."""
        pages.errors_are_expected = True

    @pytest.mark.parametrize(
        ("code", "how", "status"),
        [
            ("sys.exit(3)", "The run has ended.", 3),
            ("1 / 0", "The run has failed: ZeroDivisionError: division by zero", 1),
            ("with page: raise OSError('no disk')", "The run has failed: OSError: no disk", 1),
            pytest.param(
                "input()",
                "The run has been interrupted.",
                -signal.SIGINT,
                marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send"),
            ),
        ],
    )
    def test_program_that_ends(
        self, code: str, how: str, status: int, run: Callable[..., Server], pages: Pages
    ) -> None:
        program = run(PROGRAM + "page.update(text='the end')\n" + code)
        page = pages.connect()
        program.enter()
        expect(page.locator("#text")).to_have_text("the end")
        if code == "input()":
            program.process.send_signal(signal.SIGINT)
        expect(page.get_by_role("status")).to_have_text(how)
        assert program.wait_ended() == status
        # The program's own traceback, and no other.
        assert program.output.count("Traceback") == (code != "sys.exit(3)")

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX has fork()")
    def test_forked_process_ends_without_the_page_or_has_its_own(
        self, run: Callable[..., Server], pages: Pages
    ) -> None:
        fork = """
import os, warnings
warnings.simplefilter('ignore')
took = []
for _ in range(3):
    before = time.monotonic()
    if os.fork() == 0:
        sys.exit()
    os.wait()
    took.append(time.monotonic() - before)
# Each would wait for 2 s; a busy machine may hold up one of them for as long.
page.update(text="soon" if min(took) < 2 else "late")
input()
child = os.fork()
if child == 0:
    page = start("client.html", browser=False)
    page.update(text=f"of the other, awaited: {page._awaited}")
    while True:
        time.sleep(1)
input()
os.kill(child, 9)
os.waitpid(child, 0)
"""
        program = run(PROGRAM + fork)
        page = pages.connect()
        program.enter()
        expect(page.locator("#text")).to_have_text("soon")
        program.enter()
        program.wait_for("Listening on", 2)
        other = pages.connect(f"http://localhost:{PORT + 1}/")
        expect(other.locator("#text")).to_have_text("of the other, awaited: False")
        expect(page.get_by_role("status")).to_contain_text("Connected to")
        program.enter()
        expect(page.get_by_role("status")).to_have_text("The run has ended.")
        assert program.wait_ended() == 0

    def test_page_that_is_started_again(
        self, run: Callable[..., Server], pages: Pages, tmp_path: Path
    ) -> None:
        # What stands for a browser writes the addresses that it is to open into a file.
        opened, script = tmp_path / "opened.txt", tmp_path / "browser.py"
        script.write_text(f"import sys; open({str(opened)!r}, 'a').write(sys.argv[1] + '\\n')")
        browser = f'"{sys.executable}" "{script}" %s'
        # As a cell of a notebook that is run again, and then once more after its end.
        patient = "import common.live_page\ncommon.live_page.RETURN_TIMEOUT = 60.0\n"
        once_more = "page.close()\ninput()\n" + AGAIN.replace("again", "once more").removesuffix("input()\n")
        program = run(patient + PROGRAM + AGAIN + once_more, BROWSER=browser)
        wait_until(opened.exists, "the browser is opened")
        # It begins where the first has been, also if that was not the port that it asked for.
        page = pages.connect()
        expect(page.locator("#text")).to_have_text("before the end")
        for text in ("again", "once more"):
            program.enter()
            if text == "once more":
                expect(page.get_by_role("status")).to_have_text("The run has ended.")
                program.enter()
            expect(page.locator("#text")).to_have_text(text)
        assert program.wait_ended() == 0
        expect(page.get_by_role("status")).to_have_text("The run has ended.")
        assert set(re.findall(r"http://localhost:\d+/", program.output)) == {f"http://localhost:{PORT}/"}
        assert opened.read_text() == f"http://localhost:{PORT}/\n", "an open page needs no other"

    def test_page_that_is_started_again_beside_another_program(
        self, run: Callable[..., Server], pages: Pages
    ) -> None:
        first, second = run(PROGRAM), run(PROGRAM + AGAIN)
        for program, port in ((first, PORT), (second, PORT + 1)):
            assert f"http://localhost:{port}/" in program.output
            page = pages.connect(f"http://localhost:{port}/")
            expect(page.locator("#text")).to_have_text("before the end")
        first.enter()
        assert first.wait_ended() == 0
        second.enter()
        expect(page.locator("#text")).to_have_text("again")

    def test_two_pages_of_one_program(self, run: Callable[..., Server], pages: Pages) -> None:
        other = AGAIN.replace('"client.html"', f'"client.html", port={PORT + 2}').replace("again", "other")
        run(PROGRAM.removesuffix("input()\n") + other)
        expect(pages.connect().locator("#text")).to_have_text("before the end")
        expect(pages.connect(f"http://localhost:{PORT + 2}/").locator("#text")).to_have_text("other")

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be without a browser")
    def test_no_browser(self, run: Callable[..., Server], pages: Pages) -> None:
        patient = "import common.live_page\ncommon.live_page.CLOSE_TIMEOUT = 9.0\n"
        program = run(patient + PROGRAM, BROWSER="", DISPLAY="", WAYLAND_DISPLAY="")
        program.wait_for("There is no browser on this machine; open the address on another")
        expect(pages.connect().locator("#text")).to_have_text("before the end")
        program.enter()
        assert program.wait_ended(9) == 0

    def test_program_that_is_done_before_the_browser_has_opened(
        self, run: Callable[..., Server], pages: Pages
    ) -> None:
        program = run(PROGRAM)
        program.enter()
        page = pages.open(f"http://localhost:{PORT}/")
        expect(page.locator("#text")).to_have_text("before the end")
        expect(page.get_by_role("status")).to_have_text("The run has ended.")
        assert program.wait_ended() == 0


class Program(Server):
    """A program of somebody's own, run from another folder than its own; it goes on when Enter is pressed."""

    def __init__(self, folder: Path, code: str, environment: dict[str, str]) -> None:
        (folder / "program.py").write_text(code, encoding="utf-8")
        super().__init__(
            ROOT / "tests", environment=environment, command=str(folder / "program.py"), stdin=subprocess.PIPE
        )

    def enter(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
