"""What can go wrong in test13."""

import re

import psutil
from playwright.sync_api import expect

from tests.conftest import Pages, shown
from tests.copies import Copy
from tests.promises import next_event
from tests.readme import OF_STEP, Trouble, fences
from tests.support import PORT, Server
from tests.test_test13 import COUNT_CALLS, latest_tick, now_in, tile, wait_drawn
from tests.troubleshooting import trouble

# The sensor that the reader makes in "What to do", and the port that it sends to.
(SENSOR,) = [block for block in fences(OF_STEP["test13"], "text") if "import json" in block]
FEED = str(PORT + 1)


def run_sensor(copy: Copy, *changes: tuple[str, str]) -> Server:
    """Run the reader's sensor with these changes."""
    code = SENSOR
    for old, new in changes:
        assert code.count(old) == 1, f"README, section test13: the sensor has no {old!r} any more"
        code = code.replace(old, new)
    copy.write("sensor.py", code)
    return copy.run(command="sensor.py")


# As the README says, to read the answer; and once is enough.
PRINT_ANSWER = ("time.sleep(0.5)", "print(server.recv(1000).decode())\n        break")


def answer_to(copy: Copy, timestamp: str) -> str:
    """Return what the server answers to a reading with such a timestamp."""
    copy.start("--listen-tcp", FEED)
    feed = run_sensor(copy, ("time.time()", timestamp), PRINT_ANSWER)
    feed.wait_for("error")
    return feed.output


class TestTroubles:
    step = "test13"

    @trouble("`This step needs plotly.")
    def test_no_plotly(self, copy: Copy, entry: Trouble) -> None:
        # Python runs a file of this name before everything else; then there is no such package.
        (copy.folder / "sitecustomize.py").write_text("import sys\nsys.modules['plotly'] = None\n")
        server = copy.run()
        assert server.wait_ended() == 1
        entry.seen_in(server.output)
        assert len(server.lines) == 1

    @trouble("`Bad lines refused: 1`")
    def test_bad_line(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.start("--listen-tcp", FEED)
        page = pages.connect()
        assert f"`{PRINT_ANSWER[1].splitlines()[0]}`" in entry.why
        feed = run_sensor(copy, ('"temperature"', '"temp"'), PRINT_ANSWER)
        feed.wait_for("error")
        entry.seen_in(shown(page.locator("#refused"), "refused"))

    @trouble('`{"error": "b\'{')
    def test_no_end_of_line(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("common/demos/factory.py", "MAX_WAIT = 5.0", "MAX_WAIT = 0.5")
        copy.start("--listen-tcp", FEED)
        feed = run_sensor(copy, (' + b"\\n"', ""), PRINT_ANSWER)
        entry.seen_in(feed.wait_for("error"), **{"17952": "…", "after 5 s": "after 0.5 s"})
        assert "`the line is too long`" in entry.why

    @trouble("`Late readings: 12`")
    def test_late(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.start("--listen-tcp", FEED, "--silent-after", "1")
        page = pages.connect()
        feed = run_sensor(copy, ("time.sleep(0.5)", "break"))
        assert feed.wait_ended() == 0
        expect(tile(page, "mine")).to_be_visible()
        # Its clock has been set back: all that it says from now on is late.
        feed = run_sensor(copy, ("time.time()", "time.time() - 3600"), ("0.5", "0.05"))
        page.wait_for_function("parseInt(document.getElementById('late').textContent.slice(15)) >= 12")
        entry.seen_in(page.locator("#late").inner_text(), **{"12": "…"})
        expect(tile(page, "mine")).to_contain_text("silent since")
        feed.kill()

    @trouble('`{"error": "the timestamp 1795242798123 has to be in seconds')
    def test_milliseconds(self, copy: Copy, entry: Trouble) -> None:
        answer = answer_to(copy, "time.time() * 1000")
        entry.seen_in(answer, **{"1795242798123": "…", "1795242798.1": "…"})

    @trouble('`{"error": "the timestamp 1795246398.1 is ahead')
    def test_local_time(self, copy: Copy, entry: Trouble) -> None:
        answer = answer_to(copy, "time.time() + 3600")
        entry.seen_in(answer, **{"1795246398.1": "…", "1795242798.1": "…"})

    @trouble("All sensors of a real feed are `silent since`")
    def test_seldom(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.start("--listen-tcp", FEED, "--silent-after", "0.1")
        page = pages.connect()
        with copy.step.connect() as client:
            feed = run_sensor(copy)
            states = []
            while len(states) < 4:
                states += [sensor["state"] for sensor in next_event(client, "sensors")]
            assert states[:4] == ["normal", "silent", "normal", "silent"]
        feed.kill()
        entry.seen_in(shown(tile(page, "mine"), "silent"))

    @trouble("All times in a plot of your own")
    def test_times_of_greenwich(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        as_text = "trace.x = trace.x.map((ms) => new Date(ms).toISOString());"
        copy.replace("client.html", "newest = Math.max(newest, trace.x.at(-1) ?? 0);", as_text)
        as_text = "points.x.push(new Date(timestamp * 1000).toISOString());"
        copy.replace("client.html", "points.x.push(timestamp * 1000);", as_text)
        copy.replace("client.html", "newest = Math.max(newest, points.x.at(-1));", "")
        copy.start("--rate", "20")
        page = pages.connect(timezone_id="Asia/Tokyo")
        wait_drawn(page, "oven-03", 5)
        late = (now_in(0) - latest_tick(page)) % 86400
        assert late < 300 or late > 86400 - 60, "the latest time at the axis is that of Greenwich"

    @trouble("A plot of your own gets slower and slower")
    def test_no_limit_and_drawn_for_each_reading(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", "MAX_POINTS, WINDOW = 600,", "MAX_POINTS, WINDOW = 5,")
        copy.replace(
            "client.html",
            "Plotly.extendTraces(plot, update, indexes([...added.keys()]), layout.meta.max_points);",
            "indexes([...added.keys()]).forEach((trace, i) => {\n"
            "  Plotly.extendTraces(plot, { x: [update.x[i]], y: [update.y[i]] }, [trace]);\n"
            "});",
        )
        copy.start("--listen-tcp", FEED)
        page = pages.connect()
        page.wait_for_function("window.Plotly", timeout=30_000)
        page.evaluate(COUNT_CALLS)
        run_sensor(copy, ('"mine"', 'random.choice("abcd")'), ("0.5", "0.02"))
        page.wait_for_function("plot.data?.some((trace) => trace.x.length > 10)", timeout=30_000)
        # As the step is, there is one call in a frame for all lines, and each keeps five points.
        page.wait_for_function("calls - callFrames > 1")

    @trouble("A name such as `<b>`")
    def test_html_in_a_name(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", "name=html.escape(sensor.id, quote=False)", "name=sensor.id")
        copy.start("--listen-tcp", FEED)
        run_sensor(copy, ('"mine"', '"<b>mine</b>"'), ("0.5", "0.05"))
        page = pages.connect()
        wait_drawn(page, "<b>mine</b>", 3)
        page.evaluate("Plotly.Fx.hover(plot, [{ curveNumber: 0, pointNumber: 1 }])")
        name = page.locator(".hoverlayer").get_by_text("mine", exact=True)
        expect(name).to_have_css("font-weight", re.compile("bold|700"))

    @trouble("Everyone on the network can send readings too")
    def test_open_to_everyone(self, copy: Copy, entry: Trouble) -> None:
        def listens_at(*options: str) -> set[str]:
            server = copy.start("--listen-tcp", FEED, *options)
            server.wait_for("Programs send readings")
            connections = psutil.Process(server.process.pid).net_connections("tcp")
            listening = [one.laddr for one in connections if one.status == psutil.CONN_LISTEN]
            server.kill()
            assert {address.port for address in listening} == {PORT, int(FEED)}
            return {address.ip for address in listening}

        assert listens_at() & {"::", "0.0.0.0"}
        assert "`--host localhost`" in entry.why
        assert listens_at("--host", "localhost") <= {"127.0.0.1", "::1"}
