"""Wall-clock seconds to fixed losses and accuracies: ours against tuned rivals, on five problems.

Problems: classification of digits, at 8x8 and at 28x28, a deep tanh autoencoder (full batch, and batches of 512), a
physics-informed network for a 2-D Poisson equation in float64. Rivals: SGD with momentum, Adam, AdamW, Muon, optax's
L-BFGS, kfac-jax, and the least-squares solvers of optimistix and scipy.

Method. Every contestant gets the same number of configurations, run on seed 0; for each target the one that met it
first is then run on three fresh seeds, all contestants on one seed before any on the next, so that a machine that
drifts hits all alike. Seconds are the wall clock of the steps alone, waited for; steps are fused into one compiled loop
of about equal seconds for everyone (scipy and kfac-jax drive themselves), and evaluation is not timed. `seconds` is
warm, `cold_seconds` adds tracing and compilation. A contestant that misses a target in most seeds enters with the
time-out as a lower bound, marked `"bound": true`. With mini-batches everyone's running average is evaluated as well.

Progress goes to stderr; the last line of stdout is one JSON object.

    pip install -e '.[bench]'
    python benchmarks/time_to_target.py [--problem NAME ...] [--optimizer NAME ...] [--quick] [--save FILE]
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path

import jax
import scipy.linalg  # noqa: F401  # jax factorises through it, and threadpoolctl sees only what is loaded
import threadpoolctl
from time_to_target_parts.contestants import EFFORT, Contestant
from time_to_target_parts.kfac_jax_rival import KFAC_JAX
from time_to_target_parts.least_squares import LEAST_SQUARES
from time_to_target_parts.optax_rivals import OPTAX_RIVALS
from time_to_target_parts.ours import OURS
from time_to_target_parts.problems import FLOAT64, PROBLEMS
from time_to_target_parts.race import TUNING_SEED, run, say
from time_to_target_parts.table import lines, tabulate

from qnewton._hardware import describe_machine

CONTESTANTS: dict[str, Contestant] = {c.name: c for c in (*OPTAX_RIVALS, KFAC_JAX, *LEAST_SQUARES, *OURS)}
PACKAGES = ("qnewton", "jax", "jaxlib", "optax", "kfac-jax", "optimistix", "lineax", "scipy", "numpy")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), metavar="NAME")
    parser.add_argument("--optimizer", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3, help="measured seeds")
    parser.add_argument("--timeout", type=float, help="seconds per run, for every problem (default: each its own)")
    parser.add_argument(
        "--quick", action="store_true", help="two configurations, one seed, a quarter of the time-outs: to try it out"
    )
    parser.add_argument("--save", type=Path, help="also write the JSON object to this file, which must not exist")
    options = parser.parse_args(arguments)
    if options.save is not None and options.save.exists():
        parser.error(f"{options.save} exists; results are not overwritten")
    if options.save is not None and not options.save.parent.is_dir():
        parser.error(f"{options.save.parent} is not a folder; make it first")
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    return options


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def main() -> None:
    options = parse()
    seeds = [TUNING_SEED + 1 + i for i in range(1 if options.quick else options.seeds)]
    configurations = 2 if options.quick else EFFORT
    contestants = [CONTESTANTS[name] for name in options.optimizer]
    result = {
        "benchmark": "time_to_target",
        "quick": options.quick,
        "tuning_seed": TUNING_SEED,
        "seeds": seeds,
        "configurations_per_optimizer": configurations,
        "machine": describe_machine(),
        "versions": {package: version(package) for package in PACKAGES},
        "blas_threads": 1,
        "load_average_at_start": os.getloadavg(),
        "problems": {},
    }
    began = time.perf_counter()
    jax.block_until_ready(jax.jit(lambda x: x @ x)(jax.numpy.ones((8, 8))))  # jax's own start is nobody's compile time.
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        result["threadpools"] = [
            {key: pool.get(key) for key in ("user_api", "internal_api", "version", "num_threads")}
            for pool in threadpoolctl.threadpool_info()
        ]
        for name in options.problem:
            with jax.enable_x64(True) if name in FLOAT64 else contextlib.nullcontext():
                problem = PROBLEMS[name]()
                timeout = options.timeout or problem.timeout_seconds / (4 if options.quick else 1)
                problem = dataclasses.replace(problem, timeout_seconds=timeout)
                say(f"{name}: {problem.description}")
                entries = run(problem, contestants, seeds, configurations)
                result["problems"][name] = tabulate(problem, entries, contestants)
            say("\n".join(lines(name, result["problems"][name])))
            jax.clear_caches()
    result["load_average_at_end"] = os.getloadavg()
    result["measured_seconds_in_total"] = time.perf_counter() - began
    text = json.dumps(result)
    sys.stderr.flush()
    print(text, flush=True)  # Before the file: nothing that goes wrong there may cost the measurement.
    if options.save is not None:
        with options.save.open("x") as file:  # "x": another run may have written it meanwhile.
            file.write(text + "\n")


if __name__ == "__main__":
    main()
