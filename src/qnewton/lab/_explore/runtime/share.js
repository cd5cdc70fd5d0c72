// One system shared out: a quantum solver starts conjugate gradients, or takes the small eigenvalues. As `split.shares` has it.
function shared(x, at) {
  if (!definite_of(x)) return null;
  const set = index_of(data.sets, x.set), own = data.sets[set], readout = index_of(own.readouts, x.readout);
  const cg = data.rivals.findIndex(one => one.name === "CG"), run = MACHINES[at.machine][at.layout];
  let alone = Infinity, with_host = -1;
  for (const host of hosts_of(x)) {
    const seconds = PREDICTED[host][cg](...at.problem);
    if (seconds < alone) [alone, with_host] = [seconds, host];
  }
  const bare = { ...x, solution_norm: null }, resolve = resolver(bare);
  let best = null;
  PARTS.forEach((part, way) => {
    for (const place of data.places) {
      const { kappa, precision, steps, whole } = named(data.part, part(x.kappa, x.epsilon, place));
      const here = resolve({ ...bare, kappa, epsilon: precision });
      data.models.forEach((model, index) => {
        if (!model.shared || !answers(own, model) || !takes(model, definite_of(x))) return;
        for (const encoding of encodings_for(set, index, x.encoding)) {
          const seconds = SECONDS[set][readout][encoding][0](COUNTS[index][0], run, ...here.charged) + (alone * steps) / whole;
          if (seconds < (best === null ? Infinity : best.seconds)) best = { seconds, index, way, kappa, precision, steps };
        }
      });
    }
  });
  if (best === null) return null;
  const { index, way, ...numbers } = best, model = data.models[index];
  return {
    ...numbers, kind: "shared", valid: true, name: `${model.name} + CG`, count: model.name, evidence: data.ways[way],
    source: model.source, hardware: `${data.machines[at.machine].name} + ${data.hosts[with_host].name}`, notes: [], parts: [],
  };
}
