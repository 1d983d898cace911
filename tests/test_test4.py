"""test4: control and data on two sockets."""

from websockets.frames import Close
from websockets.sync.client import connect

from tests.promises import Acquisition, Commands, Console, DataAsText, OnDemand, OtherPages
from tests.support import PORT, Server, Step, close_of


class TestStep4(Console, Commands, OnDemand, OtherPages, DataAsText, Acquisition):
    step = "test4"

    def test_unknown_role_is_refused_with_a_reason(self, server: Server) -> None:
        for role in ("FOO", "", b"CONTROL", "control", "x" * 1000):
            with connect(f"ws://localhost:{PORT}", proxy=None) as client:
                client.send(role)
                assert close_of(client) == Close(1008, "the first message must be CONTROL or DATA")
        server.wait_for("Refused a client with the role 'FOO'")

    def test_bad_options(self, step: Step) -> None:
        for options, says in [
            (["--port", "99999"], "'99999' is not a port"),
            (["--port", "0"], "'0' is not a port"),
            (["--port", "http"], "'http' is not a port"),
            (["--host", "203.0.113.77"], "no address '203.0.113.77'"),
            (["--host", "no..name"], "no address 'no..name'"),
            (["--rate", "0"], "'0' is not a sample rate"),
            (["--rate", "nan"], "'nan' is not a sample rate"),
            (["--rate", "fast"], "'fast' is not a sample rate"),
            (["--sensor", "x"], "invalid choice"),
        ]:
            bad = Server(step.folder, *options)
            assert bad.wait_ended() != 0
            assert says in bad.output
            assert "Traceback" not in bad.output
