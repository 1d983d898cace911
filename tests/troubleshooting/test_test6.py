"""What can go wrong in test6."""

import re

from playwright.sync_api import expect

from tests.conftest import Pages, Starter
from tests.copies import Copy
from tests.page import count_of, wait_for_drawing, wait_for_readings
from tests.readme import Trouble
from tests.support import Server
from tests.troubleshooting import trouble

# Lets 300 readings arrive, one a second by the page's clock, each in a task of its own as messages do.
# Returns how often the plot was drawn, and how many readings are kept.
ARRIVE = """async () => {
  let [draws, time] = [0, 1e9];
  window.plots.at(-1).hooks.draw = [() => { draws += 1; }];
  Date.now = () => time * 1000;
  const { port1, port2 } = new MessageChannel();
  for (let i = 0; i < 300; i++) {
    time += 1;
    add(now(), 21.5);
    await new Promise((done) => { port1.onmessage = done; port2.postMessage(null); });
  }
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return [draws, window.plots.at(-1).data[0].length];
}"""

# Whether the line is drawn at this time, given in seconds.
DRAWN_AT = """(time) => {
  const plot = window.plots.at(-1);
  const x = Math.round(plot.valToPos(time, "x", true));
  const { data } = plot.ctx.getImageData(x, 0, 1, plot.ctx.canvas.height);
  // A steep line covers no pixel whole. But nothing else in the plot is blue.
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 100 && data[i + 2] - data[i] > 100) return true;
  return false;
}"""


class TestTroubles:
    step = "test6"

    @trouble("The server is back, but the page still says")
    def test_page_does_not_come_back(self, start_server: Starter, pages: Pages, entry: Trouble) -> None:
        server = start_server()
        page = pages.connect()
        status = page.get_by_role("status")
        server.stop()
        expect(status).to_have_text(re.compile("^Disconnected"))
        told = status.inner_text()
        # Which of the two sockets is told first is not known.
        entry.seen_in(told.replace("data socket", "control socket"))

        server = start_server()
        with pages.step.connect("control"):
            server.wait_for("Hello, client")
        assert status.inner_text() == told
        assert len([line for line in server.lines if line.startswith("Hello")]) == 1, "nobody else has come"
        page.get_by_role("button", name="Connect").click()
        expect(status).to_have_text("Connected to localhost")

    @trouble("A straight line crosses the time between `STOP` and `START`")
    def test_no_gap(self, fast_server: Server, pages: Pages, entry: Trouble) -> None:
        page = pages.connect(color_scheme="light")
        for command in ("START", "STOP", "START", "STOP"):
            pages.command(page, command)
            answer = "OK: started" if command == "START" else "OK: stopped"
            expect(page.get_by_label("Response")).to_have_text(answer)
            if command == "START":
                wait_for_readings(page, 3)
            else:
                # Half a minute goes by.
                page.evaluate("() => { const clock = Date.now; Date.now = () => clock() + 30_000; }")
        wait_for_drawing(page)
        times, values = page.evaluate("() => window.plots.at(-1).data")
        assert None not in values, "the plot has no gap"
        last = max(range(1, len(times)), key=lambda i: times[i] - times[i - 1])
        assert times[last] - times[last - 1] >= 30
        assert page.evaluate(DRAWN_AT, (times[last] + times[last - 1]) / 2)

    @trouble("The page gets slower and slower")
    def test_drawing_on_every_message_and_keeping_every_reading(
        self, copy: Copy, pages: Pages, entry: Trouble
    ) -> None:
        copy.replace("client.html", "if (drawing) return;", "return plot.setData(columns);")
        copy.replace("client.html", "time - columns[0][0] > WINDOW + 10", "false")
        page = pages.open(copy.step.url)
        wait_for_drawing(page)  # it is drawn once when it has its size
        drawings, kept = page.evaluate(ARRIVE)
        assert count_of(page) == 300
        assert drawings >= 300, "drawn on every message"
        assert kept == 300, "every reading is kept"
