// A live plot of the last minute: what test6 shows in full.
//
// Unlike there, it has a line for each field, which can end and be hidden; it says when it has drawn, draws many
// readings as hairlines, and can be taken away for another one. Its legend is that of test7, with buttons.

const WINDOW = 60;

// figure: the element to fill. fields: the unit of each field by its name. onDraw: called after each drawing,
// which is at most once per animation frame.
function createPlot(figure, fields, onDraw) {
  const names = Object.keys(fields);
  const units = [...new Set(Object.values(fields))].join(", ");

  // The plot takes its data by columns: the times in seconds, then the values of each field.
  let columns = [[], ...names.map(() => [])];
  let frame = 0;

  // Colours come from the style sheet, anew at each drawing, because people switch between light and dark.
  const colour = (name) => getComputedStyle(figure).getPropertyValue(name);
  const grid = { stroke: () => colour("--line"), width: 1 };
  const axis = { stroke: () => colour("--muted"), grid, ticks: grid };
  const now = () => Date.now() / 1000;
  const plot = new uPlot(
    {
      width: figure.clientWidth,
      height: figure.clientHeight,
      padding: [16, 44, 0, 0], // on the right, for the half of a label
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { range: (plot, oldest, newest) => [(newest ?? now()) - WINDOW, newest ?? now()] },
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
          width: 2,
          points: { show: false },
        })),
      ],
    },
    columns,
    figure,
  );
  const resizing = new ResizeObserver(() => plot.setSize({ width: figure.clientWidth, height: figure.clientHeight }));
  resizing.observe(figure);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const recolour = () => plot.redraw();
  scheme.addEventListener("change", recolour);

  // However much arrives before the screen is drawn next, the plot is drawn once.
  function draw() {
    if (frame) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      // With several readings to a pixel, a line is mostly upright strokes: hairlines show it as well, and are
      // drawn three times as fast.
      const width = columns[0].length > 2 * plot.ctx.canvas.width ? 1 / devicePixelRatio : 2;
      for (const line of plot.series) line.width = width;
      plot.setData(columns);
      onDraw();
    });
  }

  return {
    // Adds a reading: its time in seconds, and the values in the order of the fields.
    add(time, values) {
      // A clock that was set back would make the line run backwards, so the picture begins anew.
      if (time < columns[0].at(-1)) columns = columns.map(() => []);
      columns[0].push(time);
      values.forEach((value, index) => columns[index + 1].push(value));
      // What has left the window is forgotten, ten seconds' worth at a time, or the page would grow for ever.
      if (time - columns[0][0] > WINDOW + 10) {
        const old = columns[0].findIndex((other) => other >= time - WINDOW);
        for (const column of columns) column.splice(0, old);
      }
      draw();
    },

    // Ends the lines here: the next reading begins new ones, and nothing is drawn in between.
    gap() {
      if (columns[0].length === 0 || columns[1].at(-1) === null) return;
      columns[0].push(columns[0].at(-1));
      for (const column of columns.slice(1)) column.push(null);
    },

    show(index, visible) {
      plot.setSeries(index + 1, { show: visible });
    },

    destroy() {
      cancelAnimationFrame(frame);
      resizing.disconnect();
      scheme.removeEventListener("change", recolour);
      plot.destroy();
    },
  };
}

// The legend: for each field its name, its latest value and its unit, as a button that hides its line.
// list: the <ul> to fill. fields: the unit of each by its name, an object or a Map. Returns a function that shows
// the latest values, in the order of the fields.
function createLegend(list, fields, plot) {
  const values = [];
  const entries = fields instanceof Map ? [...fields] : Object.entries(fields);
  const items = entries.map(([name, unit], index) => {
    const button = document.createElement("button");
    button.className = "field";
    button.style.setProperty("--color", `var(--series-${(index % 8) + 1})`);
    button.setAttribute("aria-pressed", "true");
    for (const [part, text] of [["name", name], ["value", "–"], ["unit", ` ${unit}`]]) {
      const span = document.createElement("span");
      span.className = part;
      span.textContent = text;
      button.append(span);
      if (part === "value") values.push(span);
    }
    button.onclick = () => {
      const visible = button.getAttribute("aria-pressed") === "false";
      button.setAttribute("aria-pressed", String(visible));
      plot.show(index, visible);
    };
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  list.replaceChildren(...items);
  // More than six digits, as computed values often have, nobody reads while they change.
  const isLong = (value) => typeof value === "number" && !Number.isInteger(value);
  const short = (value) => (isLong(value) ? Number(value.toPrecision(6)) : (value ?? "–"));
  return (latest) => latest.forEach((value, index) => (values[index].textContent = short(value)));
}
