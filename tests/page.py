"""What the tests know of a page's inside: the only names of its script that they may rely on.

All else they see as a person does, by role and name. Each page from test6 on has its plots in `window.plots`
(tests/conftest.py keeps them). From test4 on its sockets are `control` and `readings`. From test14 on it has
`run`, with `have`, `received` and `gone`, and `lost(why)`; from test14b on that is the `Run` of run.js, and
`plot` the one of run_plot.js.
"""

import re

from playwright.sync_api import Page

# What is drawn: for each time the values, as [time in s, value, …], without gaps.
DRAWN_IN_SECONDS = """() => {
  const [times, ...lines] = window.plots.at(-1).data;
  return times.map((time, i) => [time, ...lines.map((line) => line[i])]).filter((row) => row[1] !== null);
}"""

# The same, with the times in µs and null for what is no value.
DRAWN = """() => {
  const [times, ...lines] = window.plots.at(-1).data;
  return times.map((time, i) => [Math.round(time * 1e6), ...lines.map((line) => line[i] ?? null)])
    .filter((row) => row[1] !== null);
}"""

# Whether the plot has a pixel of this colour, given as "#rrggbb".
PAINTED = """(colour) => {
  const canvas = document.querySelector("figure canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return new Uint32Array(data.buffer).includes(((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
}"""

# The plot, to be compared with itself.
PICTURE = """() => document.querySelector("figure canvas").toDataURL()"""

# Every reading that a page has as such, as [time in µs, value, …]: what is drawn, or the ring of a Run.
ROWS = f"""() => {{
  if (!run.ring) return ({DRAWN})();
  const {{ times, values, length }} = run.ring;
  return Array.from({{ length }}, (_, i) => [times[i], ...values.map((column) => column[i])]);
}}"""

# How many readings of the first line are drawn before each of its gaps.
BREAKS = """() => {
  const breaks = [];
  let drawn = 0;
  for (const value of window.plots.at(-1).data[1]) {
    if (value === null) breaks.push(drawn);
    else if (value !== undefined) drawn += 1;
  }
  return breaks;
}"""

# How many gaps the first line has.
GAPS = """() => {
  const [, values] = window.plots.at(-1).data;
  return values.filter((value, i) => value === null && values[i - 1] !== null).length;
}"""

# What part of the run is shown, in µs.
VIEW = "() => plot.view()"

# What the browser tells a page whose connection broke.
LOSE_SOCKET = "(name) => ({ control, readings })[name].onclose(new CloseEvent('close', { code: 1006 }))"

# A browser without windows hides no tab, so this does what a hidden one does: it draws nothing.
HIDE = """() => {
  const draw = window.requestAnimationFrame;
  const later = [];
  const become = (state) => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  };
  window.requestAnimationFrame = (callback) => later.push(callback);
  become("hidden");
  window.showAgain = () => {
    window.requestAnimationFrame = draw;
    later.forEach((callback) => draw(callback));
    become("visible");
  };
}"""

# As without a network: each attempt to connect fails at once, until the page is back in it.
GO_OFFLINE = """() => {
  const frame = document.createElement("iframe");
  document.body.append(frame);
  const fail = (socket) => socket.onclose?.(new CloseEvent("close", { code: 1006 }));
  lost("gone.");
  WebSocket = class { constructor() { setTimeout(() => fail(this)); } close() {} };
  window.goOnline = () => {
    WebSocket = frame.contentWindow.WebSocket;
    window.dispatchEvent(new Event("online"));
  };
}"""


def count_of(page: Page) -> int:
    return int(re.match(r"(\d+) readings", page.locator("#count").inner_text())[1])


def wait_for_readings(page: Page, more: int) -> None:
    """Wait until that many more readings have been shown."""
    shown = "parseInt(document.getElementById('count').textContent)"
    page.wait_for_function(f"(enough) => {shown} >= enough", arg=page.evaluate(shown) + more)


def wait_for_all(page: Page) -> None:
    """Wait until the page of a step that has stopped has, by its own account, every reading of the run."""
    # What the server has counted before it stopped is not enough.
    page.evaluate("""() => {
      window.known = 0;
      control.addEventListener("message", ({ data }) => (known = JSON.parse(data).acquired ?? known));
    }""")
    page.wait_for_function("""() => {
      const number = (id) => parseInt(document.getElementById(id).textContent.replaceAll(",", ""));
      return known > 0 && known === run.have && known === number("acquired")
        && known === number("logged") && known === number("count") && number("missing") === 0;
    }""")
    wait_for_drawing(page)


def wait_for_drawing(page: Page) -> None:
    """Wait until what the page has at this moment is drawn, which is in the next animation frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
