"""The exercises of test14. To see how far you are: pytest tests/exercises/test14.py"""

import itertools
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.exercises import Look, exercise
from tests.promises import hear
from tests.promises_of_logs import hear_until
from tests.support import Server


@exercise(
    "handle_command() answers commands, and notes an event at START and STOP. In the page, look at all the "
    "places that have to do with `stop`."
)
def test_1_mark(look: Look) -> None:
    server = look.start("--rate", "100")
    page = look.page()
    mark = page.get_by_role("button", name="Mark", exact=True)
    look.find("a button Mark", "one" if mark.count() == 1 else "none", "one")
    look.pages.command(page, "START")
    server.wait_for("Logging to")
    look.wait("that Mark can be pressed", mark.is_enabled, True)
    mark.click()
    look.wait("the response to Mark", page.get_by_label("Response").inner_text, "OK: marked", timeout=10)
    with look.connect() as control:
        error = look.ask(control, "FOO")
        look.find("an error for FOO that names MARK too", error, lambda text: "MARK" in text)

    def events() -> list[str]:
        info = json.loads(server.log.with_suffix(".json").read_text(encoding="utf-8"))
        return [event["what"] for event in info["events"]]

    look.wait("the events in the JSON file", events, ["start", "mark"], timeout=10)


@exercise(
    "The table of the protocol says what to send. The last whole line of the file begins with the number "
    "of the reading up to which you have everything; what follows that line is torn."
)
def test_2_client(look: Look) -> None:
    client = look.step.folder / "client.py"
    look.find("a file client.py beside server.py", "there" if client.exists() else "none", "there")
    server = look.start("--rate", "200")
    with tempfile.TemporaryDirectory() as folder, look.connect() as control:
        look.ask(control, "START")
        server.wait_for("Logging to")
        copy = Path(folder) / server.log.name

        def lines() -> list[str]:
            return copy.read_text(encoding="utf-8").splitlines() if copy.exists() else []

        def readings() -> list[str]:
            return [line for line in lines() if line[:1].isdigit()]

        with running(client, folder) as program:

            def seen() -> str:
                if program.process.poll() is not None:
                    return f"client.py has ended: {program.output}"
                files = ", ".join(path.name for path in Path(folder).iterdir()) or "none"
                return "a copy" if len(readings()) >= 30 else f"{len(readings())} lines; files: {files}"

            look.wait(f"lines in {copy.name} while client.py runs", seen, "a copy", timeout=20)
        # Killed in the middle of a line.
        text = copy.read_bytes()
        copy.write_bytes(text[: text.rstrip().rfind(b",") + 1])
        before = len(readings())
        hear_until(control, before + 30)
        with running(client, folder):
            what = "more than 20 more lines when it runs again"
            look.wait(what, lambda: len(readings()) - before, lambda more: more > 20, timeout=20)
            look.ask(control, "STOP")
            while (counts := hear(control, "logged"))["logged"] < counts["acquired"]:
                pass
            wanted = f"1 to {counts['logged']}"
            look.wait("every line once, and in order", lambda: numbers_in(readings()), wanted)
        _, *rows = server.log.read_text(encoding="utf-8").splitlines()
        torn = [line for line in lines() if line not in rows and line[:1].isdigit()]
        look.find("only lines that are in the log", torn or "these", "these")


@contextmanager
def running(program: Path, folder: str) -> Iterator[Server]:
    """Run a program in a folder, and kill it."""
    process = Server(Path(folder), command=str(program))
    try:
        yield process
    finally:
        process.kill()


def numbers_in(readings: list[str]) -> str:
    """Return which readings these are, as in "1 to 90, 1 to 120"."""
    numbers = [int(line.partition(",")[0]) for line in readings]
    runs = [list(run) for _, run in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0][1]} to {run[-1][1]}" for run in runs)
