// The two sockets of a page, and how it comes back: what test14 shows in full.
//
// Unlike there, a page can ask for an earlier run, which the server may refuse.
//
// The page has `run`, `due`, `shows` and the functions receive() and refused().

const find = (id) => document.getElementById(id);
const server = pageServer();
const { host } = new URL(server);

// One socket for commands, states and counts, one for readings.
let control = null;
let readings = null;
let wasOpen = false;
let attempts = 0;
let retry = null;
let heard = Date.now(); // when the server last said something on the one
let caughtUp = Date.now(); // and when the page was last up to date, or readings came

function connect() {
  disconnect();
  wasOpen = false;
  heard = caughtUp = Date.now();
  control = new WebSocket(`${server}control`);
  const name = find("run").value;
  if (name) setText(find("notice"), "Opening the run…");
  readings = new WebSocket(`${server}data${name && `?run=${encodeURIComponent(name)}`}`);
  control.onopen = readings.onopen = socketOpened;
  control.onclose = (event) => socketClosed("control", event);
  readings.onclose = (event) => socketClosed("data", event);
  control.onmessage = (event) => {
    // As long as the other socket is not open, what is heard on this one is no reason to go on waiting.
    if (readings.readyState === WebSocket.OPEN) heard = Date.now();
    if (run.have >= due) caughtUp = Date.now();
    const message = JSON.parse(event.data);
    for (const [name, show] of Object.entries(shows)) if (name in message) show(message);
  };
  readings.onmessage = (event) => {
    caughtUp = Date.now();
    try {
      receive(JSON.parse(event.data));
      attempts = 0;
    } catch (error) {
      // Something is missing. The server is asked anew, for what comes after the last that is here.
      lost(`${error.message}.`);
    }
  };
}

// The server says something four times a second. When it does not, or readings are missing and do not come, the
// network has failed, which the browser itself would notice only after minutes.
setInterval(() => {
  if (retry || Date.now() - Math.min(heard, caughtUp) < 5000) return;
  lost(wasOpen ? `nothing heard from ${host} for 5 seconds.` : explainClose({ code: 1006 }, false, host));
}, 1000);

// Whoever looks at the page again, or is back in the network, does not want to wait.
function hurry() {
  if (document.visibilityState === "visible" && (retry || Date.now() - heard > 2000)) connect();
}
document.addEventListener("visibilitychange", hurry);
window.addEventListener("online", hurry);

// The page is connected when both sockets are; one is no use without the other, so when one goes, both go.
function socketOpened() {
  if (control.readyState !== WebSocket.OPEN || readings.readyState !== WebSocket.OPEN) return;
  wasOpen = true;
  setStatus("open", `Connected to ${host.replace(/:5678$/, "")}`);
}

function socketClosed(which, event) {
  if (which === "data" && event.code === 1008) refused(event.reason);
  lost(`${which} socket: ${explainClose(event, wasOpen, host)}`);
}

function lost(why) {
  disconnect();
  // The first reason is the one worth reading; that nothing answers meanwhile is no news.
  if (find("status").dataset.state !== "closed") setStatus("closed", `Disconnected: ${why} Trying again…`);
  find("response").textContent = find("alert").textContent = "";
  // Waiting longer each time, and not all pages equally long, is kind to a server that has just restarted.
  const delay = Math.min(4000, 250 * 2 ** attempts) * (0.5 + Math.random() / 2);
  attempts += 1;
  retry = setTimeout(connect, delay);
}

function disconnect() {
  clearTimeout(retry);
  retry = null;
  find("start").disabled = find("stop").disabled = true;
  for (const socket of [control, readings]) {
    if (!socket) continue;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
