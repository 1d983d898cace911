"""From a first visit to test9's page to the first plotted point after Start, and the bytes that it loads.

A script in the page clicks Connect and Start as soon as it can, with nothing in the browser's cache. Plotted
means that a pixel of the plot has the colour of a field; a line takes two readings, which are 200 ms apart.
"""

import time
from statistics import median

from playwright.sync_api import Browser

from tests.benchmarks.dashboard import browser, dashboard
from tests.benchmarks.result import Result, at_most

RUNS = 9

# In each frame, look for what can be clicked, and at last for a pixel with a colour at the right, where the
# newest reading is: the axes, their labels and the grid are almost grey.
VISITOR = """
  window.plotted = new Promise((resolve) => {
    const names = ["Connect", "Start"];
    function look() {
      const button = [...document.querySelectorAll("button")].find((one) => one.textContent === names[0]);
      if (button && !button.disabled && document.readyState !== "loading") {
        button.click();
        names.shift();
      }
      const canvas = document.querySelector("figure canvas");
      if (canvas && names.length === 0) {
        const { data } = canvas.getContext("2d").getImageData(canvas.width - 100, 0, 100, canvas.height);
        for (let i = 0; i < data.length; i += 4) {
          const [r, g, b, opacity] = data.subarray(i, i + 4);
          if (opacity > 128 && Math.max(r, g, b) - Math.min(r, g, b) > 64) return resolve(Date.now());
        }
      }
      requestAnimationFrame(look);
    }
    look();
  });
"""


def run() -> list[Result]:
    figures = []
    with browser() as chromium:
        for _ in range(RUNS):
            with dashboard() as url:
                figures.append(measure(chromium, url))
    times, sizes = zip(*figures, strict=True)
    print(f"  ms in {RUNS} runs: {[round(ms) for ms in sorted(times)]}")
    return [
        at_most("page: first visit to first point", median(times), 700, "ms"),
        at_most("page: everything it loads", max(sizes) / 1024, 120, "KiB", ".1f"),
    ]


def measure(chromium: Browser, url: str) -> tuple[float, int]:
    """Return the milliseconds to the first plotted point, and the bytes loaded, headers included."""
    with chromium.new_context() as context:
        page = context.new_page()
        page.add_init_script(VISITOR)
        network = context.new_cdp_session(page)
        sizes = []
        network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        network.send("Network.enable")
        start = time.time()
        page.goto(url)
        plotted = page.evaluate("plotted")
    return plotted - start * 1000, sum(sizes)
