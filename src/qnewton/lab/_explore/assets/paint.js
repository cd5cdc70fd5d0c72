// The map's shades, point by point: between the grid's values the orders are interpolated, so that edges are smooth.

import { STEPS, kindOf } from "./grid.js";

const QUANTUM = [5, 4, 3, 2, 1].map((place) => `quantum-${place}`);
const CLASSICAL = [1, 2, 3, 4, 5, 6, 7, 8].map((place) => `classical-${place}`);

/** The names of the shades, from quantum by far to classical by far; one more than there are steps. */
export const SHADES = [...QUANTUM, ...CLASSICAL];

const DARK = globalThis.matchMedia("(prefers-color-scheme: dark)");

/** The colours of the page as it is shown now, or those for light paper. */
export function colours(light = false) {
  const column = !light && DARK.matches ? 1 : 0;
  return Object.fromEntries(Object.entries(globalThis.PALETTE).map(([name, pair]) => [name, pair[column]]));
}

export function onTheme(changed) {
  DARK.addEventListener("change", changed);
}

const rgb = (text) => [1, 3, 5].map((place) => parseInt(text.slice(place, place + 2), 16));
const mixed = (a, b, part) => a.map((value, index) => Math.round(value + part * (b[index] - value)));

export function shadeOf(orders) {
  let index = 0;
  while (index < STEPS.length && orders >= STEPS[index]) index++;
  return index;
}

/** Fill a canvas of width x height points; the first row of the grid is at its foot. */
export function paint(canvas, grid, width, height, light = false) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  const look = looks(colours(light));
  const { size, orders, winner, unreachable } = grid;
  const scale = (size - 1) / (width - 1 || 1);
  const columns = Array.from({ length: width }, (_, px) => px * scale);
  for (let py = 0; py < height; py++) {
    const gy = ((height - 1 - py) / (height - 1 || 1)) * (size - 1);
    const row = Math.min(Math.floor(gy), size - 2);
    const up = gy - row;
    const nearRow = Math.round(gy) * size;
    for (let px = 0; px < width; px++) {
      const gx = columns[px];
      const column = Math.min(Math.floor(gx), size - 2);
      const at = row * size + column;
      const right = gx - column;
      const low = orders[at] + right * (orders[at + 1] - orders[at]);
      const high = orders[at + size] + right * (orders[at + size + 1] - orders[at + size]);
      const near = nearRow + Math.round(gx);
      let value = low + up * (high - low);
      if (!Number.isFinite(value)) value = orders[near];
      const foot = unreachable[at] + right * (unreachable[at + 1] - unreachable[at]);
      const head = unreachable[at + size] + right * (unreachable[at + size + 1] - unreachable[at + size]);
      const beyond = foot + up * (head - foot) > 0.5;
      words[py * width + px] = Number.isFinite(value)
        ? shadeAt(look, value, beyond, px, py)
        : gapAt(look, kindOf(grid, winner[near]), px, py);
    }
  }
  context.putImageData(image, 0, 0);
}

/** The shade where only one side has a number, or none. */
function gapAt(look, kind, px, py) {
  if (kind === "nobody") return (px + py) % 8 === 0 || (px - py) % 8 === 0 ? look.line : look.paper;
  if (px % 6 === 0 && py % 6 === 0) return look.line;
  return look.plain[kind === "quantum" ? QUANTUM.length - 1 : QUANTUM.length];
}

function shadeAt(look, value, unreachable, px, py) {
  const shade = shadeOf(value);
  if (unreachable) return ((px - py) % 7 + 7) % 7 < 1 ? look.line : look.grey[shade];
  if (shade < QUANTUM.length && (px + py) % 9 === 0) return look.hatched[shade];
  return look.plain[shade];
}

function looks(found) {
  const word = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  const [paper, ink] = [rgb(found.paper), rgb(found.ink)];
  const shades = SHADES.map((name) => rgb(found[name]));
  return {
    paper: word(paper),
    line: word(mixed(paper, ink, 0.45)),
    plain: shades.map(word),
    hatched: shades.map((shade) => word(mixed(shade, paper, 0.45))),
    grey: shades.map((shade) => word(mixed(shade, paper, 0.55))),
  };
}

/** Whether any part of the map is of a kind that the legend explains only then. */
export function present(grid) {
  const kinds = new Set();
  grid.orders.forEach((value, cell) => Number.isNaN(value) && kinds.add(kindOf(grid, grid.winner[cell])));
  return {
    unreachable: grid.unreachable.some(Boolean),
    nobody: kinds.has("nobody"), classical: kinds.has("classical"), quantum: kinds.has("quantum"),
  };
}
