// Who wins over two numbers. Coarse first: what is far from the best at the corners of a cell is left out inside it.
// Cells are parts of an axis, since prices are nearly powers of its number: they bend, and step, by less than FAR in one.
const WIDE = 8, NARROW = 25, VERY_FAR = 1000, FAR = 2;
const WHOLE = new Set(["n", "d"]), KAPPA = 2, EPSILON = 3;

const map = (x, xname, xs, yname, ys) => {
  const made = mapper(x, xname, xs, yname, ys);
  return { ...made.rows(0, ys.length), offers: made.offers };
};

// Some rows of a map at once; what is known of its corners is kept between them.
function mapper(x, xname, xs, yname, ys) {
  const at = points(x, xname, xs, yname, ys), { offers, proven, others, rivals } = candidates(x);
  const width = xs.length, height = ys.length;
  const [lead, spare, rival] = [proven, others, rivals].map(list => fastest_of(list, width, height, at));
  const beyond = exclusion(x, width, height, at, rival);
  const rows = (from, to) => {
    const size = width * (to - from);
    const winner = new Int16Array(size).fill(-1), ratio = new Float64Array(size).fill(NaN);
    const unreachable = new Uint8Array(size);
    for (let j = from, k = 0; j < to; j++)
      for (let i = 0; i < width; i++, k++) {
        const near = lead(i, j), against = rival(i, j), here = at(i, j);
        if (POSSIBLE(...here.problem) !== 0) continue;
        let quantum = least_of(near, here);
        const classical = least_of(against, here);
        if (quantum.offer < 0) {
          const more = spare(i, j);
          quantum = least_of(more, at(i, j));
        }
        winner[k] = quantum.seconds <= classical.seconds ? quantum.offer : classical.offer;
        if (quantum.offer >= 0 && classical.offer >= 0) ratio[k] = quantum.seconds / classical.seconds;
        // No bound is slower than a solver that holds.
        unreachable[k] = quantum.seconds > classical.seconds && beyond(i, j, classical.seconds);
      }
    return { winner, ratio, unreachable };
  };
  return { rows, offers };
}

// A function from places on both axes to what the formulas take there, in one record that the next place overwrites.
function points(x, xname, xs, yname, ys) {
  const here = { ...x, [xname]: xs[0], [yname]: ys[0] }, moved = here.d !== undefined && given(here.d);
  const norm = given(here.solution_norm), resolve = resolver(here);
  return (i, j) => {
    here.d = x.d;
    here.solution_norm = x.solution_norm;
    here[xname] = WHOLE.has(xname) ? Math.round(xs[i]) : xs[i];
    here[yname] = WHOLE.has(yname) ? Math.round(ys[j]) : ys[j];
    if (moved) here.d = Math.min(here.d, here.n);
    if (norm) here.solution_norm = Math.min(here.solution_norm, here.kappa);
    return resolve(here);
  };
}

// All offers, and functions from a point to their seconds: by proven counts, by others, and of classical solvers.
function candidates(x) {
  const set = index_of(data.sets, x.set), { below } = data.sets[set];
  const { known, machine, layout, rooted } = resolved(x), run = MACHINES[machine][layout];
  const offers = [], proven = [], others = [], rivals = [];
  const is_under = here => under(below.ends, here.problem[KAPPA], here.problem[EPSILON]);
  data.models.forEach((model, place) => {
    const by = charging(set, model, 0, 0);
    if (by < 0 || !takes(model, definite_of(x)) || !model.counts) return;
    const readout = index_of(data.sets[by].readouts, x.readout);
    offers.push({ name: model.name, kind: "quantum", proven: model.proven });
    const offer = offers.length - 1, count = COUNTS[place][known];
    for (const encoding of encodings_for(by, place, x.encoding)) {
      const price = SECONDS[by][readout][encoding][known], priced = here => price(count, run, ...here.charged);
      const cost = by === set ? priced : here => (is_under(here) ? priced(here) : Infinity);
      (model.proven ? proven : others).push({ offer, encoding, cost });
    }
    if (!rooted || !model.root_words) return;
    offers.push({ name: model.name + data.root.suffix, kind: "quantum", proven: model.proven });
    const price = ROOT_SECONDS[by][readout], priced = here => price(ROOT_COUNTS[place], run, ...here.rooted);
    const cost = by === set ? priced : here => (is_under(here) ? priced(here) : Infinity);
    (model.proven ? proven : others).push({ offer: offers.length - 1, encoding: data.sets[by].encodings.length, cost });
  });
  for (const host of hosts_of(x))
    data.rivals.forEach((rival, place) => {
      if (!rival.counts || !takes_matrix(rival, x)) return;
      offers.push({ name: rival.name, kind: "classical", hardware: data.hosts[host].name });
      const predict = PREDICTED[host][place], more = given(x[rival.known]) ? [x[rival.known]] : [];
      const cost = here => predict(...here.problem, ...more);
      rivals.push({ offer: offers.length - 1, encoding: 0, cost });
    });
  // Neighbours of one encoding share what they read out.
  for (const list of [proven, others]) list.sort((a, b) => a.encoding - b.encoding);
  return { offers, proven, others, rivals };
}

// Of an axis: the width of its cells, and their corners.
const step_of = (length, cells) => Math.max(1, Math.round(length / cells));
const corners_of = (length, step) => [...Array(Math.ceil(length / step)).keys()].map(k => k * step).concat(length - 1);

// A function from a place to what `of_cell` makes of the four corners around it; `of_corner` sees each corner once.
function celled(width, height, count, of_corner, of_cell) {
  const right = step_of(width, count), up = step_of(height, count), corners = [], cells = [];
  const columns = corners_of(width, right), rows = corners_of(height, up);
  const corner = (a, b) => (corners[a * rows.length + b] ??= of_corner(columns[a], rows[b]));
  return (i, j) => {
    const a = Math.floor(i / right), b = Math.floor(j / up);
    return (cells[a * rows.length + b] ??= of_cell([corner(a, b), corner(a + 1, b), corner(a, b + 1), corner(a + 1, b + 1)]));
  };
}

// Those of a list that are within some factor of the fastest at a corner.
function nearby(wider, count, far, width, height, at) {
  const of_corner = (i, j) => {
    const all = wider(i, j), here = at(i, j), seconds = all.map(one => one.cost(here));
    const most = far * seconds.reduce((least, one) => Math.min(least, one), Infinity);
    return all.filter((_, place) => seconds[place] < Infinity && seconds[place] <= most);
  };
  return celled(width, height, count, of_corner, around => [...new Set(around.flat())].sort((a, b) => a.place - b.place));
}

// A function from a place to those of a list that may be the fastest there.
function fastest_of(list, width, height, at) {
  list.forEach((one, place) => { one.place = place; });
  const wide = nearby(() => list, WIDE, VERY_FAR, width, height, at);
  return nearby(wide, NARROW, FAR, width, height, at);
}

function least_of(list, here) {
  const found = { seconds: Infinity, offer: -1 };
  for (const one of list) {
    const seconds = one.cost(here);
    if (seconds < found.seconds) { found.seconds = seconds; found.offer = one.offer; }
  }
  return found;
}

// Whether a lower bound is slower than the classical solver: the same all over a cell whose corners agree by far.
function exclusion(x, width, height, at, rival) {
  const set = index_of(data.sets, x.set), { machine, layout } = resolved(x), run = MACHINES[machine][layout];
  const of_matrix = here => BOUNDED[set](LEAST, run, ...here.problem, here.gate_time_s);
  // As of one point: a root that is at hand is one more matrix to encode.
  const of_root = here => ROOT_BOUNDED[set](LEAST, run, ...here.problem, here.gate_time_s, ...here.rooted.slice(-4));
  const both = here => {
    const [matrix, root] = [of_matrix(here), of_root(here)];
    return matrix < Infinity && root < Infinity ? Math.min(matrix, root) : Infinity;
  };
  const least = resolved(x).rooted ? both : of_matrix;
  const ratio = (i, j) => {
    const against = rival(i, j), here = at(i, j), seconds = least(here);
    return seconds < Infinity ? seconds / least_of(against, here).seconds : NaN;
  };
  const agreed = celled(width, height, NARROW, ratio, around =>
    (around.every(one => one > FAR) ? "beyond" : around.every(one => one < 1 / FAR) ? "within" : "either"));
  return (i, j, classical) => {
    const found = agreed(i, j);
    if (found !== "either") return found === "beyond";
    const seconds = least(at(i, j));
    return seconds < Infinity && seconds > classical;
  };
}
