"""The exercises of test6. To see how far you are: pytest tests/exercises/test6.py"""

from tests.exercises import Look, exercise
from tests.page import wait_for_drawing

# For the page: what is drawn, line by line, and in which colours; and each latest reading that was drawn,
# with the colour that its line then had. All colours are written as a canvas writes them.
WATCH = """() => {
  const plot = window.plots.at(-1);
  const canvas = document.createElement("canvas").getContext("2d");
  const written = (colour) => {
    canvas.fillStyle = colour;
    return canvas.fillStyle;
  };
  window.colourOf = (series, i) =>
    written(typeof series.stroke === "function" ? series.stroke(plot, i) : series.stroke);
  window.lines = () =>
    plot.series.slice(1).map((series, i) => [plot.data[i + 1] ?? [], colourOf(series, i + 1)]);
  window.red = written(getComputedStyle(document.documentElement).getPropertyValue("--bad"));
  window.drawn = [];
  (plot.hooks.draw ??= []).push(() => {
    if (plot.data[1].length) drawn.push([plot.data[1].at(-1), colourOf(plot.series[1], 1)]);
  });
}"""


@exercise('Each time add() pushes a value to columns[1], it pushes 22 to columns[2]. colour("--bad") is red.')
def test_1_threshold(look: Look) -> None:
    # With this seed it is below 21 °C, where the next exercise does not colour the line either.
    look.start("--rate", "100", "--seed", "8")
    page = look.page()
    page.evaluate(WATCH)
    count = page.evaluate("() => lines().length")
    look.find("two lines in the plot, the readings and the threshold", count, 2)
    look.pages.command(page, "START")
    look.readings(page, 5)
    look.pages.command(page, "STOP")
    look.wait("the answer to STOP", page.get_by_label("Response").inner_text, "OK: stopped")
    wait_for_drawing(page)
    (readings, colour), (threshold, other) = page.evaluate("() => lines()")
    look.find("22 in the second line, as often as there are readings", threshold, [22] * len(readings))
    look.find("the readings in the first line", readings, lambda values: values and set(values) != {22})
    colours = f"{colour} and {other}"
    look.find("two colours, one for each line", colours, lambda _: colour != other)


@exercise("`stroke` is a function that is called at each drawing; columns[1].at(-1) is the latest value.")
def test_2_red_above(look: Look) -> None:
    # With this seed it is 21.8 °C at first, and above 22 °C after less than half a second.
    look.start("--rate", "100", "--seed", "40")
    page = look.page()
    page.evaluate(WATCH)
    look.pages.command(page, "START")
    page.wait_for_function("() => drawn.at(-1)?.[0] > 22.1")
    look.pages.command(page, "STOP")
    drawn, red = page.evaluate("() => [drawn, red]")
    above = {colour for value, colour in drawn if value > 22}
    below = {colour for value, colour in drawn if value < 22}
    look.find(f"a line in {red}, which is --bad, while the latest value is above 22 °C", above, {red})
    look.find("a line in another colour while it is below", below, lambda colours: red not in colours)
