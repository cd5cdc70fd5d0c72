// The inputs: each number with a slider whose track shows who wins along it, and where both would be equally fast.

import { SHADES, shadeOf } from "./paint.js";
import { effective, input, inputs, placed, taken, valueAt } from "./model.js";
import { escape, exact, read, valued } from "./numbers.js";

const SLIDER = 600;

/** Write the form once; `changed(name, value)` is told of every change. */
export function buildControls(form, changed) {
  const shown = inputs.filter((one) => one.name !== "set");
  form.innerHTML = shown.map((one) => (one.scale === "choice" ? choice(one) : slider(one))).join("");
  form.addEventListener("input", ({ target }) => {
    const one = input[target.dataset.name];
    if (!one || target.type === "text") return;
    if (one.scale === "choice") changed(one.name, target.value);
    else changed(one.name, rounded(one, valueAt(one, target.value / SLIDER)));
  });
  form.addEventListener("change", ({ target }) => {
    const one = input[target.dataset.name];
    if (!one || target.type !== "text") return;
    const value = taken(one, target.value.trim() === "" ? null : read(target.value));
    target.setAttribute("aria-invalid", String(value === undefined));
    if (value !== undefined) changed(one.name, value);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
}

/** Three significant digits, which a slider cannot be more exact than. */
export function rounded(one, value) {
  return taken(one, Number(value.toPrecision(3)));
}

function choice(one) {
  const options = one.choices.map(({ name, label }) => `<option value="${escape(name)}">${escape(label)}</option>`);
  return `<div class="input${one.advanced ? " more" : ""}"><label for="in-${one.name}">${escape(one.label)}</label>` +
    `<select id="in-${one.name}" data-name="${one.name}" aria-describedby="about-${one.name}">` +
    `${options.join("")}</select><p class="help" id="about-${one.name}"></p></div>`;
}

function slider(one) {
  const { name } = one;
  const label = escape(one.label);
  const empty = one.optional ? ` placeholder="${escape(one.empty ?? "worst case")}"` : "";
  const field = `<input type="text" inputmode="decimal" id="in-${name}" data-name="${name}" autocomplete="off"` +
    ` spellcheck="false" aria-describedby="about-${name}"${empty}>`;
  const range = `<div class="slide"><canvas class="strip" width="61" height="1" aria-hidden="true"></canvas>` +
    `<i class="even-at" hidden></i>` +
    `<input type="range" min="0" max="${SLIDER}" step="1" data-name="${name}" aria-label="${label}"></div>`;
  return `<div class="input${one.advanced ? " more" : ""}" data-input="${name}"><div class="line">` +
    `<label for="in-${name}" title="${escape(one.help)}">${label}</label>${field}` +
    `<span class="unit">${escape(one.unit)}</span></div>` +
    `${one.typed ? "" : range}<p class="help" id="about-${name}">${escape(one.typed ? one.help : "")}</p></div>`;
}

/** Show a side's settings. */
export function showSettings(form, settings) {
  for (const element of form.querySelectorAll("[data-name]")) {
    const one = input[element.dataset.name];
    const value = settings[one.name];
    if (one.scale === "choice") {
      element.value = value;
      const about = one.choices.find(({ name }) => name === value).text ?? one.help;
      form.querySelector(`#about-${one.name}`).textContent = about;
    } else if (element.type === "range") {
      element.value = Math.round(SLIDER * placed(one, effective(settings, one)));
      element.setAttribute("aria-valuetext", valued(one, effective(settings, one)));
    } else if (element !== document.activeElement || read(element.value) !== value) {
      element.value = value === null ? "" : exact(value);
      element.removeAttribute("aria-invalid");
    }
  }
}

/** Colour one slider's track by who wins along it, and say where both would be equal. */
export function showLine(form, one, line, palette) {
  const place = form.querySelector(`[data-input="${one.name}"]`);
  const canvas = place.querySelector("canvas");
  const context = canvas.getContext("2d");
  line.orders.forEach((orders, at) => {
    context.fillStyle = Number.isFinite(orders) ? palette[SHADES[shadeOf(orders)]] : palette.paper;
    context.fillRect(at, 0, 1, 1);
  });
  const reached = Number.isFinite(line.even);
  place.querySelector(".help").textContent = reached ? `equally fast at ${valued(one, line.even)}` : wins(line.orders);
  place.querySelector(".even-at").hidden = !reached;
  if (reached) place.querySelector(".even-at").style.setProperty("--at", placed(one, line.even));
}

function wins(orders) {
  const known = orders.filter(Number.isFinite);
  if (!known.length) return "no number along it";
  const least = Math.min(...known.map(Math.abs));
  const by = least < 1 ? `${(10 ** least).toFixed(1)} times` : `${least.toFixed(1)} orders`;
  return `${known[0] < 0 ? "quantum" : "classical"} wins all along, by ${by} at least`;
}
