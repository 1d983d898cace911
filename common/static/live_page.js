// The page's side of common/live_page.py. A page needs this one line, and elements with ids:
//
//   <script src="/common/static/live_page.js"></script>
//
// The state of the connection is shown in the element with the id "connection", or, where there is none, in a
// line at the top of the page.

(() => {
  // Show a value in an element. Returns what is wrong with it, if the element cannot show it.
  function show(element, value) {
    const progress = typeof value === "object" && value !== null ? value : null;
    const text = progress ? progress.text : String(value ?? "");
    if (element instanceof HTMLProgressElement || element instanceof HTMLMeterElement) {
      if (progress) {
        wordsOf(element).textContent = text;
        // A loop over nothing is complete; one whose length nobody knows just moves.
        element.max = progress.total || 1;
        value = progress.total === 0 ? 1 : progress.total && progress.count;
      }
      element.removeAttribute("value");
      if (value === null || value === "") return "";
      // Decimals and very long integers come as text.
      const number = /^[\s\d.eE+-]+$/.test(value) || typeof value === "boolean" ? Number(value) : NaN;
      if (!Number.isFinite(number)) return `takes a number, and not ${quote(text)}`;
      element.value = number;
      if (element.value !== number) return `goes from ${"min" in element ? element.min : 0} to ${element.max}, and not to ${quote(text)}`;
    } else if (element.type === "checkbox" || element.type === "radio") {
      if (typeof value === "string") return `takes True or False, and not ${quote(text)}`;
      element.checked = Boolean(value);
    } else if (element.matches("input, select, textarea")) {
      element.value = text;
      // Some show only what is one of their choices, or made like a number or a date.
      if (element.value === "" && text !== "") return `cannot show ${quote(text)}`;
    } else if (element instanceof HTMLImageElement) {
      element.src = text;
    } else {
      element.textContent = text;
    }
    return "";
  }

  const quote = (text) => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

  // Where the progress of a loop is told in words.
  function wordsOf(bar) {
    const id = `${bar.id}-text`;
    let words = document.getElementById(id);
    if (!words) {
      words = document.createElement("span");
      words.id = id;
      bar.after(" ", words);
    }
    return words;
  }

  function connect() {
    let connection = document.getElementById("connection");
    if (!connection) {
      connection = document.createElement("p");
      connection.setAttribute("role", "status");
      document.body.prepend(connection);
    }
    function setConnection(state, text) {
      connection.dataset.state = state;
      connection.textContent = text;
    }

    const socket = new EventSocket();
    let ended = "";
    setConnection("connecting", "Connecting…");

    socket.onevent("open", () => {
      ended = "";
      setConnection("open", `Connected to ${socket.host.replace(/:5678$/, "")}`);
    });

    socket.onevent("values", ({ data }) => {
      const unknown = [];
      const refused = {};
      for (const [id, value] of Object.entries(data.values)) {
        const element = document.getElementById(id);
        if (!element) unknown.push(id);
        try {
          const wrong = element && show(element, value);
          if (wrong) refused[id] = wrong;
        } catch (error) {
          reportError(error); // one element that takes no value must not stop the others
          refused[id] = `cannot show it: ${error.message}`;
        }
      }
      if (data.ended) {
        ended = data.ended;
        setConnection("ended", ended);
      }
      // The next values come only after this.
      socket.send("shown", { version: data.version, unknown, refused });
    });

    // A run that has ended is no failure. The next run of the program finds this page waiting.
    socket.onevent("close", (e) => {
      if (!ended && connection.dataset.state !== "closed") {
        setConnection("closed", `Disconnected: ${e.data}. Waiting for the program…`);
      }
      socket.reconnect();
    });
  }

  const ready = () => (document.readyState === "loading" ? addEventListener("DOMContentLoaded", connect) : connect());
  if (typeof EventSocket === "function") {
    ready();
  } else {
    const script = document.createElement("script");
    const { src } = /** @type {HTMLScriptElement} */ (document.currentScript);
    script.src = new URL("events.js", src).href;
    script.onload = ready;
    document.head.append(script);
  }
})();
