// What the pages show of a run, and of earlier ones: what test14b shows in full.

// Whatever is known of the run that is shown; and of this run, while an earlier one is.
let run = new Run();
let thisRun = run;
let plot = null;
let showValues = null;

let counted = { acquired: 0, logged: 0 }; // by the server
let due = 0; // up to this number, readings should have come by now
let latest = null; // the latest message with lines
let onScreen = 0; // time of the newest reading on the screen
let agesShown = 0;
let logError = null;
let another = ""; // what is to be said of a run that is not the one from before
let shownRun = null;
let shownUnits = "";

// What the server says on the control socket, by the names in its messages.
const shows = {
  running: showState,
  acquired: showCounts,
  reply: ({ reply }) => (find("response").textContent = reply),
};

function receive(message) {
  if ("epoch" in message) {
    begin(message);
  } else if ("view" in message) {
    isWaiting = false;
    run.addDetail(message);
  } else if ("lines" in message) {
    run.addLines(message.lines);
    latest = { ...message, arrived: performance.now(), isNew: true };
  } else if ("extremes" in message) {
    run.addExtremes(message.extremes);
  } else if ("gone" in message) {
    run.addGone(...message.gone);
  } else if ("pong" in message) {
    return setClock(message);
  } else {
    isWaiting = false;
    find("response").textContent = message.error;
  }
  showNotice();
  plot?.draw();
}

// The server says what run this is and how much there is of it, and the page what it has of it. An epoch that is
// not that of the page's run is another run, of which it has nothing.
function begin(hello) {
  if (hello.epoch !== run.epoch) {
    another = run.received === 0 ? "" : `This is another run: ${nameOf(hello.run)}.`;
    run = new Run(hello);
    due = 0;
    if (hello.live) thisRun = run;
    listRuns();
  }
  if (!hello.live) due = hello.head;
  asked = "";
  isWaiting = false;
  trips = [];
  latest = null;
  readings.send(JSON.stringify({ epoch: run.epoch, have: run.have }));
  greeted = readings;
  ping();
  showRun();
}

// What a view needs and the page has not kept, it asks of the server: one view at a time, and none twice.
let asked = "";
let isWaiting = false;
let views = 0;

function ask({ from, to, pixels }) {
  const wanted = run.wants(from, to, pixels);
  if (!wanted || !isReady() || isWaiting || JSON.stringify(wanted) === asked) return;
  asked = JSON.stringify(wanted);
  isWaiting = true;
  views += 1;
  readings.send(JSON.stringify({ view: views, ...wanted }));
}

// The server's clock, from how it answers: the quickest of the last answers says most exactly how the two differ.
let trips = [];
setInterval(ping, 1000);

function ping() {
  if (isReady()) readings.send(JSON.stringify({ ping: performance.now() }));
}

// The server wants to know first what the page has, and the page, what run it is.
let greeted = null;
const isReady = () => readings === greeted && readings.readyState === WebSocket.OPEN;

function setClock({ pong, now }) {
  const arrived = performance.now();
  trips = [...trips.slice(-19), { took: arrived - pong, ahead: now * 1000 - (pong + arrived) / 2 }];
}

// A time of this page on the server's clock: milliseconds of Unix time.
function onServer(time) {
  return time + trips.reduce((best, trip) => (trip.took < best.took ? trip : best)).ahead;
}

function showState({ running, log_error }) {
  logError = log_error;
  if (running) handOver(find("start"), find("stop"));
  else handOver(find("stop"), find("start"));
}

// Of what was logged a moment ago, which has had the time to come, nothing should be missing here.
function showCounts({ acquired, logged, lost }) {
  counted = { acquired, logged };
  showHowMany();
  find("missing").textContent = grouped(Math.max(0, due - run.have));
  if (run.live) due = logged;
  const loss = lost > 0 ? `${grouped(lost)} readings could not be written to the log, and are lost.` : "";
  setText(find("alert"), [logError, loss].filter(Boolean).join(" "));
  if (performance.now() - agesShown > 1000) showAges(false);
}

// Some may have arrived here since the server counted.
function showHowMany() {
  const { acquired, logged } = counted;
  find("acquired").textContent = grouped(run.live ? Math.max(acquired, run.have) : run.head);
  find("logged").textContent = grouped(run.live ? Math.max(logged, logError ? 0 : run.have) : run.head);
  find("count").textContent = `${run.received} readings`;
}

// The server names the fields and their units, so this page works with any sensor.
function showRun() {
  const units = new Map(run.fields.map((name, index) => [name, run.units[index]]));
  if (JSON.stringify([...units]) !== shownUnits) {
    shownUnits = JSON.stringify([...units]);
    if (plot) plot.destroy();
    plot = createRunPlot(find("plot"), units, run, showView);
    showValues = createLegend(find("legend"), units, plot);
  } else if (run !== shownRun) {
    plot.open(run);
  }
  shownRun = run;
  find("all").href = logAddress(run);
  find("replay").textContent = run.speed === null ? "" : `Replay of ${run.run}, ${run.speed} × as fast`;
}

function showNotice() {
  const gone = run.gone > 0 ? `${grouped(run.gone)} readings of this run are not in the log any more.` : "";
  setText(find("notice"), [another, gone].filter(Boolean).join(" "));
}

// After each drawing, with what is on the screen.
function showView(view) {
  ask(view);
  showHowMany();
  showValues(view.values ?? run.fields.map(() => null));
  showButtons(view, run);
  find("part").href = logAddress(run, view);
  onScreen = view.time;
  // Four times a second is as often as a number can be read.
  if (view.following && latest?.isNew && performance.now() - agesShown > 250) showAges(true);
  if (latest) latest.isNew = false;
}

// How old the newest reading on the screen is; and if it has only just got there, where it spent that time.
function showAges(isNew) {
  agesShown = performance.now();
  const hasAge = run.live && run.speed === null && run.received > 0 && trips.length > 0;
  const way = hasAge && isNew;
  find("age").textContent = hasAge ? duration(onServer(agesShown) - onScreen / 1000) : "–";
  find("age-server").textContent = way ? duration(latest.waited * 1000) : "–";
  find("age-page").textContent = way ? duration(onServer(latest.arrived) - latest.sent * 1000) : "–";
  find("age-paint").textContent = way ? duration(agesShown - latest.arrived) : "–";
}

// Readings of this run, or of an earlier one: the messages are the same.
function chooseRun(name) {
  find("run").value = name;
  run = name ? new Run() : thisRun;
  due = 0;
}

// An earlier run that the server refuses is not there any more, or cannot be read. That is to be seen for long.
function refused(reason) {
  chooseRun("");
  another = reason;
}

find("run").onchange = (event) => {
  another = "";
  chooseRun(event.target.value);
  connect();
};
find("run").onfocus = listRuns;
find("start").onclick = () => control.send("START");
find("stop").onclick = () => control.send("STOP");
find("pause").onclick = () => plot?.pause();
find("follow").onclick = () => plot?.follow();
find("in").onclick = () => plot?.zoom(0.5);
find("out").onclick = () => plot?.zoom(2);
find("whole").onclick = () => plot?.follow(Infinity);
