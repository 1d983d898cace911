"""The axes of all plots: no label is cut off, none touches another, and no two are the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import Pages
from tests.copies import Copy
from tests.page import wait_for_drawing, wait_for_readings

# Keeps what each plot writes on its canvas, since it was last cleared: the text, and where it is.
REMEMBER_TEXTS = """
const { clearRect, fillText } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.clearRect = function (...args) {
  this.texts = [];
  clearRect.apply(this, args);
};
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  const { b, e, f } = this.getTransform();
  const { width } = this.measureText(text);
  const left = x + e - { left: 0, center: width / 2, right: width }[this.textAlign];
  const isTime = this.textAlign === "center";
  // What stands upright is the name of an axis.
  if (b === 0) this.texts.push({ text, left, right: left + width, y: y + f, isTime });
  fillText.call(this, text, x, y);
};
"""

# What is wrong with the labels of the page's latest plot, in words.
MISTAKES = """() => {
  const { ctx } = window.plots.at(-1);
  const pixel = devicePixelRatio;
  const mistakes = [];
  const times = new Map();
  const values = [];
  for (const one of ctx.texts) {
    const { text, left, right, y, isTime } = one;
    if (left < 0 || right > ctx.canvas.width) mistakes.push(`${text} is cut off`);
    for (const other of ctx.texts) {
      const near = Math.abs(other.y - y) < 11 * pixel;
      if (other !== one && near && other.left >= left && other.left < right + 5 * pixel) {
        mistakes.push(`${text} touches ${other.text}`);
      }
    }
    const middle = Math.round((left + right) / 2);
    if (isTime) times.set(middle, [...(times.get(middle) ?? []), text]);
    else values.push(text);
  }
  // A date holds until there is another.
  let date = "";
  const moments = [...times.values()].map(([clock, changed]) => `${clock} ${(date = changed ?? date)}`);
  for (const labels of [moments, values]) {
    if (labels.length === 0) mistakes.push("an axis without labels");
    if (new Set(labels).size < labels.length) mistakes.push(`the same twice: ${labels}`);
  }
  return mistakes;
}"""


@pytest.fixture
def copy(name: str, tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(name, tmp_path)
    yield copy
    copy.close()


@pytest.fixture
def pages(browser: Browser, copy: Copy) -> Iterator[Pages]:
    pages = Pages(browser, copy.step)
    yield pages
    pages.close()
    assert pages.errors == []


def connect(pages: Pages) -> Page:
    # A context of its own, with the script in it from the beginning.
    pages.open("about:blank").close()
    for context in pages.contexts.values():
        context.add_init_script(REMEMBER_TEXTS)
    page = pages.connect()
    page.wait_for_function("() => window.plots.at(-1)?.ctx.texts?.length > 0")
    return page


def check(page: Page) -> None:
    """Look at the labels on a phone and on a desktop."""
    for width, height in [(390, 844), (1280, 800)]:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(
            "() => window.plots.at(-1).width === document.querySelector('figure').clientWidth"
        )
        wait_for_drawing(page)
        assert page.evaluate(MISTAKES) == []


@pytest.mark.parametrize("name", ["test6", "test7", "test9", "test14b"])
def test_empty_and_running(name: str, copy: Copy, pages: Pages) -> None:
    copy.start("--rate", "50")
    page = connect(pages)
    check(page)
    low, high = page.evaluate(
        "() => { const { min, max } = window.plots.at(-1).scales.x; return [min, max]; }"
    )
    assert page.evaluate("Date.now() / 1000") - high < 60
    assert low < high
    pages.command(page, "START")
    wait_for_readings(page, 20)
    check(page)


@pytest.mark.parametrize("name", ["test9", "test14b"])
def test_all_lines_hidden(name: str, copy: Copy, pages: Pages) -> None:
    copy.start("--rate", "50")
    page = connect(pages)
    pages.command(page, "START")
    wait_for_readings(page, 20)
    for button in page.get_by_role("list", name="Legend").get_by_role("button").all():
        button.click()
    check(page)


@pytest.mark.parametrize("seconds", [5, 100_000])
@pytest.mark.parametrize("name", ["test6", "test8"])
def test_window_of_another_length(name: str, seconds: int, copy: Copy, pages: Pages) -> None:
    file = "client.html" if name == "test6" else "common/static/plot.js"
    copy.replace(file, "const WINDOW = 60;", f"const WINDOW = {seconds};")
    copy.start("--rate", "50")
    page = connect(pages)
    check(page)
    pages.command(page, "START")
    wait_for_readings(page, 20)
    check(page)


# A plot with the axes that all have, as wide as this, over this span of time and with these values.
TRY = """async ({ width, end, span, values }) => {
  const plot = new uPlot(
    {
      width,
      height: 400,
      padding: [16, 44, 0, 0],
      legend: { show: false },
      scales: { x: { range: [end - span, end] }, y: { range: valueRange } },
      axes: [
        TIME_AXIS,
        VALUE_AXIS,
      ],
      series: [{}, {}],
    },
    [[end - span, end], values],
    document.body,
  );
  await new Promise(requestAnimationFrame);
  plot.destroy();
}"""


@pytest.mark.parametrize("name", ["test8"])
def test_any_span_and_any_values(name: str, copy: Copy, pages: Pages) -> None:
    copy.start()
    page = connect(pages)
    now, day = page.evaluate("Date.now() / 1000"), 86400
    spans = [0.01, 0.05, 1, 4, 15, 19, 21, 60, 600, 7200, 40_000, 2 * day, 9 * day, 60 * day, 3000 * day]
    cases = [
        (width, end, span, [1, 2])
        for width in (366, 1240, 3800)
        for span in spans
        for end in (now, now - day, now - 1.7 * day)
    ]
    ranges = [
        [0, 1e-5], [1013.2499, 1013.2501], [-3e-13, 5e-13], [0, 0], [-40, 85], [7, 7], [123_456.7, 123_456.8],
        [1e9, 1e9 + 3], [-1e20, 1e20], [-32768, 32767], [0, 4.29e9], [None, None],
    ]  # fmt: skip
    cases += [(366, now, 60, values) for values in ranges]
    for case in cases:
        page.evaluate(TRY, dict(zip(["width", "end", "span", "values"], case, strict=True)))
        assert page.evaluate(MISTAKES) == [], case
    # Where there is room for no label, uPlot gives a time that is not in the plot.
    assert page.evaluate("timeLabels({ scales: { x: { max: 10 } } }, [20], null, 0, 20)") == [""]
    assert page.evaluate("valueLabels(null, [3 * 1e-13])") == ["3e-13"]
