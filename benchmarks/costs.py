"""How fast costs are evaluated: every query model on a million systems under jit, and `qnewton plan` as a process.

    .venv/bin/python benchmarks/costs.py

Each model is compiled once for arrays of a million condition numbers, subnormalisations, precisions and norms in single
precision, and then timed, the median of several calls. `plan` is timed from the start of the process to its end,
imports included, in turns with a process that only imports jax and equinox, which no plan can undercut. Both are
measured wall clock. The last line of the output is one JSON object: `slowest_model_seconds` is to be below 1,
`plan_seconds` below 2.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

import qnewton as qn

SYSTEMS = 1_000_000
PLAN = ["plan", "--n", "12544", "--kappa", "4000", "--sparsity", "1254", "--epsilon", "1e-3"]


def model_seconds(model: qn.QueryModel, systems: int, repeats: int) -> tuple[float, float]:
    """Seconds of a call, and of its compilation."""
    rng = np.random.default_rng(0)
    kappa = jnp.asarray(10 ** rng.uniform(0.5, 5, systems), jnp.float32)
    alpha = jnp.asarray(10 ** rng.uniform(0, 2, systems), jnp.float32)
    precision = jnp.asarray(10 ** rng.uniform(-9, -6, systems), jnp.float32)
    norm = jnp.asarray(kappa ** rng.uniform(0, 1, systems), jnp.float32) if model.needs_norm else None

    @jax.jit
    def count(kappa, alpha, precision, norm):
        return model(qn.Encoding(kappa, alpha), precision, norm).queries

    start = time.perf_counter()
    jax.block_until_ready(count(kappa, alpha, precision, norm))
    compiling = time.perf_counter() - start
    samples = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(count(kappa, alpha, precision, norm))
        samples.append(time.perf_counter() - start)
    return statistics.median(samples), compiling


def process_seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "120"})
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", type=int, default=SYSTEMS)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    models = {}
    for name, model in qn.QUERY_MODELS.items():
        seconds, compiling = model_seconds(model, arguments.systems, arguments.repeats)
        models[name] = seconds
        print(f"{name:26} {seconds:7.3f} s measured, {compiling:5.2f} s to compile and run once", flush=True)
    with tempfile.TemporaryDirectory() as empty:
        script = "import sys; from qnewton.cli import main; sys.exit(main())"
        plan = [sys.executable, "-c", script, *PLAN, "--calibrations", empty]
        bare = [sys.executable, "-c", "import jax, equinox"]
        turns = [(process_seconds(plan), process_seconds(bare)) for _ in range(arguments.repeats)]
    plans, imports = ([turn[i] for turn in turns] for i in range(2))
    print(f"qnewton plan               {statistics.median(plans):7.3f} s measured, {min(plans):.3f} at best")
    print(f"import jax, equinox        {statistics.median(imports):7.3f} s measured, {min(imports):.3f} at best")
    slowest = max(models, key=lambda name: models[name])
    result = {
        "systems": arguments.systems,
        "model_seconds": models,
        "slowest_model": slowest,
        "slowest_model_seconds": models[slowest],
        "plan_seconds": statistics.median(plans),
        "plan_seconds_best": min(plans),
        "import_seconds": statistics.median(imports),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
