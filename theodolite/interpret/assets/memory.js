"use strict";

const all = JSON.parse(document.getElementById("data").textContent);
const by = id => document.getElementById(id);
const VIRIDIS = [[68, 1, 84], [72, 36, 117], [65, 68, 135], [53, 95, 141], [42, 120, 142], [33, 145, 140], [34, 168, 132], [68, 191, 112], [122, 209, 81], [189, 223, 38], [253, 231, 37]];
const FROM = .29, TO = 2 / 3;  // the part of the scale that the article uses
const METHODS = ["norm", "square", "input", "integrated", "occlusion"], OF = ["logit", "log_prob", "contrast"];
const state = {s: 0, u: 0, method: "norm", of: "logit", shown: new Set(all.names)};
const maps = new Map();

function make(name, attributes = {}, ...children) {
  const node = name.startsWith("svg:") ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4)) : document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) if (v !== null) node.setAttribute(k, v);
  node.append(...children);
  return node;
}

/* Colours and strengths */

function colour(ratio) {
  const at = (FROM + ratio * (TO - FROM)) * (VIRIDIS.length - 1), i = Math.min(Math.floor(at), VIRIDIS.length - 2), part = at - i;
  return VIRIDIS[i].map((c, j) => Math.round(c + part * (VIRIDIS[i + 1][j] - c)));
}

const light = c => { const [r, g, b] = c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
const inkOn = c => 1.05 / (light(c) + .05) > (light(c) + .05) / .05 ? "#ffffff" : "#000000";

function bytes(s, name, key) {
  const id = `${s}|${name}|${key}`;
  if (!maps.has(id)) maps.set(id, Uint8Array.from(atob(all.sentences[s].models[name].maps[key]), c => c.charCodeAt(0)));
  return maps.get(id);
}

const gradientOnly = () => state.method === "norm" || state.method === "square";

function strengths(name) {
  const key = gradientOnly() ? `norm/${state.of}` : `${state.method}/logit`, u = state.u, first = u * (u + 1) / 2;
  const row = Array.from(bytes(state.s, name, key).subarray(first, first + u + 1), v => v / 255);
  return state.method === "square" ? row.map(v => v * v) : row;
}

/* What stands on the page */

const now = () => all.sentences[state.s];
const start = () => state.u - now().read[state.u];
const wordAt = u => { const text = now().text; let a = u - now().read[u], b = a + 1; while (b < text.length && text[b] !== " ") b++; return text.slice(a + 1, b); };
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

function written(text) {
  const words = [];
  for (let t = 0; t < text.length; t++) {
    if (text[t] === " " || !words.length) words.push(make("span", {class: "word"}));
    words.at(-1).append(make("i", {"data-t": t}, text[t] === " " ? "\u00a0" : text[t]));
  }
  return words.flatMap(word => [word, document.createElement("wbr")]);
}

function build() {
  by("models").replaceChildren(...all.names.map((name, i) => make("section", {class: "model", "data-name": name, "aria-label": name, style: `--of: var(--c${i % 8})`},
    make("h2", {}, make("b", {}, name), make("span", {class: "back"})),
    make("div", {class: "text", "aria-hidden": "true"}, ...written(now().text)),
    make("ol", {class: "guesses", "aria-label": `Likeliest words, ${name}`}))));
  by("cursor").max = now().text.length - 1;
}

function show() {
  const {read, text, known} = now(), u = state.u, k = read[u], word = wordAt(u);
  for (const section of by("models").children) {
    const name = section.dataset.name;
    section.hidden = !state.shown.has(name);
    if (!section.hidden) paint(section, name);
  }
  const typed = k ? `“${word.slice(0, k)}”` : "nothing";
  by("where").textContent = `Word “${word}”${known[u] ? "" : ", not in the vocabulary"}: ${typed} of it is read, ${plural(k, "letter")}.`;
  by("cursor").value = u;
  by("cursor").setAttribute("aria-valuetext", `${u + 1} of ${text.length}, ${text[u] === " " ? `before ${word}` : `letter ${text[u]} of ${word}`}`);
  by("sentence").value = state.s;
  by("method").value = state.method;
  by("of").value = gradientOnly() ? state.of : "logit";
  by("of").disabled = !gradientOnly();
  for (const box of by("networks").querySelectorAll("input")) box.checked = state.shown.has(box.value);
  curve(k);
  letters(k, word.length);
}

function paint(section, name) {
  const row = strengths(name), u = state.u, model = now().models[name], total = row.reduce((a, b) => a + b, 0) || 1;
  for (const node of section.querySelectorAll("i")) {
    const t = +node.dataset.t;
    node.className = t === u ? "here" : t > u ? "after" : "";
    const c = t <= u ? colour(row[t]) : null;
    node.style.background = c ? `rgb(${c})` : "";
    node.style.color = c ? inkOn(c) : "";
    node.dataset.strength = t <= u ? row[t].toFixed(3) : "";
  }
  const lag = row.reduce((sum, v, t) => sum + v * (u - t), 0) / total, share = row.slice(0, start()).reduce((a, b) => a + b, 0) / total;
  section.querySelector(".back").textContent = `looks ${lag.toFixed(1)} letters back, ${Math.round(100 * share)}% before this word`;
  const [a, b, c, ...chances] = model.top[u], right = model.target[u];
  section.querySelector("ol").replaceChildren(...[a, b, c].map((w, i) => make("li",
    {class: w === right && now().known[u] ? "right" : null, style: `--part: ${chances[i] / 10}%`},
    make("span", {}, ["(padding)", "(another word)"][w] || all.vocabulary[w]), make("span", {}, `${(chances[i] / 10).toFixed(1)}%`))));
}

/* Accuracy by letters read */

function curve(k) {
  const width = 640, height = 220, left = 40, right = 120, most = all.curves[all.names[0]].length - 1;
  const x = i => left + i * (width - left - right) / most, y = v => height - 24 - v * (height - 40);
  const shown = all.names.filter(n => state.shown.has(n));
  const svg = make("svg:svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label":
    `Accuracy after ${plural(Math.min(k, most), "letter")}: ${shown.map(n => `${n} ${Math.round(100 * all.curves[n][Math.min(k, most)])}%`).join(", ")}`});
  for (const v of [0, .25, .5, .75, 1]) svg.append(make("svg:line", {class: "grid", x1: left, x2: x(most), y1: y(v), y2: y(v)}), make("svg:text", {x: left - 8, y: y(v) + 4, "text-anchor": "end"}, `${100 * v}%`));
  for (let i = 0; i <= most; i++) svg.append(make("svg:text", {x: x(i), y: height - 6, "text-anchor": "middle"}, i));
  if (k <= most) svg.append(make("svg:line", {class: "bar", x1: x(k), x2: x(k), y1: y(1), y2: y(0), "data-k": k}));
  const ends = shown.map(n => ({n, y: y(all.curves[n][most])})).sort((p, q) => p.y - q.y);
  ends.forEach((e, i) => { if (i) e.y = Math.max(e.y, ends[i - 1].y + 15); });
  const over = ends.length ? Math.max(0, ends.at(-1).y - height + 20) : 0;
  for (const {n, y: at} of ends) {
    const tint = `var(--c${all.names.indexOf(n) % 8})`, values = all.curves[n];
    svg.append(make("svg:path", {d: "M" + values.map((v, i) => `${x(i)} ${y(v)}`).join("L"), style: `stroke: ${tint}`}));
    if (k <= most) svg.append(make("svg:circle", {cx: x(k), cy: y(values[k]), r: 4, style: `fill: ${tint}`}));
    svg.append(make("svg:text", {class: "name", x: x(most) + 8, y: at - over + 4, style: `fill: ${tint}`}, n));
  }
  by("curve").replaceChildren(svg);
}

function letters(k, length) {
  const buttons = by("letters").children;
  for (let i = 0; i < buttons.length; i++) {
    buttons[i].setAttribute("aria-pressed", i === k);
    buttons[i].disabled = i > length;
  }
}

/* Moving */

function go(changes) {
  Object.assign(state, changes);
  if ("s" in changes) build();
  state.u = Math.max(0, Math.min(state.u, now().text.length - 1));
  show();
  const shown = all.names.map((n, i) => state.shown.has(n) ? i : -1).filter(i => i >= 0);
  const address = `#s=${state.s}&u=${state.u}&method=${state.method}&of=${state.of}&show=${shown}`;
  if (location.hash !== address) history.replaceState(null, "", address);
}

function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1)), changes = {};
  const number = (name, below) => { const v = Number(asked.get(name)); return asked.get(name) && Number.isInteger(v) && v >= 0 && v < below ? v : null; };
  changes.s = number("s", all.sentences.length) ?? state.s;
  changes.u = number("u", all.sentences[changes.s].text.length) ?? (changes.s === state.s ? state.u : 0);
  if (METHODS.includes(asked.get("method"))) changes.method = asked.get("method");
  if (OF.includes(asked.get("of"))) changes.of = asked.get("of");
  const shown = (asked.get("show") || "").split(",").filter(Boolean).map(i => all.names[i]).filter(Boolean);
  if (shown.length) changes.shown = new Set(shown);
  go(changes);
}

function toggle(name) {
  const shown = new Set(state.shown);
  if (!shown.delete(name)) shown.add(name);
  go({shown: shown.size ? shown : state.shown});
}

function byWord(way) {
  const text = now().text, at = [...text].map((c, t) => c === " " ? t : -1).filter(t => t >= 0);
  const found = way > 0 ? at.find(t => t > state.u) : at.findLast(t => t < start());
  return found ?? (way > 0 ? text.length - 1 : 0);
}

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select, summary")) return;
  const moves = {ArrowRight: () => state.u + 1, ArrowLeft: () => state.u - 1, ArrowDown: () => byWord(1), ArrowUp: () => byWord(-1), Home: () => 0, End: () => now().text.length - 1};
  if (moves[event.key]) { event.preventDefault(); go({u: moves[event.key]()}); }
  const name = all.names[Number(event.key) - 1];
  if (name) toggle(name);
}

const letterAt = event => event.target.closest("i[data-t]")?.dataset.t;
by("models").addEventListener("pointerover", e => { const t = letterAt(e); if (t && e.pointerType === "mouse") go({u: +t}); });
by("models").addEventListener("click", e => { const t = letterAt(e); if (t) go({u: +t}); });
by("cursor").addEventListener("input", e => go({u: +e.target.value}));
by("sentence").addEventListener("change", e => go({s: +e.target.value, u: 0}));
by("method").addEventListener("change", e => go({method: e.target.value}));
by("of").addEventListener("change", e => go({of: e.target.value}));
document.addEventListener("keydown", pressed);
addEventListener("hashchange", fromAddress);

by("sentence").append(...all.sentences.map((s, i) => make("option", {value: i}, `${i + 1}. ${s.text.trim().slice(0, 44)}…`)));
by("networks").append(...all.names.map(name => {
  const box = make("input", {type: "checkbox", value: name});
  box.addEventListener("change", () => toggle(name));
  return make("label", {class: "choice"}, box, name);
}));
by("examples").append(...all.examples.map(e => make("a", {href: `#s=${e.sentence}&u=${e.position}`}, e.says)));
by("examples-line").hidden = !all.examples.length;
by("letters").append(...all.curves[all.names[0]].map((_, i) => {
  const button = make("button", {type: "button", "aria-label": plural(i, "letter")}, i);
  button.addEventListener("click", () => go({u: start() + i}));
  return button;
}));
by("gradient").style.background = `linear-gradient(90deg, ${[0, .25, .5, .75, 1].map(r => `rgb(${colour(r)})`)})`;
by("about").textContent = `The networks learned from: ${all.text}.`;
fromAddress();
document.documentElement.dataset.ready = "";
