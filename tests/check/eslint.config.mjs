// How `make check` looks through the JavaScript: the shared scripts, and the script in each page.
//
// There are no modules here: a script sees what the scripts before it have defined. So this file knows which names
// each script uses and offers, and sees from the tags of a page which scripts it loads, in which order.

import { readFileSync, readdirSync } from "node:fs";
import js from "@eslint/js";

const STATIC = "common/static";

// uses: names of the scripts that have to be loaded before.
// offers: what it defines at its top for pages and for other scripts; all else there is its own.
// brings: what is there besides, once it has run.
// late: what it needs only when it is called for; the page, or a script after it, defines that.
const SCRIPTS = {
  "vendor/uPlot.iife.min.js": { brings: ["uPlot"] },
  "page.js": {
    offers: [
      ...["addressBox", "serverAddress", "setStatus", "explainClose", "explainRefusal", "showConnection"],
      ...["CLOCK", "DATE", "TIME_AXIS", "VALUE_AXIS", "valueRange", "pageServer", "setText", "grouped", "handOver"],
    ],
    late: ["uPlot"],
  },
  "plot.js": {
    uses: ["uPlot", "TIME_AXIS", "VALUE_AXIS", "valueRange"],
    offers: ["createPlot", "createLegend"],
  },
  "events.js": { offers: ["EventSocket"] },
  "live_page.js": { brings: ["EventSocket"] },
  "demos/ticker.js": { offers: ["createPicker", "drawSparkline", "keep", "kept"] },
  "demos/factory.js": {
    offers: ["loadPlotly", "clock", "appendPoints", "wordsOfLate", "adaptLayout", "holdAxis", "NO_LINES", "followColours"],
    brings: ["Plotly"],
  },
  "runs/bins.js": { offers: ["Rows", "Bins", "countIn", "parseLine", "parseRows", "parseBins"] },
  "runs/run.js": { uses: ["Rows", "Bins", "countIn", "parseLine", "parseRows", "parseBins"], offers: ["Run"] },
  "runs/run_plot.js": {
    uses: ["uPlot", "TIME_AXIS", "VALUE_AXIS", "valueRange", "CLOCK", "DATE"],
    offers: ["createRunPlot"],
  },
  "runs/run_page.js": {
    uses: ["pageServer", "setText", "grouped", "handOver"],
    offers: ["duration", "showButtons", "logAddress", "nameOf", "listRuns"],
  },
  "runs/connection.js": {
    uses: ["pageServer", "setStatus", "setText", "explainClose"],
    offers: ["find", "connect", "control", "readings"],
    late: ["run", "due", "shows", "receive", "refused"],
  },
  "runs/dashboard.js": {
    uses: [
      ...["setText", "grouped", "handOver", "createLegend", "Run", "createRunPlot", "find", "connect", "control", "readings"],
      ...["duration", "showButtons", "logAddress", "nameOf", "listRuns"],
    ],
    offers: ["run", "due", "shows", "receive", "refused"],
  },
};

// What is used of the browser. Its other names, such as `name`, `event` or `status`, are forgotten variables more often
// than they are meant; whoever means one adds it here.
const BROWSER = [
  ...["window", "document", "location", "navigator", "localStorage", "console", "devicePixelRatio", "performance"],
  ...["setTimeout", "clearTimeout", "setInterval", "requestAnimationFrame", "cancelAnimationFrame"],
  ...["addEventListener", "fetch", "getComputedStyle", "matchMedia", "reportError"],
  ...["HTMLImageElement", "HTMLMeterElement", "HTMLProgressElement", "Option", "ResizeObserver", "URL"],
  ...["URLSearchParams", "WebSocket"],
];

const RULES = {
  ...js.configs.recommended.rules,
  eqeqeq: ["error", "always", { null: "ignore" }], // `!= null` is short for neither null nor undefined
  "no-var": "error",
  "prefer-const": "error",
};

const read = (path) => readFileSync(path, "utf-8");
const globalsOf = (names) => Object.fromEntries(names.map((name) => [name, "readonly"]));

function known(script) {
  if (!SCRIPTS[script]) throw new Error(`${script} is not listed in tests/check/eslint.config.mjs`);
  return { uses: [], offers: [], brings: [], late: [], ...SCRIPTS[script] };
}

// The settings for a shared script.
function settingsOfScript(script) {
  const { uses, offers, brings, late } = known(script);
  const text = read(`${STATIC}/${script}`);
  for (const name of offers) {
    if (!new RegExp(`^(class|const|let|(async )?function) ${name}\\b`, "m").test(text)) {
      throw new Error(`${script} does not define ${name}, as tests/check/eslint.config.mjs says`);
    }
  }
  return {
    files: [`${STATIC}/${script}`],
    languageOptions: { sourceType: "script", globals: globalsOf([...BROWSER, ...uses, ...brings, ...late]) },
    rules: { ...RULES, "no-unused-vars": ["error", { varsIgnorePattern: `^(${offers.join("|")})$` }] },
  };
}

// The settings for the script in a page.
function settingsOfPage(page) {
  const there = [];
  const wanted = [];
  for (const [, script] of read(page).matchAll(/<script src="\.\.\/common\/static\/(.+?)">/g)) {
    const { uses, offers, brings, late } = known(script);
    const missing = uses.filter((name) => !there.includes(name));
    if (missing.length > 0) throw new Error(`${page} loads ${script} without what it needs before it: ${missing}`);
    there.push(...offers, ...brings);
    wanted.push(...late);
  }
  return {
    files: [page],
    processor: inline,
    languageOptions: { sourceType: "script", globals: globalsOf([...BROWSER, ...there]) },
    rules: { ...RULES, "no-unused-vars": ["error", { varsIgnorePattern: `^(${wanted.join("|")})$` }] },
  };
}

// Takes the script out of a page, and leaves an empty line for each line before it, so that all places are right.
const inline = {
  preprocess(text) {
    const [before, script = ""] = text.split("<script>");
    return [before.replace(/.*/g, "") + script.split("</script>")[0]];
  },
  postprocess: (messages) => messages.flat(),
};

const scripts = readdirSync(STATIC, { recursive: true })
  .filter((name) => name.endsWith(".js"))
  .map((name) => name.replaceAll("\\", "/"));
const pages = readdirSync(".").filter((name) => /^test\d/.test(name));

export default [
  { ignores: [`${STATIC}/vendor/`] },
  ...scripts.filter((name) => !name.startsWith("vendor")).map(settingsOfScript),
  ...pages.map((name) => settingsOfPage(`${name}/client.html`)),
];
