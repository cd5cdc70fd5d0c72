"""How well a calibration predicts: Cholesky, LU and CG at sizes that it never saw, against interleaved measurements.

Calibrates as `qnewton calibrate` does, then goes round and round all kernels and sizes, one measurement each, with a
matrix product (the probe) before every one of them. On a shared machine seconds drift by a factor of two within
minutes, so prediction and measurement are compared relative to the probe of their own minute:

    error = |(predicted / probe at calibration) / (measured / probe then) - 1|, its median over the rounds.

CG is predicted for the iterations that it took; how many it takes is the estimate's business, not the calibration's.

    .venv/bin/python benchmarks/calibration.py

The last line of the output is one JSON object; `median_error` over all pairs of kernel and size is to be below 0.25,
`calibration_seconds` below 60.
"""

import argparse
import json
import statistics
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import scipy.linalg  # noqa: F401  (only a BLAS that is loaded can be limited)
import threadpoolctl

import qnewton as qn
from qnewton._core.records import Encoding, System
from qnewton._estimation import Certified
from qnewton._hardware import describe_machine, gemm_probe
from qnewton._scheduling import calibrate
from qnewton.lab._cli.calibrate import SIZES

SOLVERS = {"cholesky": qn.Cholesky(), "lu": qn.LU(), "cg": qn.CG()}
UNSEEN = (12, 24, 48, 96, 160, 200, 300, 400, 640, 800, 1200, 1600)


class Timed:
    """A solver on one system, compiled; several solves in one call where one is too short for a clock."""

    def __init__(self, name: str, n: int, dtype: str):
        rng = np.random.default_rng(n + 1)
        factor = rng.standard_normal((n, n))
        # Not the matrix that calibration measures on: another condition number, so CG takes other steps.
        matrix = jnp.asarray(factor @ factor.T / n + 0.1 * np.eye(n), dtype)
        vector = jnp.asarray(rng.standard_normal(n), dtype)
        # About a millisecond, beside which the start of a jitted function does not count.
        self.loops = max(1, 10_000_000 // n**3, 200_000 // n**2)
        solver = SOLVERS[name]

        @jax.jit
        def several(matrix, vector):
            def again(_, carry):
                # Depends on what came before, so that nothing is hoisted; CG copies no matrix.
                zero = 0 * carry[0][0]
                now = matrix if name == "cg" else matrix + zero
                operator = lx.MatrixLinearOperator(now, lx.positive_semidefinite_tag)
                solution = lx.linear_solve(operator, vector + zero, solver, throw=False)
                return solution.value, jnp.asarray(solution.stats.get("num_steps", 0), jnp.int32)

            return jax.lax.fori_loop(0, self.loops, again, (vector, jnp.zeros((), jnp.int32)))

        self.run = lambda: jax.block_until_ready(several(matrix, vector))
        _, steps = self.run()
        system = System.of(matrix, symmetric=True, eigenvalue_floor=jnp.zeros((), dtype))
        one = jnp.ones((), dtype)
        workload = solver.workload(Certified()(system), Encoding(one, one))
        self.workload = eqx.tree_at(lambda w: w.steps, workload, float(steps)) if name == "cg" else workload

    def seconds(self) -> float:
        start = time.perf_counter()
        self.run()
        return (time.perf_counter() - start) / self.loops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--blas-threads", type=int, default=1)
    options = parser.parse_args()
    with (
        jax.enable_x64(options.dtype == "float64"),
        threadpoolctl.threadpool_limits(options.blas_threads, user_api="blas"),
    ):
        print(json.dumps(measure(options.rounds, options.dtype)))


def measure(rounds: int, dtype: str) -> dict:
    start = time.perf_counter()
    machine = calibrate(list(SOLVERS.values()), dtype=dtype, sizes=SIZES, repeats=15)
    calibration_seconds = time.perf_counter() - start
    pairs = {(name, n): Timed(name, n, dtype) for name in SOLVERS for n in UNSEEN}
    probe = gemm_probe(dtype)
    errors = {pair: [] for pair in pairs}
    signed = {pair: [] for pair in pairs}
    for _ in range(rounds):
        for pair, timed in pairs.items():
            start = time.perf_counter()
            probe()
            now = time.perf_counter() - start
            ratio = (float(machine.seconds(timed.workload)) / machine.gemm_seconds) / (timed.seconds() / now)
            errors[pair].append(abs(ratio - 1))
            signed[pair].append(ratio)
    medians = {pair: statistics.median(values) for pair, values in errors.items()}
    for name in SOLVERS:
        print(f"{name:<9}", *(f"{n}:{statistics.median(signed[name, n]):.2f}" for n in UNSEEN), sep="  ")
    return {
        "median_error": statistics.median(medians.values()),
        "worst_error": max(medians.values()),
        **{f"median_error_{k}": statistics.median(medians[k, n] for n in UNSEEN) for k in SOLVERS},
        "fit_errors": {kernel: times.median_relative_error for kernel, times in machine.kernels},
        "calibration_seconds": calibration_seconds,
        "rounds": rounds,
        "dtype": dtype,
        "machine": describe_machine(),
    }


if __name__ == "__main__":
    main()
