// The table of one system: what `qnewton plan` prints for one set and one machine.
const definite_of = x => x.definite === undefined || x.definite === null || Boolean(x.definite);
const takes = (model, definite) => !model.definite || definite;
const answers = (set, model) => set.counts === null || set.counts.includes(model.name);
// The set that charges a model: below the least kappa of a set's own counts, others by another set. -1: none.
const under = ([most_kappa, most_epsilon], kappa, epsilon) => kappa < most_kappa && epsilon <= most_epsilon;
const charging = (set, model, kappa, epsilon) => {
  const own = data.sets[set];
  if (answers(own, model)) return set;
  return own.below && under(own.below.ends, kappa, epsilon) ? own.below.set : -1;
};

function quantum_offer(x, set, place, at, root) {
  const model = data.models[place], own = data.sets[set], readout = index_of(own.readouts, x.readout);
  const priced = (set, readout, asked) => (root
    ? { charge: charge(set, readout, ROOT, place, at), encoding: ROOT } : cheapest(set, readout, place, at, asked));
  const { charge: found, encoding } = priced(set, readout, x.encoding);
  const bare = priced(data.sets.findIndex(one => one.name === "paper"), 0).charge[at_charge.queries];
  let why = found === null ? "needs another encoding" : reason(set, readout, encoding, place, at);
  if (!takes(model, definite_of(x))) why = "needs a positive definite matrix";
  const valid = why === "", value = name => (valid ? +found[at_charge[name]] : null);
  const offer = { name: model.name + (root ? data.root.suffix : ""), kind: "quantum", hardware: data.machines[at.machine].name, valid, why };
  Object.assign(offer, { proven: model.proven, counts: model.counts, evidence: model.evidence, source: model.source });
  for (const name of ["seconds", "queries", "repetitions", "copies", "rounds", "qubits", "logical_qubits"]) offer[name] = value(name);
  for (const name of ["t_count", "t_depth"]) offer[name] = own.gated ? value(name) : null;
  offer.log10_seconds = valid ? Math.log10(offer.seconds) : null;
  const name = root ? "square root" : own.encodings[encoding]?.name;
  offer.encoding = valid && (own.subnormalisation || own.gated) ? name : null;
  const asked = data.sets[index_of(data.sets, x.set)];
  const by = asked === own ? "" : `charged as ${own.name} does: kappa is below the least of ${asked.name}'s own count`;
  offer.notes = valid ? data.models[place].notes.filter((_, k) => [value("clamped"), value("extrapolated"), root || !at.known][k]) : [];
  if (valid) offer.notes = offer.notes.concat(by, root ? root_notes(x) : []).filter(Boolean);
  offer.parts = valid ? parts_of(own, found, bare, at.gate_time_s) : [];
  return offer;
}

// As `SquareRoot.assumed` has it.
const root_notes = x => ["the trace: its bound from the norms",
  given(x.overlap) ? "" : `the overlap: ${data.root.overlap}, the least measured`];

// Factors that multiply up to the seconds per gate time; `seconds`: up to that one.
function parts_of(own, found, bare, gate_time_s) {
  const factors = [];
  for (const name of data.factors) {
    const factor = found[at_charge[`factor ${name}`]];
    if (name === "queries" && Number.isFinite(bare)) {
      factors.push(["queries", bare], [own.sparsity ? "sparsity" : "subnormalisation", factor / bare]);
    } else factors.push([name, factor]);
  }
  let seconds = gate_time_s;
  return factors.map(([label, factor]) => ({ label, factor, seconds: (seconds *= factor) }));
}

function classical_offer(host, place, x, at) {
  const rival = data.rivals[place], found = prediction(host, place, x, at);
  const broken = said(data.hosts[host].words[place], found[at_classical.broken]), valid = broken.length === 0;
  const seconds = valid ? found[at_classical.seconds] : null;
  return {
    name: rival.name, kind: "classical", hardware: data.hosts[host].name, valid, proven: true, counts: rival.counts,
    why: valid ? "" : `needs ${broken.join(", ")}`, evidence: rival.evidence, source: rival.source, seconds,
    log10_seconds: valid ? Math.log10(seconds) : null, rounds: found[at_classical.rounds],
    beyond_bytes: found[at_classical.beyond_bytes], notes: [], parts: valid ? [{ label: rival.name, seconds }] : [],
  };
}

const least = offers => offers.reduce((best, one) => (one.valid && one.counts && (best === null || one.seconds < best.seconds) ? one : best), null);
const hosts_of = x => (given(x.hosts) ? x.hosts.map(one => index_of(data.hosts, one)) : data.hosts.map((_, host) => host));

function point(x) {
  const set = index_of(data.sets, x.set), at = resolved(x);
  const broken = said(data.impossible, POSSIBLE(...at.problem));
  const offers = [];
  data.models.forEach((model, place) => {
    const by = charging(set, model, x.kappa, x.epsilon);
    if (by < 0) return;
    offers.push(quantum_offer(x, by, place, at, false));
    if (at.rooted && model.root_words) offers.push(quantum_offer(x, by, place, at, true));
  });
  for (const host of hosts_of(x))
    data.rivals.forEach((rival, place) => takes_matrix(rival, x) && offers.push(classical_offer(host, place, x, at)));
  const quantum = offers.filter(one => one.kind === "quantum"), any = least(quantum);
  const lead = least(quantum.filter(one => one.proven)) ?? any;
  const other = any === lead ? null : any, classical = least(offers.filter(one => one.kind === "classical"));
  const orders = lead && classical ? Math.log10(lead.seconds / classical.seconds) : null;
  const bounds = bounds_of(set, at);
  // As `Verdict.impossible` has it.
  const excluded = (classical && bounds.find(one => one.seconds > classical.seconds)) || null;
  const winner = !lead || (classical && orders > 0) ? classical : lead;
  return {
    offers, lead, other, classical, orders, bounds, excluded, shared: shared(x, at), impossible: broken,
    winner: winner ? offers.indexOf(winner) : -1, headline: headline(lead, classical, orders),
  };
}

const with_root = (matrix, root) => {
  const unknown = [matrix, root].find(one => !(one.seconds < Infinity));
  return unknown ?? (matrix.seconds <= root.seconds ? matrix : { ...root, name: data.bound.name + data.root.suffix });
};

// What no quantum solver undercuts, by any block encoding and by the cheapest of the set, in the form of offers.
function bounds_of(set, at) {
  const less = list => list.reduce((best, one) => (one.seconds < best.seconds ? one : best), list[0]);
  const [any, ...own] = BOUNDS[set].map((_, place) => bounding(set, place, at));
  let found = [any, less(own)];
  // A root that is at hand is one more matrix to encode; where its bound is not known there is none.
  if (at.rooted) found = ROOT_BOUNDS[set].map((_, kind) => with_root(found[kind], root_bounding(set, kind, at)));
  const kinds = [[found[0], "whatever the block encoding"], [found[1], "with any of the set's block encodings"]];
  const hardware = data.machines[at.machine].name, whole = { kind: "bound", hardware, valid: true, parts: [], notes: [] };
  return kinds.filter(([one]) => one && one.seconds < Infinity)
    .map(([{ queries, seconds, name = data.bound.name }, by]) => ({ ...data.bound, ...whole, name, queries, seconds, by }));
}

// As `Verdict.sentence` has it.
function headline(lead, classical, orders) {
  if (!classical) return "no classical solver holds here";
  if (!lead) return "no quantum formula holds here";
  const by = Math.abs(orders), count = ` (${lead.name}, ${lead.evidence})`;
  if (by < 0.05) return `a draw${count}`;
  const shown = by < 1 ? `${(10 ** by).toFixed(1)} times` : `${by.toFixed(1)} orders`;
  return `${orders > 0 ? "classical" : "quantum"} wins by ${shown}${count}`;
}
