// A plot of a whole run (history.js) to move about in, by mouse, touch and keyboard, while it goes on.

// figure: the element to fill. fields: a Map from each field to its unit. run: the Run to show.
// onDraw: called after each drawing, which is at most once per animation frame, with what is shown.
function createHistoryPlot(figure, fields, run, onDraw) {
  const names = [...fields.keys()];
  const units = [...new Set(fields.values())].join(", ");
  let frame = 0;
  let drawn = 0;

  // The view is `span` microseconds long; Infinity is the whole run. It ends at the time `right`; null is the newest
  // reading, which it then follows.
  let span = Infinity;
  let right = null;

  // Colours come from the style sheet, anew at each drawing, because people switch between light and dark.
  const colour = (name) => getComputedStyle(figure).getPropertyValue(name);
  const grid = { stroke: () => colour("--line"), width: 1 };
  const axis = { stroke: () => colour("--muted"), grid, ticks: { ...grid, size: 6 } };
  const plot = new uPlot(
    {
      width: figure.clientWidth,
      height: figure.clientHeight,
      padding: [16, 44, 0, 0], // on the right, for the half of a label
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { range: () => [view().from / 1e6, view().to / 1e6] },
        y: { range: valueRange },
      },
      axes: [
        { ...axis, ...TIME_AXIS },
        { ...axis, ...VALUE_AXIS, label: names.length === 1 ? `${names[0]} (${units})` : units, labelSize: 20 },
      ],
      series: [
        {},
        ...names.map((name, index) => ({
          label: name,
          stroke: () => colour(`--series-${(index % 8) + 1}`),
          points: { show: false, size: 5, fill: () => colour(`--series-${(index % 8) + 1}`) },
        })),
      ],
    },
    [[], ...names.map(() => [])],
    figure,
  );
  const resizing = new ResizeObserver(() => {
    plot.setSize({ width: figure.clientWidth, height: figure.clientHeight });
    draw();
  });
  resizing.observe(figure);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", draw);
  draw();

  // Ten seconds at least, so that a run that has just begun does not jump about.
  function longest() {
    return Math.max(run.newest - run.oldest, 10e6);
  }

  function view() {
    const newest = run.received > 0 ? run.newest : Date.now() * 1000;
    const to = right ?? newest;
    return { from: to - Math.min(span, run.received > 0 ? longest() : 10e6), to };
  }

  // Shows from one time to another, as far as the run reaches. The whole run is followed.
  function go(from, to) {
    if (run.received === 0) return;
    const shortest = Math.max(run.rate ? 5e6 / run.rate : 0, 10e3);
    span = Math.min(Math.max(to - from, shortest), longest());
    right = Math.min(Math.max(from + span, run.oldest + span), run.newest);
    if (span === longest()) follow(Infinity);
    draw();
  }

  function follow(newSpan = span) {
    span = newSpan;
    right = null;
    draw();
  }

  function pause() {
    const { from, to } = view();
    span = to - from;
    right = to;
    draw();
  }

  // Moving beyond the newest reading is to follow it, whatever the length of the view.
  function pan(from, to) {
    if (to >= run.newest) follow();
    else go(from, to);
  }

  // The time `at` stays where it is; a view that follows goes on doing so.
  function zoom(factor, at = (view().from + view().to) / 2) {
    const { from, to } = view();
    const wasFollowing = right === null;
    if (wasFollowing) at = to;
    go(at - (at - from) * factor, at + (to - at) * factor);
    if (wasFollowing) follow();
  }

  // However much arrives before the screen is drawn next, the plot is drawn once. A thousand lines are drawn twice
  // a second, which leaves the page the time for everything else.
  function draw() {
    frame ||= requestAnimationFrame(function drawNow(now) {
      if (now - drawn < names.length / 2) {
        frame = requestAnimationFrame(drawNow);
        return;
      }
      drawn = now;
      frame = 0;
      const { from, to } = view();
      // Of many fields, each is drawn with fewer points, and as a hairline, or a thousand of them would take seconds.
      const most = Math.floor(2 ** 16 / Math.max(32, names.length));
      const pixels = Math.max(1, Math.min(most, Math.floor(plot.bbox.width)));
      const { data, width } = run.columns(from, to, pixels);
      // With a point or more to a pixel, a line is mostly upright strokes: hairlines show it as well, and are drawn
      // three times as fast. When readings are far apart, each is a point of its own.
      plot.series.slice(1).forEach((series, index) => {
        const points = data[index + 1].filter((value) => value != null).length;
        series.width = points > plot.bbox.width || names.length > 32 ? 1 / devicePixelRatio : 1.5;
        series.points.show = () => width === 0 && points * 12 * devicePixelRatio < plot.bbox.width;
      });
      plot.setData(data);
      figure.dataset.empty = run.received === 0;
      onDraw({ from, to, pixels, width, following: right === null, ...run.latest(from, to) });
    });
  }

  const timeAt = (x) => {
    const { left, width } = plot.over.getBoundingClientRect();
    const { from, to } = view();
    return from + ((x - left) / width) * (to - from);
  };

  // Every finger, and the mouse, holds a time, which stays under it: one moves the view, two stretch it as well.
  const held = new Map();
  let isMoving = false;
  const hold = () => held.forEach((pointer) => (pointer.time = timeAt(pointer.x)));

  figure.onpointerdown = (event) => {
    if (event.button !== 0 || held.size === 2) return;
    figure.setPointerCapture(event.pointerId);
    held.set(event.pointerId, { x: event.clientX });
    isMoving = held.size === 2;
    hold();
  };

  figure.onpointermove = (event) => {
    const pointer = held.get(event.pointerId);
    // A hand that clicks is not quite still.
    if (!pointer || (!isMoving && Math.abs(event.clientX - pointer.x) < 4)) return;
    isMoving = true;
    pointer.x = event.clientX;
    const { left, width } = plot.over.getBoundingClientRect();
    const [one, other] = [...held.values()];
    const { from, to } = view();
    let scale = (to - from) / width;
    if (other) scale = Math.abs((one.time - other.time) / (one.x - other.x || 1));
    const start = one.time - (one.x - left) * scale;
    if (other) go(start, start + width * scale);
    else pan(start, start + to - from);
  };

  figure.onpointerup = figure.onpointercancel = (event) => {
    held.delete(event.pointerId);
    isMoving = false;
    hold();
  };

  figure.ondblclick = () => follow(Infinity);

  const turned = (event) => {
    event.preventDefault();
    // Wheels count in pixels, lines or pages; and a pinch on a touchpad is a wheel with Ctrl, in small steps.
    const unit = [1, 16, 400][event.deltaMode];
    const { from, to } = view();
    const sideways = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = ((sideways * unit) / plot.over.clientWidth) * (to - from);
      pan(from + by, to + by);
    } else {
      zoom(Math.exp(event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.002)), timeAt(event.clientX));
    }
  };
  figure.addEventListener("wheel", turned, { passive: false });

  figure.onkeydown = (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return; // those are the browser's own
    const { from, to } = view();
    const step = (to - from) * (event.shiftKey ? 0.5 : 0.1);
    const keys = {
      ArrowLeft: () => pan(from - step, to - step),
      ArrowRight: () => pan(from + step, to + step),
      "+": () => zoom(0.5),
      "=": () => zoom(0.5),
      "-": () => zoom(2),
      Home: () => go(run.oldest, run.oldest + to - from),
      End: () => follow(),
      0: () => follow(Infinity),
    };
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  };

  return {
    draw,
    view,
    pause,
    zoom,
    pan,
    go,
    follow,

    // Shows another run, from its beginning to its end.
    open(other) {
      run = other;
      follow(Infinity);
    },

    show(index, visible) {
      plot.setSeries(index + 1, { show: visible });
    },

    destroy() {
      cancelAnimationFrame(frame);
      resizing.disconnect();
      scheme.removeEventListener("change", draw);
      figure.removeEventListener("wheel", turned);
      plot.destroy();
    },
  };
}
