"""What the steps from test14 on promise: pages are served from the log, so what they missed comes later."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from tests.conftest import Pages, Starter
from tests.page import (
    BREAKS,
    DRAWN,
    GO_OFFLINE,
    HIDE,
    LOSE_SOCKET,
    PAINTED,
    PICTURE,
    ROWS,
    count_of,
    wait_for_all,
    wait_for_readings,
)
from tests.promises import expect_running, hear, say, start, stop
from tests.rows import disturb
from tests.support import PORT, Server, Step, close_of, gaps_in, read_log, rows_of, wait_until


def record(start_server: Starter, step: Step, readings: int, *options: str, **how: Any) -> Path:
    """Record a run of at least so many readings, and return its log."""
    server = start_server("--rate", "2000", *options, **how)
    with step.connect("control") as control:
        step.ask(control, "START")
        hear_until(control, readings)
        step.ask(control, "STOP")
    server.stop()
    return server.log


def hear_until(control: ClientConnection, readings: int) -> None:
    """Wait until the server says that so many readings have been logged."""
    while hear(control, "logged")["logged"] < readings:
        pass


class ServedFromTheLog:
    """From step 14 on: the log is the history."""

    step: str

    def test_hello_and_everything_after_what_a_client_has(self, server: Server, step: Step) -> None:
        with step.connect("control") as control, step.connect("data") as data:
            hello = json.loads(data.recv(timeout=30))
            assert (hello["head"], hello["rate"]) == (0, 20)
            assert (hello["fields"], hello["units"]) == (["x", "y", "z"], ["m/s²"] * 3)
            say(data, epoch=hello["epoch"], have=0)
            step.ask(control, "START")
            text = ""
            while text.count("\n") < 10:
                text += hear(data, "lines")["lines"]
            step.ask(control, "STOP")
            # One that comes later gets the same from the beginning, and one that has some gets the rest.
            for have in (0, 7):
                with step.connect("data") as late:
                    hello = json.loads(late.recv(timeout=30))
                    assert hello["head"] >= 10
                    say(late, epoch=hello["epoch"], have=have)
                    rest = ""
                    while rest.count("\n") < hello["head"] - have:
                        rest += hear(late, "lines")["lines"]
                    assert text.split("\n")[have:10] == rest.split("\n")[: 10 - have]
            # What it has of another run is worth nothing.
            with step.connect("data") as late:
                late.recv(timeout=30)
                say(late, epoch="another", have=7)
                assert hear(late, "lines")["lines"].startswith("1,")
        # What was sent is what was saved, to the letter.
        saved = server.log.read_text(encoding="utf-8")
        assert saved.startswith("seq,time_ns,x,y,z\n" + text)

    def test_bad_messages_get_an_error_and_nothing_else_changes(self, server: Server, step: Step) -> None:
        with step.connect("data") as data:
            hello = json.loads(data.recv(timeout=30))
            for message in (
                "rubbish", "", "[]", "1", "null", '{"have": -1, "epoch": 1}', '{"have": "x"}', b"\xff",
                "[" * 100_000, "x" * 500_000, "\x1b[31mred",
            ):  # fmt: skip
                data.send(message)
                error = hear(data, "error")["error"]
                assert error.startswith("ERROR: ")
                assert len(error) < 200
                assert "\x1b" not in error
            say(data, epoch=hello["epoch"], have=0)
            with step.connect("control") as control:
                step.ask(control, "START")
            assert hear(data, "lines")["lines"].startswith("1,")

    def test_unknown_path_is_refused_with_a_reason(self, server: Server) -> None:
        for path in ("", "data/x"):
            with connect(f"ws://localhost:{PORT}/{path}", proxy=None) as client:
                assert close_of(client) == Close(1008, "the path must be /control or /data")

    def test_opened_in_mid_run_it_gets_all_of_the_run(self, start_server: Starter, pages: Pages) -> None:
        server = start_server("--rate", "2000")
        first = pages.connect()
        start(pages, first, 1000)
        late = pages.connect()
        wait_for_readings(late, 1100)
        stop(pages, first)
        wait_for_all(late)
        rows = rows_of(server.log)
        for page in (first, late):
            assert page.evaluate(ROWS) == rows
            assert count_of(page) == len(rows)
            assert page.get_by_text("Missing here").locator("xpath=../dd").inner_text() == "0"

    @pytest.mark.parametrize("name", ["control", "readings"])
    def test_page_notices_that_a_socket_is_dead(self, name: str, fast_server: Server, pages: Pages) -> None:
        pages.errors_are_expected = True
        page = pages.connect()
        start(pages, page, 20)
        # Nobody says so, and the other one goes on.
        page.evaluate(f"() => {{ window.dead = {name}; dead.onmessage = null; }}")
        page.wait_for_function(f"() => {name} !== dead")
        wait_for_readings(page, 300)
        stop(pages, page)
        assert page.evaluate(ROWS) == rows_of(fast_server.log)

    @pytest.mark.parametrize("how", ["socket", "offline", "hidden", "frozen"])
    def test_page_fills_in_what_it_missed(self, how: str, start_server: Starter, pages: Pages) -> None:
        pages.errors_are_expected = True
        server = start_server("--rate", "500")
        other, page = pages.connect(), pages.connect(color_scheme="dark")
        start(pages, page, 300)
        if how == "socket":
            page.evaluate(LOSE_SOCKET, "readings")
            lost = "Disconnected: data socket: the connection was lost"
            expect(page.get_by_role("status")).to_contain_text(lost)
        elif how == "offline":
            page.evaluate(GO_OFFLINE)
            wait_for_readings(other, 800)
            page.evaluate("() => goOnline()")
        elif how == "hidden":
            page.evaluate(HIDE)
            wait_for_readings(other, 800)
            drawn = page.evaluate(PICTURE)
            wait_for_readings(other, 100)
            assert page.evaluate(PICTURE) == drawn
            page.evaluate("() => showAgain()")
        else:
            session = page.context.new_cdp_session(page)
            session.send("Page.setWebLifecycleState", {"state": "frozen"})
            wait_for_readings(other, 800)
            session.send("Page.setWebLifecycleState", {"state": "active"})
        expect(page.get_by_role("status")).to_have_text("Connected to localhost")
        wait_for_readings(page, 300)
        stop(pages, page)
        assert page.evaluate(ROWS) == rows_of(server.log)
        # Nothing is missing, so there is no gap but where a busy machine made one in the readings.
        assert len(page.evaluate(BREAKS)) <= gaps_in(server.log)

    def test_another_run_is_told(self, start_server: Starter, pages: Pages) -> None:
        pages.errors_are_expected = True
        server = start_server("--rate", "500")
        page = pages.connect()
        start(pages, page, 100)
        server.stop()
        says = "the server has stopped (close code 1001). Trying again…"
        expect(page.get_by_role("status")).to_contain_text(says)
        second = start_server("--rate", "500")
        expect(page.get_by_text(re.compile(r"This is another run"))).to_be_visible(timeout=15_000)
        expect(page.locator("#count")).to_have_text("0 readings")
        start(pages, page, 100)
        stop(pages, page)
        assert page.evaluate(ROWS) == rows_of(second.log)

    def test_history_that_is_gone_is_said_to_be_gone(
        self, start_server: Starter, step: Step, pages: Pages, copied_folder: Path
    ) -> None:
        server = start_server("--rate", "10000", folder=copied_folder)
        with step.connect("control") as control:
            step.ask(control, "START")
            # The newest megabyte of the log stays in memory, for live pages.
            hear_until(control, 30_000)
            step.ask(control, "STOP")
            while (counts := hear(control, "logged"))["logged"] < counts["acquired"]:
                pass
        rows = rows_of(server.log)
        server.log.unlink()
        page = pages.connect()
        says = re.compile(r"[\d,]+ readings of this run are not in the log any more\.")
        expect(page.get_by_text(says)).to_be_visible()
        page.wait_for_function("(acquired) => run.have === acquired", arg=len(rows))
        received, gone = page.evaluate("() => [run.received, run.gone]")
        assert received + gone == len(rows)
        assert gone > 0
        assert page.evaluate(ROWS) == rows[gone:]

    def test_pause_of_the_acquisition_is_a_gap_in_the_line(self, fast_server: Server, pages: Pages) -> None:
        page = pages.connect()
        start(pages, page, 30)
        stop(pages, page)
        before = rows_of(fast_server.log)
        wait_until(lambda: time.time() - before[-1][0] / 1e6 > 0.2, "a gap is at least 0.2 s long")
        start(pages, page, 30)
        stop(pages, page)
        rows = rows_of(fast_server.log)
        # A busy machine may have made gaps too, by reading late.
        gaps = [place for place in range(1, len(rows)) if rows[place][0] - rows[place - 1][0] >= 200_000]
        assert len(before) in gaps
        assert page.evaluate(BREAKS) == gaps
        assert page.evaluate(DRAWN) == rows

    def test_json_file_beside_the_log(self, start_server: Starter, step: Step) -> None:
        log = record(start_server, step, 100)
        info = json.loads(log.with_suffix(".json").read_text(encoding="utf-8"))
        assert (info["fields"], info["units"], info["rate"]) == (["x", "y", "z"], ["m/s²"] * 3, 2000)
        assert info["epoch"].startswith(log.stem)
        events = [event for event in info["events"] if event["what"] != "sensor"]
        assert [event["what"] for event in events] == ["start", "stop", "end"]
        rows = read_log(log)
        first, second, _ = events
        # A sensor with a thread of its own may have been read just before the start.
        for within in (first["time_ns"], rows[0]["time_ns"], rows[-1]["time_ns"]):
            assert info["start_ns"] <= within <= second["time_ns"]
        assert (first["seq"], second["seq"]) == (1, len(rows) + 1)

    def test_killed_server_is_mended_at_the_next_start(
        self, start_server: Starter, step: Step, copied_folder: Path
    ) -> None:
        server = start_server("--rate", "1000", folder=copied_folder)
        with step.connect("control") as control, step.connect("data") as data:
            hello = json.loads(data.recv(timeout=30))
            say(data, epoch=hello["epoch"], have=0)
            step.ask(control, "START")
            seen = ""
            while seen.count("\n") < 500:
                seen += hear(data, "lines")["lines"]
            log = server.log
            server.kill()
        text = log.read_text(encoding="utf-8")
        # Whatever a client has seen is in the log.
        assert text.startswith("seq,time_ns,x,y,z\n" + seen)
        whole = text[: text.rfind("\n") + 1]
        with log.open("a") as file:
            file.write("501,17952")
        restarted = start_server("--rate", "1000", folder=copied_folder)
        restarted.wait_for(f"Mended logs/{log.name}, whose run was killed: ")
        assert log.read_text(encoding="utf-8") == whole
        events = json.loads(log.with_suffix(".json").read_text(encoding="utf-8"))["events"]
        assert [event["what"] for event in events if event["what"] != "sensor"] == ["start", "killed"]

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit the files of a running process")
    def test_full_disk_is_told_on_every_page_and_live_data_goes_on(
        self, fast_server: Server, pages: Pages
    ) -> None:
        import resource

        page = pages.connect()
        start(pages, page, 20)
        size = fast_server.log.stat().st_size
        resource.prlimit(fast_server.process.pid, resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))
        says = "ERROR: cannot write the log in logs: File too large"
        expect(page.get_by_text(says)).to_be_visible()
        wait_for_readings(page, 20)
        late = pages.connect()
        expect(late.get_by_text(says)).to_be_visible()
        wait_for_readings(late, 20)
        resource.prlimit(fast_server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        fast_server.wait_for("OK: the log is written again")
        expect(page.get_by_text(says)).to_have_count(0)
        stop(pages, page)
        wait_for_all(late)
        rows = rows_of(fast_server.log)
        assert page.evaluate(ROWS) == rows == late.evaluate(ROWS)

    @pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
    def test_log_that_somebody_takes_away_is_told_and_goes_on(
        self, start_server: Starter, pages: Pages, copied_folder: Path
    ) -> None:
        server = start_server("--rate", "100", folder=copied_folder)
        page = pages.connect()
        start(pages, page, 50)
        old = server.log
        disturb(old, "replaced")
        says = re.compile(
            f"ERROR: somebody has replaced or changed logs/{re.escape(old.name)}, with [0-9]+ of this run's "
            "readings; it goes on in a new file"
        )
        expect(page.get_by_role("alert")).to_have_text(says)
        server.wait_for("Logging to ", count=2)
        wait_for_readings(page, 100)
        late = pages.connect()
        expect(late.get_by_role("alert")).to_have_text(says)
        expect(
            late.get_by_text(re.compile("^[0-9]+ readings of this run are not in the log"))
        ).to_be_visible()
        pages.command(page, "STOP")
        expect_running(page, False)
        gone = int(re.search("with ([0-9]+) of this", server.output)[1])

        # What is gone is not counted as logged; what this page had is still on its screen.
        def counts_are_right(one: Page) -> bool:
            rows = len(read_log(server.logs[-1], begins_late=True))  # the last of them may still be written
            shown = [one.locator(f"#{name}").inner_text().replace(",", "") for name in ("acquired", "logged")]
            return shown == [str(gone + rows), str(rows)]

        for one in (page, late):
            wait_until(lambda one=one: counts_are_right(one), "the counts")
        rows = read_log(server.logs[-1], begins_late=True)
        assert rows[0]["seq"] == gone + 1
        # A busy page may not have had the last of the old file: that it counts as gone.
        total = gone + len(rows)
        wait_until(lambda: page.evaluate("run.received + run.gone") == total, "all of the run")
        assert count_of(page) >= len(rows) + 50
        wait_until(lambda: count_of(late) == len(rows), "what is left of it")
        expect(page.get_by_role("alert")).to_have_text(says)

    def test_every_page_shows_the_true_state_at_once(self, server: Server, step: Step, pages: Pages) -> None:
        first, second = pages.connect(), pages.connect()
        for page in (first, second):
            expect_running(page, False)
        first.get_by_role("button", name="Start", exact=True).press("Enter")
        expect(first.get_by_role("button", name="Stop", exact=True)).to_be_focused()
        for page in (first, second):
            expect_running(page, True)
        with step.connect("control") as control:
            step.ask(control, "STOP")
        for page in (first, second):
            expect_running(page, False)

    def test_legend_hides_lines_and_has_the_latest_values(self, fast_server: Server, pages: Pages) -> None:
        page = pages.connect(color_scheme="light")
        start(pages, page, 50)
        assert page.evaluate(PAINTED, "#c2410c")
        page.get_by_role("button", name=re.compile("^y ")).press("Enter")
        wait_until(lambda: not page.evaluate(PAINTED, "#c2410c"), "the line is hidden")
        page.get_by_role("button", name=re.compile("^y ")).press("Enter")
        wait_until(lambda: page.evaluate(PAINTED, "#c2410c"), "the line is shown")
        stop(pages, page)
        _, *values = rows_of(fast_server.log)[-1]
        legend = page.get_by_role("list", name="Legend").get_by_role("listitem")
        # A sensor's -0.0 is 0 on a page, and so is -0.0 + 0.
        expect(legend).to_have_text(
            [re.compile(rf"{name}\s*{value + 0:g}\s*m/s²") for name, value in zip("xyz", values, strict=True)]
        )

    def test_page_fits_a_desktop_and_a_phone(self, fast_server: Server, pages: Pages) -> None:
        page = pages.connect()
        start(pages, page, 20)
        for width, height in [(1280, 800), (390, 844)]:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_function(
                "(width) => document.querySelector('.uplot').clientWidth > 0.85 * width", arg=width
            )
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            box = page.get_by_role("figure", name="Live plot").bounding_box()
            assert box["height"] >= 0.4 * height
