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
const worst_order = data.norms.map(name => data.system.indexOf(name));
function resolved(x) {
  const n = x.n, d = given(x.d) ? x.d : n, { max_entry, frobenius_norm, spectral_norm } = x;
  const norms = [max_entry, frobenius_norm, spectral_norm].filter(given);
  const pattern = given(max_entry) + 2 * given(frobenius_norm) + 4 * given(spectral_norm);
  const found = NUMBERS[pattern](n, d, x.kappa, ...norms), machine = index_of(data.machines, x.machine ?? x.hardware);
  const known = given(x.solution_norm) ? 1 : 0;
  const gate_time_s = given(x.gate_time_s) ? x.gate_time_s : data.machines[machine].gate_time_s;
  const charged = [], problem = [n, d, x.kappa, x.epsilon];
  for (const place of system_order) charged.push(found[place]);
  for (const place of worst_order) problem.push(charged[place]);
  charged.push(x.epsilon, gate_time_s);
  if (known) charged.push(x.solution_norm);
  return { known, machine, gate_time_s, layout: index_of(data.layouts, x.layout), charged, problem };
}

// Encodings of a set that differ in what they charge, for a query model.
const encodings_for = (set, model, asked) => {
  const of_unit = data.models[model].sparse ? data.sets[set].sparse : data.sets[set].dense;
  return given(asked) ? of_unit.filter(place => place === index_of(data.sets[set].encodings, asked)) : of_unit;
};
const charge = (set, readout, encoding, model, at) =>
  CHARGES[set][readout][encoding][at.known](...at.charged, COUNTS[model][at.known], MACHINES[at.machine][at.layout]);
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
  const own = CHARGES[set][readout][encoding][at.known], broken = [[], []];
  const count = (...given) => {
    const found = COUNTS[model][at.known](...given);
    broken[0].push(...said(data.models[model].words[at.known], found[data.broken_count]));
    return found;
  };
  const machine = (...given) => {
    const found = MACHINES[at.machine][at.layout](...given);
    broken[1].push(...said(data.machines[at.machine].words[at.layout], found[at_machine.broken]));
    return found;
  };
  const found = own(...at.charged, count, machine);
  const words = said(data.sets[set].words[readout][encoding][at.known], found[at_charge.broken]);
  const all = words.flatMap(word => (word === "@count" ? broken[0] : word === "@machine" ? broken[1] : [word]));
  return all.length ? `needs ${[...new Set(all)].join(", ")}` : "";
}

const named = (names, values) => Object.fromEntries(names.map((name, place) => [name, values[place]]));
const with_valid = found => ({ ...found, valid: found.broken === 0 ? 1 : 0 });
const functions = {};
for (const [name, made] of Object.entries(FORMULAS))
  functions[name] = x => {
    const known = made.known && given(x.solution_norm);
    const taken = known ? made.known : made;
    return with_valid(named(made.results, taken.run(...taken.arguments.map(argument => x[argument]))));
  };
data.sets.forEach((one, set) =>
  data.models.forEach((model, place) => {
    functions[`price/${one.name}/${model.name}`] = x => {
      const at = resolved(x), readout = index_of(one.readouts, x.readout);
      const found = cheapest(set, readout, place, at, x.encoding);
      if (found.charge === null) return { valid: 0, encoding: -1, seconds: Infinity };
      return { ...with_valid(named(data.charged, found.charge)), encoding: found.encoding };
    };
  })
);
