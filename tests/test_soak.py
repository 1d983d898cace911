"""The proof of test14b in ten seconds; `make soak` takes as long as one likes."""

import os
import subprocess
import sys

from tests.support import ROOT


def test_every_page_shows_every_reading_once_and_in_order() -> None:
    # As many readings as most of a minute has at 1,000 a second. In a process of its own, because Playwright
    # keeps an event loop in the tests' thread.
    command = [sys.executable, "-m", "tests.soak"]
    options = ["--seconds", "10", "--rate", "5000", "--seed", "1", "--small", "--verbose"]
    soak = subprocess.run(
        [*command, *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert soak.returncode == 0, soak.stdout
