// Who wins over two numbers. Far from a candidate's best it is only computed on a coarse grid.
const STRIDE = 8, FAR = 8;
const WHOLE = new Set(["n", "d"]);

function map(x, xname, xs, yname, ys) {
  const set = index_of(data.sets, x.set), own = data.sets[set], readout = index_of(own.readouts, x.readout);
  const definite = definite_of(x), offers = [], proven = [], others = [], rivals = [];
  const { known, machine, layout } = resolved(x);
  const run = MACHINES[machine][layout];
  const here = { ...x };
  const at = (i, j) => {
    here.d = x.d;
    here.solution_norm = x.solution_norm;
    here[xname] = WHOLE.has(xname) ? Math.round(xs[i]) : xs[i];
    here[yname] = WHOLE.has(yname) ? Math.round(ys[j]) : ys[j];
    if (given(here.d)) here.d = Math.min(here.d, here.n);
    if (given(here.solution_norm)) here.solution_norm = Math.min(here.solution_norm, here.kappa);
    return resolved(here);
  };
  data.models.forEach((model, place) => {
    if (!answers(own, model) || !takes(model, definite) || !model.counts) return;
    offers.push({ name: model.name, kind: "quantum", proven: model.proven });
    const offer = offers.length - 1, count = COUNTS[place][known];
    for (const encoding of encodings_for(set, place, x.encoding)) {
      const price = SECONDS[set][readout][encoding][known];
      const cost = here => price(...here.charged, count, run);
      (model.proven ? proven : others).push({ offer, encoding, cost });
    }
  });
  for (const host of hosts_of(x))
    data.rivals.forEach((rival, place) => {
      if (!rival.counts || !fits(rival, definite)) return;
      offers.push({ name: rival.name, kind: "classical", hardware: data.hosts[host].name });
      const predict = CLASSICAL[host][place];
      const cost = here => {
        const found = predict(...here.problem);
        return found[at_classical.broken] === 0 ? found[at_classical.seconds] : Infinity;
      };
      rivals.push({ offer: offers.length - 1, encoding: 0, cost });
    });
  // Neighbours of one encoding share what they read out.
  for (const list of [proven, others]) list.sort((a, b) => a.encoding - b.encoding);
  const [lead, spare, rival] = [proven, others, rivals].map(list => fastest_of(list, xs.length, ys.length, at));
  const size = xs.length * ys.length;
  const winner = new Int16Array(size).fill(-1), ratio = new Float64Array(size).fill(NaN);
  for (let j = 0, k = 0; j < ys.length; j++)
    for (let i = 0; i < xs.length; i++, k++) {
      const here = at(i, j);
      if (POSSIBLE(...here.problem) !== 0) continue;
      let quantum = lead(i, j, here);
      if (quantum.offer < 0) quantum = spare(i, j, here);
      const { seconds, offer } = quantum, classical = rival(i, j, here);
      winner[k] = seconds <= classical.seconds ? offer : classical.offer;
      if (offer >= 0 && classical.offer >= 0) ratio[k] = seconds / classical.seconds;
    }
  return { winner, ratio, unreachable: new Uint8Array(size), offers };
}

// The fastest of a list at a point: of those within FAR of the fastest at a corner of the coarse cell around it.
function fastest_of(list, width, height, at) {
  const steps = length => [...new Set([...Array(Math.ceil(length / STRIDE)).keys()].map(k => k * STRIDE).concat(length - 1))];
  const columns = steps(width), rows = steps(height), corners = new Map(), cells = new Map();
  const corner = (a, b) => {
    const key = a * rows.length + b;
    if (!corners.has(key)) {
      const here = at(columns[a], rows[b]), seconds = list.map(one => one.cost(here)), best = Math.min(...seconds);
      corners.set(key, seconds.map(one => one <= FAR * best && one < Infinity));
    }
    return corners.get(key);
  };
  const cell = (a, b) => {
    const key = a * rows.length + b;
    if (!cells.has(key)) {
      const around = [[a, b], [a + 1, b], [a, b + 1], [a + 1, b + 1]].filter(([c, d]) => c < columns.length && d < rows.length);
      const near = around.map(([c, d]) => corner(c, d));
      cells.set(key, list.filter((_, place) => near.some(one => one[place])));
    }
    return cells.get(key);
  };
  return (i, j, here) => {
    let seconds = Infinity, offer = -1;
    for (const one of cell(Math.floor(i / STRIDE), Math.floor(j / STRIDE))) {
      const found = one.cost(here);
      if (found < seconds) { seconds = found; offer = one.offer; }
    }
    return { seconds, offer };
  };
}
