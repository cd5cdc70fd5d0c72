// Axes, lines and words over the map's shades, as SVG; on the page and in the exported picture.

import { borders, contours, kindOf, places, STEPS } from "./grid.js";
import { effective, input, placed, valueAt } from "./model.js";
import { escape, margin, power } from "./numbers.js";

export const EDGES = { left: 62, right: 14, top: 10, bottom: 50 };

/** The map's inner box within a figure of that size. */
export function boxOf(width, height) {
  const { left, right, top, bottom } = EDGES;
  return { x: left, y: top, width: width - left - right, height: height - top - bottom };
}

const fixed = (value) => value.toFixed(1);

/** Words at a place; they end, begin or have their middle there. */
function text(style, x, y, words, anchor = "middle", more = "") {
  return `<text class="${style}" x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}"${more}>${words}</text>`;
}

/** Ticks of an input: [place from 0 to 1, words]. */
export function ticksOf(one, room) {
  const [low, high] = [Math.ceil(Math.log10(one.low) - 1e-9), Math.floor(Math.log10(one.high) + 1e-9)];
  const every = [1, 2, 3, 5, 10].find((step) => (high - low) / step <= room) ?? 10;
  const found = [];
  for (let exponent = Math.ceil(low / every) * every; exponent <= high; exponent += every) {
    found.push([placed(one, 10 ** exponent), power(exponent)]);
  }
  return found;
}

export function axisLabel(one) {
  return one.label + (one.unit ? `, ${one.unit}` : "");
}

/** Axes, lines and names over the shades. */
export function overlay(grid, width, height) {
  const box = boxOf(width, height);
  const at = within(box);
  const parts = [axes(box, input[grid.x], input[grid.y], at), `<path class="border" d="${path(borders(grid), at)}"/>`];
  const words = [];
  contours(grid).forEach((pieces, place) => {
    if (!pieces.length) return;
    parts.push(`<path class="${STEPS[place] === 0 ? "even" : "contour"}" d="${path(pieces, at)}"/>`);
    words.push(onContour(STEPS[place], pieces, at, box, words));
  });
  parts.push(...words.map((word) => word.text), regions(grid, at, box, words));
  return parts.join("");
}

/** From parts of the map to points of the figure. */
function within(box) {
  return (px, py) => [box.x + px * box.width, box.y + (1 - py) * box.height];
}

function path(pieces, at) {
  return pieces.map(([x0, y0, x1, y1]) => `M${at(x0, y0).map(fixed)}L${at(x1, y1).map(fixed)}`).join("");
}

function axes(box, x, y, at) {
  const [foot, middle] = [box.y + box.height, box.y + box.height / 2];
  const parts = [`<rect class="frame" x="${box.x}" y="${box.y}" width="${box.width}" height="${box.height}"/>`];
  for (const [place, words] of ticksOf(x, box.width / 46)) {
    const [px] = at(place, 0);
    parts.push(`<path class="tick" d="M${fixed(px)} ${foot}v5"/>`, text("number", px, foot + 18, words));
  }
  for (const [place, words] of ticksOf(y, box.height / 30)) {
    const [, py] = at(0, place);
    parts.push(`<path class="tick" d="M${box.x} ${fixed(py)}h-5"/>`, text("number", box.x - 8, py + 4, words, "end"));
  }
  parts.push(text("label", box.x + box.width / 2, foot + 39, escape(axisLabel(x))));
  parts.push(text("label", 0, 0, escape(axisLabel(y)), "middle", ` transform="translate(15 ${middle}) rotate(-90)"`));
  return parts.join("");
}

/** The factor on a contour, at the piece that lies most inside and away from other words. */
function onContour(step, pieces, at, box, others) {
  const words = step === 0 ? "equal" : `${power(Math.abs(step))}×`;
  let best = null;
  for (const [x0, y0, x1, y1] of pieces) {
    const [px, py] = at((x0 + x1) / 2, (y0 + y1) / 2);
    const apart = others.filter((other) => other.text).map((other) => Math.hypot(px - other.px, 1.6 * (py - other.py)));
    const edge = Math.min(px - box.x - 18, box.x + box.width - px - 18, py - box.y - 8, box.y + box.height - py - 8);
    const room = Math.min(edge, ...apart, 90) - 0.05 * Math.abs(px - box.x - 0.7 * box.width);
    if (edge > 0 && room > (best?.room ?? -1e9) && Math.min(...apart, 1e9) > 26) best = { px, py, room };
  }
  if (!best) return { px: -1e9, py: -1e9, text: "" };
  const weight = step === 0 ? ' font-weight="700"' : "";
  return { ...best, text: text("on", best.px, best.py + 4, words, "middle", weight) };
}

/** Each large region's winner, where there is room for its name. */
function regions(grid, at, box, others) {
  const parts = [];
  for (const [who, x, y, room] of places(grid)) {
    const { name, kind } = grid.offers[who];
    const [px, py] = at(x, y);
    const length = 7.2 * name.length;
    if (room * 2 * box.width < 0.5 * length || length > box.width) continue;
    const inside = Math.min(Math.max(px, box.x + length / 2 + 4), box.x + box.width - length / 2 - 4);
    const near = others.filter((other) => other.text && Math.abs(other.px - inside) < length / 2 + 18);
    const shift = [0, 18, -18, 34, -34].find((down) => near.every((other) => Math.abs(other.py - py - down) > 15));
    const height = py + (shift ?? 0);
    if (height < box.y + 12 || height > box.y + box.height - 8) continue;
    parts.push(text(`who ${kind}`, inside, height + 4, escape(name)));
    others.push({ px: inside, py: height, text: name });
  }
  return parts.join("");
}

/** The present point of the settings; `even`: by input, where its row or column is equal. */
export function cursor(grid, width, height, here, even) {
  const box = boxOf(width, height);
  const at = within(box);
  const [x, y] = [input[grid.x], input[grid.y]];
  const [px, py] = at(placed(x, effective(here, x)), placed(y, effective(here, y)));
  const [ends, feet] = [box.x + box.width, box.y + box.height];
  const parts = [`<path class="cross" d="M${box.x} ${fixed(py)}H${ends}M${fixed(px)} ${box.y}V${feet}"/>`];
  const diamond = (mx, my) => parts.push(`<path class="diamond" d="M${fixed(mx)} ${fixed(my - 6)}l6 6l-6 6l-6 -6z"/>`);
  if (Number.isFinite(even[x.name])) diamond(at(placed(x, even[x.name]), 0)[0], py);
  if (Number.isFinite(even[y.name])) diamond(px, at(0, placed(y, even[y.name]))[1]);
  const round = (style) => `<circle class="${style}" cx="${fixed(px)}" cy="${fixed(py)}" r="7"/>`;
  parts.push(round("here"), round("dot"));
  return parts.join("");
}

/** The settings' values under a point of the figure; null outside of the map. */
export function under(grid, width, height, px, py) {
  const box = boxOf(width, height);
  const [right, up] = [(px - box.x) / box.width, 1 - (py - box.y) / box.height];
  if (right < -0.02 || right > 1.02 || up < -0.02 || up > 1.02) return null;
  const inside = [right, up].map((value) => Math.min(Math.max(value, 0), 1));
  const [column, row] = inside.map((value) => Math.round(value * (grid.size - 1)));
  const cell = row * grid.size + column;
  return {
    values: { [grid.x]: valueAt(input[grid.x], inside[0]), [grid.y]: valueAt(input[grid.y], inside[1]) },
    cell,
  };
}

/** One cell in words. */
export function said(grid, cell) {
  const [winner, orders] = [grid.winner[cell], grid.orders[cell]];
  if (winner < 0) return "no formula holds here, or no matrix has these numbers";
  const who = `${grid.offers[winner].name} (${kindOf(grid, winner)})`;
  if (!Number.isFinite(orders)) return `${who} alone has a number here`;
  const more = grid.unreachable[cell] ? "; a lower bound says that no quantum algorithm can be faster" : "";
  return `${who} is faster by ${margin(orders)}${more}`;
}
