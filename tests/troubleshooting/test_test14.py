"""What can go wrong in test14."""

import errno
import os
import re
import sys
from datetime import date
from fractions import Fraction

import pytest
from playwright.sync_api import expect

from tests.conftest import Pages, Starter, shown
from tests.copies import Copy
from tests.promises import hear
from tests.promises_of_logs import hear_until, record
from tests.readme import Trouble, part_of
from tests.support import Server, Step, read_log
from tests.troubleshooting import trouble


class TestTroubles:
    step = "test14"

    @trouble("`This is another run.`")
    def test_server_is_started_again(self, start_server: Starter, pages: Pages, entry: Trouble) -> None:
        pages.errors_are_expected = True  # the page looks for the server while there is none
        first = start_server()
        page = pages.connect()
        pages.command(page, "START")
        first.wait_for("Logging to")
        expect(page.locator("#count")).not_to_have_text("0 readings")
        first.stop()
        expect(page.get_by_role("status")).to_contain_text("Trying again…")
        start_server()
        page.evaluate("() => window.dispatchEvent(new Event('online'))")
        entry.seen_in(shown(page.locator("#notice"), "This is another run"))
        assert len(read_log(first.log)) > 0

    @trouble("`4,000 readings of this run")
    @pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
    def test_log_that_somebody_deletes(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        server = copy.start("--rate", "2000")
        with copy.step.connect("control") as control:
            copy.step.ask(control, "START")
            hear_until(control, 4000)
            server.log.unlink()
            server.wait_for("ERROR: somebody has deleted")
            server.wait_for("Logging to", count=2)
            copy.step.ask(control, "STOP")
        page = pages.connect()
        notice = shown(page.locator("#notice"), "not in the log any more")
        gone = read_log(server.logs[-1], begins_late=True)[0]["seq"] - 1
        entry.seen_in(notice, **{"4,000": f"{gone:,.0f}"})
        expect(page.locator("#missing")).to_have_text("0")

    @trouble("`ERROR: cannot write the log in logs")
    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit the files of a running process")
    def test_full_disk(self, fast_server: Server, step: Step, entry: Trouble) -> None:
        import resource

        no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        with step.connect("control") as control:
            step.ask(control, "START")
            fast_server.wait_for("Logging to")
            size = fast_server.log.stat().st_size
            resource.prlimit(fast_server.process.pid, resource.RLIMIT_FSIZE, (size + 20, no_limit[1]))
            while not (error := hear(control, "log_error")["log_error"]):
                pass
            # The limit fills a disk for this program alone; the system has another word for that.
            full, here = os.strerror(errno.ENOSPC), os.strerror(errno.EFBIG)
            entry.seen_in(error, **{full: here})
            fast_server.wait_for(error)
            resource.prlimit(fast_server.process.pid, resource.RLIMIT_FSIZE, no_limit)
            fast_server.wait_for("OK: the log is written again")
            assert hear(control, "logged")["lost"] == 0

    @trouble("A spreadsheet shows `1.76723E+18`")
    def test_time_in_a_spreadsheet(self, start_server: Starter, step: Step, entry: Trouble) -> None:
        # The README's own time, shown in a cell as spreadsheets show what is too long for it.
        (in_cell,) = set(re.findall(r"\d,(\d{19}),", part_of("test14", "How it works")))
        entry.seen_in(f"{float(in_cell):.5E}")
        (formula,) = re.findall(r"`=(.*?)`", part_of("test14", "How it works"))
        per_day, *start = map(int, re.fullmatch(r"B2/(\d+)\+DATE\((\d+),(\d+),(\d+)\)", formula).groups())
        # A spreadsheet's date is a number of days; since 1900, it counts from this day.
        first_day = (date(*start) - date(1899, 12, 30)).days
        log = record(start_server, step, 100)
        for time_ns in [int(in_cell), *(int(row["time_ns"]) for row in read_log(log))]:
            # What it keeps: fifteen digits, as a floating-point number of double precision.
            cell = float(f"{time_ns:.14e}")
            result = cell / per_day + first_day
            exact = Fraction(time_ns, 86_400 * 10**9) + first_day
            assert abs(Fraction(result) - exact) * 86_400 * 10**6 <= 10, "more than ten microseconds off"
