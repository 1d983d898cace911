"""The exercises of test14b. To see how far you are: pytest tests/exercises/test14b.py"""

import base64
import tempfile
from pathlib import Path

from tests.exercises import Look, exercise
from tests.page import wait_for_drawing

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
    "uPlot calls what is in `hooks: { draw: [] }` when it has drawn the lines: give it that in "
    "run_plot.js. In the page, showView() has the values; red is var(--bad)."
)
def test_1_threshold(look: Look) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.csv"
        # First y is above the threshold, then z.
        rows = [(seq % 3 - 6, 11 + seq % 2, 5 + seq % 4) for seq in range(50)]
        rows += [(seq % 3 - 6, 2 + seq % 4, 12 + seq % 2) for seq in range(50)]
        first = 1767225600 * 10**9
        lines = [f"{seq},{first + seq * 10**8},{x},{y},{z}" for seq, (x, y, z) in enumerate(rows, 1)]
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

        def expect_red(name: str) -> None:
            what = f"which fields are red in the legend where only {name} is above 10"
            look.wait(what, lambda: page.evaluate(RED_FIELDS), name, timeout=1)

        look.wait("a red line across the plot at 10, and nowhere else", red_lines, is_at_ten)
        expect_red("z")
        # The beginning
        page.get_by_role("figure", name="Live plot").focus()
        for key in ("+", "+", "Home"):
            page.keyboard.press(key)
            wait_for_drawing(page)
        expect_red("y")
