// The stack of costs of one point: both sides on one axis of seconds, the quantum one factor by factor.

import { escape, margin, short, time } from "./numbers.js";
import { gateTime, mark, notesOf, number, termOf } from "./explain.js";

const LANDMARKS = [
  [1e-15, "1 fs"], [1e-12, "1 ps"], [1e-9, "1 ns"], [1e-6, "1 µs"], [1e-3, "1 ms"], [1, "1 s"], [3600, "1 h"],
  [86400, "1 day"], [31557600, "1 year"], [3.15576e10, "1000 years"], [3.15576e13, "10⁶ years"],
  [4.35e17, "age of the universe"],
];
const TERMS = [
  "queries", "subnormalisation", "sparsity", "encoding", "right-hand side", "error correction", "read-out", "loading",
];
const percent = (value, [low, high]) => (100 * (Math.log10(value) - low)) / (high - low);
const part = (value) => `${value.toFixed(2)}%`;

/** HTML of both winners, with their distance. */
export function race(point) {
  const { quantum, classical, other, orders, excluded, impossible, shared } = point;
  if (impossible.length) return `<p>No matrix has these numbers: look at ${escape(impossible.join(", "))}.</p>`;
  const span = spanOf(point);
  const rows = [
    quantum ? row(quantum, stack(quantum, span)) : missing(point, "quantum", "quantum formula"),
    Number.isFinite(orders) ? gap(quantum, classical, orders, span) : "",
    classical ? row(classical, bar(classical, span)) : missing(point, "classical", "classical solver"),
  ];
  if (other) rows.push(row(other, stack(other, span), "faster, but not proven: "));
  // As `Verdict.shared` has it: only where it is the fastest of all.
  const alone = [quantum, other, classical].map((one) => one?.seconds ?? Infinity);
  if (shared && shared.seconds < Math.min(...alone)) rows.push(row(shared, bar(shared, span), "faster, shared out: "));
  const [least, ofSet] = point.bounds;
  const atLeast = (bound, before) => rows.push(row(bound, bar(bound, span), before, "lower bound"));
  if (least) atLeast(least, `no quantum solver can ${least === excluded ? "win" : "be faster"}: `);
  if (ofSet && ofSet === excluded) atLeast(ofSet, "with such encodings none can win: ");
  return `<div class="race">${axis(span)}<ol>${rows.join("")}</ol></div>${quantum ? why(quantum) : ""}`;
}

function missing(point, kind, words) {
  const first = point.offers.find((offer) => offer.kind === kind && offer.why);
  const reason = first ? `: ${escape(first.name)} ${escape(first.why)}` : "";
  return `<li class="row"><p>No ${words} holds here${reason}.</p></li>`;
}

/** The ends of the axis, as logarithms. */
function spanOf({ quantum, classical, bounds }) {
  const times = [quantum?.seconds, quantum && gateTime(quantum), classical?.seconds, bounds[0]?.seconds];
  const ends = times.filter((value) => value > 0 && Number.isFinite(value)).map(Math.log10);
  if (!ends.length) return [-9, 0];
  const low = Math.floor((Math.min(...ends) - 0.5) / 3) * 3;
  return [low, Math.max(Math.max(...ends) + 0.5, low + 6)];
}

function axis(span) {
  const shown = [];
  let free = 0;
  for (const [seconds, words] of LANDMARKS) {
    const place = percent(seconds, span);
    if (place < -0.5 || place > 96) continue;
    const half = 0.75 * words.length;
    const named = place - half > free - 2 && place + half < 101;
    if (named) free = place + half + 3;
    shown.push(`<span class="at" style="left:${part(place)}">${named ? `<b>${words}</b>` : ""}</span>`);
  }
  return `<div class="axis" aria-hidden="true">${shown.join("")}</div>`;
}

function row(offer, drawn, before = "", name = offer.name) {
  const about = { title: `${offer.name}, seconds`, value: offer.seconds, unit: "s", offer };
  const who = `${before}<b>${escape(name)}</b> on ${escape(offer.hardware)}`;
  const notes = notesOf(offer).map((note) => `<small class="quiet">${escape(note)}</small>`);
  const sure = [mark(offer.evidence), ...notes].join(" ");
  const words = `${who} <span class="takes">${number(time(offer.seconds), about)}</span> ${sure}`;
  return `<li class="row ${offer.kind}"><p>${words}</p>${drawn}</li>`;
}

function bar(offer, span) {
  const width = Math.max(percent(offer.seconds, span), 0.5);
  return `<div class="track"><div class="bar" style="width:${part(width)}"></div></div>`;
}

/** One segment per factor, as long as its logarithm: factors multiply, so lengths add. */
function stack(offer, span) {
  let reached = gateTime(offer);
  if (reached === null) return bar(offer, span);
  const parts = [`<div class="base" style="width:${part(Math.max(percent(reached, span), 0))}"></div>`];
  for (const { label, factor } of offer.parts) {
    const before = percent(reached, span);
    reached *= factor;
    const width = percent(reached, span) - before;
    if (width <= 0.05) continue;
    const words = width > 1.1 * label.length ? escape(label) : "";
    parts.push(`<div class="part" style="width:${part(width)};background-color:var(--${colourOf(label)})"` +
      ` title="${escape(label)} × ${short(factor)}">${words}</div>`);
  }
  return `<div class="track">${parts.join("")}</div>`;
}

function colourOf(label) {
  const place = TERMS.indexOf(label);
  return `term-${place < 0 ? TERMS.length - 1 : place}`;
}

function gap(quantum, classical, orders, span) {
  const ends = [quantum.seconds, classical.seconds].map((value) => Math.max(percent(value, span), 0));
  const [left, right] = [Math.min(...ends), Math.max(...ends)];
  const beside = left > 60 ? `right:${part(101 - left)}` : `left:${part(right + 1)}`;
  const inside = `left:${part(left)};width:${part(right - left)};text-align:center`;
  const wins = orders > 0 ? "classical" : "quantum";
  const words = margin(orders).replace(" of magnitude", "");
  return `<li class="gap" aria-label="${wins} is faster by ${margin(orders)}">` +
    `<div class="between" style="left:${part(left)};width:${part(right - left)}"></div>` +
    `<span style="${right - left > 30 ? inside : beside}"><b>${words}</b></span></li>`;
}

/** Every factor with its number, the largest one first. */
function why(offer) {
  const gate = gateTime(offer);
  const asked = (words, title, value, unit, term) => number(words, { title, value, unit, offer, term });
  const chips = offer.parts.filter(({ factor }) => factor !== 1).toSorted((a, b) => b.factor - a.factor)
    .map(({ label, factor }) => `<li><i style="background-color:var(--${colourOf(label)})"></i>${escape(label)} ` +
      `${asked(`× ${short(factor)}`, label, factor, "", termOf(label))}</li>`);
  if (gate !== null) {
    chips.unshift(`<li><i class="hollow"></i>gate time ${asked(time(gate), "gate time", gate, "s", "gate time")}</li>`);
  }
  return `<ul class="why" aria-label="Factors of the quantum time">${chips.join("")}</ul>`;
}

/** Table of every offer, the fastest first and those without a number last. */
export function offersTable(point) {
  const offers = point.shared ? [...point.offers, point.shared] : point.offers;
  const rows = offers.toSorted((a, b) => (a.valid && b.valid ? a.seconds - b.seconds : b.valid - a.valid));
  const cells = (names, style) => names.map((name) => `<th scope="col" class="${style}">${name}</th>`).join("");
  const numbers = ["seconds", "orders", "queries", "copies", "T count", "qubits"];
  const last = cells(["evidence", "note, or why not"], "text");
  const head = cells(["solver", "machine"], "text") + cells(numbers, "") + last;
  const lines = rows.map((offer) => line(offer, point)).join("");
  return `<table><thead><tr>${head}</tr></thead><tbody>${lines}</tbody></table>`;
}

function line(offer, { classical }) {
  const cell = (field, words = short, unit = "") => {
    const value = offer[field];
    if (!offer.valid || value === undefined || value === null || !Number.isFinite(value)) return "<td>–</td>";
    const title = `${offer.name}, ${field.replaceAll("_", " ")}`;
    return `<td>${number(words(value), { title, value, unit, offer })}</td>`;
  };
  const orders = offer.valid && classical ? short(Math.log10(offer.seconds / classical.seconds), 2) : "–";
  const text = (words, more = "") => `<td class="text${more}">${words}</td>`;
  return `<tr class="${offer.kind}"><th scope="row">${escape(offer.name)}</th>${text(escape(offer.hardware))}` +
    `${cell("seconds", time, "s")}<td>${orders}</td>` +
    `${["queries", "copies", "t_count", "qubits"].map((field) => cell(field)).join("")}` +
    `${text(mark(offer.evidence))}${text(escape(notesOf(offer).join("; ")), " long")}</tr>`;
}
