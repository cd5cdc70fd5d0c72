"""Calibration: measure every classical candidate on this machine and fit its times."""

import functools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np

from ..core.records import ClassicalWorkload, Encoding, Kind, SystemEstimate
from ..hardware import ClassicalMachine, describe_machine, fit, median_seconds
from ..solvers import AbstractSolver

DEFAULT_SIZES = (8, 32, 128, 384, 1024)


def calibrate(
    solvers: Sequence[AbstractSolver],
    *,
    dtype: str = "float32",
    sizes: Sequence[int] = DEFAULT_SIZES,
    repeats: int = 5,
) -> ClassicalMachine:
    """Measure how long the classical solvers among `solvers` take on this machine, inside a jitted function.

    Args:
        solvers: candidates; quantum ones are passed over.
        dtype: of the systems, `float32` or `float64` (the latter needs jax's x64 mode).
        sizes: rows of the measured systems, at least three different positive ones; predictions beyond the largest
            extrapolate the operation count.
        repeats: measurements of each, of which the median counts.

    Returns:
        The frozen calibration. Takes about a second, most of it compilation.

    Raises:
        ValueError: if fewer than three sizes are given, one is not positive, or `dtype` is not available.
    """
    if min(sizes, default=1) < 1:
        raise ValueError(f"sizes is {tuple(sizes)}: a system has at least one row")
    if len(set(sizes)) < 3:
        raise ValueError(
            f"sizes is {tuple(sizes)}: calibration fits three coefficients and needs three different sizes"
        )
    name = str(jnp.dtype(dtype))
    if name not in ("float32", "float64"):
        raise ValueError(f"dtype is {name}: systems are float32 or float64")
    if name == "float64" and not jax.config.read("jax_enable_x64"):
        raise ValueError("dtype float64 is not available: switch on jax's x64 mode, or calibrate for float32")
    return _measure(solvers, name, sorted(set(sizes)), repeats)


@functools.cache
def calibrate_once(solvers: tuple[AbstractSolver, ...], dtype: str) -> ClassicalMachine:
    """`calibrate` at its default sizes, once per process: a program traces `Hybrid` many times."""
    return calibrate(solvers, dtype=dtype)


def _measure(solvers: Sequence[AbstractSolver], dtype: str, sizes: Sequence[int], repeats: int) -> ClassicalMachine:
    kernels = {}
    with jax.ensure_compile_time_eval():
        for solver in solvers:
            workloads = [solver.workload(*_placeholder(n, dtype)) for n in sizes]
            classical = [w for w in workloads if isinstance(w, ClassicalWorkload)]
            if classical and classical[0].kernel not in kernels:
                seconds, steps = zip(*[_measure_solve(solver, n, dtype, repeats) for n in sizes], strict=True)
                # An iterative solver's time goes with the steps that it took, not with those that it expected.
                took = [eqx.tree_at(lambda w: w.steps, w, k) for w, k in zip(classical, steps, strict=True)]
                kernels[classical[0].kernel] = fit(took, list(sizes), list(seconds))
    return ClassicalMachine(
        name=str(describe_machine()["processor"]), dtype=dtype, kernels=tuple(sorted(kernels.items()))
    )


def _placeholder(n: int, dtype: str) -> tuple[SystemEstimate, Encoding]:
    # A dense solver's workload depends on n and the dtype alone, an iterative one's steps are measured.
    one = jnp.ones((), dtype)
    estimate = SystemEstimate(
        n=n,
        degree=jnp.asarray(n),
        max_entry=one,
        frobenius_norm=one,
        spectral_norm=one,
        log_condition_number=one,
        definite=jnp.asarray(True),
        kind=Kind.EXACT,
    )
    return estimate, Encoding(condition_number=one, subnormalisation=one)


def _measure_solve(solver: AbstractSolver, n: int, dtype: str, repeats: int) -> tuple[float, float]:
    """Seconds of one solve, and its iterations."""
    rng = np.random.default_rng(n)
    factor = rng.standard_normal((n, n))
    matrix = jnp.asarray(factor @ factor.T / n + np.eye(n), dtype)
    vector = jnp.asarray(rng.standard_normal(n), dtype)
    # Small systems finish in microseconds, below what dispatching a jitted function costs: several run in one loop.
    loops = max(1, 10_000 // (n * n))

    @jax.jit
    def run(matrix, vector):
        def solve(_, carry):
            # Depends on x, so that the factorisation is not hoisted out of the loop.
            operator = lx.MatrixLinearOperator(matrix + 0 * carry[0][0], lx.positive_semidefinite_tag)
            solution = lx.linear_solve(operator, vector, solver, throw=False)
            return solution.value, jnp.asarray(solution.stats.get("num_steps", 0), jnp.int32)

        return jax.lax.fori_loop(0, loops, solve, (vector, jnp.zeros((), jnp.int32)))

    outcome = []

    def timed():
        outcome[:] = run(matrix, vector)
        return outcome

    seconds = median_seconds(timed, repeats) / loops
    return seconds, float(outcome[1])
