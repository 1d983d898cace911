"""test9's dashboard in a browser, for the benchmarks of its page."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from tests.browser import LAUNCH_ARGS, find_browser
from tests.support import ROOT, free_port


@contextmanager
def dashboard() -> Iterator[str]:
    """Start test9's server, and give the address of its page."""
    with TemporaryDirectory() as folder:
        # It runs from a copy of its files, so that the benchmark leaves no log in the step's folder.
        for part in ["test9", "common/static"]:
            shutil.copytree(ROOT / part, Path(folder, part), ignore=shutil.ignore_patterns("logs"))
        command = [sys.executable, "-u", "server.py", "--host", "127.0.0.1", "--port", str(free_port())]
        with subprocess.Popen(
            command, cwd=Path(folder, "test9"), stdout=subprocess.PIPE, text=True
        ) as server:
            try:
                lines = iter(server.stdout.readline, "")
                yield next(found[0] for line in lines if (found := re.search(r"http://\S+", line)))
            finally:
                server.kill()


@contextmanager
def browser() -> Iterator[Browser]:
    """Start headless Chromium."""
    path = find_browser()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=LAUNCH_ARGS)
        print(f"  headless Chromium {chromium.version}")
        yield chromium
        chromium.close()
