// What the page of test12 needs and is nobody's lesson: a list to pick from, a small chart, and a memory.

// A list of names with a checkbox each, and a search over it, in the elements with the ids search-form, search,
// list, all, none and count. `choose(names, isChosen)` is called when somebody picks or drops names, and
// `ask(text)` when somebody enters what is not in the list.
function createPicker({ choose, ask }) {
  const [form, search, list, all, none, count] = ["search-form", "search", "list", "all", "none", "count"].map((id) =>
    document.getElementById(id),
  );
  const boxes = new Map();

  // The names that there are. A list that is the same as before keeps its place and the keyboard's focus.
  function offer(names) {
    if (names.length === boxes.size && names.every((name) => boxes.has(name))) return;
    boxes.clear();
    const items = names.map((name) => {
      const box = document.createElement("input");
      box.type = "checkbox";
      box.onchange = () => choose([name], box.checked);
      boxes.set(name, box);
      const label = document.createElement("label");
      label.append(box, name);
      const item = document.createElement("li");
      item.append(label);
      return item;
    });
    list.replaceChildren(...items);
    filter();
  }

  // Which of them are chosen: a Map or a Set.
  function show(chosen) {
    for (const [name, box] of boxes) box.checked = chosen.has(name);
    count.textContent = `${chosen.size} of ${boxes.size} chosen`;
  }

  function filter() {
    const text = search.value.trim().toUpperCase();
    let found = 0;
    for (const [name, box] of boxes) {
      const isFound = name.toUpperCase().includes(text);
      box.closest("li").hidden = !isFound;
      found += isFound;
    }
    list.dataset.empty = text && found === 0 ? "Nothing found" : "";
    all.disabled = none.disabled = found === 0;
  }

  function shown() {
    return [...boxes].filter(([, box]) => !box.closest("li").hidden).map(([name]) => name);
  }

  search.oninput = filter;
  all.onclick = () => choose(shown(), true);
  none.onclick = () => choose(shown(), false);
  form.onsubmit = (event) => {
    event.preventDefault();
    const text = search.value.trim();
    const name = boxes.has(text) ? text : [...boxes.keys()].find((name) => name.toUpperCase() === text.toUpperCase());
    if (name !== undefined) {
      choose([name], true);
      search.value = "";
      filter();
    } else if (text) {
      ask(text);
    }
  };

  return { offer, show, has: (name) => boxes.has(name) };
}

// Draw numbers as a line into the polyline of an SVG that has room for `length` of them, the latest at its right edge.
function drawSparkline(polyline, numbers, length) {
  polyline.ownerSVGElement.setAttribute("viewBox", `0 0 ${length} 20`);
  const low = Math.min(...numbers);
  const range = Math.max(...numbers) - low || 1;
  const left = length - numbers.length;
  const points = numbers.map((number, i) => `${left + i},${(18 - (16 * (number - low)) / range).toFixed(1)}`);
  polyline.setAttribute("points", points.join(" "));
}

// Keep a value over a reload, in this browser and for pages from this server. Where a browser forbids that, or
// has nothing under this name, kept() is null.
function keep(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch (error) {
    console.warn(`${name} is not kept: ${error}`);
  }
}

function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "null");
  } catch {
    return null;
  }
}
