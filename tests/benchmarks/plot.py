"""test9's page with three fields and 30,000 readings a field in view, 100 new ones every frame.

The readings go to the page's own `readings.onmessage`, as messages of its data socket do. Counted are the
frames in which the plot was drawn. The page's memory is all that its JavaScript heap and what hangs on it
hold after a garbage collection.
"""

from statistics import median

from playwright.sync_api import Browser, Page

from common.sensors import SENSORS
from tests.benchmarks.dashboard import browser, dashboard
from tests.benchmarks.result import Result, at_most

RUNS = 3
IN_VIEW = 30_000
RATE = IN_VIEW / 60  # readings a second, in the page's window of a minute
SECONDS = 4  # for which frames are counted
FEW, MANY = 100_000, 1_000_000

# The chart is caught as the page makes it, to count its drawings and to look at what it holds.
CATCH_CHART = """() => {
  uPlot = new Proxy(uPlot, {
    construct(uPlot, args) {
      window.chart = new uPlot(...args);
      window.drawings = 0;
      chart.hooks.draw = [() => (drawings += 1)];
      return chart;
    },
  });
}"""

FEEDER = """([values, rate]) => {
  const began = Date.now() / 1000;
  window.fed = 0;

  function feed(many) {
    for (let i = 0; i < many; i++) {
      fed += 1;
      const [x, y, z] = values[fed % values.length];
      const data = `{"time": ${began + fed / rate}, "x": ${x}, "y": ${y}, "z": ${z}}`;
      readings.dispatchEvent(new MessageEvent("message", { data }));
    }
  }

  // Feeds so many a frame until so many are fed or so many seconds have passed.
  // Returns the seconds that it took, and the drawings in them.
  window.run = (aFrame, { until = Infinity, seconds = Infinity }) =>
    new Promise((resolve) => {
      const start = performance.now();
      const before = drawings;
      function frame() {
        const passed = (performance.now() - start) / 1000;
        if (fed >= until || passed >= seconds) return resolve([passed, drawings - before]);
        feed(Math.min(aFrame, until - fed));
        requestAnimationFrame(frame);
      }
      requestAnimationFrame(frame);
    });
}"""

POINTS_IN_VIEW = """() => {
  const [times, ...fields] = chart.data;
  const { min, max } = chart.scales.x;
  const inView = (value, i) => value !== null && min < times[i] && times[i] <= max;
  return fields.map((values) => values.filter(inView).length);
}"""


def run() -> list[Result]:
    figures = []
    with browser() as chromium:
        for number in range(RUNS):
            with dashboard() as url:
                rate, growth = measure(chromium, url)
            print(f"  run {number + 1}: {rate:.1f} frames a second, {growth:+.2f} MiB", flush=True)
            figures.append((rate, growth))
    rate, growth = (median(values) for values in zip(*figures, strict=True))
    return [
        Result("plot: frames a second", f"{rate:.1f}", "55 or more", rate >= 55),
        at_most("plot: memory, 100,000 to 1,000,000", growth, 10, "MiB", "+.2f"),
    ]


def measure(chromium: Browser, url: str) -> tuple[float, float]:
    """Return the frames a second, and by how many MiB the page grew from 100,000 readings to 1,000,000."""
    page = chromium.new_page()
    page.goto(url)
    page.evaluate(CATCH_CHART)
    page.get_by_role("button", name="Connect").click()
    page.get_by_role("list", name="Legend").get_by_role("button").nth(2).wait_for()
    sensor = SENSORS["accelerometer"](RATE, seed=1)
    page.evaluate(FEEDER, [[sensor.read() for _ in range(IN_VIEW)], RATE])

    page.evaluate("run(1000, { until: 40000 })")
    seconds, drawings = page.evaluate(f"run(100, {{ seconds: {SECONDS} }})")
    in_view = page.evaluate(POINTS_IN_VIEW)
    # A time on the very edge of the window may fall out of it by rounding.
    if any(abs(points - IN_VIEW) > 1 for points in in_view):
        raise SystemExit(f"The page shows {in_view} points, not {IN_VIEW} a field")

    page.evaluate(f"run(2500, {{ until: {FEW} }})")
    before = memory(page)
    page.evaluate(f"run(2500, {{ until: {MANY} }})")
    growth = memory(page) - before
    shown = page.get_by_text(f"{MANY} readings")
    shown.wait_for()
    page.close()
    return drawings / seconds, growth / 2**20


def memory(page: Page) -> int:
    """Return how many bytes the page holds once its garbage is collected."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    usage = session.send("Runtime.getHeapUsage")
    session.detach()
    return sum(usage.get(part, 0) for part in ("usedSize", "embedderHeapUsedSize", "backingStorageSize"))
