"""The exercises of test14. To see how far you are: pytest tests/exercises/test14.py"""

import base64
import itertools
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

from tests.exercises import Look, exercise
from tests.page import wait_for_drawing
from tests.promises import hear
from tests.support import Server

# Whether a colour of a style sheet, or of a pixel, is red.
IS_RED = "const isRed = (r, g, b) => r > 150 && r - g > 60 && r - b > 60;"

# The values at which a person sees a red line across the plot, given a picture of the page.
RED_LINES = f"""async (picture) => {{
  {IS_RED}
  const image = new Image();
  image.src = `data:image/png;base64,${{picture}}`;
  await image.decode();
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
  context.drawImage(image, 0, 0);
  const plot = window.plots.at(-1);
  const {{ left, top, width, height }} = plot.over.getBoundingClientRect();
  const lines = [];
  for (let y = 0; y < height; y += 1) {{
    const {{ data }} = context.getImageData(left, top + y, width, 1);
    let red = 0;
    for (let i = 0; i < data.length; i += 4) red += isRed(data[i], data[i + 1], data[i + 2]);
    if (red > 0.6 * width) lines.push(Number(plot.posToVal(y, "y").toFixed(1)));
  }}
  return lines;
}}"""

# The fields in whose entries of the legend some text is red.
RED_FIELDS = f"""() => {{
  {IS_RED}
  const names = [];
  for (const item of document.querySelectorAll("#legend li")) {{
    const parts = [item, ...item.querySelectorAll("*")].filter((part) => part.textContent.trim());
    const colours = parts.map((part) => getComputedStyle(part).color.match(/[\\d.]+/g).map(Number));
    if (colours.some((colour) => isRed(...colour))) names.push(item.innerText.split(/\\s/)[0]);
  }}
  return names.join(", ") || "none";
}}"""


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
    "uPlot calls what is in `hooks: { draw: [] }` when it has drawn the lines: give it that in "
    "history_plot.js. In the page, showView() has the values; red is var(--bad)."
)
def test_2_threshold(look: Look) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.csv"
        # First y is above the threshold, then z.
        rows = [(seq % 3 - 6, 11 + seq % 2, 5 + seq % 4) for seq in range(50)]
        rows += [(seq % 3 - 6, 2 + seq % 4, 12 + seq % 2) for seq in range(50)]
        lines = [
            f"{seq},{1767225600 * 10**9 + seq * 10**8},{x},{y},{z}" for seq, (x, y, z) in enumerate(rows, 1)
        ]
        log.write_text("\n".join(["seq,time_ns,x,y,z", *lines, ""]), encoding="utf-8")
        look.start("--replay", str(log), "--speed", "1000")
        page = look.page()
        look.pages.command(page, "START")
        page.wait_for_function("() => run.received === 100")
        wait_for_drawing(page)

        def red_lines() -> list[float]:
            return page.evaluate(RED_LINES, base64.b64encode(page.screenshot()).decode())

        def is_at_ten(values: list[float]) -> bool:
            return bool(values) and all(abs(value - 10) < 0.3 for value in values)

        look.wait("a red line across the plot at 10, and nowhere else", red_lines, is_at_ten)
        look.wait(
            "which fields are red in the legend where only z is above 10",
            lambda: page.evaluate(RED_FIELDS),
            "z",
            timeout=1,
        )
        show_the_beginning(page)
        look.wait(
            "which fields are red in the legend where only y is above 10",
            lambda: page.evaluate(RED_FIELDS),
            "y",
            timeout=1,
        )


def show_the_beginning(page: Page) -> None:
    page.get_by_role("figure", name="Live plot").focus()
    for key in ("+", "+", "Home"):
        page.keyboard.press(key)
        wait_for_drawing(page)


@exercise(
    "The table of the protocol says what to send. The last whole line of the file begins with the number "
    "of the reading up to which you have everything; what follows that line is torn."
)
def test_3_client(look: Look) -> None:
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
                files = ", ".join(path.name for path in Path(folder).iterdir())
                return (
                    "a copy"
                    if len(readings()) >= 30
                    else f"{len(readings())} lines; files: {files or 'none'}"
                )

            look.wait(f"lines in {copy.name} while client.py runs", seen, "a copy", timeout=20)
        # Killed in the middle of a line.
        text = copy.read_bytes()
        copy.write_bytes(text[: text.rstrip().rfind(b",") + 1])
        before = len(readings())
        while hear(control, "logged")["logged"] < before + 30:
            pass
        with running(client, folder):
            look.wait(
                "more lines when it runs again", lambda: len(readings()) > before + 20, True, timeout=20
            )
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
