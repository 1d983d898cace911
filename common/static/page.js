// What the pages from test4 on share. test3 shows all of it in full.

const addressBox = document.getElementById("address");

// The page's own host is the server's too, unless the page was opened from a file. From test10 on a page connects
// to the server that it came from, and has no such box.
if (addressBox) addressBox.value = location.hostname || "localhost";

// What was typed as the server address, as host:port.
function serverAddress() {
  // Somebody may paste the whole address of a page: only the host and the port of it count.
  const host = addressBox.value.trim().replace(/^\w+:\/\//, "").replace(/[/?#].*$/, "");
  return /:\d+$/.test(host) ? host : `${host}:5678`;
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

// Show the state of an EventSocket (events.js), and come back when it is lost: what test10 shows in full.
function showConnection(socket) {
  setStatus("connecting", "Connecting…");
  socket.onevent("open", () => setStatus("open", `Connected to ${socket.host.replace(/:5678$/, "")}`));
  socket.onevent("close", (e) => {
    const known = document.getElementById("status").dataset.state === "closed";
    if (!known) setStatus("closed", `Disconnected: ${explainClose(e, e.wasOpen, socket.host)} Waiting for the server…`);
    socket.reconnect();
  });
}
