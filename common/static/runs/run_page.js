// What the page of test14 has around its plot: buttons, links, texts. Nothing here has to do with the connection.

const SERVER = EventSocket.defaultUrl().replace(/^ws/, "http");

// Of two buttons that take turns, the one that can be pressed next takes over the keyboard's focus.
function handOver(from, to) {
  to.disabled = false;
  if (document.activeElement === from) to.focus();
  from.disabled = true;
}

// What has not changed is not set again, or a screen reader would say it again.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const grouped = (number) => number.toLocaleString("en-GB");

// A duration in milliseconds, for people. (Clocks that are compared over a network may be off by a little.)
function duration(time) {
  if (time < 10000) return `${Math.max(0, time).toFixed(0)} ms`;
  return time < 600000 ? `${(time / 1000).toFixed(1)} s` : `${grouped(Math.round(time / 60000))} min`;
}

function showButtons({ width, following }, run) {
  const [pause, follow] = [document.getElementById("pause"), document.getElementById("follow")];
  if (!run.live) pause.disabled = follow.disabled = true;
  else if (following) handOver(follow, pause);
  else handOver(pause, follow);
  const seconds = Number((width / 1e6).toPrecision(3));
  const readings = Math.round((width / 1e6) * run.rate);
  const number = readings > 1 ? ` (${grouped(readings)} readings)` : "";
  setText(
    document.getElementById("resolution"),
    width === 0 ? "Every reading is shown." : `Extremes: the minimum and maximum of every ${seconds} s${number}.`,
  );
}

// Where a run's log can be downloaded; of a view, the part that is in it.
function logAddress(run, view) {
  const query = new URLSearchParams();
  if (!run.live) query.set("run", run.run);
  if (view) {
    query.set("from", (view.from / 1e6).toFixed(6));
    query.set("to", (view.to / 1e6).toFixed(6));
  }
  const text = query.toString();
  return `${SERVER}log.csv${text && `?${text}`}`;
}

// What a run is called for people: when it began, if its name is that.
function nameOf(run) {
  return run.replace(/^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)\.\d+$/, "$1 $2:$3:$4");
}

// Offers the earlier runs. A page that came from elsewhere may not read the list, and offers none.
let listedRuns = "";

async function listRuns() {
  const select = document.getElementById("run");
  if (new URL(SERVER).origin !== location.origin) {
    select.parentElement.hidden = true;
    return;
  }
  const answer = await fetch(`${SERVER}runs`).catch(() => null);
  if (!answer?.ok) return;
  const runs = (await answer.json()).filter(({ live }) => !live);
  // A list that is open does not like to be changed for nothing.
  if (JSON.stringify(runs) === listedRuns) return;
  listedRuns = JSON.stringify(runs);
  const options = runs.map(({ run, readings }) => new Option(`${nameOf(run)}, ${grouped(readings)} readings`, run));
  const [chosen] = select.selectedOptions;
  select.replaceChildren(select.options[0], ...options);
  select.value = chosen.value;
  // The run that is shown may have been deleted.
  if (select.selectedIndex < 0) select.add(chosen);
}
