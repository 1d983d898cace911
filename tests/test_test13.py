"""test13: a factory floor with Plotly."""

import asyncio
import contextlib
import json
import random
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect
from websockets.sync.client import ClientConnection

from common.demos.factory import MAX_JSON_LINE, MAX_SENDERS, Floor, FloorSensor, lines, parse_reading
from tests.benchmarks.plot import memory
from tests.conftest import Pages, Starter
from tests.promises import Console, NamedEvents, next_event, request, send_event
from tests.support import PORT, Server, Step, free_port, reset, wait_until

# How often Plotly is called to add points, and in how many frames.
COUNT_CALLS = """() => {
  window.calls = window.callFrames = 0;
  let inThisFrame = 0;
  const extendTraces = Plotly.extendTraces;
  Plotly.extendTraces = (...args) => {
    calls += 1;
    inThisFrame += 1;
    return extendTraces(...args);
  };
  (function frame() {
    if (inThisFrame > 0) callFrames += 1;
    inThisFrame = 0;
    requestAnimationFrame(frame);
  })();
}"""

# The labels that are seen at the axis: from where to where, and what they say.
LABELS = """() => {
  const all = [...document.querySelectorAll("#plot .xtick text")].map((e) => [e, e.getBoundingClientRect()]);
  const seen = all.filter(([e, { width }]) => width > 0 && getComputedStyle(e).visibility === "visible");
  return seen.map(([e, { left, right }]) => [left, right, e.textContent]);
}"""


class Feed:
    """A program that sends readings as JSON lines."""

    def __init__(self, port: int, buffer: int | None = None) -> None:
        self.port, self.socket = port, socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        self.answers = self.socket.makefile(encoding="utf-8")

    def send(self, *temperatures: float, sensor_id: str = "oven-01", timestamp: float | None = None) -> None:
        for temperature in temperatures:
            reading = {"sensor_id": sensor_id, "timestamp": timestamp or time.time()}
            self.raw(json.dumps(reading | {"temperature": temperature}).encode() + b"\n")

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def error(self) -> str:
        return json.loads(self.answers.readline())["error"]

    def close(self) -> None:
        self.answers.close()
        self.socket.close()


StartFeed = Callable[..., tuple[Server, Feed]]


@pytest.fixture
def start_feed(start_server: Starter) -> Iterator[StartFeed]:
    """Start the server without its simulated sensors, and a program that sends readings to it."""

    def start(*options: str, port: int | None = None) -> tuple[Server, Feed]:
        port = port or free_port()
        # A machine that is busy with other tests must not make a sensor silent.
        server = start_server("--listen-tcp", str(port), *(options or ["--silent-after", "60"]))
        server.wait_for(f"Programs send readings to port {port}, as JSON lines")
        return server, stack.enter_context(contextlib.closing(Feed(port)))

    with ExitStack() as stack:
        yield start


@pytest.fixture
def feed(start_feed: StartFeed) -> Feed:
    """A program that sends readings to the server, which has no other sensors."""
    return start_feed()[1]


def tile(page: Page, sensor_id: str) -> Any:
    return page.get_by_role("list", name="Sensors").get_by_role("button", name=sensor_id)


def connect_without_plot(pages: Pages) -> Page:
    """Open the page for a test of the rest of it: to load Plotly takes longer than all else."""
    page = pages.open("about:blank")
    page.route("**/plotly.min.js", lambda route: route.fulfill(body=""))
    page.goto(pages.step.url)
    expect(page.get_by_role("status")).to_contain_text("Connected to")
    return page


def points(page: Page) -> dict[str, list[float | None]]:
    """Return the values in the figure, by sensor."""
    return dict(page.evaluate("(plot.data ?? []).map((trace) => [trace.meta.sensor_id, [...trace.y]])"))


def latest_tick(page: Page) -> float:
    """Return the latest time that is written at the axis, in seconds of the day."""
    hours, minutes, seconds = map(float, page.locator("#plot .xtick text").last.text_content().split(":"))
    return hours * 3600 + minutes * 60 + seconds


def now_in(zone: float) -> float:
    """Return the time of day in a time zone, so many hours ahead of Greenwich, in seconds."""
    return (time.time() + zone * 3600) % 86400


def wait_drawn(page: Page, sensor_id: str, count: int) -> None:
    wait_until(lambda: len(points(page).get(sensor_id, [])) >= count, f"{count} points of {sensor_id}")


class TestStep13(Console, NamedEvents):
    step = "test13"

    def test_figure_once_and_then_only_points(self, server: Server, step: Step) -> None:
        with step.connect() as client:
            figure = next_event(client, "figure")
            assert {shape["y0"] for shape in figure["layout"]["shapes"]} == {80, 75}
            assert figure["layout"]["uirevision"]
            names = {event["sensor_id"] for event in next_event(client, "sensors")}
            for _ in range(2):
                readings = next_event(client, "readings")
                for reading in readings:
                    assert set(reading) == {"sensor_id", "timestamp", "temperature", "average"}
                    assert abs(reading["timestamp"] - time.time()) < 5
            assert {"press-01", "oven-03", "pump-05", "motor-04"} <= {one["sensor_id"] for one in readings}
            assert "motor-05" not in names
            # Whoever comes later gets the same readings, in the figure: none is missing, none comes twice.
            with step.connect() as late:
                figure = next_event(late, "figure")
                before = figure["data"][0]["x"]
                after = [r["timestamp"] for r in next_event(late, "readings") if r["sensor_id"] == "press-01"]
                assert len(before) > 1
                assert before == sorted(set(before))
                assert [round(t * 1000) > before[-1] for t in after] == [True] * len(after)

    def test_seed_and_rate(self, start_server: Starter, step: Step) -> None:
        temperatures, others = (
            [floor.read()[0]["temperature"] for _ in range(5)] for floor in (Floor(20, 7), Floor(20, 8))
        )
        assert temperatures != others
        start_server("--seed", "7", "--rate", "20")
        with step.connect() as client:
            figure = next_event(client, "figure")
            values = figure["data"][0]["y"] if figure["data"] else []
            while len(values) < 5:
                readings = next_event(client, "readings")
                values += [r["average"] for r in readings if r["sensor_id"] == "press-01"]
        assert values[:5] == [round(sum(temperatures[:n]) / n, 2) for n in range(1, 6)]

    def test_plot_and_tiles_of_the_simulated_floor(self, start_server: Starter, pages: Pages) -> None:
        start_server("--rate", "100")
        requests = []
        page = pages.open("about:blank")
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"http://localhost:{PORT}/")
        lines = page.get_by_role("figure", name="Live plot").locator(".scatterlayer .trace")
        expect(lines.nth(18)).to_be_attached()
        expect(tile(page, "oven-03")).to_have_text(re.compile(r"oven-03\s*\d+\.\d\s*°C\s*normal"))
        # Nothing comes from elsewhere, and nothing offers to go there.
        assert f"http://localhost:{PORT}/plotly.min.js" in requests
        assert all(url.startswith(f"http://localhost:{PORT}/") for url in requests)
        assert "Share" not in page.locator(".modebar").inner_html()
        script = request("GET", "/plotly.min.js")
        unchanged = request("GET", "/plotly.min.js", {"If-None-Match": script.headers["ETag"]})
        assert (len(script.body) > 1_000_000, unchanged.status) == (True, 304)
        # What has happened just before a page connects, it is told before it is told everything.
        news = {"sensor_id": "early", "state": "normal", "timestamp": time.time(), "temperature": 20}
        page.evaluate("(news) => socket.dispatch('sensors', { data: [news] })", news)
        expect(tile(page, "early")).to_have_count(0)
        # Plotly is called once a frame, for all lines.
        wait_drawn(page, "oven-03", 10)
        page.evaluate(COUNT_CALLS)
        page.wait_for_function("calls >= 8")
        assert page.evaluate("calls - callFrames") <= 1
        # Every line has its points, and the axis has the clock's time.
        assert {len(values) > 10 for values in points(page).values()} == {True}
        assert abs(page.evaluate("plot.data[0].x.at(-1)") / 1000 - time.time()) < 5

    # Sensors that come and go

    def test_new_sensor_gets_a_line_and_its_name_stays_text(self, feed: Feed, pages: Pages) -> None:
        page = pages.connect()
        expect(page.get_by_text("No sensor has sent")).to_have_count(0)
        feed.send(20, 21)
        wait_drawn(page, "oven-01", 2)
        names = ["<b>x</b>", '<a href="https://example.org">y</a>', "&lt;%{y}", "__proto__", "c" * 50]
        for number, name in enumerate(names):
            feed.send(30 + number, 30 + number, 30 + number, sensor_id=name)
            wait_drawn(page, name, 3)
            expect(page.get_by_role("list", name="Sensors").locator(".name").last).to_have_text(name)
        assert points(page)["oven-01"] == [20, 20.5]
        # What the pointer shows is text too.
        for index, name in enumerate(names, start=1):
            page.evaluate("(i) => Plotly.Fx.hover(plot, [{ curveNumber: i, pointNumber: 1 }])", index)
            expect(page.locator(".hoverlayer .hovertext").first).to_contain_text(name)
        assert page.locator(".hoverlayer a").count() == 0

    def test_silence_is_shown_and_a_gap_and_not_ended_by_late_readings(
        self, start_feed: StartFeed, pages: Pages, step: Step
    ) -> None:
        _, feed = start_feed("--silent-after", "0.5")
        page = pages.connect()
        with step.connect() as client:
            feed.send(20)
            expect(tile(page, "oven-01")).to_contain_text(re.compile(r"silent since \d\d:\d\d:\d\d"))
            expect(page.locator("#count")).to_have_text("1 readings")
            feed.send(30)
            wait_until(lambda: points(page).get("oven-01", [])[:3] == [20, None, 30], "a gap")
            states = []
            while len(states) < 3:
                states += [sensor["state"] for sensor in next_event(client, "sensors")]
            assert states[:3] == ["normal", "silent", "normal"]
        with step.connect() as late:
            assert next_event(late, "figure")["data"][0]["y"][:3] == [20, None, 30]
        now = time.time()
        feed.send(20, sensor_id="oven-02", timestamp=now)
        expect(tile(page, "oven-02")).to_contain_text("silent since")
        # Nor do they raise an alert.
        feed.send(*[90] * 20, sensor_id="oven-02", timestamp=now - 0.4)
        expect(page.locator("#late")).to_have_text("Late readings: 20")
        expect(page.locator("#count")).to_have_text("23 readings")
        wait_drawn(page, "oven-02", 21)
        assert self.alerts_now(step) == []
        expect(tile(page, "oven-02")).to_have_text(re.compile(r"20\.0\s*°C\s*silent since"))

    # Alerts

    def test_alert_has_hysteresis(self, feed: Feed, step: Step) -> None:
        with step.connect() as client:
            # Ten readings are averaged, so ten decide.
            feed.send(*[79.9] * 10)
            feed.send(*[80.1] * 10, timestamp=time.time())
            (alert,) = self.alerts(client, 1)
            assert (alert["sensor_id"], alert["raised"]) == ("oven-01", pytest.approx(time.time(), abs=10))
            for around in ([79] * 10, [75.1] * 10, [81] * 10):
                feed.send(*around)  # neither cleared nor raised anew
            feed.send(*[74.9] * 10)
            (alert,) = self.alerts(client, 1)
            assert alert["cleared"] > alert["raised"]
            feed.send(*[79.9] * 10)
            feed.send(*[80.1] * 10)
            assert len(self.alerts(client, 2)) == 2

    def alerts(self, client: ClientConnection, count: int) -> list[dict]:
        """Return the next list of alerts that is not empty."""
        while not (alerts := next_event(client, "alerts")):
            pass
        assert len(alerts) == count
        return alerts

    def test_alert_on_every_page_and_acknowledged_for_all(self, feed: Feed, pages: Pages) -> None:
        first, second = connect_without_plot(pages), connect_without_plot(pages)
        feed.send(*[85] * 10)
        feed.send(*[85] * 10, sensor_id="oven-02")
        for page in (first, second):
            items = page.get_by_role("list", name="Alerts").get_by_role("listitem")
            expect(items).to_have_count(2)
            expect(items.last).to_contain_text(re.compile(r"oven-01 raised \d\d:\d\d:\d\d, still too hot"))
            expect(tile(page, "oven-01")).to_contain_text("too hot")
            expect(page.get_by_role("alert")).to_have_text("Too hot: oven-01, oven-02")
        # With the keyboard, which goes on with the next one.
        first.get_by_role("button", name="Acknowledge oven-01").press("Enter")
        expect(first.get_by_role("button", name="Acknowledge oven-02")).to_be_focused()
        for page in (first, second, connect_without_plot(pages)):
            expect(page.get_by_role("button", name="Acknowledge oven-01")).to_have_count(0)
            items = page.get_by_role("list", name="Alerts").get_by_role("listitem")
            expect(items.last).to_contain_text(re.compile(r"still too hot, acknowledged \d\d:\d\d:\d\d"))
            expect(page.get_by_role("alert")).to_have_text("Too hot: oven-02")
        feed.send(*[60] * 10)
        feed.send(*[60] * 10, sensor_id="oven-02")
        expect(items.last).to_contain_text(re.compile(r"cleared \d\d:\d\d:\d\d, acknowledged"))
        expect(second.locator("#alert")).to_be_empty()

    def test_unknown_alerts_and_a_bounded_list(self, feed: Feed, step: Step) -> None:
        with step.connect() as client:
            for number in (1, "\x1b", None, [[]], {"a": 1}):
                send_event(client, "acknowledge", number)
                assert next_event(client, "error").startswith("there is no alert ")
            feed.send(*[85] * 10, sensor_id="stays")
            for _ in range(120):
                feed.send(*[85] * 10, *[60] * 10)
            feed.send(20, sensor_id="last")
            while "last" not in {one["sensor_id"] for one in next_event(client, "sensors")}:
                pass
            # True equals 1, which is the number of an alert.
            send_event(client, "acknowledge", True)
            assert next_event(client, "error") == "there is no alert True"
        with step.connect() as client:
            alerts = next_event(client, "alerts")
        assert len(alerts) == 100
        assert (alerts[0]["sensor_id"], alerts[-1]["number"]) == ("stays", 121)

    # Readings that come late

    def test_late_readings_change_the_line_and_not_what_is_now(
        self, feed: Feed, pages: Pages, step: Step
    ) -> None:
        page = pages.connect()
        now = time.time()
        for i in range(10):
            feed.send(85, timestamp=now - 10 + i)
        expect(page.get_by_role("alert")).to_have_text("Too hot: oven-01")
        wait_drawn(page, "oven-01", 10)
        # A backlog, the newest first; it begins an hour ago, and ends where the others begin.
        backlog = [now - 3600 + i for i in range(20)] + [now - 50 + i for i in range(40)]
        for timestamp in reversed(backlog):
            feed.send(20, timestamp=timestamp)
        expect(page.locator("#late")).to_have_text("Late readings: 60")
        expect(page.locator("#count")).to_have_text("70 readings")
        # By their times: the hour has a gap behind it, and the average goes from the one to the other.
        steps = [round((20 * (9 - i) + 85 * (i + 1)) / 10, 2) for i in range(10)]
        expected = [20] * 20 + [None] + [20] * 40 + steps
        wait_until(lambda: points(page).get("oven-01") == expected, "the line by its times")
        assert page.evaluate("plot.data[0].x.every((x, i, all) => i === 0 || x >= all[i - 1])")
        assert abs(page.evaluate("plot.data[0].x.at(-1)") / 1000 - now) < 2
        for shown in (page, pages.connect()):
            expect(tile(shown, "oven-01")).to_have_text(re.compile(r"85\.0\s*°C\s*too hot"))
            expect(shown.get_by_role("alert")).to_have_text("Too hot: oven-01")
            expect(shown.locator("#late")).to_have_text("Late readings: 60")
            wait_until(lambda shown=shown: points(shown).get("oven-01") == expected, "the same line")
        # What comes now goes on where the sensor has been: ten readings of 60 clear the alert, not one.
        for i in range(10):
            feed.send(60, timestamp=now + i / 100)
            feed.send(20, timestamp=now - 0.5 + i / 100)
        expect(page.locator("#alert")).to_be_empty()
        expect(page.locator("#late")).to_have_text("Late readings: 70")
        (cleared,) = (alert["cleared"] for alert in self.alerts_now(step))
        assert now <= cleared <= now + 1
        wait_until(lambda: len(points(page)["oven-01"]) == 91, "all points")
        assert page.evaluate("plot.data[0].x.every((x, i, all) => i === 0 || x >= all[i - 1])")

    @staticmethod
    def alerts_now(step: Step) -> list[dict]:
        with step.connect() as client:
            return next_event(client, "alerts")

    def test_what_is_late_and_what_is_too_late_are_counted(self, feed: Feed, pages: Pages) -> None:
        page = pages.connect()
        # A clock that was ahead makes nothing late.
        for ahead, temperature in [(50, 20), (5, 20), (0, 40), (0, 40)]:
            feed.send(temperature, sensor_id="oven-02", timestamp=time.time() + ahead)
        expect(tile(page, "oven-02")).to_contain_text("40.0")
        wait_until(lambda: points(page).get("oven-02") == [20, 20, 26.67, 30], "all in the line")
        assert page.evaluate("plot.data[0].x.at(-1)") / 1000 <= time.time()
        expect(page.locator("#late")).to_be_empty()
        now = time.time()
        for i in range(700):
            feed.send(20, timestamp=now - 70 + i / 10)
        wait_drawn(page, "oven-01", 600)
        feed.send(30, 30, timestamp=now - 100)
        feed.send(30, timestamp=now - 10.05)
        expect(page.locator("#late")).to_have_text("Late readings: 3, of which 2 too late for the plot")
        wait_until(lambda: points(page)["oven-01"].count(21) == 10, "the third is in the line")
        assert len(points(page)["oven-01"]) == 600

    # What a visitor has set

    def test_axis_without_a_line(self, start_feed: StartFeed, pages: Pages) -> None:
        pages.errors_are_expected = True
        server, feed = start_feed()
        page = pages.connect(viewport={"width": 390, "height": 844})
        expect(page.get_by_role("figure")).to_be_visible()
        assert not page.evaluate("Boolean(plot.layout)")
        feed.send(20)
        wait_drawn(page, "oven-01", 1)
        self.check_ticks(page)
        page.get_by_role("button", name="Hide all lines").click()
        expect(page.locator(".scatterlayer .trace")).to_have_count(0)
        self.check_ticks(page, minutes=5)
        for span in (0.05, 0.5, 2, 100, 3600, 86400, 5 * 86400):
            end = 1000 * time.time()
            zoomed = {"xaxis.range[0]": end - span * 1000, "xaxis.range[1]": end}
            page.evaluate("(zoomed) => Plotly.relayout(plot, zoomed)", zoomed)
            self.check_ticks(page, count=1)
        page.evaluate("Plotly.relayout(plot, { 'xaxis.autorange': true })")
        self.check_ticks(page, minutes=5)
        server.stop()
        _, again = start_feed(port=feed.port)
        expect(page.locator("#legend").get_by_role("button")).to_have_count(0)
        self.check_ticks(page, minutes=5)
        page.get_by_role("button", name="lines").click()
        self.check_ticks(page, minutes=5)
        again.send(50, 51, sensor_id="oven-02")
        wait_until(lambda: points(page) == {"oven-02": [50, 50.5]}, "the new readings")
        expect(page.locator(".scatterlayer .trace")).to_have_count(1)
        self.check_ticks(page)

    @staticmethod
    def check_ticks(page: Page, *, count: int = 2, minutes: float | None = None) -> None:
        """See that the labels at the axis are of now, differ, and do not touch."""
        wait_until(lambda: page.evaluate("plot._fullLayout.xaxis.range[1]")[:4] != "2001", "an axis of now")
        begin, end = page.evaluate("plot._fullLayout.xaxis.range.map((t) => new Date(t) / 1000)")
        assert abs(end - time.time()) < 60
        if minutes is not None:
            assert end - begin == pytest.approx(60 * minutes, rel=0.1)
        # They are drawn a moment after the range has changed.
        labels = wait_until(lambda: len(seen := page.evaluate(LABELS)) >= count and seen, f"{count} labels")
        assert len({text for _, _, text in labels}) == len(labels), labels
        assert all(after[0] - before[1] > 8 for before, after in pairwise(sorted(labels))), labels

    def test_zoom_and_hidden_lines_survive(self, start_feed: StartFeed, pages: Pages) -> None:
        pages.errors_are_expected = True
        server, feed = start_feed()
        page = pages.connect(viewport={"width": 900, "height": 700})
        now = time.time()
        for i in range(20):
            for name in ("oven-01", "oven-02"):
                feed.send(40 + i, sensor_id=name, timestamp=now - 20 + i)
        wait_drawn(page, "oven-02", 20)
        following = self.x_range(page)
        box = page.locator("#plot .nsewdrag").first.bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 250, box["y"] + 150, steps=4)
        page.mouse.up()
        wait_until(lambda: self.x_range(page) != following, "zoomed")
        zoomed = self.x_range(page)
        tile(page, "oven-02").click()
        expect(tile(page, "oven-02")).to_have_attribute("aria-pressed", "false")

        def is_as_before() -> bool:
            expect(page.locator(".scatterlayer .trace")).to_have_count(1)
            return self.x_range(page) == zoomed

        assert is_as_before()
        feed.send(70, 70, sensor_id="oven-02")
        feed.send(70, 70)
        wait_drawn(page, "oven-01", 22)
        assert is_as_before()
        server.stop()
        expect(page.get_by_role("status")).to_contain_text("Disconnected")
        _, again = start_feed(port=feed.port)
        expect(page.get_by_role("status")).to_contain_text("Connected")
        for name in ("oven-01", "oven-02"):
            again.send(50, 51, sensor_id=name)
        wait_until(lambda: points(page) == {"oven-01": [50, 50.5], "oven-02": [50, 50.5]}, "the new readings")
        assert is_as_before()
        # A new page, and this one after a double click, show everything again.
        page.get_by_role("button", name="Show all lines").click()
        expect(page.locator(".scatterlayer .trace")).to_have_count(2)
        page.mouse.dblclick(box["x"] + 100, box["y"] + 100)
        wait_until(lambda: self.x_range(page) != zoomed, "following again")

    def x_range(self, page: Page) -> list:
        return page.evaluate("[...plot._fullLayout.xaxis.range, ...plot._fullLayout.yaxis.range]")

    def test_clock_and_colours_of_the_visitor_on_a_phone(self, feed: Feed, pages: Pages) -> None:
        page = pages.connect(viewport={"width": 360, "height": 740}, has_touch=True, timezone_id="Asia/Tokyo")
        feed.send(20, 20, timestamp=time.time() - 5000)
        for name in ("W" * 50, "oven-02"):
            feed.send(*[85] * 10, sensor_id=name)
        expect(page.get_by_role("list", name="Alerts").get_by_role("listitem")).to_have_count(2)
        wait_drawn(page, "oven-02", 10)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        seconds = "plot._fullLayout.xaxis.range.map((t) => new Date(t) / 1000)"
        wait_until(lambda: abs((r := page.evaluate(seconds))[1] - r[0] - 300) < 20, "five minutes")
        late = (now_in(9) - latest_tick(page)) % 86400
        assert late < 300 or late > 86400 - 60, "the latest time at the axis is not that of Tokyo"
        colour = "getComputedStyle(document.querySelector('.xtick text')).fill"
        for scheme, ink in (("dark", "rgb(232, 237, 242)"), ("light", "rgb(23, 32, 42)")):
            page.emulate_media(color_scheme=scheme)
            wait_until(lambda ink=ink: page.evaluate(colour) == ink, f"{scheme} colours")

    # Readings from other programs

    def test_bad_lines_are_answered_and_counted(self, start_feed: StartFeed, pages: Pages) -> None:
        server, feed = start_feed()
        page = pages.connect()
        now = time.time()
        good = {"sensor_id": "oven-01", "timestamp": now, "temperature": 20}
        cases = [
            (b"rubbish", "b'rubbish' is not a reading; try {"),
            (b"\xff\xfe\x00", "is not a reading"),
            (b"[" * 900, "is not a reading"),
            (b"GET / HTTP/1.1", "is not a reading"),
            (b"x" * 100_000, f"the line is too long; the limit is {MAX_JSON_LINE} bytes"),
        ]
        for change, says in [
            ({"temperature": None}, "the temperature None is not a number"),
            ({"temperature": "20"}, "the temperature '20' is not a number"),
            ({"temperature": True}, "the temperature True is not a number"),
            ({"temperature": float("nan")}, "the temperature nan is not a number"),
            ({"temperature": 1e300}, "is not a number from -273.15 to 10000"),
            ({"sensor_id": ""}, "the sensor_id '' is not text of 1 to 50 printable characters"),
            ({"sensor_id": 7}, "the sensor_id 7 is not text"),
            ({"sensor_id": "x" * 51}, "is not text of 1 to 50"),
            ({"sensor_id": "\x1b[31mx"}, r"the sensor_id '\x1b[31mx' is not text"),
            ({"timestamp": now * 1000}, f"has to be in seconds, not milliseconds: {now:.1f}"),
            ({"timestamp": int(now * 1e6)}, f"has to be in seconds, not microseconds: {now:.1f}"),
            ({"timestamp": int(now * 1e9)}, f"has to be in seconds, not nanoseconds: {now:.1f}"),
            ({"timestamp": 10**800}, "is ahead of this server's clock"),
            ({"timestamp": float("inf")}, "is ahead of this server's clock"),
            ({"timestamp": "2026-01-21T00:00:00Z"}, "is not Unix time in seconds, such as 1768953600.0"),
            ({"timestamp": "2026-01-21T01:00+01:00"}, "is not Unix time in seconds, such as 1768953600.0"),
            ({"timestamp": "2026-01-21 00:00:00"}, f"is not Unix time in seconds, such as {now:.0f}"[:-2]),
            ({"timestamp": "1768953600"}, "is not Unix time in seconds, such as 1768953600.0"),
            ({"timestamp": True}, "the timestamp True is not Unix time in seconds"),
            ({"timestamp": 12.5}, "the timestamp 12.5 is not Unix time in seconds"),
            ({"timestamp": now + 3600}, "is ahead of this server's clock"),
        ]:
            cases.append((json.dumps(good | change).encode(), says))
        del good["temperature"]
        cases.append((json.dumps(good).encode(), "is not a reading"))
        for line, says in cases:
            feed.raw(line + b"\n")
            error = feed.error()
            assert says in error
            assert len(error) < 250
        expect(page.get_by_text(f"Bad lines refused: {len(cases)}")).to_be_visible()
        assert points(page) == {}
        # A late page is told too, and the next good line works.
        feed.send(20, 22)
        expect(tile(page, "oven-01")).to_contain_text("22.0")
        late = connect_without_plot(pages)
        expect(late.get_by_text(f"Bad lines refused: {len(cases)}")).to_be_visible()
        for number in range(1, 51):
            feed.send(20, sensor_id=f"more-{number}")
        assert feed.error() == "there are 50 sensors already, and 'more-50' would be one more"
        assert "\x1b" not in server.output

    def test_lines_as_other_programs_end_and_write_them(self, feed: Feed, pages: Pages, step: Step) -> None:
        page = connect_without_plot(pages)
        with step.connect() as client:
            heard: list[dict] = []

            def expect_reading(sensor_id: str, temperature: float) -> float:
                """Return the timestamp of the next reading, which is this one."""
                while not heard:
                    heard.extend(next_event(client, "readings"))
                reading = heard.pop(0)
                assert (reading["sensor_id"], reading["temperature"]) == (sensor_id, temperature)
                assert set(reading) == {"sensor_id", "timestamp", "temperature", "average"}
                return reading["timestamp"]

            ends = [b"\n", b"\r", b"\r\n", b"\n\r", b"\n\n", b"\r\r\n", b"\n \t\n"]
            for number, end in enumerate(ends):
                feed.raw(b'{"sensor_id": "a", "temperature": %d}' % number + end)
                # Without a timestamp it is of the time at which it arrives.
                assert abs(expect_reading("a", number) - time.time()) < 10
            feed.raw(b"".join(b'{"sensor_id": "a", "temperature": %d}%s' % (7, end) for end in ends))
            for _ in ends:
                expect_reading("a", 7)
            for name in (b"Ofen 1 \xb0", "Ofen 1 °".encode(), b"\xef\xbb\xbf"):
                bom = b"" if b"O" in name else name
                name = name if b"O" in name else b"bom"
                feed.raw(bom + b'{"sensor_id": "%s", "timestamp": null, "temperature": 8}\n' % name)
                expect_reading(name.decode("latin-1") if len(name) == 8 else name.decode(), 8)
            # A line whose end is that of the connection.
            other = Feed(feed.port)
            other.raw(b'{"sensor_id": "last", "temperature": 9, "more": 1}')
            other.close()
            expect_reading("last", 9)
        expect(page.locator("#count")).to_have_text(f"{2 * len(ends) + 4} readings")
        expect(page.locator("#refused")).to_be_empty()

    def test_stream_that_never_ends_a_line_is_told(self, feed: Feed, pages: Pages) -> None:
        page = connect_without_plot(pages)
        reading = b'{"sensor_id": "a", "temperature": 20}'
        feed.raw(reading * 111)
        assert "the line is too long; the limit is 1000 bytes, and it has to end with" in feed.error()
        expect(page.locator("#refused")).to_have_text("Bad lines refused: 1")
        # Nothing more is said of the same line; the next one is as good as any.
        feed.raw(reading * 1000 + b"\n" + reading + b"\n")
        expect(tile(page, "a")).to_contain_text("20.0")
        expect(page.locator("#refused")).to_have_text("Bad lines refused: 1")

    def test_senders_do_not_disturb_each_other(self, start_feed: StartFeed, step: Step) -> None:
        server, feed = start_feed()
        process = psutil.Process(server.process.pid)
        with step.connect() as client:
            feed.send(20)
            next_event(client, "trace")
            # One floods the server with bad lines and never reads an answer.
            flood = Feed(feed.port, buffer=4096)
            flood.raw(b"rubbish\n" * 15_000)
            before = process.memory_info().rss
            flood.raw(b"rubbish\n" * 25_000)
            # One vanishes in the middle of a line.
            vanished = Feed(feed.port)
            vanished.raw(b'{"sensor_id": "oven-01", "timest')
            vanished.answers.close()
            reset(vanished.socket)
            # And this one is heard all the same.
            feed.send(21, sensor_id="oven-02")
            while next_event(client, "trace")["meta"]["sensor_id"] != "oven-02":
                pass
            while (refused := next_event(client, "refused")) < 40_000:
                pass
            assert refused == 40_000
            assert process.memory_info().rss - before < 8 * 2**20
            server.wait_for("Bye, sender (127.0.0.1)")
        # The flood has not read anything when the server stops, which is then quiet: the fixture looks.
        server.stop()
        flood.close()

    def test_flood_of_the_longest_readings_is_sent_whole(self, start_feed: StartFeed, step: Step) -> None:
        server, feed = start_feed()
        # What JSON needs twelve characters for, and as many digits as there can be.
        names = ["\U0001f600" * 49 + end for end in "\U0001f601\U0001f602"]
        began = time.time() - 9
        readings = [
            {"sensor_id": name, "timestamp": began + i / 1e6, "temperature": -1.2345678901234567e-05}
            for i in range(2500)
            for name in names
        ]
        count = 0
        with step.connect() as client:
            feed.raw("".join(json.dumps(reading) + "\n" for reading in readings).encode())
            while count < len(readings):
                count += len(next_event(client, "readings"))
        assert "failed" not in server.output

    def test_more_senders_than_a_process_can_bear(self, feed: Feed, step: Step) -> None:
        with ExitStack() as stack:
            others = [stack.enter_context(contextlib.closing(Feed(feed.port))) for _ in range(MAX_SENDERS)]
            assert others[-1].error() == "there are 100 senders already"
            assert others[-1].answers.readline() == ""
            with step.connect() as client:
                others[-2].send(20)
                next_event(client, "readings")

        def is_heard() -> bool:
            with contextlib.closing(Feed(feed.port)) as another:
                another.raw(b"rubbish\n")
                return "is not a reading" in another.error()

        wait_until(is_heard, "there is room again")

    def test_ports_that_cannot_be_had(self, step: Step) -> None:
        free = str(PORT + 1)
        with socket.create_server(("", 0)) as taken:
            port = str(taken.getsockname()[1])
            for options, says in [
                (["--listen-tcp", port], f"Cannot listen for readings on port {port}: "),
                (["--listen-tcp", str(PORT)], f"Readings need a port of their own: --listen-tcp {PORT + 1}"),
                (["--host", "192.0.2.1", "--listen-tcp", free], f"Cannot listen for readings on port {free}"),
                (["--host", "a..b", "--listen-tcp", free], f"Cannot listen for readings on port {free}"),
            ]:
                server = Server(step.folder, *options)
                assert server.wait_ended() == 1
                assert len(server.lines) == 1
                assert server.output.startswith(says)
        for options in (["--silent-after", "0"], ["--silent-after", "nan"], ["--listen-tcp", "x"]):
            server = Server(step.folder, *options)
            assert server.wait_ended() == 2

    # Much

    def test_a_quarter_of_an_hour_of_readings(self, feed: Feed, pages: Pages, step: Step) -> None:
        page = pages.connect()
        page.wait_for_function("window.Plotly")
        began = time.time() - 900
        names = [f"sensor-{number:02}" for number in range(20)]

        def send(first: int, last: int) -> None:
            """Send the readings of half a second each, and wait until the page shows the last of them."""
            feed.raw(
                b"".join(
                    b'{"sensor_id": "%s", "timestamp": %.1f, "temperature": %.2f}\n'
                    % (name.encode(), began + i / 2, 40 + number + i % 200 / 5)
                    for i in range(first, last)
                    for number, name in enumerate(names)
                )
            )
            while next_event(client, "readings", 30)[-1]["timestamp"] != round(began + (last - 1) / 2, 1):
                pass
            told = time.monotonic()
            values = [f"{40 + number + (last - 1) % 200 / 5:.1f}" for number in range(20)]
            shown = "[...document.querySelectorAll('#legend .value')].map((value) => value.textContent)"
            page.wait_for_function(f"(values) => String({shown}) === values", arg=",".join(values))
            expect(page.locator("#count")).to_have_text(f"{last * 20} readings")
            took.append(time.monotonic() - told)

        took: list[float] = []
        with step.connect() as client:
            for first in range(0, 1800, 450):
                send(first, first + 450)
                if first == 450:
                    before = memory(page)
        growth = memory(page) - before
        # A busy machine may hold the page up now and then; one that draws for each reading is late each time.
        assert min(took) < 2, took
        assert growth < 1.5 * 2**20
        counts = page.evaluate("plot.data.map((trace) => [trace.x.length, trace.y.length])")
        assert counts == [[600, 600]] * 20
        last = page.evaluate("plot.data.map((trace) => trace.x.at(-1))")
        assert all(abs(ms / 1000 - began - 899.5) < 0.1 for ms in last)
        assert page.locator("#alerts li").count() <= 100


class TestFactory:
    def test_line_does_not_depend_on_the_order(self) -> None:
        chance = random.Random(4)
        readings = [
            (1e9 + i + 30 * (i > 40) + 500 * (i > 60), float(chance.randint(0, 90))) for i in range(80)
        ]

        def curve(readings: list[tuple[float, float]]) -> tuple:
            sensor = FloorSensor("a", 0, average_of=10, max_points=70, silent_after=5)
            for timestamp, temperature in readings:
                if sensor.is_late(timestamp):
                    sensor.add_late(timestamp, temperature)
                else:
                    sensor.add(timestamp, temperature)
            return sensor.curve()

        times, averages = curve(readings)
        assert times == sorted(times)
        assert len(times) == 70
        assert averages.count(None) == 2
        for begin in range(20):
            # The oldest are not kept; all others come in any order.
            mixed = readings[begin:]
            chance.shuffle(mixed)
            assert curve(readings[:begin] + mixed)[0] == times
        assert [curve(readings[:12] + mixed[::-1]) for mixed in [readings[12:]]] == [(times, averages)]

    def test_when_a_line_has_to_be_drawn_anew(self) -> None:
        sensor = FloorSensor("a", 0, average_of=3, max_points=10, silent_after=5)
        sensor.add(1e9, 10)
        assert (sensor.add(1e9 + 2, 20), sensor.mended) == (15, False)
        # After a silence the average begins anew, and the line has a gap.
        assert (sensor.add(1e9 + 8, 40), sensor.mended) == (40, True)
        # One that is late is in the averages of the line, and not in that of what is now.
        sensor.add_late(1e9 + 7.5, 20)
        sensor.mended = False
        assert (sensor.add(1e9 + 8.5, 50), sensor.mended) == (45, True)

    async def test_stream_without_ends_is_told_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("common.demos.factory.MAX_WAIT", 0.05)
        reader = asyncio.StreamReader()
        stream = lines(reader)
        reader.feed_data(b"one\ntwo")
        assert await anext(stream) == b"one"
        with pytest.raises(ValueError, match=r"b'two' has no end after 0.05 s; a reading has to end with"):
            parse_reading(await anext(stream))
        reader.feed_data(b" and more")
        line = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.3)
        assert not line.done()
        # Its end comes after all, and then it counts, whole.
        reader.feed_data(b"\rthree\n\r")
        assert [await line, await anext(stream), await anext(stream)] == [b"two and more", b"three", b""]

    @pytest.mark.parametrize("seed", [None, 1, 3])
    def test_simulated_floor(self, seed: int | None) -> None:
        floor = Floor(rate=2, seed=seed)
        rounds = [{r["sensor_id"]: r["temperature"] for r in floor.read()} for _ in range(120)]
        assert len(rounds[0]) == 19
        assert len(rounds[60]) == 20
        # Within the first minute one is too hot, for long enough, and one falls silent.
        hot = [name for name in rounds[0] if sum(r.get(name, 0) > 80 for r in rounds) > 10]
        assert "oven-03" in hot
        assert any("pump-03" not in r for r in rounds)
        assert all(25 < temperature < 95 for r in rounds for temperature in r.values())
