// What the page shows, and the same as text behind the # of its address.

import { DEFAULTS, input, inputs, numeric, taken } from "./model.js";
import { exact } from "./numbers.js";

/** The view that a page opens with, of the numbers that it was made for. */
export function opening(start) {
  const settings = { ...DEFAULTS };
  for (const one of inputs) settings[one.name] = taken(one, start?.settings[one.name]) ?? one.default;
  const [x, y] = [input.kappa ?? numeric[0], input.n ?? numeric[1]];
  return { advanced: false, x: x.name, y: y.name, sides: [settings], active: 0 };
}

/** What is said of given numbers that the page has no room for. */
export function cuts(given) {
  const cut = numeric.filter(({ name }) => name in given && taken(input[name], given[name]) !== given[name]);
  return cut.map((one) => `${one.label} is cut to ${exact(taken(one, given[one.name]))}`);
}

/** Text for the address: all that differs from the library's defaults, so that a link holds on every page. */
export function written(state) {
  const parts = [["v", 1], ["x", state.x], ["y", state.y]];
  if (state.advanced) parts.push(["view", "advanced"]);
  if (state.sides.length > 1) parts.push(["active", "ab"[state.active]]);
  state.sides.forEach((settings, side) => {
    for (const { name } of inputs) {
      const value = settings[name];
      const words = typeof value === "number" ? exact(value) : value ?? "";
      if (value !== DEFAULTS[name]) parts.push([`${side ? "b." : ""}${name}`, words]);
    }
  });
  return parts.map((pair) => pair.map(encodeURIComponent).join("=")).join("&");
}

/** The view of such a text, and what of it was not understood. */
export function readBack(text, start) {
  const given = new URLSearchParams(text);
  if (!given.has("v")) return { state: opening(start), unknown: [...given.keys()] };
  const state = opening(null);
  const unknown = [];
  if (given.has("active")) {
    state.sides.push({ ...DEFAULTS });
    state.active = given.get("active") === "b" ? 1 : 0;
  }
  for (const [name, value] of given) {
    const [side, inner] = name.startsWith("b.") ? [1, name.slice(2)] : [0, name];
    const one = input[inner];
    const axis = (name === "x" || name === "y") && numeric.some((candidate) => candidate.name === value);
    if (axis) state[name] = value;
    else if (name === "view") state.advanced = value === "advanced";
    else if (one && state.sides[side]) {
      const found = taken(one, one.scale === "choice" || value === "" ? value : Number(value));
      if (found === undefined) unknown.push(`${name}=${value}`);
      else state.sides[side][inner] = found;
    } else if (name !== "v" && name !== "active") unknown.push(`${name}=${value}`);
  }
  if (state.x === state.y) state.y = numeric.find((candidate) => candidate.name !== state.x).name;
  return { state, unknown };
}
