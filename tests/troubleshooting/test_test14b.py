"""What can go wrong in test14b."""

import json
import re

from playwright.sync_api import expect

from tests.conftest import Pages, Starter, shown
from tests.copies import Copy
from tests.promises_of_logs import hear_until
from tests.readme import Trouble
from tests.support import Server, Step, read_log
from tests.troubleshooting import trouble

NAME = "2026-01-01T00-00-00.000000"


def write_run(copy: Copy, readings: int, rate: int) -> None:
    """Write the log of a run as a server writes it."""
    logs = copy.step.folder / "logs"
    logs.mkdir()
    rows = (f"{seq},{1767225600 * 10**9 + seq * 10**9 // rate},{seq % 7}\n" for seq in range(1, readings + 1))
    (logs / f"{NAME}.csv").write_text("".join(["seq,time_ns,x\n", *rows]), encoding="utf-8")
    info = {"epoch": NAME, "fields": ["x"], "units": ["m"], "rate": rate, "events": []}
    (logs / f"{NAME}.json").write_text(json.dumps(info), encoding="utf-8")


class TestTroubles:
    step = "test14b"

    @trouble("`This is another run:")
    def test_server_is_started_again(
        self, start_server: Starter, step: Step, pages: Pages, entry: Trouble
    ) -> None:
        pages.errors_are_expected = True  # the page looks for the server while there is none
        first = start_server()
        page = pages.connect()
        with step.connect("control") as control:
            step.ask(control, "START")
            hear_until(control, 1)
        first.stop()
        expect(page.get_by_role("status")).to_contain_text("Trying again…")
        second = start_server()
        page.evaluate("() => window.dispatchEvent(new Event('online'))")
        notice = shown(page.locator("#notice"), "This is another run")
        with step.connect("data") as data:
            day, _, time = json.loads(data.recv(timeout=30))["run"].partition("T")
        began = f"{day} {time[:8].replace('-', ':')}"
        entry.seen_in(notice, **{"2026-11-21 12:04:31": began})
        # The run before can be chosen.
        page.get_by_label("Run").select_option(first.log.stem)
        expect(page.locator("#count")).to_have_text(f"{len(read_log(first.log))} readings")
        assert "Logging to" not in second.output

    @trouble("`4,000 readings of this run")
    def test_log_that_somebody_has_shortened(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        write_run(copy, 4100, rate=1000)
        log = copy.step.folder / "logs" / f"{NAME}.csv"
        copy.start()
        page = pages.connect()

        def choose(readings: int) -> None:
            expect(page.get_by_role("status")).to_have_text("Connected to localhost")
            page.get_by_label("Run").select_option(NAME)
            expect(page.locator("#count")).to_have_text(f"{readings} readings")

        choose(4100)
        whole = log.read_text(encoding="utf-8")
        header, *rows = whole.splitlines(keepends=True)
        log.write_text(header + "".join(rows[4000:]), encoding="utf-8")
        page.reload()
        choose(100)
        entry.seen_in(page.locator("#notice").inner_text())
        # Nothing is drawn in place of what is gone.
        assert page.evaluate("() => run.ring.times[0]") == 1767225600 * 10**6 + 4001 * 1000
        # The file is put back.
        log.write_text(whole, encoding="utf-8")
        page.reload()
        choose(4100)
        assert page.locator("#notice").inner_text() == ""

    @trouble("`Cannot replay notes.csv:")
    def test_replay_of_what_is_no_log(self, copy: Copy, entry: Trouble) -> None:
        copy.write("notes.csv", "what,when\nlunch,12:30\n")
        entry.seen_in(copy.fail("--replay", "notes.csv"))
        # A log of test5 has no JSON file beside it.
        copy.write("log.csv", "seq,time_ns,temperature\n1,1767225600000000000,21.5\n")
        copy.start("--replay", "log.csv")

    @trouble("`Extremes: the minimum and maximum")
    def test_more_readings_than_pixels(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        write_run(copy, 11_000, rate=100)
        copy.start()
        page = pages.connect(viewport={"width": 390, "height": 600})
        page.get_by_label("Run").select_option(NAME)
        resolution = page.locator("#resolution")
        # The whole run is there with as many readings as at 1000 a second, divided by ten.
        entry.seen_in(shown(resolution, "(52 readings)"), **{"524 readings": "52 readings"})
        page.get_by_role("figure", name="Live plot").focus()
        for _ in range(8):
            page.keyboard.press("+")
        expect(resolution).to_have_text("Every reading is shown.")

    @trouble("The list under *Run* is missing")
    def test_page_from_a_file(self, server: Server, step: Step, pages: Pages, entry: Trouble) -> None:
        page = pages.connect((step.folder / "client.html").as_uri())
        expect(page.get_by_role("button", name="Start")).to_be_enabled()
        expect(page.get_by_label("Run")).to_be_hidden()
        page.goto(re.search(r"http\S+/", entry.why)[0])
        expect(page.get_by_label("Run")).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("Connected to localhost")
