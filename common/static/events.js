// Named events between a page and a Python program: the page's side of common/events.py.
//
//   const socket = new EventSocket();                        connects to the server that served the page
//   socket.onevent("time", (e) => show(e.data));             what the server sends
//   socket.onevent("open", () => …);                         also "close" and "error"
//   socket.onevent("close", () => socket.reconnect());       coming back by itself
//   socket.send("click", { count: 3 });
//
// A listener is called with { event, data }. At "close", data says why, and there are code, reason and wasOpen
// (whether this attempt had been connected). At "error", data says what went wrong, here or on the server.

class EventSocket {
  // How long nothing may be heard of a server that says something every second, in milliseconds.
  static SILENCE = 5000;

  // How many characters a message may have: the server's own limit.
  static MAX_MESSAGE = 2 ** 20;

  static isSupported() {
    return "WebSocket" in window;
  }

  // The server that served the page. A page that came from a file, or from another web server (which shows in
  // the names of its folder and file), looks for its server at port 5678 of the same host.
  static defaultUrl() {
    const elsewhere = location.protocol === "file:" || /\/\w+\/client\.html$/.test(location.pathname);
    const host = elsewhere ? `${location.hostname || "localhost"}:5678` : location.host;
    return `${location.protocol === "https:" ? "wss" : "ws"}://${host}/`;
  }

  /** @type {WebSocket} */
  socket;

  /** @type {() => void} what is called when nothing is heard for too long */
  silent;

  constructor(url = EventSocket.defaultUrl()) {
    this.url = url;
    this.host = new URL(url).host;
    this.listeners = new Map();
    this.attempts = 0;
    this.connect();
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  // Call a function whenever an event of this name arrives; more than one is called in the order of their coming.
  onevent(name, func) {
    if (!this.listeners.has(name)) this.listeners.set(name, []);
    this.listeners.get(name).push(func);
  }

  /**
   * Send an event. Returns whether it was sent; if not, an "error" event says why. What JSON would change or
   * leave out without a word, such as NaN or a Map, is not sent.
   * @param {string} name
   * @param {any} data
   */
  send(name, data = null) {
    let message = "";
    let problem = "";
    try {
      message = JSON.stringify({ event: name, data }, EventSocket.refuse);
    } catch (error) {
      // The engine's own errors, such as that for data that contains itself, have several lines.
      problem = typeof error === "string" ? error : `this data: ${String(error).split("\n")[0]}`;
    }
    if (problem) problem = `JSON cannot hold ${problem}`;
    else if (!this.isOpen) problem = "there is no connection";
    else if (message.length > EventSocket.MAX_MESSAGE) problem = `it has more than ${EventSocket.MAX_MESSAGE} characters`;
    if (problem) {
      this.dispatch("error", { data: `"${String(name)}" was not sent: ${problem}.` });
      return false;
    }
    this.socket.send(message);
    return true;
  }

  // JSON.stringify calls this for each value, which is a member of `this`, and would itself go on.
  static refuse(key, value) {
    const given = this[key];
    const where = key === "" || key === "data" ? "" : ` (${key})`;
    const kind = Object.prototype.toString.call(given).slice(8, -1); // a Date has already become text
    // Another integer may have been meant that JavaScript has rounded to this one. From 1e21 on it has an
    // exponent in JSON, and is no integer for Python.
    const rounded = Number.isInteger(value) && Math.abs(value) >= 2 ** 53 && Math.abs(value) < 1e21;
    if (typeof value === "bigint" || rounded) throw `${value}${where} exactly; send it as text`;
    if (typeof value === "number" && !Number.isFinite(value)) throw `${value}${where}; send null, or text`;
    if (value === null && given !== null) throw `${given}${where}`;
    // Of objects, JSON has arrays and plain ones; of the rest, text, numbers, true, false and null.
    const known = Object(given) === given ? ["Array", "Object"] : ["Null", "Boolean", "Number", "String"];
    if (!known.includes(kind)) throw `${kind}${where}; send numbers, text, arrays or plain objects`;
    return value;
  }

  // Connect again: soon the first time, later each further time, until the server has spoken. The random part
  // keeps many pages from coming back in the same instant.
  reconnect() {
    this.abandon();
    const delay = Math.min(4000, 250 * 2 ** this.attempts) * (0.5 + Math.random() / 2);
    this.attempts += 1;
    this.retry = setTimeout(() => this.connect(), delay);
  }

  connect() {
    let wasOpen = false;
    this.socket = new WebSocket(this.url);
    this.socket.onopen = () => {
      wasOpen = true;
      this.expectNews();
      this.dispatch("open", { data: this.host });
    };
    this.socket.onmessage = (event) => {
      this.attempts = 0;
      this.expectNews();
      const message = JSON.parse(event.data);
      if (message.event !== "heartbeat") this.dispatch(message.event, { data: message.data });
    };
    this.socket.onclose = ({ code, reason }) => this.lost(code, reason, wasOpen);
    // When the network fails nobody says goodbye, and the browser itself notices only after minutes.
    this.silent = () => this.lost(1006, wasOpen ? `nothing heard from ${this.host} for 5 seconds` : "", wasOpen);
    this.expectNews();
  }

  expectNews() {
    clearTimeout(this.silence);
    this.silence = setTimeout(this.silent, EventSocket.SILENCE);
  }

  lost(code, reason, wasOpen) {
    this.abandon();
    this.dispatch("close", { data: reason || `close code ${code}`, code, reason, wasOpen });
  }

  // Let go of the present connection, whatever its state; nothing more is heard of it.
  abandon() {
    clearTimeout(this.retry);
    clearTimeout(this.silence);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
  }

  dispatch(name, more) {
    const functions = this.listeners.get(name) ?? [];
    if (name === "error" && functions.length === 0) console.error(more.data);
    for (const func of [...functions]) {
      try {
        func({ event: name, ...more });
      } catch (error) {
        reportError(error); // as if it had not been caught
      }
    }
  }
}
