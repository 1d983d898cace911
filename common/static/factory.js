// What test13's page needs besides its lesson: Plotly's script, the time of day, and the colours of the page.

// Load Plotly's script from the server of an EventSocket, wherever the page has come from, and then call a function.
function loadPlotly(socket, loaded) {
  if (window.Plotly || document.getElementById("plotly")) return;
  const script = document.createElement("script");
  script.id = "plotly";
  script.src = new URL("/plotly.min.js", socket.url.replace(/^ws/, "http"));
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

// Python does not know whether a visitor's screen is light or dark, wide or narrow. Returns the layout, changed.
function adaptLayout(layout, figure) {
  const style = getComputedStyle(document.body);
  const [ink, muted, line, card] = ["--ink", "--muted", "--line", "--card"].map((name) => style.getPropertyValue(name));
  layout.font = { ...layout.font, color: ink, family: style.fontFamily };
  layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0, 0, 0, 0)";
  layout.hoverlabel = { bgcolor: card, bordercolor: line, font: { color: ink } };
  layout.modebar = { bgcolor: "rgba(0, 0, 0, 0)", color: muted, activecolor: ink };
  for (const axis of [layout.xaxis, layout.yaxis]) Object.assign(axis, { gridcolor: line, linecolor: line });
  layout.xaxis.nticks = Math.max(3, Math.floor(figure.clientWidth / 90));
  // A finger that drags over the plot scrolls the page; there are buttons to zoom.
  if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
  return layout;
}

// Adapt a drawn figure again when the screen changes from light to dark or back.
function followColours(figure) {
  matchMedia("(prefers-color-scheme: dark)").onchange = () => {
    if (!figure.layout) return;
    adaptLayout(figure.layout, figure);
    Plotly.redraw(figure);
  };
}
