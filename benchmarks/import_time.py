"""Seconds that `import qnewton as qn; qn.newton` takes, against those of `import jax` alone.

Each import is done in interpreters of its own, the contestants in turn, `--repeats` times, after one round that leaves
byte code and files in the caches. The ratios are of the medians of one run; `cpu` counts the process's own time, which
other work on the machine disturbs less. `third_parties` is what the core imports of others, without ours.

    .venv/bin/python benchmarks/import_time.py

The last line of the output is one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

CONTESTANTS = {
    "jax": "import jax",
    "third_parties": "import jax, jaxtyping, equinox, lineax, optax, numpy",
    "newton": "import qnewton as qn; qn.newton",
}
CLOCKS = ("wall", "cpu")
TIMED = """if True:
    import time
    wall, cpu = time.perf_counter(), time.process_time()
    {statement}
    print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def seconds(statement: str, cache: str) -> dict[str, float]:
    """Of one import in a new interpreter.

    Args:
        statement: that imports.
        cache: folder for byte code, which an installed package has beside it.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", TIMED.format(statement=statement)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(zip(CLOCKS, map(float, done.stdout.split()), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11, help="rounds")
    repeats = parser.parse_args().repeats
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as cache:
        for turn in range(repeats + 1):
            for name, statement in CONTESTANTS.items():
                found = seconds(statement, cache)
                if turn:
                    taken[name].append(found)
    medians = {
        name: {clock: statistics.median(found[clock] for found in runs) for clock in CLOCKS}
        for name, runs in taken.items()
    }
    ratios = {
        f"{name}_over_jax": {clock: round(medians[name][clock] / medians["jax"][clock], 3) for clock in CLOCKS}
        for name in ("third_parties", "newton")
    }
    print(json.dumps({"repeats": repeats, "seconds": medians, **ratios}))


if __name__ == "__main__":
    main()
