// Who wins over two numbers. Far from a candidate's best it is only computed on a coarse grid.
const STRIDE = 12, FAR = 30;

function map(x, xname, xs, yname, ys) {
  const set = index_of(data.sets, x.set), own = data.sets[set], readout = index_of(own.readouts, x.readout);
  const definite = definite_of(x), size = xs.length * ys.length;
  const whole = { n: Math.round, d: Math.round };
  const at = (i, j) => {
    const here = { ...x };
    here[xname] = whole[xname] ? whole[xname](xs[i]) : xs[i];
    here[yname] = whole[yname] ? whole[yname](ys[j]) : ys[j];
    if (given(here.d)) here.d = Math.min(here.d, here.n);
    if (given(here.solution_norm)) here.solution_norm = Math.min(here.solution_norm, here.kappa);
    return resolved(here);
  };
  const candidates = [], rivals = [], offers = [];
  data.models.forEach((model, place) => {
    if (!answers(own, model) || !takes(model, definite) || !model.counts) return;
    offers.push({ name: model.name, kind: "quantum", proven: model.proven });
    for (const encoding of encodings_for(set, place, x.encoding))
      candidates.push({ model: place, encoding, offer: offers.length - 1, proven: model.proven });
  });
  // Neighbours of one encoding share what they read out.
  candidates.sort((a, b) => a.encoding - b.encoding);
  for (const host of hosts_of(x))
    data.rivals.forEach((rival, place) => {
      if (!fits(rival, definite)) return;
      offers.push({ name: rival.name, kind: "classical", hardware: data.hosts[host].name });
      rivals.push({ host, place, offer: offers.length - 1 });
    });
  const costs = list => here => list.map(one => charge(set, readout, one.encoding, one.model, here)[at_charge.seconds]);
  const classical_costs = here => rivals.map(one => {
    const found = CLASSICAL[one.host][one.place](...here.problem);
    return found[at_classical.broken] === 0 ? found[at_classical.seconds] : Infinity;
  });
  const proven = candidates.filter(one => one.proven), others = candidates.filter(one => !one.proven);
  const near_proven = neighbourhood(xs.length, ys.length, costs(proven), at);
  const near_others = neighbourhood(xs.length, ys.length, costs(others), at);
  const near_classical = neighbourhood(xs.length, ys.length, classical_costs, at);

  const found = { winner: new Int16Array(size).fill(-1), ratio: new Float64Array(size).fill(NaN), unreachable: new Uint8Array(size), offers };
  const fastest = (list, places, here) => {
    let best = Infinity, offer = -1;
    for (const place of places) {
      const one = list[place];
      const seconds = charge(set, readout, one.encoding, one.model, here)[at_charge.seconds];
      if (seconds < best) { best = seconds; offer = one.offer; }
    }
    return [best, offer];
  };
  for (let j = 0, k = 0; j < ys.length; j++)
    for (let i = 0; i < xs.length; i++, k++) {
      const here = at(i, j);
      if (POSSIBLE(...here.problem)[0] !== 0) continue;
      let [quantum, lead] = fastest(proven, near_proven(i, j), here);
      if (lead < 0) [quantum, lead] = fastest(others, near_others(i, j), here);
      let classical = Infinity, rival = -1;
      for (const place of near_classical(i, j)) {
        const one = rivals[place], answer = CLASSICAL[one.host][one.place](...here.problem);
        const seconds = answer[at_classical.broken] === 0 ? answer[at_classical.seconds] : Infinity;
        if (seconds < classical) { classical = seconds; rival = one.offer; }
      }
      found.winner[k] = quantum <= classical ? lead : rival;
      if (lead >= 0 && rival >= 0) found.ratio[k] = quantum / classical;
    }
  return found;
}

// Places of the candidates that are within FAR of the fastest at a corner of the coarse cell around a point.
function neighbourhood(width, height, costs, at) {
  const steps = length => {
    const found = [];
    for (let k = 0; k < length - 1; k += STRIDE) found.push(k);
    return [...found, length - 1];
  };
  const columns = steps(width), rows = steps(height), corners = new Map(), cells = new Map();
  const corner = (a, b) => {
    const key = a * rows.length + b;
    if (!corners.has(key)) {
      const seconds = costs(at(columns[a], rows[b])), best = Math.min(...seconds);
      corners.set(key, seconds.map(one => one <= FAR * best && one < Infinity));
    }
    return corners.get(key);
  };
  const last = (list, length) => Math.max(list.length - 2, 0);
  return (i, j) => {
    const a = Math.min(Math.floor(i / STRIDE), last(columns)), b = Math.min(Math.floor(j / STRIDE), last(rows));
    const key = a * rows.length + b;
    if (!cells.has(key)) {
      const near = [[a, b], [a + 1, b], [a, b + 1], [a + 1, b + 1]].filter(([c, d]) => c < columns.length && d < rows.length).map(([c, d]) => corner(c, d));
      cells.set(key, near[0].map((_, place) => place).filter(place => near.some(one => one[place])));
    }
    return cells.get(key);
  };
}
