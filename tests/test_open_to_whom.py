"""What the README says of who can connect; test_other_device.py tries the same from another device."""

import json
import socket
import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.conftest import Pages, Starter
from tests.promises import request
from tests.readme import SECTIONS, plain
from tests.support import PORT, ROOT, Server, Step, wait_until

# To a server on Linux, a client of this address is one that has not come by localhost.
ELSEWHERE = "127.0.0.2"


class TestOpenToWhom:
    step = "test9"

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has two addresses of this kind")
    @pytest.mark.parametrize(
        ("name", "options", "is_open"),
        [
            ("test1", [], False),
            ("test2", [], False),
            ("test3", [], True),
            ("test3", ["--host", "localhost"], False),
            ("test15", [], True),
            ("test15", ["--host", "localhost"], False),
        ],
    )
    def test_from_elsewhere(
        self, name: str, options: list[str], is_open: bool, start_server: Starter
    ) -> None:
        start_server(*options, folder=ROOT / name)
        with socket.socket() as client:
            client.settimeout(10)
            assert (client.connect_ex((ELSEWHERE, PORT)) == 0) is is_open

    def test_page_from_elsewhere(self, server: Server, step: Step) -> None:
        url = f"ws://localhost:{PORT}/control"
        with connect(url, proxy=None, origin="https://elsewhere.example") as control:
            assert step.ask(control, "START") == "OK: started"

    def test_page_from_elsewhere_that_frames_the_dashboard(
        self, server: Server, step: Step, pages: Pages, tmp_path: Path
    ) -> None:
        text = SECTIONS["Open to whom"]
        assert "A web page from elsewhere may show the dashboard in a frame of its own" in plain(text)
        (tmp_path / "elsewhere.html").write_text(f'<iframe src="{step.url}"></iframe>')
        page = pages.open((tmp_path / "elsewhere.html").as_uri())
        frame = page.frame_locator("iframe")
        frame.get_by_role("button", name="Connect").click()
        frame.get_by_role("button", name="Start").click()
        server.wait_for("Received 'START'")

    @pytest.mark.parametrize("name", ["test14b", "test15"])
    def test_runs_under_a_foreign_name(self, name: str, start_server: Starter) -> None:
        assert "The server answers under every name." in plain(SECTIONS["Open to whom"])
        start_server(folder=ROOT / name)
        step = Step(name)
        with step.connect() as control:
            step.ask(control, "START")
        elsewhere = {"Host": "elsewhere.example:5678", "Origin": "http://elsewhere.example:5678"}

        # Runs of other tests may be there, too.
        def live_runs() -> list[dict]:
            return [run for run in json.loads(request("GET", "/runs", elsewhere).body) if run["live"]]

        (run,) = wait_until(live_runs, "there is a run")
        log = request("GET", f"/log.csv?run={run['run']}", elsewhere)
        assert log.status == 200
        assert b"seq,time_ns," in log.body
