"""What the README says of who can connect; test_other_device.py tries the same from another device."""

import socket
import sys
from collections.abc import Callable

import pytest
from websockets.sync.client import connect

from tests.support import PORT, ROOT, Server, Step

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
        self, name: str, options: list[str], is_open: bool, start_server: Callable[..., Server]
    ) -> None:
        start_server(*options, folder=ROOT / name)
        with socket.socket() as client:
            client.settimeout(10)
            assert (client.connect_ex((ELSEWHERE, PORT)) == 0) is is_open

    def test_page_from_elsewhere(self, server: Server, step: Step) -> None:
        url = f"ws://localhost:{PORT}/control"
        with connect(url, proxy=None, origin="https://elsewhere.example") as control:
            assert step.ask(control, "START") == "OK: started"
