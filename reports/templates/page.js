"use strict";
// The page's own script: tables that sort and filter, and the trial behind a cell. Text enters as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const page = JSON.parse(document.getElementById("page").textContent);

function make(tag, attributes = {}, ...children) {
  const element = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Tables

function compare(a, b) {
  const [x, y] = [a.dataset.value, b.dataset.value];
  if (x === "" || y === "") return (x === "") - (y === "");
  return a.dataset.kind === "number" && b.dataset.kind === "number" ? x - y : x.localeCompare(y, undefined, { numeric: true });
}

function sortBy(table, column, descending) {
  for (const body of table.tBodies) {
    const rows = [...body.rows];
    const empty = (row) => row.cells[column].dataset.value === "";
    rows.sort((a, b) => empty(a) - empty(b) || (descending ? -1 : 1) * compare(a.cells[column], b.cells[column]));
    body.append(...rows);
  }
  [...table.tHead.rows[0].cells].forEach((cell, index) => {
    if (index === column) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
}

function filterBy(figure, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, all = 0;
  for (const body of figure.querySelector("table").tBodies)
    for (const row of body.rows) {
      const content = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => content.includes(word));
      all += 1;
      shown += !row.hidden;
    }
  figure.querySelector(".filter output").textContent = words.length ? `${shown} of ${all} rows` : "";
}

for (const figure of document.querySelectorAll("figure.table")) {
  const table = figure.querySelector("table");
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = make("button", { type: "button" }, ...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const first = cell.classList.contains("number") ? "descending" : "ascending"; // numbers: the largest first
      const before = cell.getAttribute("aria-sort");
      sortBy(table, column, before ? before === "ascending" : first === "descending");
    });
  });
  const input = make("input", { type: "search" });
  input.addEventListener("input", () => filterBy(figure, input.value));
  figure.prepend(make("p", { class: "filter" }, make("label", {}, "Filter rows ", input), make("output", {})));
}

// Charts

const BOX = { left: 42, right: 300, top: 12, bottom: 190, width: 312, height: 226 };

function ticks(low, high, most = 5) {
  const raw = (high - low) / most || 1;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * size).find((one) => one >= raw * 0.999);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at <= high / step + 1e-9; at += 1) found.push(Number((at * step).toPrecision(6)));
  return found;
}

function frame(name, x, y) {
  const svg = make("svg:svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", "aria-label": name });
  const at = {
    x: (value) => BOX.left + ((value - x.low) / (x.high - x.low || 1)) * (BOX.right - BOX.left),
    y: (value) => BOX.bottom - ((value - y.low) / (y.high - y.low || 1)) * (BOX.bottom - BOX.top),
  };
  for (const value of y.ticks ?? ticks(y.low, y.high)) {
    svg.append(make("svg:line", { class: "grid", x1: BOX.left, x2: BOX.right, y1: at.y(value), y2: at.y(value) }));
    svg.append(make("svg:text", { x: BOX.left - 5, y: at.y(value) + 4, "text-anchor": "end" }, String(value)));
  }
  for (const value of x.ticks ?? ticks(x.low, x.high))
    svg.append(make("svg:text", { x: at.x(value), y: BOX.bottom + 14, "text-anchor": "middle" }, String(value)));
  svg.append(make("svg:path", { class: "axis", d: `M${BOX.left} ${BOX.top}V${BOX.bottom}H${BOX.right}` }));
  svg.append(make("svg:text", { x: (BOX.left + BOX.right) / 2, y: BOX.height - 4, "text-anchor": "middle" }, x.title));
  return [svg, at];
}

function chart(name, svg, keys) {
  const list = make("ul", { class: "keys" });
  for (const { text, style } of keys) {
    const line = make("svg:line", { x1: 0, x2: 26, y1: 5, y2: 5, "stroke-width": 3, style });
    list.append(make("li", {}, make("svg:svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, line), text));
  }
  return make("figure", {}, make("h4", {}, name), svg, list);
}

function histogram(data) {
  const name = "Scores of the test images";
  const most = Math.max(...data.normal, ...data.anomalous, 1);
  const [svg, at] = frame(name, { low: data.low, high: data.high, title: data.beyond ? "Image score (last bar: and above)" : "Image score" }, { low: 0, high: most });
  const step = (data.high - data.low) / data.normal.length;
  for (const kind of ["normal", "anomalous"])
    data[kind].forEach((count, index) => {
      if (!count) return;
      const [x, y] = [at.x(data.low + index * step), at.y(count)];
      const width = Math.max(1, at.x(data.low + (index + 1) * step) - x - 1);
      svg.append(make("svg:rect", { x, y, width, height: BOX.bottom - y, style: `fill: var(--${kind}); fill-opacity: .6` }));
    });
  const keys = ["normal", "anomalous"].map((kind) => ({ text: kind, style: `stroke: var(--${kind})` }));
  if (data.threshold !== null) {
    const [x, style] = [at.x(data.threshold), "stroke: var(--ink); stroke-dasharray: 5 3"];
    svg.append(make("svg:line", { x1: x, x2: x, y1: BOX.top, y2: BOX.bottom, "stroke-width": 2, style, class: "threshold" }));
    keys.push({ text: `calibrated threshold ${data.threshold}`, style });
  }
  return chart(name, svg, keys);
}

function curves(name, kind, x, found) {
  const [svg, at] = frame(name, { low: 0, high: 1, title: x }, { low: 0, high: 1 });
  const keys = [];
  for (const [level, style] of [["image", "stroke: var(--normal)"], ["pixel", "stroke: var(--anomalous); stroke-dasharray: 6 3"]]) {
    const points = found[`${level} ${kind}`];
    if (!points) continue;
    // Average precision is the area under steps, so steps are what is drawn.
    const path = points.map(([a, b], index) => (index && kind === "pr" ? `V${at.y(b)}H${at.x(a)}` : `${index ? "L" : "M"}${at.x(a)} ${at.y(b)}`));
    svg.append(make("svg:path", { class: "line", style, d: path.join("") }));
    keys.push({ text: level, style });
  }
  if (!keys.length) svg.append(make("svg:text", { x: 170, y: 100, "text-anchor": "middle" }, "undefined or not readable"));
  return chart(name, svg, keys);
}

function shotsChart(title, all) {
  const known = all.filter((one) => title in one.values);
  if (!known.length) return "";
  const values = known.flatMap((one) => [one.values[title][0] - one.values[title][1], one.values[title][0] + one.values[title][1]]);
  const margin = 0.06 * (Math.max(...values) - Math.min(...values)) || 1;
  const numbers = [...new Set(known.map((one) => one.shots).filter(Boolean))].sort((a, b) => a - b);
  const x = numbers.length ? { low: Math.min(0, ...numbers), high: numbers.at(-1) * 1.05, ticks: numbers } : { low: 0, high: 1, ticks: [] };
  const y = { low: Math.min(...values) - margin, high: Math.max(...values) + margin };
  const [svg, at] = frame(`${title} by shots`, { ...x, title: "Anomalous training images" }, y);
  const keys = [];
  for (const { name, frozen, colour, dashes, systems } of page.methods) {
    const style = `stroke: ${colour}; stroke-dasharray: ${dashes}`;
    const points = known.filter((one) => systems.includes(one.system)).map((one) => [one.shots, ...one.values[title]]);
    if (!points.length) continue;
    const ends = frozen ? [[x.low, ...points[0].slice(1)], [x.high, ...points[0].slice(1)]] : points;
    const side = (sign) => ends.map(([a, b, sd]) => `${at.x(a)} ${at.y(b + sign * sd)}`);
    svg.append(make("svg:path", { d: `M${[...side(1), ...side(-1).reverse()].join("L")}Z`, style: `fill: ${colour}; fill-opacity: .15` }));
    svg.append(make("svg:path", { class: "line", style, d: `M${side(0).join("L")}` }));
    if (!frozen) for (const [a, b] of ends) svg.append(make("svg:circle", { cx: at.x(a), cy: at.y(b), r: 3.5, style: `fill: ${colour}` }));
    keys.push({ text: frozen ? `${name} (frozen)` : name, style });
  }
  return chart(`${title}, percent, by shots`, svg, keys);
}

// The trial behind a cell

const loaded = new Map();
function categoryData(index) {
  if (!loaded.has(index)) {
    const element = document.getElementById(`category-${index}`);
    loaded.set(index, element ? JSON.parse(element.textContent) : null);
  }
  return loaded.get(index);
}

function picture(address, name) {
  return address.startsWith("data:") ? make("img", { src: address, alt: name }) : make("span", { class: "words" }, address, make("b", {}, name));
}

function tile(caption, content, overlay = "", box = null) {
  const inside = make("div", { class: "frame" }, content, overlay);
  if (box && content.tagName === "IMG") {
    const [left, top, right, bottom] = box.map((share) => 100 * share);
    inside.append(make("div", { class: "box", style: `left: ${left}%; top: ${top}%; width: ${right - left}%; height: ${bottom - top}%` }));
  }
  return make("figure", { class: "tile" }, inside, make("figcaption", {}, caption));
}

function place(patch) {
  return `${patch.name}, row ${patch.row}, column ${patch.column} of ${patch.grid[0]} × ${patch.grid[1]}`;
}

// A map's levels reach from its lowest value to its highest: with the whole palette in place of its own it is seen in its own contrast.
function palette(png) {
  const start = png.indexOf("PLTE") - 4;
  const size = [0, 1, 2, 3].reduce((sum, index) => 256 * sum + png.charCodeAt(start + index), 0);
  return [start, start + 12 + size];
}

function inOwnContrast(address) {
  const [map, bar] = [address, page.bar].map((one) => atob(one.slice(one.indexOf(",") + 1)));
  const [[start, end], whole] = [palette(map), palette(bar)];
  return `data:image/png;base64,${btoa(map.slice(0, start) + bar.slice(...whole) + map.slice(end))}`;
}

let ownContrast = false;

function mapPicture(address, name) {
  const image = picture(ownContrast ? inOwnContrast(address) : address, name);
  image.dataset.map = address;
  return image;
}

function contrastSwitch(scale) {
  const box = make("input", { type: "checkbox" });
  box.checked = ownContrast;
  scale.hidden = ownContrast;
  box.addEventListener("change", () => {
    ownContrast = box.checked;
    scale.hidden = ownContrast;
    for (const image of document.querySelectorAll("img[data-map]")) image.src = ownContrast ? inOwnContrast(image.dataset.map) : image.dataset.map;
  });
  return make("label", { class: "contrast" }, box, " Each map in its own contrast, from its lowest value to its highest: shows what a flat map sees; colours of two maps no longer compare");
}

function showCase(one, pictures) {
  const middle = [0.4, 0.4, 0.6, 0.6];
  const tiles = [tile(one.patch ? "image, with its worst patch" : "image", picture(pictures[one.image], one.name), "", one.patch?.box)];
  if (one.mask !== null) tiles.push(tile(one.normal ? "mask: empty, a normal image" : "mask", picture(pictures[one.mask], `mask of ${one.name}`)));
  for (const { of, score, map } of one.maps) {
    const line = one.outline !== null && pictures[one.outline].startsWith("data:") ? make("img", { src: pictures[one.outline], alt: "" }) : "";
    tiles.push(tile(`${of}${score === null ? "" : `: ${String(score).replace("-", "−")}`}`, map === null ? picture("no map", `map of ${of}`) : mapPicture(pictures[map], `map of ${of}`), line));
  }
  if (one.patch) tiles.push(tile(`worst patch: row ${one.patch.row}, column ${one.patch.column}`, picture(pictures[one.patch.crop], one.name), "", middle));
  if (one.nearest !== undefined) tiles.push(nearestTile(one, pictures, middle));
  const title = make("h4", {}, `${one.why} `, make("span", {}, `${one.name} · ${one.type} · score ${one.score}`));
  return make("section", { class: "case" }, title, make("div", { class: "tiles" }, ...tiles));
}

function nearestTile(one, pictures, middle) {
  const nearest = one.nearest
    ? tile(`nearest normal patch: ${place(one.nearest)}; squared distance ${one.distance}`, picture(pictures[one.nearest.crop], one.nearest.name), "", middle)
    : tile("nearest normal patch", make("span", { class: "words" }, page.noBank));
  nearest.classList.add("nearest");
  return nearest;
}

function disagreements(sides, pictures) {
  if (!sides.length) return [];
  const count = ({ number, why }) => `${number} ${number === 1 ? "defect is" : "defects are"} ${why}`;
  const text = `Of this test set ${sides.map(count).join(", ")}; shown are those that they rank most differently.`;
  return [make("h3", {}, "Where systems disagree"), make("p", {}, text), ...sides.flatMap((side) => side.images.map((one) => showCase(one, pictures)))];
}

function showTrial(category, system, seed) {
  const target = document.getElementById("trial");
  const data = categoryData(category);
  const trial = data?.trials[`${system}-${seed}`];
  const heading = make("h3", {}, `${page.categories[category]} · ${page.systems[system]} · ${page.seed} ${seed}${page.seeds > 1 ? `, one of ${page.seeds}; the answer is over all` : ""}`);
  if (!trial) {
    target.replaceChildren(heading, make("p", {}, "This trial has no scores and maps that can be read."));
    return;
  }
  const facts = make("ul", { class: "facts" });
  for (const [name, value] of trial.figures) facts.append(make("li", {}, make("span", {}, name), value));
  const charts = make("div", { class: "charts" }, histogram(trial.histogram));
  charts.append(curves("ROC", "roc", "False-positive rate", trial.curves), curves("Precision and recall", "pr", "Recall", trial.curves));
  const scale = make("div", { class: "scale" }, make("img", { src: page.bar, alt: "colours of the maps" }));
  scale.append(make("div", {}, ...page.ends.map((end) => make("span", {}, end))));
  const cases = trial.images.map((one) => showCase(one, data.pictures));
  const shots = make("div", { class: "charts" }, ...page.metrics.map((title) => shotsChart(title, data.shots)));
  target.replaceChildren(
    heading, facts, charts,
    make("h3", {}, "Hardest images"), make("p", {}, page.scale.replace("{one}", trial.one)), scale, contrastSwitch(scale), ...cases,
    ...disagreements(trial.disagree, data.pictures),
    make("h3", {}, `${page.categories[category]} by number of anomalous training images`), shots,
  );
}

const choices = ["category", "system", "seed"].map((name) => document.getElementById(`choose-${name}`));

function follow() {
  const found = /^#images\/(\d+)\/(\d+)\/(\d+)$/.exec(location.hash);
  const wanted = found ? found.slice(1) : page.opening;
  if (wanted) choices.forEach((choice, index) => (choice.value = wanted[index]));
  for (const choice of choices) if (choice.selectedIndex < 0) choice.selectedIndex = 0;
  showTrial(...choices.map((choice) => choice.value));
  if (found) {
    const section = document.getElementById("images");
    section.scrollIntoView();
    section.focus({ preventScroll: true }); // so that Tab goes on from here
  }
}

if (choices[0]) {
  for (const choice of choices) choice.addEventListener("change", () => (location.hash = `images/${choices.map((one) => one.value).join("/")}`));
  addEventListener("hashchange", follow);
  follow();
}
