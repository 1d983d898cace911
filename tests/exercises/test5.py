"""The exercises of test5. To see how far you are: pytest tests/exercises/test5.py"""

from contextlib import ExitStack

from websockets.sync.client import connect

from tests.exercises import Look, exercise, received
from tests.support import PORT, read_log


@exercise('clients["/data"] is a set, and len() tells how many are in it. An answer is text.')
def test_1_count(look: Look) -> None:
    server = look.start()
    with look.connect() as control:
        answer = look.ask(control, "COUNT")
        look.find("COUNT answered with 0 while there is no data client", answer, "0")
        with ExitStack() as clients:
            for _ in range(3):
                clients.enter_context(look.connect("data"))
            server.wait_for("Hello, client (data)", count=3)
            look.find("COUNT answered with 3 for three data clients", look.ask(control, "COUNT"), "3")
        server.wait_for("Bye, client (data)", count=3)
        look.find("COUNT answered with 0 when they have gone", look.ask(control, "COUNT"), "0")
        error = look.ask(control, "FOO")
        look.find("an error for FOO that names COUNT too", error, lambda text: "COUNT" in text)


@exercise('`clients` has a set of connections for each path. acquire() may send to "/all" before its `if`.')
def test_2_all_readings(look: Look) -> None:
    server = look.start("--rate", "100")
    every_reading = connect(f"ws://localhost:{PORT}/all", proxy=None)
    with every_reading as every, look.connect("data") as some, look.connect() as control:
        look.wait("a line for each of three clients in the terminal", lambda: len(met(server.lines)), 3)
        refused = [line for line in met(server.lines) if line.startswith("Refused")]
        look.find("no client refused that comes to /all", refused, [])
        look.find("a START that works", look.ask(control, "START"), "OK: started")
        fourth = list(map(float, received(some, 3)))
        all_of_them = list(map(float, received(every, 12)))
    server.wait_for("Logging to")
    rows = [row["temperature"] for row in read_log(server.log)]
    look.find("on /all, the first twelve readings of the log", all_of_them, rows[:12])
    look.find("on /data, every fourth", fourth, rows[:12:4])


def met(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(("Hello", "Refused"))]
