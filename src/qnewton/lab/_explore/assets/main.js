// The page: its state, what changes it, and what is drawn again.

import { buildControls, rounded, showLine, showSettings } from "./controls.js";
import { explainOn, legendOfMarks } from "./explain.js";
import { levels, wholeGrid } from "./grid.js";
import { effective, input, lineOf, numeric, pointOf, sets } from "./model.js";
import { escape, valued } from "./numbers.js";
import { colours, onTheme } from "./paint.js";
import { csvOf, jsonOf, pngOf, save, svgOf, tableOf } from "./save.js";
import {
  buildSets, buildSides, headline, moved, POINT, showAnswer, showLegend, showMap, showRace, showSet,
  underPointer, whereOf,
} from "./sides.js";
import { cuts, opening, readBack, written } from "./state.js";
import { inTurns, whenIdle } from "./turns.js";

const START = globalThis.START ?? null;
const TABLE = 9;
const by = (id) => document.getElementById(id);
const form = by("inputs");

let state = opening(START);
let points = [];
let grids = [];
let asked = [];
let evens = [{}, {}];
let due = false;
let saving = 0;
let address = ""; // as this page last knew it: another one is a link that somebody opens right now

function put(changes) {
  state = { ...state, ...changes };
  draw();
}

function change(name, value, side = state.active) {
  const sides = state.sides.slice();
  sides[side] = { ...sides[side], [name]: value };
  put({ sides });
}

/** Draw in the next frame, once for however many changes. */
function draw() {
  document.body.dataset.idle = "false";
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    drawNow();
  });
}

function drawNow() {
  const { sides, active, advanced } = state;
  if (document.querySelectorAll("[data-map]").length !== sides.length) rebuild();
  document.body.classList.toggle("advanced", advanced);
  pressAll("view", advanced ? "advanced" : "simple");
  pressAll("active", String(active));
  pressAll("set", sides[active].set);
  by("offers").hidden = !advanced;
  [by("x").value, by("y").value] = [state.x, state.y];
  showSettings(form, sides[active]);
  points = sides.map(pointOf);
  sides.forEach((settings, side) => {
    showAnswer(side, points[side], settings, sides[1 - side]);
    showRace(side, points[side], advanced);
    askMap(settings, side);
    if (grids[side]) showMap(side, grids[side], settings, evens[side]);
  });
  inTurns("lines", lines(sides[active], active));
  inTurns("sets", verdicts(sides[active]));
  remember();
}

function press(button, on) {
  button.setAttribute("aria-pressed", String(on));
}

/** Of the buttons for a choice the chosen one is pressed. */
function pressAll(name, chosen) {
  const all = document.querySelectorAll(`button[data-${name}]`);
  for (const button of all) press(button, button.dataset[name] === chosen);
}

function rebuild() {
  const two = state.sides.length > 1;
  buildSides(state.sides.length);
  by("active").hidden = !two;
  press(by("compare"), two);
  document.querySelector(".work").classList.toggle("two", two);
  [grids, asked, evens] = [[], [], [{}, {}]];
}

/** The map does not depend on the values of its own axes: then only its cursor moves. */
function askMap(settings, side) {
  const key = JSON.stringify({ ...settings, [state.x]: 0, [state.y]: 0, axes: [state.x, state.y] });
  if (asked[side] === key) return;
  asked[side] = key;
  inTurns(`map ${side}`, levels(settings, state.x, state.y, (grid) => {
    grids[side] = grid;
    showMap(side, grid, state.sides[side], evens[side]);
    showLegend(grids.filter(Boolean));
    if (by("table").open) showTable();
  }));
}

/** One input after the other: who wins along it. */
function* lines(settings, side) {
  const palette = colours();
  evens[side] = {};
  // Those of the map first, whose marks are drawn into it.
  for (const one of numeric.toSorted((a, b) => onMap(b) - onMap(a))) {
    const line = yield* lineOf(settings, one);
    evens[side][one.name] = line.even;
    showLine(form, one, line, palette);
    if (one.name === state.y && grids[side]) showMap(side, grids[side], state.sides[side], evens[side]);
    yield;
  }
}

/** The verdict under every set of assumptions. */
function* verdicts(settings) {
  for (const { name } of sets) {
    showSet(name, pointOf({ ...settings, set: name }));
    yield;
  }
}

function onMap(one) {
  return one.name === state.x ? 2 : one.name === state.y ? 1 : 0;
}

/** Keep the address up to date and tell a screen reader, a moment after the last change: browsers limit how often. */
function remember() {
  clearTimeout(saving);
  saving = setTimeout(() => {
    if (location.hash === address) note();
    by("said").textContent = points.map((point, side) => `${lettered(side)}${headline(point)}`).join(". ");
  }, 300);
}

function lettered(side) {
  return state.sides.length > 1 ? `${"AB"[side]}: ` : "";
}

/** Put the view into the address. */
function note() {
  address = `#${written(state)}`;
  history.replaceState(null, "", address);
}

function restore() {
  address = location.hash;
  const { state: found, unknown } = readBack(location.hash.slice(1), START);
  state = found;
  const notes = [];
  if (START && !location.hash) {
    const said = [...START.notes, ...cuts(START.settings)];
    if (START.label) notes.push(`<p>Numbers of <b>${escape(START.label)}</b></p>`);
    if (said.length) notes.push(`<h2>What was assumed and measured</h2><ul>${said.map((note) => `<li>${escape(note)}</li>`).join("")}</ul>`);
  }
  if (unknown.length) notes.push(`<p>Of the link this page does not know: ${escape(unknown.join(", "))}</p>`);
  by("notes").innerHTML = notes.join("");
  by("notes").hidden = !notes.length;
  [grids, asked] = [[], []];
  drawNow();
}

function showTable() {
  const axes = [input[state.x], input[state.y]];
  const words = axes.map((one) => (value) => valued(one, value));
  const ways = `${axes[0].label} to the right, ${axes[1].label} upwards`;
  const about = `who wins, and by how many orders of magnitude; ${ways}`;
  const tables = state.sides.map((settings, side) => {
    const grid = wholeGrid(settings, state.x, state.y, TABLE);
    const mark = grid.unreachable.some(Boolean) ? " († a lower bound: no quantum algorithm can win)" : "";
    return tableOf(grid, words, `${lettered(side)}${about}${mark}`);
  });
  by("table").querySelector(".scroll").innerHTML = tables.join("");
}

async function saveAs(kind) {
  const side = state.active;
  const [grid, settings, point] = [grids[side], state.sides[side], points[side]];
  if (!grid) return;
  const words = `${settings.set}: ${headline(point)} at ${whereOf(grid, settings)} (qnewton ${globalThis.VERSION})`;
  const svg = () => svgOf(grid, settings, evens[side], words);
  const text = { csv: () => csvOf(grid), json: () => jsonOf(grid, settings, point, `#${written(state)}`), svg };
  const types = { csv: "text/csv", json: "application/json", svg: "image/svg+xml" };
  save(`qnewton-map.${kind}`, kind === "png" ? await pngOf(svg()) : new Blob([text[kind]()], { type: types[kind] }));
}

function listen() {
  document.querySelector("[role=group]").addEventListener("click", (event) => {
    const view = event.target.dataset.view;
    if (view) put({ advanced: view === "advanced" });
  });
  by("compare").addEventListener("click", () => {
    const [first, second] = state.sides;
    put(second ? { sides: [state.sides[state.active]], active: 0 } : { sides: [first, { ...first }], active: 1 });
  });
  by("active").addEventListener("click", (event) => {
    if (event.target.dataset.active) put({ active: Number(event.target.dataset.active) });
  });
  by("reset").addEventListener("click", () => put({ sides: state.sides.with(state.active, opening(START).sides[0]) }));
  by("sets").addEventListener("click", ({ target }) => {
    const set = target.closest("[data-set]")?.dataset.set;
    if (set) change("set", set);
  });
  for (const [id, other] of [["x", "y"], ["y", "x"]]) {
    by(id).addEventListener("change", ({ target }) => {
      put({ [id]: target.value, ...(target.value === state[other] ? { [other]: state[id] } : {}) });
    });
  }
  by("swap").addEventListener("click", () => put({ x: state.y, y: state.x }));
  document.querySelector(".save").addEventListener("click", ({ target }) => {
    if (target.dataset.save) saveAs(target.dataset.save);
  });
  by("table").addEventListener("toggle", () => by("table").open && showTable());
  by("link").addEventListener("click", copyLink);
  globalThis.addEventListener("hashchange", restore);
  onTheme(draw);
  new ResizeObserver(draw).observe(by("figures"));
  listenToMaps();
}

async function copyLink({ target }) {
  note();
  try {
    await navigator.clipboard.writeText(location.href);
    target.textContent = "Copied";
  } catch {
    target.textContent = "It is in the address bar";
  }
  setTimeout(() => { target.textContent = "Copy link"; }, 2000);
}

const KEYS = { ArrowLeft: ["x", -1], ArrowRight: ["x", 1], ArrowUp: ["y", 1], ArrowDown: ["y", -1] };

function listenToMaps() {
  const figures = by("figures");
  const sideOf = (event) => event.target.closest?.("[data-map]")?.dataset.map;
  figures.addEventListener("keydown", (event) => {
    const side = sideOf(event);
    const key = KEYS[event.key];
    if (side === undefined || !key || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const one = input[state[key[0]]];
    const steps = key[1] * (event.shiftKey ? 5 : 1);
    change(one.name, moved(one, effective(state.sides[side], one), steps, rounded), Number(side));
  });
  const tell = (side, words) => {
    for (const line of document.querySelectorAll("[data-readout]")) {
      line.textContent = line.dataset.readout === side ? words : POINT;
    }
  };
  const move = (event) => {
    const side = sideOf(event);
    const found = side === undefined ? null : underPointer(side, event, state.sides[side]);
    tell(side, found?.words ?? POINT);
    return found && { side: Number(side), found };
  };
  const set = (event) => {
    const at = move(event);
    if (!at) return;
    const sides = state.sides.slice();
    sides[at.side] = { ...sides[at.side] };
    for (const [name, value] of Object.entries(at.found.values)) sides[at.side][name] = rounded(input[name], value);
    put({ sides, active: at.side });
  };
  figures.addEventListener("click", set);
  figures.addEventListener("pointermove", (event) => {
    (event.buttons === 1 && event.pointerType === "mouse" ? set : move)(event);
  });
  figures.addEventListener("pointerleave", () => tell());
}

const options = numeric.map((one) => `<option value="${one.name}">${escape(one.label)}</option>`).join("");
[by("x").innerHTML, by("y").innerHTML] = [options, options];
by("marks").innerHTML = legendOfMarks();
buildControls(form, change);
buildSets();
whenIdle(() => { document.body.dataset.idle = String(!due); });
explainOn(by("about"));
listen();
restore();
