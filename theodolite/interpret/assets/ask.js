"use strict";

const SVG = "http://www.w3.org/2000/svg";
const UNIT = 40;
const ARROWS = {up: "↑", right: "→", down: "↓", left: "←"};
const KEYS = {ArrowUp: [0, 1], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowLeft: [-1, 0]};
const SIGNS = {
  trap: "M13 13l14 14M27 13l-14 14",
  goal: "M14 32V8l14 5.5L14 19",
  forest: "M20 7l9 12h-5l6 9H10l6-9h-5zM20 28v5",
};
const by = id => document.getElementById(id);
const same = (a, b) => a[0] === b[0] && a[1] === b[1];
const key = cell => cell.join();

let EDGE = 22;  // for the numbers of rows and columns
let world, start = null, focus = [0, 0], tracks = [], playing = 0;
const region = new Map();

function make(name, attributes = {}, ...children) {
  const node = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) if (v !== null) node.setAttribute(k, v);
  node.append(...children);
  return node;
}

/* The map */

const left = cell => EDGE + cell[0] * UNIT;
const top_ = cell => (world.size[1] - 1 - cell[1]) * UNIT;
const middle = cell => [left(cell) + UNIT / 2, top_(cell) + UNIT / 2];
const at = cell => `translate(${left(cell)} ${top_(cell)})`;
const holds = (thing, cell) => (world.things[thing] || []).some(c => same(c, cell));
const stands = cell => world.standing.some(c => same(c, cell));
const nameOf = cell => (world.names || []).find(n => same(n, cell))?.[2];

function kindOf(cell) {
  if (!stands(cell) && world.names) return "nowhere";
  return ["wall", "trap", "goal", "forest", "territory"].find(thing => holds(thing, cell)) || "free";
}

function said(cell) {
  const things = ["wall", "trap", "goal", "forest", "territory"].filter(thing => holds(thing, cell));
  if (world.monster && same(world.monster, cell)) things.push("monster");
  if (same(start || world.start, cell)) things.push("start");
  return [nameOf(cell) || `(${cell.join(", ")})`, ...things].join(", ");
}

function drawn(cell) {
  const kind = kindOf(cell), group = make("svg:g", {transform: at(cell)});
  group.append(make("svg:rect", {class: `cell ${kind}`, width: UNIT, height: UNIT}));
  if (SIGNS[kind]) group.append(make("svg:path", {class: `sign ${kind}-sign`, d: SIGNS[kind]}));
  return group;
}

function names() {
  return make("svg:g", {"aria-hidden": "true"}, ...(world.names || []).map(([x, y, name]) =>
    make("svg:text", {class: "name", x: left([x, y]) + 4, y: top_([x, y]) + 9}, name)));
}

function board(label, role) {
  const [width, height] = world.size;
  const svg = make("svg:svg", {class: world.names ? "map graph" : "map", "aria-label": label, role,
    viewBox: `-1 -1 ${EDGE + width * UNIT + 2} ${height * UNIT + EDGE + 2}`});
  if (world.names) return svg;
  const numbers = make("svg:g", {"aria-hidden": "true"});
  for (let x = 0; x < width; x++) numbers.append(make("svg:text", {x: left([x]) + UNIT / 2, y: height * UNIT + EDGE / 2}, x));
  for (let y = 0; y < height; y++) numbers.append(make("svg:text", {x: EDGE / 2, y: top_([0, y]) + UNIT / 2}, y));
  svg.append(numbers);
  return svg;
}

const monster = () => make("svg:g", {class: "monster-is"},
  make("svg:path", {class: "monster", d: "M8 33V19a12 12 0 0 1 24 0v14l-4-4-4 4-4-4-4 4-4-4z"}),
  make("svg:circle", {class: "eye", cx: 15.5, cy: 19, r: 3}), make("svg:circle", {class: "eye", cx: 24.5, cy: 19, r: 3}));

function way(track) {
  const group = make("svg:g", {"aria-hidden": "true"}), points = track.map(step => middle(step.cell)), seen = new Set();
  let line = `M${points[0]}`, heads = [];
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1], points[i]], edge = `${a} ${b}`;
    if (seen.has(edge)) continue;
    seen.add(edge);
    if (same(a, b)) { line += `M${a[0]} ${a[1] - 7}a7 7 0 1 1 -.1 0M${b}`; continue; }
    const bend = world.names ? [(b[1] - a[1]) * .14, (a[0] - b[0]) * .14] : [0, 0];
    const control = [(a[0] + b[0]) / 2 + bend[0], (a[1] + b[1]) / 2 + bend[1]];
    line += i > 1 && same(points[i - 1], a) && line.endsWith(`${a}`) ? "" : `M${a}`;
    line += `Q${control} ${b}`;
    const tip = [(a[0] + b[0]) / 2 + bend[0] / 2, (a[1] + b[1]) / 2 + bend[1] / 2];
    const turn = Math.atan2(b[1] - a[1], b[0] - a[0]) * 180 / Math.PI;
    heads.push(make("svg:path", {class: "head", d: "M-6 -7L8 0L-6 7z", transform: `translate(${tip}) rotate(${turn}) scale(${world.names ? .6 : 1})`}));
  }
  group.append(make("svg:path", {class: "way", d: line}), ...heads);
  group.append(make("svg:circle", {class: "begin", cx: points[0][0], cy: points[0][1], r: 8}));
  return group;
}

function asking() {
  const svg = board("Map of the world; mark the cells that you ask about", "grid");
  svg.setAttribute("aria-multiselectable", "true");
  svg.setAttribute("aria-describedby", "keys");
  const [width, height] = world.size;
  for (let y = height - 1; y >= 0; y--) {
    const row = make("svg:g", {role: "row"});
    for (let x = 0; x < width; x++) {
      const cell = [x, y], node = drawn(cell);
      if (kindOf(cell) === "nowhere") continue;
      for (const [k, v] of Object.entries({role: "gridcell", tabindex: -1, "data-cell": key(cell), "aria-label": said(cell)})) node.setAttribute(k, v);
      if (!stands(cell)) node.setAttribute("aria-disabled", "true");
      if (world.monster && same(world.monster, cell)) node.append(monster());
      node.append(make("svg:rect", {class: "focus", x: 2, y: 2, width: UNIT - 4, height: UNIT - 4}));
      row.append(node);
    }
    svg.append(row);
  }
  svg.append(make("svg:g", {id: "marks", "aria-hidden": "true"}));
  svg.append(way(world.path), names());
  by("map").className = "fact";
  by("map").replaceChildren(svg);
  focus = start || world.start;
  cellAt(focus)?.setAttribute("tabindex", 0);
  showRegion();
}

const cellAt = cell => document.querySelector(`#map [data-cell="${key(cell)}"]`);

function answering(track, title, note, side) {
  const label = `${title}: ${track.slice(0, 30).map(step => nameOf(step.cell) || `(${step.cell.join(", ")})`).join(" ")}${track.length > 30 ? " and so on" : ""}`;
  const svg = board(label, "img"), [width, height] = world.size;
  for (let y = height - 1; y >= 0; y--) for (let x = 0; x < width; x++) if (kindOf([x, y]) !== "nowhere") svg.append(drawn([x, y]));
  svg.append(marks(), way(track), names());
  if (track[0].monster) { const m = monster(); m.dataset.monster = ""; svg.append(m); }
  svg.append(make("svg:circle", {class: "agent", r: 10}));
  return make("figure", {class: side}, make("figcaption", {}, make("b", {}, title), make("span", {}, note)), svg);
}

/* Marking */

function marks() {
  const group = make("svg:g", {});
  for (const cell of region.values()) {
    const [x, y] = [left(cell), top_(cell)];
    for (let i = 10; i < 2 * UNIT; i += 10) {
      const from = [x + Math.max(0, i - UNIT), y + Math.min(i, UNIT)], to = [x + Math.min(i, UNIT), y + Math.max(0, i - UNIT)];
      group.append(make("svg:line", {class: "hatch", x1: from[0], y1: from[1], x2: to[0], y2: to[1]}));
    }
    group.append(make("svg:rect", {class: "mark", x: x + 2, y: y + 2, width: UNIT - 4, height: UNIT - 4}));
  }
  return group;
}

function showRegion() {
  const group = marks();
  group.id = "marks";
  group.setAttribute("aria-hidden", "true");
  by("marks").replaceWith(group);
  for (const node of document.querySelectorAll("#map [role=gridcell]")) node.setAttribute("aria-selected", region.has(node.dataset.cell));
  const count = region.size;
  by("marked").textContent = count === 0 ? "Nothing is marked." : count === 1 ? "1 cell is marked." : `${count} cells are marked.`;
  by("clear").disabled = count === 0;
  by("start").disabled = count !== 1 && !start;
  by("start").textContent = start && count !== 1 ? "Start as usual" : "Start here";
  for (const option of document.querySelectorAll(".regional")) option.disabled = count === 0;
  for (const select of document.querySelectorAll("select")) if (select.selectedOptions[0]?.disabled) select.selectedIndex = 0;
}

function mark(cell, wanted = !region.has(key(cell))) {
  if (!stands(cell)) { by("marked").textContent = `The agent is never on ${said(cell)}.`; return; }
  const first = region.size === 0;
  if (wanted) region.set(key(cell), cell); else region.delete(key(cell));
  showRegion();
  if (first && wanted) { by("where").value = " whenever in the region"; by("target").value = "the region"; }
  compose();
}

function go(cell) {
  const node = cellAt(cell);
  if (!node) return;
  cellAt(focus)?.setAttribute("tabindex", -1);
  node.setAttribute("tabindex", 0);
  node.focus();
  focus = cell;
}

function under(event) {
  const node = document.elementFromPoint(event.clientX, event.clientY)?.closest("#map [data-cell]");
  return node ? node.dataset.cell.split(",").map(Number) : null;
}

function listen() {
  let pressed = null, painted = false;
  by("map").addEventListener("pointerdown", event => { pressed = event.pointerType === "mouse" ? under(event) : null; painted = false; });
  by("map").addEventListener("pointermove", event => {
    const cell = pressed && event.buttons === 1 ? under(event) : null;
    if (!cell || (!painted && same(cell, pressed))) return;
    if (!painted && stands(pressed)) mark(pressed, true);
    painted = true;
    if (stands(cell) && !region.has(key(cell))) mark(cell, true);
  });
  by("map").addEventListener("click", event => {
    const cell = painted ? null : under(event);
    painted = false;
    if (cell) { go(cell); mark(cell); }
  });
  by("map").addEventListener("keydown", event => {
    if (!event.target.dataset?.cell || event.ctrlKey || event.metaKey || event.altKey) return;
    const move = KEYS[event.key];
    if (move) {
      const next = [focus[0] + move[0], focus[1] + move[1]];
      if (event.shiftKey) { if (stands(focus)) mark(focus, true); if (cellAt(next) && stands(next)) mark(next, true); }
      go(next);
    } else if (event.key === " " || event.key === "Enter") mark(focus);
    else if (event.key === "Escape") clear();
    else return;
    event.preventDefault();
  });
}

function clear() {
  region.clear();
  showRegion();
  compose();
}

/* The question */

const chosen = name => document.querySelector(`input[name=${name}]:checked`)?.value;

function compose() {
  const kind = chosen("kind"), target = by("target").value;
  by("doing").hidden = kind !== "do";
  by("aiming").hidden = kind === "do";
  by("target-name").textContent = kind === "avoid" ? "What to avoid" : "Where to";
  const always = by("where").value.includes("whenever");
  by("long").disabled = always;
  const doing = `why not ${chosen("action")}${always ? "" : by("long").value}${by("where").value}?`;
  by("question").value = kind === "do" ? doing : kind === "avoid" ? `why not avoid ${target}?` : `what if you go to ${target}?`;
  by("error").hidden = true;
}

function prepare() {
  EDGE = world.names ? 0 : 22;
  document.title = `Ask ${world.name} why · Theodolite`;
  by("who").textContent = `${world.about} in ${world.name}${world.slip ? `, a random move with probability ${world.slip}` : ""}`;
  by("actions").replaceChildren(...world.actions.map((action, i) => {
    const input = make("input", {type: "radio", name: "action", value: action});
    input.checked = world.path[0].action === action ? false : i === (world.path[0].action === world.actions[0] ? 1 : 0);
    return make("label", {}, input, make("span", {}, ARROWS[action] ? `${ARROWS[action]} ${action}` : action));
  }));
  const things = world.words.filter(thing => thing !== "wall");
  by("target").replaceChildren(make("option", {value: "the region", class: "regional"}, "the region"),
    ...things.map(thing => make("option", {value: /\d$/.test(thing) ? thing : `the ${thing}`}, thing)));
  by("target").selectedIndex = 1;
  by("examples").replaceChildren(...world.examples.map(text => {
    const button = make("button", {type: "button"}, text);
    button.addEventListener("click", () => { by("question").value = text; by("question").focus(); });
    return make("li", {}, button);
  }));
  by("words").textContent = `Actions: ${world.actions.join(", ")}. Things: ${world.words.join(", ")}. Places: (x, y), or things.`;
  const parts = ["goal", "trap", "forest", "territory", "wall"].filter(thing => world.things[thing]?.length);
  by("legend").replaceChildren(...parts.map(thing => legend(thing, thing === "territory" ? "the monster’s territory" : thing)));
  if (world.monster) by("legend").append(legend("monster", "monster"));
}

function legend(kind, text) {
  const icon = make("svg:svg", {class: "map", viewBox: "-1 -1 42 42", "aria-hidden": "true"});
  icon.append(make("svg:rect", {class: `cell ${kind === "monster" ? "free" : kind}`, width: UNIT, height: UNIT}));
  if (SIGNS[kind]) icon.append(make("svg:path", {class: `sign ${kind}-sign`, d: SIGNS[kind]}));
  if (kind === "monster") icon.append(monster());
  return make("li", {}, icon, text);
}

async function fetched(path, options) {
  const reply = await fetch(path, options);
  const found = await reply.json();
  if (!reply.ok) throw new Error(found.error);
  return found;
}

async function submit(event) {
  event.preventDefault();
  by("go").disabled = true;
  by("error").hidden = true;
  const body = {question: by("question").value, region: [...region.values()], start};
  try {
    show(await fetched("/ask", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)}), body);
  } catch (error) {
    complain(error);
  }
  by("go").disabled = false;
}

function complain(error) {
  const gone = error instanceof TypeError;
  by("error").textContent = gone ? "The server does not answer any more: start theodolite ask again." : error.message;
  by("error").hidden = false;
}

/* The answer */

function show(found, body) {
  stop();
  tracks = found.tracks;
  by("asked").textContent = `“${found.question.trim()}”`;
  ["situation", "proposal", "judgement", "small-print"].forEach((id, i) => { by(id).textContent = found.sentences[i]; });
  const end = track => track.at(-1).action ? "on and on" : `${track.length - 1} steps, then: ${track.at(-1).event || "nothing"}`;
  const note = track => world.names || track.length > world.horizon ? `the ${track.length - 1} likeliest steps` : end(track);
  const ways = [answering(tracks[0], "What I do", note(tracks[0]), "fact"), answering(tracks[1], "Your plan", note(tracks[1]), "foil")];
  by("maps").replaceChildren(...ways.slice(0, found.impossible ? 1 : 2));
  by("step").max = Math.max(...tracks.map(track => track.length)) - 1;
  by("step").value = 0;
  by("differences").hidden = found.rows.length === 0;
  const widest = Math.max(1e-9, ...found.rows.map(row => Math.abs(row[3])));
  by("rows").replaceChildren(...found.rows.map(row => outcome(row, widest)));
  if (found.rows.length) by("rows").append(outcome(["in all", signed(found.return_fact, ""), signed(found.return_foil, ""), found.return_foil - found.return_fact], widest, "total"));
  by("command").textContent = command(body);
  by("text").textContent = found.text;
  by("answer").hidden = false;
  move();
  by("answer-title").focus({preventScroll: true});
  by("answer").scrollIntoView({behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"});
}

const signed = (value, plus = "+") => `${value < 0 ? "−" : plus}${Math.abs(value).toFixed(1)}`;

function outcome([name, fact, foil, worth], widest, kind = null) {
  const side = worth < 0 ? "worse" : "better", length = 48 * Math.abs(worth) / widest;
  const bar = make("svg:svg", {viewBox: "-50 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true"},
    make("svg:rect", {class: side, x: worth < 0 ? -length : 0, y: 2, width: Math.min(48, length), height: 10}), make("svg:line", {y1: 0, y2: 14}));
  return make("tr", {class: kind}, make("th", {scope: "row"}, name), make("td", {class: "number"}, fact), make("td", {class: "number"}, foil),
    make("td", {class: `number ${side}`}, signed(worth)), make("td", {class: "bar-cell"}, ...(kind ? [] : [bar])));
}

function command(body) {
  const words = ["theodolite ask", world.command || world.name, `"${body.question.replace(/["$`\\]/g, "\\$&")}"`];
  if (body.region.length && body.question.includes("region")) words.push("--region", body.region.flat().join(" "));
  if (body.start) words.push("--start", body.start.join(" "));
  return words.join(" ");
}

function move() {
  const step = Number(by("step").value);
  by("at").textContent = `${step} of ${by("step").max}`;
  document.querySelectorAll("#maps figure").forEach((figure, i) => {
    const now = tracks[i][Math.min(step, tracks[i].length - 1)], [x, y] = middle(now.cell);
    const agent = figure.querySelector(".agent"), hunter = figure.querySelector("[data-monster]");
    agent.setAttribute("cx", x);
    agent.setAttribute("cy", y);
    if (hunter && now.monster) hunter.setAttribute("transform", at(now.monster));
  });
}

function stop() {
  clearInterval(playing);
  playing = 0;
  by("play").textContent = "Play";
}

function play() {
  if (playing) { stop(); return; }
  if (by("step").value === by("step").max) by("step").value = 0;
  by("play").textContent = "Pause";
  playing = setInterval(() => {
    by("step").stepUp();
    move();
    if (by("step").value === by("step").max) stop();
  }, 350);
}

async function toggleStart() {
  const wanted = region.size === 1 ? [...region.values()][0] : null;
  try {
    world = await fetched(wanted ? `/world.json?start=${key(wanted)}` : "/world.json");
  } catch (error) {
    complain(error);
    return;
  }
  start = wanted;
  by("start-is").textContent = start ? `Questions are about an agent that starts at ${nameOf(start) || `(${start.join(", ")})`}.` : "";
  region.clear();
  asking();
  compose();
}

async function main() {
  try {
    world = await fetched("/world.json");
  } catch {
    by("error").textContent = "The world could not be loaded: start theodolite ask again, and reload.";
    by("error").hidden = false;
    return;
  }
  prepare();
  asking();
  listen();
  compose();
  for (const id of ["doing", "aiming"]) by(id).addEventListener("change", compose);
  for (const radio of document.querySelectorAll("input[name=kind]")) radio.addEventListener("change", compose);
  by("form").addEventListener("submit", submit);
  by("clear").addEventListener("click", clear);
  by("start").addEventListener("click", toggleStart);
  by("step").addEventListener("input", () => { stop(); move(); });
  by("play").addEventListener("click", play);
  document.documentElement.dataset.ready = "";
}

main();
