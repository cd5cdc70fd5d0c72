// What the page asks: prices of one system, its table of offers, and maps. Every number comes from a compiled function.
const numbered = names => Object.fromEntries(names.map((name, place) => [name, place]));
const at_charge = numbered(data.charged), at_classical = numbered(data.classical), at_machine = numbered(data.machine);
const system_order = data.system.map(name => numbered(data.numbers)[name]);
const said = (words, broken) => words.filter((_, place) => Math.floor(broken / 2 ** place) % 2);

// The numbers of a system, with the worst case for those not given; missing: undefined, null or NaN.
const given = value => value !== undefined && value !== null && !Number.isNaN(value);
const index_of = (list, value) => {
  if (!given(value)) return 0;
  const place = typeof value === "number" ? value : list.findIndex(one => (one.name ?? one) === value);
  if (!list[place]) throw new RangeError(`no ${value} here: ${list.map(one => one.name ?? one).join(", ")}`);
  return place;
};
const worst_order = data.norms.map(name => data.system.indexOf(name)), degree_at = data.system.indexOf("degree");
const numbered_by = { degree: "d" };

// What formulas of a square root take: the numbers of the matrix, then those of the root, the worst for those not given.
function root_numbers(rooted, charged, width, x) {
  for (let place = 0; place < width; place++) rooted[place] = charged[place];
  rooted[width] = x.root_rows;
  rooted[width + 1] = given(x.overlap) ? x.overlap : data.root.overlap;
  rooted[width + 2] = given(x.row_entries) ? x.row_entries : x.n;
  rooted[width + 3] = definite_of(x) ? 1 : 0;
}

// A function from numbers, of which those that are given stay the same, to what the formulas take. It returns one record,
// with other numbers each time.
function resolver(x) {
  const names = data.missing.map(name => numbered_by[name] ?? name).filter(name => given(x[name]));
  const pattern = data.missing.reduce((sum, name, bit) => sum + given(x[numbered_by[name] ?? name]) * 2 ** bit, 0);
  const numbers = NUMBERS[pattern], values = new Array(names.length + 2);
  const machine = index_of(data.machines, x.machine ?? x.hardware), known = given(x.solution_norm) ? 1 : 0;
  const layout = index_of(data.layouts, x.layout), timed = given(x.gate_time_s);
  const width = system_order.length, charged = new Array(width + 2 + known), problem = new Array(4 + worst_order.length);
  const made = { known, machine, layout, charged, problem, gate_time_s: data.machines[machine].gate_time_s };
  made.rooted = given(x.root_rows) ? new Array(width + 6) : null;
  return x => {
    values[0] = x.n;
    values[1] = x.kappa;
    for (let place = 0; place < names.length; place++) values[place + 2] = x[names[place]];
    const found = numbers(...values);
    for (let place = 0; place < width; place++) charged[place] = found[system_order[place]];
    problem[0] = x.n;
    problem[1] = charged[degree_at];
    problem[2] = x.kappa;
    problem[3] = x.epsilon;
    for (let place = 0; place < worst_order.length; place++) problem[place + 4] = charged[worst_order[place]];
    if (timed) made.gate_time_s = x.gate_time_s;
    charged[width] = x.epsilon;
    charged[width + 1] = made.gate_time_s;
    if (known) charged[width + 2] = x.solution_norm;
    if (made.rooted) root_numbers(made.rooted, charged, width + 2, x);
    return made;
  };
}
const resolved = x => resolver(x)(x);

// A classical solver that takes such a matrix, all that it needs to know of it included.
const takes_matrix = (rival, x) =>
  (rival.definite === null || rival.definite === definite_of(x)) &&
  (rival.known === "" || rival.known === x.mesh || given(x[rival.known]));
const prediction = (host, place, x, at) => {
  const predict = CLASSICAL[host][place], { known } = data.rivals[place];
  return given(x[known]) ? predict(...at.problem, x[known]) : predict(...at.problem);
};

// Encodings of a set that differ in what they charge, for a query model.
const encodings_for = (set, model, asked) => {
  const of_unit = data.models[model].sparse ? data.sets[set].sparse : data.sets[set].dense;
  return given(asked) ? of_unit.filter(place => place === index_of(data.sets[set].encodings, asked)) : of_unit;
};
// The formula of a set by an encoding, or by the square root of the matrix, with the count and the numbers that it takes.
const ROOT = -1;
const charging_by = (set, readout, encoding, model, at) => (encoding === ROOT
  ? { formula: ROOTS[set][readout], words: data.sets[set].root_words[readout], count: ROOT_COUNTS[model],
      count_words: data.models[model].root_words, numbers: at.rooted }
  : { formula: CHARGES[set][readout][encoding][at.known], words: data.sets[set].words[readout][encoding][at.known],
      count: COUNTS[model][at.known], count_words: data.models[model].words[at.known], numbers: at.charged });
function charge(set, readout, encoding, model, at) {
  const { formula, count, numbers } = charging_by(set, readout, encoding, model, at);
  return formula(count, MACHINES[at.machine][at.layout], ...numbers);
}
function cheapest(set, readout, model, at, asked) {
  let best = null, chosen = -1;
  for (const encoding of encodings_for(set, model, asked)) {
    const found = charge(set, readout, encoding, model, at);
    if (best === null || found[at_charge.seconds] < best[at_charge.seconds]) { best = found; chosen = encoding; }
  }
  return { charge: best, encoding: chosen };
}

// Why there is no number: the words of every function that took part.
function reason(set, readout, encoding, model, at) {
  const own = charging_by(set, readout, encoding, model, at), broken = [[], []];
  const count = (...given) => {
    const found = own.count(...given);
    broken[0].push(...said(own.count_words, found[data.broken_count]));
    return found;
  };
  const machine = (...given) => {
    const found = MACHINES[at.machine][at.layout](...given);
    broken[1].push(...said(data.machines[at.machine].words[at.layout], found[at_machine.broken]));
    return found;
  };
  const found = own.formula(count, machine, ...own.numbers);
  const words = said(own.words, found[at_charge.broken]);
  const all = words.flatMap(word => (word === "@count" ? broken[0] : word === "@machine" ? broken[1] : [word]));
  return all.length ? `needs ${[...new Set(all)].join(", ")}` : "";
}

const named = (names, values) => Object.fromEntries(names.map((name, place) => [name, values[place]]));
const with_valid = found => ({ ...found, valid: found.broken === 0 ? 1 : 0 });
const functions = {};
const bounding = (set, place, at) =>
  named(data.bounded, BOUNDS[set][place](LEAST, MACHINES[at.machine][at.layout], ...at.problem, at.gate_time_s));
// The same by the square root: of any encoding, and of its own; it is for definite matrices alone.
const root_bounding = (set, place, at) => named(data.bounded,
  ROOT_BOUNDS[set][place](LEAST, MACHINES[at.machine][at.layout], ...at.problem, at.gate_time_s, ...at.rooted.slice(-4)));
for (const [name, made] of Object.entries(FORMULAS))
  functions[name] = x => {
    const known = made.known && given(x.solution_norm);
    const taken = known ? made.known : made;
    return with_valid(named(made.results, taken.run(...taken.arguments.map(argument => x[argument]))));
  };
data.sets.forEach((one, set) => {
  BOUNDS[set].forEach((_, place) => {
    const name = `bound/${one.name}/${place ? one.encodings[place - 1].name : "any"}`;
    functions[name] = x => with_valid(bounding(set, place, resolved(x)));
    const of_root = `bound/${one.name}/${place ? "square root" : `any${data.root.suffix}`}`;
    if (place < 2) functions[of_root] = x => with_valid(root_bounding(set, place, resolved(x)));
  });
  data.models.forEach((model, place) => {
    if (model.root_words)
      functions[`price/${one.name}/${model.name}${data.root.suffix}`] = x => {
        const readout = index_of(one.readouts, x.readout);
        return with_valid(named(data.charged, charge(set, readout, ROOT, place, resolved(x))));
      };
    functions[`price/${one.name}/${model.name}`] = x => {
      const at = resolved(x), readout = index_of(one.readouts, x.readout);
      const found = cheapest(set, readout, place, at, x.encoding);
      if (found.charge === null) return { valid: 0, encoding: -1, seconds: Infinity };
      return { ...with_valid(named(data.charged, found.charge)), encoding: found.encoding };
    };
  });
});
