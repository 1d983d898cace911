"""What can go wrong in test11."""

import re
import subprocess
import sys

import pytest

from tests.conftest import Pages, shown
from tests.copies import Copy
from tests.readme import Trouble
from tests.troubleshooting import trouble


class TestTroubles:
    step = "test11"

    @trouble("`The page has no element with the id 'bra'`")
    def test_another_id(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", "page.update(bar=bar", "page.update(bra=bar")
        server = copy.start()
        pages.connect()
        entry.seen_in(server.wait_for("'bra'"))

    @trouble("`The element with the id 'load' takes a number")
    def test_more_than_a_number(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", "load=load,", "load=numpy.array([0.5, 0.6]),")
        copy.replace("server.py", "import math\n", "import math, numpy\n")
        server = copy.start()
        pages.connect()
        entry.seen_in(server.wait_for("takes a number"))

    @trouble("`The element with the id 'load' takes a number")
    def test_more_than_the_highest(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.replace("server.py", "load=load,", "load=37,")
        copy.replace("client.html", '<meter id="load" max="100"', '<meter id="load"')
        server = copy.start()
        pages.connect()
        server.wait_for("The element with the id 'load' goes from 0 to 1, and not to 37")
        assert "`goes from 0 to 1, and not to 37`" in entry.why

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be without a browser")
    @trouble("`There is no browser on this machine")
    def test_no_browser(self, copy: Copy, entry: Trouble) -> None:
        nothing = {"BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
        server = copy.start("--rate", "2000", environment=nothing)
        entry.seen_in(server.wait_for("browser"))
        assert server.wait_ended() == 0, "it goes on all the same"

    @trouble("The address ends in")
    def test_two_runs(self, copy: Copy, entry: Trouble) -> None:
        copy.start()
        second = copy.start()
        (port,) = re.findall(r"\d+", entry.symptom)
        assert f"On this device, open: http://localhost:{port}/" in second.output

    @trouble("`The run has failed: ZeroDivisionError")
    def test_program_that_fails(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        pages.errors_are_expected = True  # the page looks for the next run
        # The program waits for Enter, so that the page is there in time.
        copy.replace("server.py", "    time.sleep(1 / options.rate)\n", "    input()\n    step /= 0\n")
        server = copy.start(stdin=subprocess.PIPE)
        page = pages.connect()
        server.process.stdin.write("\n")
        server.process.stdin.close()
        entry.seen_in(shown(page.get_by_role("status"), "has failed"))
        assert server.wait_ended() == 1
        assert re.search(r'server.py", line \d+, in work\n *step /= 0', server.output)
