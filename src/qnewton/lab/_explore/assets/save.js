// Files that a browser saves: the picture and its numbers.

import { boxOf, cursor, overlay, said } from "./figure.js";
import { kindOf } from "./grid.js";
import { colours, paint } from "./paint.js";
import { escape } from "./numbers.js";

/** The map as an SVG document, on light paper, with a line that says what it shows. */
export function svgOf(grid, settings, even, words) {
  const [width, height, head] = [820, 560, 26];
  const found = colours(true);
  const { x, y, ...size } = boxOf(width, height);
  const canvas = document.createElement("canvas");
  paint(canvas, grid, Math.round(2 * size.width), Math.round(2 * size.height), true);
  const rules = document.getElementById("figure-style").textContent;
  const style = rules.replace(/var\(--([\w-]+)\)/g, (_, name) => found[name]);
  const sized = (all) => Object.entries(all).map(([name, value]) => `${name}="${value}"`).join(" ");
  const whole = { width, height: height + head };
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 ${-head} ${width} ${height + head}" ${sized(whole)}>` +
    `<title>${escape(words)}</title><style>${style}</style><rect y="${-head}" ${sized(whole)} fill="${found.paper}"/>` +
    `<text x="${x}" y="-8">${escape(words)}</text>` +
    `<image ${sized({ x, y, ...size })} href="${canvas.toDataURL("image/png")}"/>` +
    `${overlay(grid, width, height)}${cursor(grid, width, height, settings, even)}</svg>`;
}

/** The same as a PNG, at twice the size. */
export async function pngOf(svg) {
  const image = new Image();
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  image.src = address;
  await image.decode();
  URL.revokeObjectURL(address);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2 * image.width, 2 * image.height];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** One line per cell. */
export function csvOf(grid) {
  const lines = [[grid.x, grid.y, "log10_quantum_over_classical", "winner", "kind", "no_quantum_algorithm_can_win"]];
  grid.ys.forEach((y, row) => grid.xs.forEach((x, column) => {
    const at = row * grid.size + column;
    const [winner, orders] = [grid.winner[at], grid.orders[at]];
    const [name, known] = [grid.offers[winner]?.name ?? "", Number.isFinite(orders) ? orders : ""];
    lines.push([x, y, known, name, kindOf(grid, winner), grid.unreachable[at]]);
  }));
  const quoted = (one) => (/[",]/.test(one) ? `"${String(one).replaceAll('"', '""')}"` : one);
  return lines.map((line) => `${line.map(quoted).join(",")}\n`).join("");
}

/** Settings, every offer at the point, and the map: a row of it for each y. */
export function jsonOf(grid, settings, point, link) {
  const rows = (name) => grid.ys.map((_, row) => Array.from(grid[name].slice(row * grid.size, (row + 1) * grid.size)));
  const map = {
    x: grid.x, y: grid.y, x_values: grid.xs, y_values: grid.ys, winners: grid.offers, winner: rows("winner"),
    log10_quantum_over_classical: rows("orders"), no_quantum_algorithm_can_win: rows("unreachable"),
  };
  const { headline, offers, bounds } = point;
  return `${JSON.stringify({ version: globalThis.VERSION, link, settings, headline, offers, bounds, map })}\n`;
}

/** A coarse map in words, for those who do not see it. */
export function tableOf(grid, words, caption) {
  const [x, y] = words;
  const head = grid.xs.map((value) => `<th scope="col">${escape(x(value))}</th>`).join("");
  const rows = grid.ys.map((value, row) => {
    const line = grid.xs.map((_, column) => cellOf(grid, row * grid.size + column));
    return `<tr><th scope="row">${escape(y(value))}</th>${line.join("")}</tr>`;
  });
  return `<table><caption>${escape(caption)}</caption><thead><tr><td></td>${head}</tr></thead>` +
    `<tbody>${rows.toReversed().join("")}</tbody></table>`;
}

function cellOf(grid, at) {
  const [who, orders] = [grid.offers[grid.winner[at]]?.name ?? "–", grid.orders[at]];
  const by = Number.isFinite(orders) ? ` ${Math.abs(orders).toFixed(1)}` : "";
  return `<td title="${escape(said(grid, at))}">${escape(who)}${by}${grid.unreachable[at] ? " †" : ""}</td>`;
}

/** Hand a file to the browser. */
export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
