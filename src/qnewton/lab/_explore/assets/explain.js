// What one number rests on: formula, source and evidence mark, in a dialog of its own.

import { algorithm, countOf, hardware } from "./model.js";
import { escape, exact, short, time } from "./numbers.js";

const { formulas, terms } = globalThis.WORDS;
const MARKS = {
  proven: "an upper bound that its source proves",
  empirical: "measured on small matrices, and extrapolated from there",
  derived: "put together here from published parts",
  asymptotic: "its growth is published and its constant is not: never the fastest",
  "second-hand": "known from a transcription, or from several that disagree",
  assumption: "set, not found: nobody claims that a machine does it",
};

const known = new Map();
let serial = 0;

/** A number that one click explains; `about`: {title, value, unit, offer, term}. */
export function number(words, about) {
  const key = String(++serial);
  known.set(key, about);
  return `<button type="button" class="number-of" data-about="${key}" aria-haspopup="dialog">${escape(words)}</button>`;
}

/** What explains a factor: its own words, or for queries those of the solver. */
export function termOf(label) {
  return label === "queries" ? "" : label;
}

/** Forget the numbers of a part of the page that is written anew. */
export function forget(element) {
  for (const one of element.querySelectorAll("[data-about]")) known.delete(one.dataset.about);
}

/** The mark of a kind of evidence; of other words, which classical counts have, the words. */
export function mark(evidence) {
  if (!evidence) return "";
  if (!(evidence in MARKS)) return `<small class="quiet">${escape(evidence)}</small>`;
  return `<span class="mark ${evidence}" title="${escape(MARKS[evidence])}">${escape(evidence)}</span>`;
}

/** All marks with their meaning. */
export function legendOfMarks() {
  return Object.entries(MARKS).map(([name, words]) => `<dt>${mark(name)}</dt><dd>${escape(words)}</dd>`).join("");
}

/** Let clicks on numbers open the dialog. */
export function explainOn(dialog) {
  document.addEventListener("click", (event) => {
    const asked = event.target.closest?.("[data-about]");
    if (!asked || !known.has(asked.dataset.about)) return;
    dialog.querySelector("[data-body]").innerHTML = body(known.get(asked.dataset.about));
    dialog.showModal();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
}

function body({ title, value, unit, offer, term }) {
  const about = term ? { ...terms[term], formula: terms[term]?.formula ?? "" } : { ...algorithm[countOf(offer)], ...offer };
  const formula = term ? about.formula : formulas[countOf(offer)];
  const rows = [
    ["value", escape(unit === "s" ? `${exact(value)} s, ${time(value)}` : exact(value))],
    ["source", escape([about.source, about.version].filter(Boolean).join(", "))],
    ["evidence", `${mark(about.evidence)} ${escape(MARKS[about.evidence] ?? "")}`],
    ["known from", escape(about.known_from ?? "")],
    ["error", escape(about.error ?? "")],
    ["holds for", escape(about.validity ?? "")],
    ["machine", escape([offer.hardware, hardware[offer.hardware]?.description].filter(Boolean).join(": "))],
    ["encoding", escape(offer.encoding ?? "")],
    ["note", escape(notesOf(offer).join("; "))],
  ];
  const known = rows.filter(([, text]) => text.trim());
  const list = known.map(([name, text]) => `<dt>${name}</dt><dd>${text}</dd>`).join("");
  const written = formula ? `<h3>Formula</h3><pre tabindex="0">${escape(formula)}</pre>` : "";
  return `<h2 id="about-title">${escape(title)}</h2><dl>${list}</dl>${term ? "" : product(offer)}${written}`;
}

/** What a table adds to an offer's numbers. */
export function notesOf(offer) {
  const notes = [...(offer.notes ?? [])];
  if (offer.kind === "shared") {
    notes.push(`the quantum part has κ ${short(offer.kappa)} and leaves an error of ${short(offer.precision, 2)}, then ` +
      `${short(offer.steps)} steps of CG`);
  }
  if (offer.valid && offer.kind === "classical" && offer.rounds) notes.push(`refined in ${offer.rounds} rounds`);
  if (offer.valid && offer.beyond_bytes > 0) {
    notes.push(`${short(offer.beyond_bytes, 2)} bytes more than the memory holds are streamed`);
  }
  return offer.valid ? notes : [offer.why];
}

/** Seconds of one gate, which the factors multiply; of a classical offer none. */
export function gateTime(offer) {
  const [first] = offer.parts;
  return first?.factor > 0 ? first.seconds / first.factor : null;
}

/** How the seconds come together. */
function product(offer) {
  const gate = gateTime(offer);
  if (gate === null) return "";
  const rows = offer.parts.map(({ label, factor }) => `<tr><td>× ${escape(label)}</td><td>${short(factor)}</td></tr>`);
  return "<table><caption>How the seconds come together</caption><tbody>" +
    `<tr><td>gate time</td><td>${time(gate)}</td></tr>${rows.join("")}` +
    `<tr class="sum"><td>seconds</td><td>${short(offer.seconds)}</td></tr></tbody></table>`;
}
