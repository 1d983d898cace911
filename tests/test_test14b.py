"""test14b: the whole run at a glance, and earlier runs."""

import json
import re
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pandas
import pytest
from playwright.sync_api import Page, expect
from websockets.frames import Close
from websockets.sync.client import connect

from common.options import parse_speed
from tests.conftest import Pages, Starter
from tests.copies import Copy
from tests.page import DRAWN, ROWS, VIEW, count_of, wait_for_drawing, wait_for_readings
from tests.promises import Commands, Console, Programs, hear, request, say, start, stop
from tests.promises_of_logs import ServedFromTheLog, record
from tests.rows import LOGS, START_NS
from tests.rows import ROWS as ROWS_OF_OTHERS
from tests.support import PORT, Server, Step, close_of, rows_of, wait_until

# What is drawn of a run of another program, with null for what is no value.
DRAWN_OF_OTHERS = """(name) => {
  const [times, ...lines] = window.plots.at(-1).data;
  const rows = times.map((time, i) => [Math.round(time * 1e6), lines.map((line) => line[i] ?? null)]);
  const isReading = ([time]) => run.ring.times.subarray(0, run.ring.length).includes(time);
  return run.run === name && rows.filter(isReading);
}"""


def zoom_in_until(page: Page, condition: Callable[[], bool]) -> None:
    """Press the button until that is so; each press is drawn in the next animation frame."""

    def pressed() -> bool:
        if condition():
            return True
        page.get_by_role("button", name="Zoom in").click()
        wait_for_drawing(page)
        return False

    wait_until(pressed, "zoomed in far enough")


def expect_whole_run(page: Page, rows: list[list[float]]) -> None:
    view = page.evaluate(VIEW)
    assert view["from"] <= rows[0][0] < rows[-1][0] == view["to"]


class TestStep14b(Console, Commands, Programs, ServedFromTheLog):
    step = "test14b"

    # The protocol.

    def test_views_that_make_no_sense(self, server: Server, step: Step) -> None:
        with step.connect("data") as data:
            json.loads(data.recv(timeout=30))
            for message in ('{"view": 1}', '{"view": 1, "from": NaN, "to": 1, "columns": 2}'):
                data.send(message)
                assert hear(data, "error")["error"].startswith("ERROR: ")
            far = 10**30
            say(data, view=5, **{"from": -far, "to": far, "columns": far})
            assert hear(data, "view")["lines"] == ""
            say(data, ping=[1])
            assert hear(data, "pong")["pong"] == [1]

    def test_unknown_run_is_refused_with_a_reason(self, server: Server) -> None:
        for name in ("nothing", "../../test14b/server"):
            with connect(f"ws://localhost:{PORT}/data?run={name}", proxy=None) as client:
                assert close_of(client) == Close(1008, f"there is no run '{name}'")
        # A close frame has room for 123 bytes.
        for name in ("n" * 1000, "測" * 500, "\x1b[31m\u202e" * 10, "\U000e0001" * 40, "\x00", "ü" * 41):
            url = f"ws://localhost:{PORT}/data?run={quote(name)}"
            with connect(url, proxy=None) as client:
                closed = close_of(client)
                assert closed.code == 1008
                assert closed.reason.startswith("there is no run '")
                assert closed.reason.isprintable()

    # What the page shows.

    def test_pause_stops_the_picture_and_not_the_data(self, start_server: Starter, pages: Pages) -> None:
        start_server("--rate", "200")
        page = pages.connect()
        start(pages, page, 100)
        buttons = {name: page.get_by_role("button", name=name, exact=True) for name in ("Pause", "Follow")}
        expect(buttons["Follow"]).to_be_disabled()
        buttons["Pause"].press("Enter")
        expect(buttons["Follow"]).to_be_focused()
        expect(buttons["Pause"]).to_be_disabled()
        wait_for_drawing(page)
        before = page.evaluate(VIEW)
        drawn = page.evaluate(DRAWN)
        wait_for_readings(page, 200)
        assert page.evaluate(VIEW) == before
        # The line may go on to the first reading outside of the view.
        assert page.evaluate(DRAWN)[: len(drawn)] == drawn
        assert len(page.evaluate(DRAWN)) <= len(drawn) + 1
        buttons["Follow"].press("Enter")
        expect(buttons["Pause"]).to_be_focused()
        page.wait_for_function("(to) => plot.view().to > to + 1e6", arg=before["to"])
        stop(pages, page)

    def test_view_survives_streaming(self, start_server: Starter, pages: Pages) -> None:
        start_server("--rate", "200")
        page = pages.connect(has_touch=True)
        start(pages, page, 400)
        figure = page.get_by_role("figure", name="Live plot")
        box = figure.bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

        def span() -> float:
            view = page.evaluate(VIEW)
            return view["to"] - view["from"]

        def same_view_after_more_readings() -> None:
            view = page.evaluate(VIEW)
            wait_for_readings(page, 50)
            assert page.evaluate(VIEW) == view

        def following() -> bool:
            return page.get_by_role("button", name="Pause", exact=True).is_enabled()

        # Zooming in keeps following: the right edge stays now, and the view has its length.
        page.mouse.move(*middle)
        page.mouse.wheel(0, -600)
        wait_until(lambda: span() < 9e6, "the wheel zooms")
        length = span()
        wait_for_readings(page, 50)
        assert span() == pytest.approx(length)
        assert following()
        # Dragging to the right shows what was before, and stays there.
        page.mouse.down()
        page.mouse.move(middle[0] + 100, middle[1], steps=4)
        page.mouse.up()
        wait_until(lambda: not following(), "dragging stops following")
        assert span() == pytest.approx(length)
        same_view_after_more_readings()
        # The keyboard.
        figure.press("+")
        wait_until(lambda: span() == pytest.approx(length / 2), "the key + zooms")
        before = page.evaluate(VIEW)["to"]
        figure.press("ArrowLeft")
        wait_until(lambda: page.evaluate(VIEW)["to"] < before, "an arrow moves the view")
        same_view_after_more_readings()
        figure.press("-")
        wait_until(lambda: span() == pytest.approx(length), "the key - zooms out")
        figure.press("End")
        wait_until(following, "End follows")
        # Touch: one finger moves, two stretch.
        session = page.context.new_cdp_session(page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

        (x, y) = middle
        touch("touchStart", (x, y))
        for offset in (20, 40, 80):
            touch("touchMove", (x + offset, y))
        touch("touchEnd")
        wait_until(lambda: not following(), "a finger moves the view")
        length = span()
        touch("touchStart", (x - 30, y), (x + 30, y))
        for offset in (45, 60, 90):
            touch("touchMove", (x - offset, y), (x + offset, y))
        touch("touchEnd")
        wait_until(lambda: span() < length / 2, "two fingers stretch the view")
        same_view_after_more_readings()
        # And the buttons, for whoever has only one finger or none.
        length = span()
        page.get_by_role("button", name="Zoom out").click()
        wait_until(lambda: span() == pytest.approx(2 * length), "the button zooms out")
        page.get_by_role("button", name="Zoom in").click()
        wait_until(lambda: span() == pytest.approx(length), "the button zooms in")
        page.get_by_role("button", name="Whole run").click()
        wait_until(lambda: following() and span() >= 9e6, "the whole run")

    def test_strip_says_how_much_and_how_old(self, start_server: Starter, pages: Pages) -> None:
        start_server("--rate", "200")
        page = pages.connect()
        start(pages, page, 100)

        def ages() -> list[int] | None:
            # All at once: they are set four times a second.
            names = ["age", "age-server", "age-page", "age-paint"]
            texts = page.evaluate("(names) => names.map((name) => find(name).textContent)", names)
            return (
                [int(text.removesuffix(" ms")) for text in texts]
                if all("ms" in text for text in texts) and texts[0] != "0 ms"
                else None
            )

        total, *parts = wait_until(ages, "the ages")
        assert 0 < total < 5000
        assert sum(parts) == pytest.approx(total, abs=60)
        assert all(part <= total + 60 for part in parts)
        stop(pages, page)
        names = ("acquired", "logged", "count")
        numbers = [page.locator(f"#{name}").inner_text().split()[0].replace(",", "") for name in names]
        assert len(set(numbers)) == 1
        # A reading that stays on the screen gets older.
        page.wait_for_function("() => parseFloat(document.getElementById('age').textContent) > 1500")

    # Extremes.

    def test_extremes_where_there_are_too_many_readings(self, start_server: Starter, pages: Pages) -> None:
        server = start_server("--rate", "5000")
        page = pages.connect()
        resolution = page.locator("#resolution")
        expect(resolution).to_have_text("Every reading is shown.")
        start(pages, page, 8000)
        stop(pages, page)
        expect(resolution).to_have_text(
            re.compile(r"Extremes: the minimum and maximum of every 0\.\d+ s \(\d+ readings\)\.")
        )
        # Closer by, every reading is there again.
        zoom_in_until(page, lambda: resolution.inner_text() == "Every reading is shown.")
        rows = rows_of(server.log)
        view = page.evaluate(VIEW)
        inside = [row for row in rows if view["from"] <= row[0] <= view["to"]]
        drawn = page.evaluate(DRAWN)
        assert [row for row in drawn if view["from"] <= row[0] <= view["to"]] == inside

    # Export, earlier runs, replay.

    def test_download_and_earlier_runs(
        self, start_server: Starter, step: Step, pages: Pages, tmp_path: Path
    ) -> None:
        earlier = record(start_server, step, 2000)
        server = start_server("--rate", "500", "--sensor", "cpu")
        page = pages.connect()
        start(pages, page, 500)
        stop(pages, page)
        expect_whole_run(page, rows_of(server.log))

        def downloaded(name: str) -> tuple[str, str]:
            with page.expect_download() as download:
                page.get_by_role("link", name=name).click()
            download.value.save_as(tmp_path / "log.csv")
            return download.value.suggested_filename, (tmp_path / "log.csv").read_text(encoding="utf-8-sig")

        name, text = downloaded("Download this run")
        assert name == server.log.name
        saved = server.log.read_text(encoding="utf-8")
        assert text.splitlines()[0] == "seq,time_ns,processor (%),memory (%)"
        assert text.splitlines()[1:] == saved.splitlines()[1:]
        table = pandas.read_csv(tmp_path / "log.csv")
        assert list(table.columns) == ["seq", "time_ns", "processor (%)", "memory (%)"]
        assert list(table["seq"]) == list(range(1, len(table) + 1))
        assert table["time_ns"].dtype == "int64"
        # What is in view.
        seconds = "() => (plot.view().to - plot.view().from) / 1e6"
        zoom_in_until(page, lambda: page.evaluate(seconds) < 0.7)
        name, text = downloaded("Download what is in view")
        view = page.evaluate(VIEW)
        inside = [
            line
            for line in saved.splitlines()[1:]
            if view["from"] <= int(line.split(",")[1]) // 1000 <= view["to"]
        ]
        assert 0 < len(inside) < len(table)
        assert text.splitlines()[1:] == inside
        assert name == f"{server.log.stem}-part.csv"
        # The run before: another sensor, and everything of it.
        page.get_by_label("Run").select_option(earlier.stem)
        rows = rows_of(earlier)
        expect(page.locator("#count")).to_have_text(f"{len(rows)} readings")
        assert page.evaluate(ROWS) == rows
        assert page.evaluate("() => run.live") is False
        expect_whole_run(page, rows)
        expect(page.get_by_role("list", name="Legend").get_by_role("listitem")).to_have_text(
            [re.compile(f"^{f}") for f in "xyz"]
        )
        name, text = downloaded("Download this run")
        assert name == earlier.name
        assert text.splitlines()[1:] == earlier.read_text(encoding="utf-8").splitlines()[1:]
        # And back: this run goes on where it was.
        page.get_by_label("Run").select_option("This run")
        start(pages, page, 100)
        stop(pages, page)
        assert page.evaluate(ROWS) == rows_of(server.log)
        expect_whole_run(page, rows_of(server.log))
        runs = [run["run"] for run in json.loads(request("GET", "/runs").body)]
        assert runs.index(server.log.stem) < runs.index(earlier.stem), "the newest first"

    def test_replay(self, start_server: Starter, step: Step, pages: Pages) -> None:
        log = record(start_server, step, 2000, "--seed", "5")
        server = start_server("--replay", f"logs/{log.name}", "--speed", "2")
        page = pages.connect()
        expect(page.get_by_text(f"Replay of {log.stem}, 2 \u00d7 as fast")).to_be_visible()
        rows = rows_of(log)
        # The run itself is over, and can be had whole meanwhile.
        page.get_by_label("Run").select_option(log.stem)
        expect(page.locator("#count")).to_have_text(f"{len(rows)} readings")
        page.get_by_label("Run").select_option("This run")
        expect(page.locator("#count")).to_have_text("0 readings")
        began = time.monotonic()
        pages.command(page, "START")
        expect(page.locator("#count")).to_have_text(f"{len(rows)} readings")
        took = time.monotonic() - began
        recorded = (rows[-1][0] - rows[0][0]) / 1e6
        assert took > recorded / 2, "no faster than it was asked for"
        assert page.evaluate(ROWS) == rows
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
        pages.command(page, "START")
        expect(page.get_by_label("Response")).to_contain_text("ERROR: the recording is over")
        assert "Logging to" not in server.output

    def test_replay_of_a_file_that_somebody_overwrites(
        self, start_server: Starter, step: Step, pages: Pages, tmp_path: Path
    ) -> None:
        log = tmp_path / "run.csv"
        rows = [f"{i},{START_NS + i * 10**8},{i}\n" for i in range(1, 1001)]
        log.write_text("seq,time_ns,x\n" + "".join(rows))
        server = start_server("--replay", str(log))
        page = pages.connect()
        start(pages, page, 5)
        log.write_text("seq,time_ns,x\n" + "".join(rows).replace(",", ",9"))
        says = (
            "ERROR: run.csv cannot be read any more, because somebody has changed or deleted it; "
            "the replay ends here"
        )
        expect(page.get_by_role("alert")).to_have_text(says)
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
        server.wait_for(says)
        assert page.evaluate(ROWS) == [
            [(START_NS + i * 10**8) // 1000, i] for i in range(1, count_of(page) + 1)
        ]

    def test_odd_runs(self, start_server: Starter, pages: Pages, copied_folder: Path) -> None:
        logs = copied_folder / "logs"
        logs.mkdir()

        def write(name: str, fields: list[str], *rows: list[float]) -> None:
            lines = [f"{i},{i * 10**9},{','.join(map(str, row))}" for i, row in enumerate(rows, 1)]
            (logs / f"{name}.csv").write_text("\n".join([f"seq,time_ns,{','.join(fields)}", *lines, ""]))

        write("numbers as names", ["10", "b", "2", "__proto__"], [1, 2, 3, 4])
        write("long names", ["n" * 200, "<b>"], [1, 2], [1.7976931348623157e308, 3])
        write("large values", ["x", "y"], *([sign * 1e308, -sign * 1e308] for sign in (1, -1, 1)))
        (logs / "nothing.csv").write_text("seq,time_ns\rx\n")
        start_server(folder=copied_folder)
        page = pages.connect(viewport={"width": 390, "height": 844})
        legend = page.get_by_role("list", name="Legend").get_by_role("listitem")

        def choose(name: str, readings: int) -> None:
            page.get_by_label("Run").select_option(f"{name}, {readings} readings")
            expect(page.locator("#count")).to_have_text(f"{readings} readings")

        choose("numbers as names", 1)
        expect(legend).to_have_text(
            [re.compile(rf"^{text}\s*$") for text in ("101", "b2", "23", "__proto__4")]
        )
        assert page.evaluate("() => window.plots.at(-1).series.map(({ label }) => label).slice(1)") == [
            "10", "b", "2", "__proto__"
        ]  # fmt: skip
        choose("long names", 2)
        expect(legend).to_have_text([re.compile("^n{200}1.79"), re.compile("^<b>3")])
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        choose("large values", 3)
        page.wait_for_function("() => plots.at(-1).scales.y.max > 1e300")
        assert page.evaluate("() => Number.isFinite(plots.at(-1).valToPos(1e300, 'y'))")
        # One that is deleted while it is shown can still be chosen, until there is another.
        (logs / "large values.csv").unlink()
        page.evaluate("() => listRuns()")
        expect(page.get_by_label("Run").locator("option")).to_have_count(4)
        assert page.get_by_label("Run").input_value() == "large values"

    def test_run_of_another_program(self, start_server: Starter, pages: Pages, copied_folder: Path) -> None:
        logs = copied_folder / "logs"
        logs.mkdir()
        for how, data in LOGS.items():
            (logs / f"{how}.csv").write_bytes(data)
        start_server(folder=copied_folder)
        page = pages.connect()
        wanted = [[time_us, values] for _, time_us, values in ROWS_OF_OTHERS]
        for how in LOGS:
            page.get_by_label("Run").select_option(how)
            expect(page.locator("#count")).to_have_text("6 readings")
            wait_until(lambda how=how: page.evaluate(DRAWN_OF_OTHERS, how) == wanted, how)

    def test_run_that_cannot_be_read_is_refused_with_the_reason(
        self, start_server: Starter, pages: Pages, copied_folder: Path
    ) -> None:
        pages.errors_are_expected = True
        logs = copied_folder / "logs"
        logs.mkdir()
        (logs / "short.csv").write_text("seq,time_ns,x\n1,1000000000,1\n2,2000000000\n3,3000000000,3\n")
        (logs / "zero.csv").write_text("seq,time_ns,x\n0,1000000000,1\n1,2000000000,2\n")
        start_server(folder=copied_folder)
        page = pages.connect()
        for name, why in [
            ("short", "short.csv is not a log that can be read: "),
            ("zero", "zero.csv is not a log that can be read: its readings are counted from 0"),
        ]:
            page.get_by_label("Run").select_option(name)
            expect(page.locator("#notice")).to_contain_text(why)
            expect(page.get_by_role("status")).to_have_text("Connected to localhost")
            expect(page.locator("#notice")).to_contain_text(why)
            assert page.get_by_label("Run").input_value() == ""

    def test_run_of_many_fields(self, start_server: Starter, pages: Pages, tmp_path: Path) -> None:
        copy = Copy(self.step, tmp_path)
        # More than a page gets one by one, with a quarter of the readings that this takes in test14b itself.
        copy.replace("server.py", "NEWEST, COLUMNS = 100_000, 10_000,", "NEWEST, COLUMNS = 500, 100,")
        logs = copy.step.folder / "logs"
        logs.mkdir()
        fields, readings = 1024, 1000
        with (logs / "spectrometer.csv").open("w") as file:
            file.write(f"seq,time_ns,{','.join(f'p{i}' for i in range(fields))}\n")
            for seq in range(1, readings + 1):
                values = [seq % 10 + i / 1000 for i in range(fields)]
                file.write(f"{seq},{START_NS + seq * 10**7},{','.join(map(str, values))}\n")
        (logs / "spectrometer.json").write_text('{"rate": 100}')
        start_server(folder=copy.step.folder)
        page = pages.connect()
        page.get_by_label("Run").select_option("spectrometer")
        expect(page.locator("#count")).to_have_text(f"{readings} readings", timeout=60_000)
        expect(page.locator("#legend button")).to_have_count(fields)
        assert page.evaluate("() => run.ring.length") < readings, "there are extremes of the others"
        # Of all of them there are the extremes, as in the file, in columns that are few.
        page.wait_for_function("() => plots.at(-1).data[0].length > 10")
        times, first, *_, last = page.evaluate(
            "() => plots.at(-1).data.map((line) => line.map((y) => y ?? null))"
        )
        assert len(times) < 200
        assert (min(v for v in first if v is not None), max(v for v in first if v is not None)) == (0, 9)
        assert max(v for v in last if v is not None) == 9 + 1023 / 1000
        assert page.evaluate("() => (run.ring.capacity + run.overview.capacity) * run.fields.length") < 10e6
        # And each reading where the view is short enough.
        page.evaluate("() => plot.zoom(0.03)")
        expect(page.locator("#resolution")).to_have_text("Every reading is shown.")
        page.locator("#legend button").last.press("Enter")
        expect(page.locator("#legend button").last).to_have_attribute("aria-pressed", "false")

    def test_replay_of_what_is_no_log(self, step: Step, tmp_path: Path) -> None:
        (tmp_path / "other.csv").write_text("time,value\n1,2\n")
        (tmp_path / "empty.csv").write_text("seq,time_ns,x\n")
        for name, says in [
            ("other.csv", "other.csv is not a log: it does not begin with seq,time_ns,"),
            ("empty.csv", "empty.csv has no readings"),
            ("none.csv", "No such file or directory"),
        ]:
            server = Server(step.folder, "--replay", str(tmp_path / name))
            assert server.wait_ended() == 1
            assert says in server.output
            assert len(server.lines) == 1
        server = Server(step.folder, "--speed", "0")
        assert server.wait_ended() == 2
        assert "'0' is not a speed" in server.output
        for text in ("-1", "nan", "inf", "x", "1e7"):
            with pytest.raises(ArgumentTypeError, match="is not a speed"):
                parse_speed(text)
