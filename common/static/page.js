// What the pages from test4 on share: the connection, what test3 shows in full, and what stands at the axes of plots.
// showConnection() is what test10 shows in full. Unlike there, it knows of no button.

const addressBox = document.getElementById("address");

// The page's own host is the server's too, unless the page was opened from a file. From test10 on a page connects
// to the server that it came from, and has no such box.
if (addressBox) addressBox.value = location.hostname || "localhost";

// What was typed as the server address, as host:port.
function serverAddress() {
  // Somebody may paste the whole address of a page: only the host and the port of it count.
  const host = addressBox.value.trim().replace(/^\w+:\/\//, "").split(/[/?#]/)[0];
  return /:\d+$/.test(host) ? host : `${host}:5678`;
}

// Where a page connects that has no such box: the server that it came from, and for one that came from a file, or from
// another web server (which shows in the names of its folder and file), port 5678 of the same host.
function pageServer() {
  const elsewhere = location.protocol === "file:" || /\/\w+\/client\.html$/.test(location.pathname);
  const host = elsewhere ? `${location.hostname || "localhost"}:5678` : location.host;
  return `${location.protocol === "https:" ? "wss" : "ws"}://${host}/`;
}

// The state is one of "idle", "connecting", "open" and "closed", and decides the colour.
function setStatus(state, text) {
  const status = document.getElementById("status");
  status.dataset.state = state;
  status.textContent = text;
}

// Why a connection ended, for people. The browser itself says only a code, and a reason if the server gave one.
function explainClose(event, wasOpen, server) {
  if (event.reason) return `${event.reason} (close code ${event.code}).`;
  if (!wasOpen && event.code === 1006) {
    return (
      `no answer from ${server}. Is the server running? Is the address right? ` +
      "Are both devices on the same network? Does a firewall block the port?"
    );
  }
  if (event.code === 1001) return "the server has stopped (close code 1001).";
  if (event.code === 1011) return "the server failed (close code 1011); its terminal says why.";
  return `the connection was lost (close code ${event.code}).`;
}

// Why new WebSocket() refused an address.
function explainRefusal(error) {
  if (error.name === "SecurityError") {
    return "this page came by https, from where browsers refuse ws addresses; open it by http or from its file.";
  }
  return `${JSON.stringify(addressBox.value)} is not an address; try 192.168.1.20 or 192.168.1.20:5678.`;
}

// uPlot, which is loaded after this, does not start where the browser's language is none, such as "C".
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en-GB" });
}

// What stands at the axes of all plots from here on. Labels of time: as many digits as the distance between them
// asks for, and the date where it changes.
/** @type {Intl.DateTimeFormatOptions} */
const CLOCK_PARTS = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const CLOCK = new Intl.DateTimeFormat("en-GB", CLOCK_PARTS);
const PRECISE_CLOCK = new Intl.DateTimeFormat("en-GB", { ...CLOCK_PARTS, fractionalSecondDigits: 3 });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

function timeLabels(plot, times, axis, space, distance) {
  const format = distance < 1 ? PRECISE_CLOCK : CLOCK;
  let date = DATE.format(Date.now());
  return times.map((time) => {
    const label = format.format(time * 1000);
    const before = date;
    date = DATE.format(time * 1000);
    // Where there is no other, uPlot gives the next time that has a label, which is not in the plot.
    if (time > plot.scales.x.max) return "";
    return date === before ? label : `${label}\n${date}`;
  });
}

// How many pixels they need, so that they do not touch: dates take more, and where half a second has so much room,
// milliseconds are shown.
function timeWidth(plot, axis, from, to, pixels) {
  const width = DATE.format(from * 1000) === DATE.format(Date.now()) ? 62 : 88;
  return ((to - from) / pixels) * width > 0.5 ? width : 104;
}

// Labels of two lines need more height.
function timeHeight(plot, labels) {
  return labels?.some((label) => label.includes("\n")) ? 48 : 36;
}

const TIME_AXIS = {
  size: timeHeight,
  space: timeWidth,
  values: timeLabels,
  // The steps in seconds of which one is chosen.
  incrs: [
    ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((milliseconds) => milliseconds / 1000),
    ...[1, 2, 5, 10, 15, 30],
    ...[1, 2, 5, 10, 15, 30].map((minutes) => 60 * minutes),
    ...[1, 2, 3, 4, 6, 8, 12].map((hours) => 3600 * hours),
    ...[1, 2, 4, 7, 15, 30, 60, 90, 180, 365, 730, 1825, 3650, 36500].map((days) => 86400 * days),
  ],
};

// Labels of values: all their digits, so that no two are the same; of very small and very large ones with a power of
// ten.
const NUMBER = new Intl.NumberFormat(undefined, { maximumFractionDigits: 12 });

function valueLabels(plot, values) {
  const largest = Math.max(...values.map(Math.abs));
  const isPlain = largest === 0 || (largest >= 1e-3 && largest < 1e9);
  return values.map((value) => {
    const rounded = Number(value.toPrecision(14)); // 0.30000000000000004 is 0.3
    return isPlain || value === 0 ? NUMBER.format(rounded) : rounded.toExponential();
  });
}

function valueWidth(plot, labels) {
  return Math.max(56, 20 + 7.5 * Math.max(0, ...(labels ?? []).map((label) => label.length)));
}

const VALUE_AXIS = { size: valueWidth, values: valueLabels };

// Where there are no values yet, or all lines are hidden, there is still an axis. The ends of a scale, and the
// distance between them, have to be finite numbers; values beyond are cut off.
function valueRange(plot, low, high) {
  const sane = (value) => Math.min(Math.max(value, -1e300), 1e300);
  return low === null ? [0, 1] : uPlot.rangeNum(sane(low), sane(high), 0.1, true);
}

// What has not changed is not set again, or a screen reader would say it again.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const grouped = (number) => number.toLocaleString("en-GB");

// Of two buttons that take turns, the one that can be pressed next takes over the keyboard's focus.
function handOver(from, to) {
  to.disabled = false;
  if (document.activeElement === from) to.focus();
  from.disabled = true;
}

// Show the state of an EventSocket (events.js), and come back when it is lost.
function showConnection(socket) {
  setStatus("connecting", "Connecting…");
  socket.onevent("open", () => setStatus("open", `Connected to ${socket.host.replace(/:5678$/, "")}`));
  socket.onevent("close", (e) => {
    const known = document.getElementById("status").dataset.state === "closed";
    if (!known) setStatus("closed", `Disconnected: ${explainClose(e, e.wasOpen, socket.host)} Waiting for the server…`);
    socket.reconnect();
  });
}
