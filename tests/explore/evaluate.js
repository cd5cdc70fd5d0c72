// Reads a bundle and requests; writes what its functions return: numbers as doubles to standard output, tables as JSON to a file.
const fs = require("fs");
const [bundle, requests, tables] = process.argv.slice(2);
eval(fs.readFileSync(bundle, "utf8"));
const asked = JSON.parse(fs.readFileSync(requests, "utf8"));
const numbers = [];
for (const { name, points, results } of asked.functions)
  for (const point of asked.points[points]) {
    const found = QN.functions[name](point);
    for (const one of results) numbers.push(found[one]);
  }
fs.writeFileSync(tables, JSON.stringify({
  names: Object.keys(QN.functions),
  tables: asked.tables.map(QN.point),
  maps: asked.maps.map(([x, ...axes]) => {
    const found = QN.map(x, ...axes);
    return { winner: [...found.winner].map(k => (k < 0 ? null : found.offers[k])), ratio: [...found.ratio], unreachable: [...found.unreachable] };
  }),
}));
process.stdout.write(Buffer.from(new Float64Array(numbers).buffer));
