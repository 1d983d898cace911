// What test13's page needs besides its lesson: Plotly's script, the time of day, and the colours of the page.

// Load Plotly's script from the server of an EventSocket, wherever the page has come from, and then call a function.
function loadPlotly(socket, loaded) {
  if (window.Plotly || document.getElementById("plotly")) return;
  const script = document.createElement("script");
  script.id = "plotly";
  script.src = new URL("/plotly.min.js", socket.url.replace(/^ws/, "http")).href;
  script.onload = loaded;
  script.onerror = () => {
    script.remove();
    setTimeout(() => loadPlotly(socket, loaded), 2000);
  };
  document.head.append(script);
}

// A time of day for people, from seconds of Unix time.
function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hourCycle: "h23" });
}

// How times are written at the axis, by the milliseconds from one label to the next, so that no two look alike.
const TICK_FORMATS = [
  { dtickrange: [null, 999], value: "%H:%M:%S.%3f" },
  { dtickrange: [1000, 6 * 3600_000 - 1], value: "%H:%M:%S" },
  { dtickrange: [6 * 3600_000, null], value: "%d %b %H:%M" },
];

// Add points to a line that is going to be drawn anew.
function appendPoints(trace, { x, y }) {
  Object.assign(trace, { x: [...trace.x, ...x], y: [...trace.y, ...y] });
}

// What a page says of readings that came after newer ones of their sensor.
function wordsOfLate({ placed, too_late }) {
  if (placed + too_late === 0) return "";
  return `Late readings: ${placed + too_late}${too_late > 0 ? `, of which ${too_late} too late for the plot` : ""}`;
}

// Python does not know whether a visitor's screen is light or dark, wide or narrow. Returns the layout, changed.
function adaptLayout(layout, figure) {
  const style = getComputedStyle(document.body);
  const [ink, muted, line, card] = ["--ink", "--muted", "--line", "--card"].map((name) => style.getPropertyValue(name));
  layout.font = { ...layout.font, color: ink, family: style.fontFamily };
  layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0, 0, 0, 0)";
  layout.hoverlabel = { bgcolor: card, bordercolor: line, font: { color: ink } };
  layout.modebar = { bgcolor: "rgba(0, 0, 0, 0)", color: muted, activecolor: ink };
  for (const axis of [layout.xaxis, layout.yaxis]) Object.assign(axis, { gridcolor: line, linecolor: line });
  layout.xaxis.tickformatstops = TICK_FORMATS;
  layout.xaxis.nticks = Math.max(3, Math.floor(figure.clientWidth / 120));
  // A finger that drags over the plot scrolls the page; there are buttons to zoom.
  if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
  return layout;
}

// Where no line can be seen, Plotly's axis would show the year 2000, and behind the first reading the thousandths of
// a second. A line without a width keeps some time before the newest reading, or before now, in sight.
function holdAxis(layout, seen, newest) {
  const end = newest || Date.now();
  const visible = !seen || newest > 0;
  const x = { x0: end - (seen ? 30 : layout.meta.window) * 1000, x1: end, xref: "x" };
  const hold = { name: "hold", type: "line", ...x, y0: 0, y1: 0, yref: "paper", line: { width: 0 }, visible };
  layout.shapes = [...layout.shapes.filter(({ name }) => name !== "hold"), hold];
}

// What Plotly draws in place of no lines at all, for which it would not look at the line above.
const NO_LINES = [{ visible: false, x: [], y: [], meta: {} }];

// Adapt a drawn figure again when the screen changes from light to dark or back.
function followColours(figure) {
  matchMedia("(prefers-color-scheme: dark)").onchange = () => {
    if (!figure.layout) return;
    adaptLayout(figure.layout, figure);
    Plotly.redraw(figure);
  };
}
