"""The exercises of test15. To see how far you are: pytest tests/exercises/test15.py"""

import json
import socket
from collections.abc import Callable

from websockets.sync.client import connect

from tests.exercises import Look, exercise
from tests.support import PORT, free_port, rows_of

OTHER_PORT = PORT + 1


@exercise(
    "take() has each reading before it goes to the log: keep there what the sensor has said last. "
    "`dashboard.commands` has a function for each command, which returns the reply."
)
def test_1_zero(look: Look) -> None:
    port = free_port()
    server = look.start("--sensor", f"udp:{port}", "--fields", "x,y")
    page = look.page()
    zero = page.get_by_role("button", name="Zero", exact=True)
    look.find("a button Zero", "one" if zero.count() == 1 else "none", "one")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def send(text: str) -> Callable[[], str]:
            """Return a function that sends this, and says what the newest row of the log is."""

            def newest() -> str:
                sender.sendto(text.encode(), ("127.0.0.1", port))
                if "Logging to" not in server.output:
                    return "nothing"
                if "Traceback" in server.output:
                    return f"a traceback: {[line for line in server.lines if 'Error' in line][-1]}"
                values = server.log.read_text(encoding="utf-8").splitlines()[-1].split(",")[2:]
                return " and ".join(f"{float(value):g}" if value else "nothing" for value in values)

            return newest

        look.pages.command(page, "START")
        look.wait("in the log, of x:5,y:7 before Zero", send("x:5,y:7"), "5 and 7", timeout=10)
        look.wait("that Zero can be pressed", zero.is_enabled, True)
        zero.click()
        look.wait("the response to Zero", page.get_by_label("Response").inner_text, "OK: zeroed", timeout=10)
        look.wait("in the log, of x:8,y:6 after Zero", send("x:8,y:6"), "3 and -1", timeout=10)
        zero.click()
        server.wait_for("Received 'ZERO'", count=2)
        look.wait("in the log, of x:8,y:7 after Zero again", send("x:8,y:7"), "0 and 1", timeout=10)
        look.wait("in the log, of x:9 and no y", send("x:9"), "1 and nothing", timeout=10)

    def zeroed() -> str:
        info = json.loads(server.log.with_suffix(".json").read_text(encoding="utf-8"))
        return f"{[event['what'] for event in info['events']].count('zero')} times"

    look.wait("events called zero in the JSON file", zeroed, "2 times", timeout=10)


@exercise(
    "The exercises of test14 have a client that reads from /data; with websockets.asyncio.client it looks "
    "much the same. A line is a number, a time, and the values."
)
def test_2_remote(look: Look) -> None:
    sensor = look.step.folder / "remote.py"
    look.find("a file remote.py beside server.py", "there" if sensor.exists() else "none", "there")
    other = look.start("--port", str(OTHER_PORT), "--rate", "100")
    server = look.start("--sensor", "remote.py")
    with (
        look.connect() as control,
        connect(f"ws://localhost:{OTHER_PORT}/control", proxy=None) as other_control,
    ):
        for connection in (control, other_control):
            look.ask(connection, "START")
        other.wait_for("Logging to")

    def logged() -> str:
        if "Logging to" in server.output and len(rows_of(server.log)) >= 20:
            return "20 readings"
        said = [line for line in server.lines if "sensor:" in line]
        return f"fewer; the terminal says {said[-1] if said else 'nothing of the sensor'}"

    look.wait("readings in the log of the second server", logged, "20 readings", timeout=20)
    other.press_ctrl_c()
    other.wait_ended()

    def state() -> str:
        with look.connect() as control:
            return json.loads(control.recv(timeout=10))["sensor"]["state"]

    look.wait("the state of the sensor when the first server has stopped", state, "failed", timeout=20)
    sent = [values for _, *values in rows_of(other.log)]
    strange = [values for _, *values in rows_of(server.log) if values not in sent]
    look.find("only readings that the first server has logged", strange[:3] or "these", "these")
