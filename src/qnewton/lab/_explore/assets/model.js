// What the page asks of the compiled library. No price is computed anywhere else, nor here.

const { QN, WORDS } = globalThis;

export const meta = QN.meta;

const named = (list) => Object.fromEntries(list.map((one) => [one.name, one]));
const listed = (list) => list.map((one) => ({ name: one.name, label: one.name, text: one.description }));

/** Numbers that stand at their worst case, or at the machine's, where they are not given. */
const given = meta.inputs.map((one) => ({ ...one, ...WORDS.inputs[one.name], optional: one.default === null }));

/** The last part of `machine/PROFILE/LAYOUT`. */
const machines = Object.keys(QN.functions).filter((name) => name.startsWith("machine/"));
const layouts = [...new Set(machines.map((name) => name.split("/")[2]))];

/** `mesh 3` in words. */
const meshed = (name) => `in ${name.split(" ")[1]} dimensions`;

const choices = [
  ["set", meta.sets.map(({ name }) => ({ name, label: name, text: WORDS.sets[name] })), "end_to_end"],
  ["machine", listed(meta.hardware), "superconducting"],
  ["host", [{ name: "all", label: "the fastest of all" }, ...listed(meta.hosts)], "all"],
  ["encoding", [{ name: "cheapest", label: "the cheapest" }, ...listed(meta.encodings)], "cheapest"],
  ["readout", [{ name: "own", label: "as charged for" }, ...listed(meta.readouts)], "own"],
  ["layout", layouts.map((name) => ({ name, label: name })), layouts[0]],
  ["mesh", [{ name: "unknown", label: "not known" }, ...meta.meshes.map((name) => ({ name, label: meshed(name) }))], "unknown"],
  ["definite", [{ name: "yes", label: "yes" }, { name: "no", label: "no" }], "yes"],
].map(([name, options, fallback]) => {
  return { name, scale: "choice", choices: options, default: fallback, ...WORDS.inputs[name] };
});

export const inputs = [...given, ...choices];
export const input = named(inputs);

/** Those with a slider, over which maps go. */
export const numeric = given.filter((one) => !one.typed);
export const sets = input.set.choices;
export const algorithm = named([...meta.algorithms, ...meta.bounds, ...meta.rivals]);
export const hardware = named([...meta.hardware, ...meta.hosts]);

export const DEFAULTS = Object.freeze(Object.fromEntries(inputs.map((one) => [one.name, one.default])));

/** A value that an input takes: in its range, whole where it counts; undefined for what it does not know. */
export function taken(one, value) {
  if (one.scale === "choice") return one.choices.some((choice) => choice.name === value) ? value : undefined;
  if (one.optional && (value === null || value === "")) return null;
  if (!Number.isFinite(value)) return undefined;
  const inside = Math.min(Math.max(value, one.low), one.high);
  return one.whole ? Math.round(inside) : inside;
}

/** Nonzeros in a row where they were not given. */
const widest = ({ n, bandwidth }) => (bandwidth === null ? n : 2 * bandwidth + 1);

/** The value that is charged where none was given; null where only the library knows. */
export function effective(settings, one) {
  const value = settings[one.name];
  if (one.name === "d") return Math.min(value ?? widest(settings), settings.n);
  if (one.name === "gate_time_s") return value ?? hardware[settings.machine].gate_time_s;
  return value;
}

/** Where a value lies between the ends of its input, from 0 to 1; and back. */
export function placed(one, value) {
  return Math.log(value / one.low) / Math.log(one.high / one.low);
}

export function valueAt(one, place) {
  return taken(one, one.low * (one.high / one.low) ** place);
}

/** Values from end to end of an input. */
export function spaced(one, count) {
  return Array.from({ length: count }, (_, index) => valueAt(one, index / (count - 1)));
}

/** Settings as the library names them. */
function asked(settings) {
  const { set, machine, host, encoding, readout, layout, definite, mesh, ...numbers } = settings;
  const own = meta.sets.find((one) => one.name === set);
  const d = numbers.d === null ? null : Math.min(numbers.d, numbers.n);
  const norm = numbers.solution_norm === null ? null : Math.min(numbers.solution_norm, numbers.kappa);
  return {
    ...numbers, d, solution_norm: norm, set, machine, layout, definite: definite === "yes",
    mesh: mesh === "unknown" ? null : mesh,
    hosts: host === "all" ? null : [host],
    encoding: own.encodings.includes(encoding) ? encoding : null,
    readout: own.readouts.includes(readout) ? readout : null,
  };
}

/** Every offer at one point, and who wins; `orders`: log10 of quantum over classical seconds, NaN without both. */
export function pointOf(settings) {
  const { lead, orders, impossible, ...found } = QN.point(asked(settings));
  return { ...found, quantum: lead, orders: impossible.length ? NaN : orders ?? NaN, impossible };
}

/** The count or the classical solver that an offer rests on. */
export function countOf({ name, count }) {
  return count ?? name.replace(" on the square root", "");
}

/** A function from the ends of a part of `ys` to those rows of a map; `offers`: whom their `winner` counts. */
export function mapperOf(settings, x, xs, y, ys) {
  const { rows, offers } = QN.mapper(asked(settings), x, xs, y, ys);
  const made = (from, to) => {
    const { winner, ratio, unreachable } = rows(from, to);
    return { winner, orders: ratio.map(Math.log10), unreachable };
  };
  return Object.assign(made, { offers });
}

/** Along one input alone: the values, their orders, and where both are equally fast, nearest to the present value. */
export function* lineOf(settings, one, count = 61) {
  const other = numeric.find((candidate) => candidate !== one);
  const ask = (xs) => mapperOf(settings, one.name, xs, other.name, [effective(settings, other)])(0, 1);
  const values = spaced(one, count);
  const { orders } = ask(values);
  const here = placed(one, effective(settings, one));
  let [low, high, nearest] = [NaN, NaN, Infinity];
  for (let i = 1; i < count; i++) {
    const away = Math.abs((i - 0.5) / (count - 1) - here);
    if (orders[i - 1] < 0 !== orders[i] < 0 && Number.isFinite(orders[i - 1] + orders[i]) && away < nearest) {
      [low, high, nearest] = [(i - 1) / (count - 1), i / (count - 1), away];
    }
  }
  if (nearest === Infinity) return { values, orders, even: NaN };
  const before = ask([valueAt(one, low)]).orders[0] < 0;
  for (let round = 0; round < 12; round++) {
    yield;
    const middle = (low + high) / 2;
    if (ask([valueAt(one, middle)]).orders[0] < 0 === before) low = middle;
    else high = middle;
  }
  return { values, orders, even: valueAt(one, (low + high) / 2) };
}
