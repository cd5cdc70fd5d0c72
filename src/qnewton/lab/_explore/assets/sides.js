// What one setting looks like: its answer, its map, its costs.

import { forget, mark, number, termOf } from "./explain.js";
import { boxOf, cursor, overlay, said, under } from "./figure.js";
import { STEPS } from "./grid.js";
import { effective, input, inputs, placed, sets, valueAt } from "./model.js";
import { escape, margin, power, short, time, valued } from "./numbers.js";
import { paint, present, SHADES } from "./paint.js";
import { offersTable, race } from "./race.js";

const LETTERS = ["A", "B"];

/** What stands below a map that nobody points at. */
export const POINT = "Point at the map for its numbers; a click or the arrow keys go there.";

/** One place per side in every part of the page; written again when the number of sides changes. */
export function buildSides(count) {
  const letter = (side) => (count > 1 ? `<span class="letter">${LETTERS[side]}</span>` : "");
  const put = (id, write) => {
    document.getElementById(id).innerHTML = Array.from({ length: count }, (_, side) => write(side)).join("");
  };
  put("answers", (side) => `<article class="side answer" data-side="${side}"></article>`);
  put("figures", (side) => `<div class="side">${letter(side)}<div class="map" data-map="${side}" tabindex="0"` +
    ' role="application" aria-roledescription="map with a cursor"><canvas></canvas>' +
    '<svg aria-hidden="true"></svg></div>' +
    `<p class="readout quiet" data-readout="${side}">${POINT}</p></div>`);
  put("races", (side) => `<div class="side"><h2>${letter(side)}Why: what the time is made of</h2>` +
    `<div data-race="${side}"></div></div>`);
  put("offers", (side) => `<details class="side" ${count > 1 ? "" : "open"}><summary>${letter(side)}Every offer` +
    ` at this point</summary><div class="scroll" tabindex="0" role="region" aria-label="Every offer"` +
    ` data-offers="${side}"></div></details>`);
}

function write(element, html) {
  forget(element);
  element.innerHTML = html;
}

/** Who wins, as a word for styles: quantum, classical or nothing. */
function winnerOf({ orders, quantum, classical, impossible }) {
  if (impossible.length) return "";
  if (!Number.isFinite(orders)) return quantum ? "quantum" : classical ? "classical" : "";
  return orders > 0 ? "classical" : "quantum";
}

/** Winner, margin, and the two times behind it. */
export function showAnswer(side, point, settings, other) {
  const element = document.querySelector(`.answer[data-side="${side}"]`);
  element.className = `side answer ${winnerOf(point)}`;
  const times = [point.classical, point.quantum].filter(Boolean).map((offer) => {
    const about = { title: `${offer.name}, seconds`, value: offer.seconds, unit: "s", offer };
    const sure = offer.kind === "quantum" ? ` ${mark(offer.evidence)}` : "";
    return `${escape(offer.name)} on ${escape(offer.hardware)} ${number(time(offer.seconds), about)}${sure}`;
  });
  const letter = other ? `<span class="letter">${LETTERS[side]}</span>` : "";
  const [most] = (point.quantum?.parts ?? []).toSorted((a, b) => b.factor - a.factor);
  if (most?.factor > 1 && point.orders > 0) {
    const about = { title: most.label, value: most.factor, offer: point.quantum, term: termOf(most.label) };
    times.push(`Its largest factor: ${escape(most.label)}, ${number(`× ${short(most.factor)}`, about)}`);
  }
  const why = point.excluded ? `<p class="excluded">${excludedBy(point)}</p>` : "";
  const lines = point.impossible.length ? "" : `<p>${times.join("<br>")}</p>${why}`;
  const chosen = `<p class="settings">${settingsLine(settings, other)}</p>`;
  write(element, `<h2>${letter}${headline(point)}</h2>${lines}${chosen}`);
}

/** Why no quantum algorithm can win, by the lower bound that says so. */
function excludedBy({ excluded, bounds, classical }) {
  const about = (title, value, unit = "") => ({ title: `lower bound, ${title}`, value, unit, offer: excluded });
  const queries = number(short(excluded.queries), about("queries", excluded.queries));
  const seconds = number(time(excluded.seconds), about("seconds", excluded.seconds, "s"));
  const words = excluded === bounds[0] ? "No quantum algorithm can win" : "No algorithm helps with such encodings";
  return `<b>${words}:</b> ${excluded.by}, any quantum solver needs ${queries} queries, which take ` +
    `${seconds}, ${escape(margin(Math.log10(excluded.seconds / classical.seconds)))} more than the classical solver ` +
    mark(excluded.evidence);
}

/** The verdict as a title. */
export function headline({ orders, headline: words, impossible }) {
  if (impossible.length) return `No matrix has these numbers: look at ${escape(impossible.join(", "))}`;
  if (!Number.isFinite(orders)) return escape(words);
  if (Math.abs(orders) < 0.05) return "A draw";
  return `${orders > 0 ? "Classical" : "Quantum"} wins by ${margin(orders)}`;
}

function settingsLine(settings, other) {
  const shown = inputs.filter((one) => settings[one.name] !== one.default || (!one.advanced && !one.optional));
  return shown.map((one) => {
    const words = escape(worded(one, settings));
    return other && other[one.name] !== settings[one.name] ? `<b>${words}</b>` : words;
  }).join(" · ");
}

/** An input with its value: `rows n 10⁶`. */
export function worded(one, settings) {
  const value = settings[one.name];
  if (one.scale === "choice") return `${one.label} ${one.choices.find(({ name }) => name === value).label}`;
  return `${one.label} ${value === null ? "not given" : valued(one, value)}`;
}

export function buildSets() {
  const buttons = sets.map(({ name, text }) => `<button type="button" data-set="${escape(name)}"` +
    ` title="${escape(text)}"><b>${escape(name)}</b><span>…</span></button>`);
  document.getElementById("sets").innerHTML = buttons.join("");
}

/** The verdict under one set of assumptions, in its button. */
export function showSet(name, point) {
  const button = document.querySelector(`[data-set="${name}"]`);
  const winner = winnerOf(point);
  button.className = winner;
  const by = Math.abs(point.orders);
  const times = by < 1 ? `${(10 ** by).toFixed(1)} times` : `${by.toFixed(1)} orders`;
  const words = Number.isFinite(by) ? `${winner} by ${times}` : "no verdict";
  button.querySelector("span").textContent = by < 0.05 ? "a draw" : words;
}

export function showRace(side, point, advanced) {
  write(document.querySelector(`[data-race="${side}"]`), race(point));
  if (advanced) write(document.querySelector(`[data-offers="${side}"]`), offersTable(point));
}

/** Size of a map's figure, from the room that it has. */
function sizeOf(element) {
  const width = Math.max(element.clientWidth, 240);
  return [width, Math.round(Math.min(Math.max(0.62 * width, 270), 430))];
}

/** Shades and lines of a map, and its cursor. */
export function showMap(side, grid, settings, even) {
  const element = document.querySelector(`[data-map="${side}"]`);
  const [width, height] = sizeOf(element);
  const box = boxOf(width, height);
  const canvas = element.querySelector("canvas");
  const key = `${width} ${height} ${matchMedia("(prefers-color-scheme: dark)").matches}`;
  if (element.grid !== grid || element.key !== key) {
    const fine = grid.size >= 100 ? Math.min(devicePixelRatio || 1, 2) : 1;
    paint(canvas, grid, Math.round(fine * box.width), Math.round(fine * box.height));
    canvas.style.cssText = `left:${box.x}px;top:${box.y}px;width:${box.width}px;height:${box.height}px`;
    const svg = element.querySelector("svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.style.height = `${height}px`;
    svg.innerHTML = `<g>${overlay(grid, width, height)}</g><g data-cursor></g>`;
    [element.grid, element.key] = [grid, key];
  }
  element.querySelector("[data-cursor]").innerHTML = cursor(grid, width, height, settings, even);
  const where = whereOf(grid, settings);
  element.setAttribute("aria-label", `Who wins over ${input[grid.x].label} and ${input[grid.y].label}. ` +
    `Arrow keys move the point, with Shift in larger steps. Now at ${where}.`);
  element.dataset.size = grid.size;
}

/** A point of a map in words. */
export function whereOf({ x, y }, settings) {
  const shown = [x, y].map((name) => `${input[name].label} ${valued(input[name], effective(settings, input[name]))}`);
  return shown.join(", ");
}

/** What lies under a pointer: its values, and in words. */
export function underPointer(side, event, settings) {
  const element = document.querySelector(`[data-map="${side}"]`);
  if (!element.grid) return null;
  const { left, top } = element.getBoundingClientRect();
  const found = under(element.grid, ...sizeOf(element), event.clientX - left, event.clientY - top);
  if (!found) return null;
  const where = whereOf(element.grid, { ...settings, ...found.values });
  return { ...found, words: `${where}: ${said(element.grid, found.cell)}` };
}

/** A value some steps further along an input; whole numbers move by one at least. */
export function moved(one, value, steps, rounded) {
  const place = Math.min(Math.max(placed(one, value) + steps / 60, 0), 1);
  const next = rounded(one, valueAt(one, place));
  if (next !== value || !one.whole) return next;
  return Math.min(Math.max(value + Math.sign(steps), one.low), one.high);
}

/** Shades and hatches with their meaning; what no map has is left out. */
export function showLegend(grids) {
  const found = grids.map(present);
  const has = (name) => found.some((one) => one[name]);
  const swatches = SHADES.map((name, place) => {
    const words = place in STEPS ? `<b>${power(Math.abs(STEPS[place]))}</b>` : "";
    return `<span><i style="background:var(--${name})"></i>${words}</span>`;
  });
  const scale = `From quantum faster by ${power(8)} and more, over equal, to classical faster by ${power(24)} and more`;
  const ends = ["quantum", "classical"].map((kind) => `<em>${kind}<br>faster</em>`);
  const entries = [`<li class="scale" aria-label="${scale}">${ends[0]}${swatches.join("")}${ends[1]}</li>`];
  const entry = (name, words) => entries.push(`<li><i class="sw-${name}"></i>${words}</li>`);
  if (has("unreachable")) entry("unreachable", "no quantum algorithm can win, whatever the block encoding: a lower bound");
  if (has("classical")) entry("classical", "only a classical solver holds");
  if (has("quantum")) entry("quantum", "only a quantum formula holds");
  if (has("nobody")) entry("nobody", "no formula holds, or no matrix has these numbers");
  entries.push("<li>thick line: equally fast; dotted: another winner of the same kind; ◇ equal along the cross</li>");
  document.getElementById("legend").innerHTML = entries.join("");
}
