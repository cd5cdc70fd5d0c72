"""How fast costs are evaluated: every query model, encoding and read-out on a million systems under jit, and
`qnewton plan` as a process.

    .venv/bin/python benchmarks/costs.py

Each is compiled once for arrays of a million condition numbers, subnormalisations, precisions and norms (or sizes and
precisions) in single precision, and then timed, the median of several calls. `plan` is timed from the start of the
process to its end, imports included, in turns with a process that only imports jax and equinox, which no plan can
undercut. All are measured wall clock. The last line of the output is one JSON object: `slowest_seconds` is to be below
1, `plan_seconds` below 2.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import qnewton as qn
from qnewton._solvers.quantum.encoding import FABLE, Frobenius, SparseAccess
from qnewton._solvers.quantum.readout import InteriorPoint, Refined

SYSTEMS = 1_000_000
PLAN = ["plan", "--n", "12544", "--kappa", "4000", "--sparsity", "1254", "--epsilon", "1e-3"]


def timed(count: Callable[..., Any], arguments: Sequence[Any], repeats: int) -> tuple[float, float]:
    """Seconds of a call, and of its compilation."""
    count = jax.jit(count)
    start = time.perf_counter()
    jax.block_until_ready(count(*arguments))
    compiling = time.perf_counter() - start
    samples = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(count(*arguments))
        samples.append(time.perf_counter() - start)
    return statistics.median(samples), compiling


def cases(systems: int) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """What is evaluated, and its arrays."""
    rng = np.random.default_rng(0)

    def powers(low: float, high: float) -> jax.Array:
        return jnp.asarray(10 ** rng.uniform(low, high, systems), jnp.float32)

    kappa, alpha, precision = powers(0.5, 5), powers(0, 2), powers(-9, -6)
    norm, n = jnp.asarray(kappa ** rng.uniform(0, 1, systems), jnp.float32), jnp.floor(powers(2, 12))
    found: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
    for name, model in qn.queries.QUERY_MODELS.items():

        def queries(kappa, alpha, precision, norm, model=model):
            return model(qn.solvers.Encoding(kappa, alpha), precision, norm if model.needs_norm else None).queries

        found[name] = queries, (kappa, alpha, precision, norm)
    for member in (SparseAccess(), Frobenius(), FABLE()):

        def gates(n, kappa, precision, member=member):
            # Of a matrix with norm 1, twenty entries a row and the other norms as large as they may be.
            one = jnp.ones_like(n)
            matrix = Matrix(n, 20 * one, one, jnp.sqrt(n), one, jnp.log(kappa), one > 0)
            return member.cost(matrix, precision), member.encode(matrix)

        found[f"encoding: {member.name}"] = gates, (n, kappa, precision)
    for readout in (InteriorPoint(), Refined(InteriorPoint())):

        def copies(n, precision, readout=readout):
            return readout.copies(n, precision, 0.1)

        found[f"read-out: {readout.name}"] = copies, (n, precision)
    return found


class Matrix(NamedTuple):
    """What encodings read of an estimate."""

    n: Any
    degree: Any
    max_entry: Any
    frobenius_norm: Any
    spectral_norm: Any
    log_condition_number: Any
    definite: Any


def process_seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "120"})
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", type=int, default=SYSTEMS)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    evaluated = {}
    for name, (count, arrays) in cases(arguments.systems).items():
        evaluated[name], compiling = timed(count, arrays, arguments.repeats)
        print(f"{name:32} {evaluated[name]:7.3f} s measured, {compiling:5.2f} s to compile and run once", flush=True)
    with tempfile.TemporaryDirectory() as empty:
        script = "import sys; from qnewton.lab._cli import main; sys.exit(main())"
        plan = [sys.executable, "-c", script, *PLAN, "--calibrations", empty]
        bare = [sys.executable, "-c", "import jax, equinox"]
        turns = [(process_seconds(plan), process_seconds(bare)) for _ in range(arguments.repeats)]
    plans, imports = ([turn[i] for turn in turns] for i in range(2))
    print(f"{'qnewton plan':32} {statistics.median(plans):7.3f} s measured, {min(plans):.3f} at best")
    print(f"{'import jax, equinox':32} {statistics.median(imports):7.3f} s measured, {min(imports):.3f} at best")
    slowest = max(evaluated, key=lambda name: evaluated[name])
    result = {
        "systems": arguments.systems,
        "seconds": evaluated,
        "slowest": slowest,
        "slowest_seconds": evaluated[slowest],
        "plan_seconds": statistics.median(plans),
        "plan_seconds_best": min(plans),
        "import_seconds": statistics.median(imports),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
