// The map's numbers: coarse first, then finer; and the lines and regions that are drawn over them.

import { input, mapperOf, spaced } from "./model.js";

export const LEVELS = [25, 50, 200];
const [SLICE_MS, MOST_ROWS] = [12, 24];

/** Orders of magnitude at which the shade changes; quantum is faster below 0. */
export const STEPS = [-8, -4, -2, -1, 0, 1, 2, 4, 8, 12, 16, 24];

/** A job that hands `done` a grid of each level; as many rows at once as take about `SLICE_MS`. */
export function* levels(settings, x, y, done) {
  let perCell = 0.1;
  for (const size of LEVELS) {
    const grid = emptyGrid(settings, x, y, size);
    for (let from = 0; from < size;) {
      const to = Math.min(from + Math.min(Math.max(Math.round(SLICE_MS / perCell / size), 1), MOST_ROWS), size);
      const start = performance.now();
      fill(grid, from, to);
      perCell = Math.max((performance.now() - start) / (to - from) / size, 1e-4);
      from = to;
      yield;
    }
    done(grid);
    yield;
  }
}

/** The whole grid at once, for tables and files. */
export function wholeGrid(settings, x, y, size) {
  const grid = emptyGrid(settings, x, y, size);
  fill(grid, 0, size);
  return grid;
}

function emptyGrid(settings, x, y, size) {
  const cells = size * size;
  const [xs, ys] = [x, y].map((name) => spaced(input[name], size));
  const rows = mapperOf(settings, x, xs, y, ys);
  return {
    x, y, size, xs, ys, rows, offers: rows.offers,
    orders: new Float64Array(cells), winner: new Int16Array(cells), unreachable: new Uint8Array(cells),
  };
}

function fill(grid, from, to) {
  const part = grid.rows(from, to);
  for (const name of ["orders", "winner", "unreachable"]) grid[name].set(part[name], from * grid.size);
}

/** Line pieces [x0, y0, x1, y1], in parts of the map, along which the orders have each of the values of `STEPS`. */
export function contours(grid) {
  const { size, orders } = grid;
  const found = STEPS.map(() => []);
  eachCell(size, (at, column, row) => {
    const corners = [orders[at], orders[at + 1], orders[at + size + 1], orders[at + size]];
    const [low, high] = [Math.min(...corners), Math.max(...corners)];
    if (!Number.isFinite(low + high)) return;
    STEPS.forEach((level, step) => {
      if (low >= level || high < level) return;
      const part = (from, to) => (level - from) / (to - from);
      found[step].push(...cuts(corners, (a, b) => a < level !== b < level, part, column, row, size - 1));
    });
  });
  return found;
}

/** Line pieces between different solvers of the same kind; where the kinds change there is a contour. */
export function borders(grid) {
  const { size, winner } = grid;
  const name = (who) => grid.offers[who]?.name;
  const found = [];
  eachCell(size, (at, column, row) => {
    const corners = [winner[at], winner[at + 1], winner[at + size + 1], winner[at + size]];
    if (corners[0] === corners[1] && corners[0] === corners[2] && corners[0] === corners[3]) return;
    if (corners.some((who) => kindOf(grid, who) !== kindOf(grid, corners[0]))) return;
    found.push(...cuts(corners, (a, b) => name(a) !== name(b), () => 0.5, column, row, size - 1));
  });
  return found;
}

function eachCell(size, see) {
  for (let row = 0; row < size - 1; row++) {
    for (let column = 0; column < size - 1; column++) see(row * size + column, column, row);
  }
}

const CORNERS = [[0, 0], [1, 0], [1, 1], [0, 1]];

/** Pieces of a line through one cell, between the sides whose ends differ. */
function cuts(corners, differ, part, column, row, last) {
  const ends = [];
  for (let side = 0; side < 4; side++) {
    const next = (side + 1) % 4;
    if (!differ(corners[side], corners[next])) continue;
    const along = part(corners[side], corners[next]);
    const [[x0, y0], [x1, y1]] = [CORNERS[side], CORNERS[next]];
    ends.push([(column + x0 + along * (x1 - x0)) / last, (row + y0 + along * (y1 - y0)) / last]);
  }
  const pieces = [];
  for (let end = 0; end + 1 < ends.length; end += 2) pieces.push([...ends[end], ...ends[end + 1]]);
  return pieces;
}

/** `quantum`, `classical` or `nobody`: who wins a cell. */
export function kindOf(grid, winner) {
  return winner < 0 ? "nobody" : grid.offers[winner].kind;
}

/** A place deep inside of each winner's largest region: [winner, x, y, room], all in parts of the map. */
export function places(grid) {
  const { size, winner } = grid;
  const step = Math.max(1, Math.floor(size / 50));
  const count = Math.ceil(size / step);
  const cell = (row, column) => Math.min(row * step, size - 1) * size + Math.min(column * step, size - 1);
  // A solver counts once, on whichever machine.
  const first = new Map(grid.offers.map((offer, place) => [offer.name, place]).toReversed());
  const at = (row, column) => first.get(grid.offers[winner[cell(row, column)]]?.name) ?? -1;
  const depth = new Float64Array(count * count).fill(Infinity);
  // Steps to the nearest cell of another winner, along rows and columns, in a sweep there and one back.
  const sweep = (order, back) => {
    for (const row of order) for (const column of order) {
      for (const [r, c] of [[row + back, column], [row, column + back]]) {
        const same = r >= 0 && c >= 0 && r < count && c < count && at(r, c) === at(row, column);
        const here = row * count + column;
        depth[here] = Math.min(depth[here], 1 + (same ? depth[r * count + c] : 0));
      }
    }
  };
  const order = Array.from({ length: count }, (_, index) => index);
  sweep(order, -1);
  sweep(order.toReversed(), 1);
  const best = new Map();
  for (const row of order) for (const column of order) {
    const [who, room] = [at(row, column), depth[row * count + column]];
    if (who >= 0 && room > (best.get(who)?.[2] ?? 2)) best.set(who, [column / (count - 1), row / (count - 1), room]);
  }
  return [...best].map(([who, [x, y, room]]) => [who, x, y, room / count]);
}
