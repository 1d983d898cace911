"""The exercises of test4. To see how far you are: pytest tests/exercises/test4.py"""

from contextlib import suppress

from tests.exercises import Look, exercise, sent_so_far


@exercise("running.is_set() tells. handle_command() has an `if` for each command.")
def test_1_state(look: Look) -> None:
    look.start()
    with look.connect() as control, look.connect() as other:
        state = look.ask(control, "STATE")
        look.find("the answer of STATE before any START", state, "OK: not running")
        for command, wanted in [("START", "running"), ("STOP", "not running"), ("START", "running")]:
            look.ask(control, command)
            states = [look.ask(client, "STATE") for client in (control, control, other)]
            look.find(f"the answers of STATE after {command}", states, [f"OK: {wanted}"] * 3)
        error = look.ask(control, "FOO")
        look.find("an error for FOO that names STATE too", error, lambda text: "STATE" in text)


@exercise("command.startswith('RATE ') tells. float() raises ValueError for what is no number, but 0 is one.")
def test_2_rate(look: Look) -> None:
    look.start("--rate", "2")
    with look.connect() as control, look.connect("data") as data:
        look.ask(control, "START")
        data.recv(timeout=10)
        answer = look.ask(control, "RATE 100")
        look.find("the answer to RATE 100", answer, "OK: 100 readings a second")
        readings: list[str] = []

        def count() -> int:
            with suppress(TimeoutError):
                readings.append(data.recv(timeout=1))
            return len(readings)

        look.wait("25 readings in 5 seconds, where there would be 10 at the old rate", count, 25)
        for wrong in ("RATE ten", "RATE 0", "RATE -1", "RATE nan", "RATE "):
            answer = look.ask(control, wrong)
            look.find(f"an error for {wrong}", answer, lambda text: text.startswith("ERROR"))
        sent_so_far(data)
        readings.clear()
        look.wait("25 more readings in 5 seconds, in spite of the errors", count, 25)
        look.find("the answer to RATE 2.5", look.ask(control, "RATE 2.5"), "OK: 2.5 readings a second")
