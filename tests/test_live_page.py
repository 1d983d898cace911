"""common/live_page.py: a page driven from an ordinary loop, and programs that use it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Page, expect
from websockets.sync.client import ClientConnection, connect

from common.live_page import PATIENCE, LivePage, _how_it_ended, _Track, start
from tests.conftest import Pages
from tests.promises import next_event, send_event
from tests.support import ROOT, Server, free_port, wait_until

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


class TestLivePage:
    step = "test11"

    @pytest.fixture
    def live_page(self, tmp_path: Path) -> Iterator[LivePage]:
        (tmp_path / "client.html").write_text(OWN_PAGE, encoding="utf-8")
        page = start(tmp_path / "client.html", host="localhost", port=free_port(), browser=False)
        yield page
        page.close()

    @staticmethod
    def url(live_page: LivePage) -> str:
        return f"http://localhost:{live_page._server.port}/"

    def open(self, live_page: LivePage, pages: Pages) -> Page:
        page = pages.open(self.url(live_page))
        expect(page.get_by_role("status")).to_contain_text("Connected to")
        return page

    @contextlib.contextmanager
    def client(self, live_page: LivePage) -> Iterator[ClientConnection]:
        """A page that answers only when the test does."""
        url = self.url(live_page).replace("http", "ws")
        with connect(url, proxy=None, close_timeout=1) as client:
            yield client

    def test_elements_of_every_kind(self, live_page: LivePage, pages: Pages) -> None:
        page = self.open(live_page, pages)
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

    def test_element_that_takes_no_value_does_not_stop_the_others(
        self, live_page: LivePage, pages: Pages
    ) -> None:
        pages.errors_are_expected = True
        page = self.open(live_page, pages)
        for text in ("first", "second"):
            live_page.update(file="a/b", text=text)
            expect(page.locator("#text")).to_have_text(text)
        assert "accepts a filename" in pages.errors[0]

    def test_large_values_take_several_messages_and_too_large_ones_are_told(
        self, live_page: LivePage, pages: Pages, capsys: pytest.CaptureFixture[str]
    ) -> None:
        live_page.update(text="x" * 500_000, cell="y" * 500_000, name="z")
        page = self.open(live_page, pages)
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
        assert capsys.readouterr().out.count("The value for the id 'text' takes 1,000,") == 1

    def test_value_that_has_no_text_is_told_and_takes_no_other_with_it(
        self, live_page: LivePage, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Bad:
            def __str__(self) -> str:
                raise RuntimeError

        with self.client(live_page) as client:
            live_page.update(self=0, before=1, text=Bad(), cell=10**5000, after=2)
            values = next_event(client, "values")["values"]
        assert (values["self"], values["before"], values["after"]) == (0, 1, 2)
        assert values["text"] == "(This value has no text: RuntimeError.)"
        assert "The value for the id 'cell' has no text: ValueError" in capsys.readouterr().out

    def test_tracked_loops_within_one_another(self, live_page: LivePage, pages: Pages) -> None:
        page = self.open(live_page, pages)
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
        expect(page.locator("#outer-text")).to_have_text(
            re.compile(r"^4 of 4 · [\d,.]+ a second · took \d s$")
        )
        expect(page.locator("#inner")).to_have_text(
            re.compile(r"^5 · [\d,.]+ a second · stopped after \d s$")
        )
        assert page.evaluate("[outer.value, outer.max]") == [4, 4]
        assert list(live_page.track([], id="outer")) == []
        expect(page.locator("#outer-text")).to_have_text("0 of 0 · took 0 s")
        assert page.evaluate("[outer.value, outer.max]") == [1, 1]

    def test_tracked_items_of_which_nobody_can_tell_how_many_they_are(self, live_page: LivePage) -> None:
        class Batches:
            def __len__(self) -> int:
                raise TypeError("a stream has no length")

            def __iter__(self) -> Iterator[int]:
                return iter(range(3))

        assert list(live_page.track(Batches(), id="outer")) == [0, 1, 2]
        assert next(live_page.track(range(10**20), id="outer")) == 0

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
        shown = "1 of 5"
        with self.client(live_page) as client:
            while "stopped after" not in shown:
                values = next_event(client, "values")
                shown = values["values"].get("inner", {"text": shown})["text"]
                send_event(client, "shown", {"version": values["version"], "unknown": []})

    def test_late_reloaded_and_reconnected_pages_show_the_current_values(
        self, live_page: LivePage, pages: Pages
    ) -> None:
        pages.errors_are_expected = True
        live_page.update(bar=1, text="early")
        live_page.update(bar=2)
        page = self.open(live_page, pages)
        expect(page.locator("#text")).to_have_text("early")
        assert page.evaluate("bar.value") == 2
        page.reload()
        expect(page.locator("#text")).to_have_text("early")
        # The network fails, and the values change meanwhile.
        for client in live_page._server.clients:
            client._connection.transport.abort()
        live_page.update(text="meanwhile")
        expect(page.locator("#text")).to_have_text("meanwhile", timeout=10_000)
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
            # What comes next, heartbeats aside, is the very last value, and only what has changed.
            message = json.loads(slow.recv(timeout=10))
            while message["event"] == "heartbeat":
                message = json.loads(slow.recv(timeout=10))
            assert message["data"]["values"] == {"bar": 100_000}

    def test_page_that_is_busy_catches_up_at_once(self, live_page: LivePage, pages: Pages) -> None:
        page = self.open(live_page, pages)
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
        shown: dict[str, int] = {}
        with self.client(live_page) as client:
            for thread in threads:
                thread.start()
            while shown != {f"id{n}": 1999 for n in range(20)}:
                values = next_event(client, "values")
                assert all(shown.get(id, 0) <= value for id, value in values["values"].items())
                shown |= values["values"]
                send_event(client, "shown", {"version": values["version"], "unknown": []})
            for thread in threads:
                thread.join()

    def test_close_delivers_the_last_values_to_every_page(
        self, live_page: LivePage, pages: Pages, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("common.live_page.PATIENCE", 10)
        pages.errors_are_expected = True
        opened = [self.open(live_page, pages) for _ in range(3)]
        live_page.update(text="the very last")
        before = time.monotonic()
        live_page.close()
        assert time.monotonic() - before < 10
        for page in opened:
            expect(page.locator("#text")).to_have_text("the very last")
            expect(page.get_by_role("status")).to_have_text("The run has ended.")
        socket.create_server(("localhost", live_page._server.port)).close()
        live_page.update(text="too late")
        live_page.close()

    def test_close_is_bounded_in_time(self, live_page: LivePage) -> None:
        with self.client(live_page) as client:
            live_page.update(text="unanswered")
            assert next_event(client, "values")["values"] == {"text": "unanswered"}
            before = time.monotonic()
            other = threading.Thread(target=live_page.close)
            other.start()
            live_page.close()
            assert PATIENCE - 0.2 <= time.monotonic() - before < PATIENCE + 3
            other.join()
            before = time.monotonic()
            live_page.close()
            assert time.monotonic() - before < 1

    def test_rubbish_does_not_fill_the_console(
        self, live_page: LivePage, capsys: pytest.CaptureFixture[str]
    ) -> None:
        live_page.update(text="here")
        with self.client(live_page) as client:
            version = next_event(client, "values")["version"]
            for rubbish in (
                None,
                7,
                {},
                {"version": [], "unknown": 7},
                {"version": 0, "unknown": [[1], None]},
            ):
                send_event(client, "shown", rubbish)
            send_event(client, "shown", {"version": version, "unknown": []})
            live_page.update(text="there")
            assert next_event(client, "values")["values"] == {"text": "there"}
        live_page.close()
        assert "failed" not in capsys.readouterr().out

    def test_unknown_id_is_told_once(
        self, live_page: LivePage, pages: Pages, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pages.errors_are_expected = True
        page = self.open(live_page, pages)
        for i in range(3):
            live_page.update(bra=i, text=f"{i}")
            expect(page.locator("#text")).to_have_text(f"{i}")
        live_page.close()
        assert capsys.readouterr().out.count("The page has no element with the id 'bra'") == 1

    def test_page_that_is_not_there(self) -> None:
        with pytest.raises(FileNotFoundError, match=re.escape("nothing.html")):
            start("nothing.html")

    def test_there_is_no_port_after_the_last(self, tmp_path: Path) -> None:
        (tmp_path / "client.html").write_text(OWN_PAGE, encoding="utf-8")
        with socket.create_server(("localhost", 65535)), pytest.raises(OSError, match="in use"):
            start(tmp_path / "client.html", host="localhost", port=65535, browser=False)


def test_how_a_run_has_ended_in_words() -> None:
    class Bad(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    noted = ValueError("too hot")
    noted.add_note("See the log.")
    assert _how_it_ended(noted) == "The run has failed: ValueError: too hot"
    assert _how_it_ended(ValueError()) == "The run has failed: ValueError"
    assert "Bad" in _how_it_ended(Bad())


# Programs as people write them. Each says where it is, and then does the one thing that its test is about.
PROGRAM = """
import sys, time
from common.live_page import start
page = start("client.html")
page.update(text="before the end")
input()
"""


class TestPrograms:
    step = "test11"

    @pytest.fixture
    def run(self, tmp_path: Path) -> Iterator[Callable[..., Server]]:
        """Run a program with a page of its own beside it, from another folder."""
        (tmp_path / "client.html").write_text(OWN_PAGE, encoding="utf-8")
        programs: list[Program] = []

        def run(code: str, **environment: str) -> Program:
            program = Program(tmp_path, code, environment)
            programs.append(program)
            program.wait_listening()
            return program

        yield run
        for program in programs:
            program.process.kill()
            program.wait_ended()
            program.process.stdin.close()

    @pytest.mark.parametrize(
        ("code", "how", "status"),
        [
            ("", "The run has ended.", 0),
            ("sys.exit(3)", "The run has ended.", 3),
            ("1 / 0", "The run has failed: ZeroDivisionError: division by zero", 1),
            ("with page: raise OSError('no disk')", "The run has failed: OSError: no disk", 1),
        ],
    )
    def test_program_that_ends(
        self, code: str, how: str, status: int, run: Callable[..., Server], pages: Pages
    ) -> None:
        pages.errors_are_expected = True
        program = run(PROGRAM + "page.update(text='the end')\n" + code)
        page = pages.connect()
        program.enter()
        expect(page.locator("#text")).to_have_text("the end")
        expect(page.get_by_role("status")).to_have_text(how)
        assert program.wait_ended() == status

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to another process")
    def test_ctrl_c(self, run: Callable[..., Server], pages: Pages) -> None:
        pages.errors_are_expected = True
        program = run(PROGRAM)
        page = pages.connect()
        expect(page.locator("#text")).to_have_text("before the end")
        program.process.send_signal(signal.SIGINT)
        expect(page.get_by_role("status")).to_have_text("The run has been interrupted.")
        assert program.wait_ended() == -signal.SIGINT
        # The program's own traceback, and no other.
        assert program.output.count("Traceback") == 1

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX has fork()")
    def test_forked_process_ends_without_the_page(self, run: Callable[..., Server], pages: Pages) -> None:
        pages.errors_are_expected = True
        fork = """
import os, warnings
warnings.simplefilter("ignore")
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
"""
        program = run(PROGRAM + fork)
        page = pages.connect()
        program.enter()
        expect(page.locator("#text")).to_have_text("soon")
        program.enter()
        expect(page.get_by_role("status")).to_have_text("The run has ended.")
        assert program.wait_ended() == 0

    def test_two_runs_at_the_same_time(self, run: Callable[..., Server], pages: Pages) -> None:
        programs = [run(PROGRAM), run(PROGRAM)]
        for program in programs:
            address = re.search(r"http://localhost:\d+/", program.output)[0]
            expect(pages.connect(address).locator("#text")).to_have_text("before the end")
        assert re.search(r"http://localhost:\d+/", programs[0].output)[0] not in programs[1].output

    def test_browser_is_opened(self, run: Callable[..., Server], tmp_path: Path) -> None:
        opened = tmp_path / "opened.txt"
        script = tmp_path / "browser.py"
        script.write_text(f"import sys; open({str(opened)!r}, 'w').write(sys.argv[1])")
        run(PROGRAM, BROWSER=f'"{sys.executable}" "{script}" %s')
        wait_until(opened.exists, "the browser is opened")
        wait_until(lambda: opened.read_text() == "http://localhost:5678/", "the address is opened")

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be without a browser")
    def test_no_browser(self, run: Callable[..., Server], pages: Pages) -> None:
        patient = "import common.live_page\ncommon.live_page.PATIENCE = 9.0\n"
        program = run(patient + PROGRAM, BROWSER="", DISPLAY="", WAYLAND_DISPLAY="")
        program.wait_for("There is no browser on this machine; open the address on another")
        pages.errors_are_expected = True
        expect(pages.connect().locator("#text")).to_have_text("before the end")
        program.enter()
        assert program.wait_ended(9) == 0

    def test_program_that_is_done_before_the_browser_has_opened(
        self, run: Callable[..., Server], pages: Pages
    ) -> None:
        pages.errors_are_expected = True
        program = run(PROGRAM)
        program.enter()
        page = pages.open("http://localhost:5678/")
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
