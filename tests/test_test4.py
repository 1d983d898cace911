"""test4: control and data on two sockets."""

from websockets.frames import Close
from websockets.sync.client import connect

from tests.promises import Acquisition, Commands, Console, DataAsText, OnDemand, OtherPages
from tests.support import PORT, Server, close_of


class TestStep4(Console, Commands, OnDemand, OtherPages, DataAsText, Acquisition):
    step = "test4"

    def test_unknown_role_is_refused_with_a_reason(self, server: Server) -> None:
        for role in ("FOO", "", b"CONTROL", "control", "x" * 1000):
            with connect(f"ws://localhost:{PORT}", proxy=None) as client:
                client.send(role)
                assert close_of(client) == Close(1008, "the first message must be CONTROL or DATA")
        server.wait_for("Refused a client with the role 'FOO'")
