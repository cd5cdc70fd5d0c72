"""Seconds of an emulated solve over those of its products, and what single precision leaves."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np

import qnewton as qn
from qnewton.testing import symmetric_with_spectrum


def ratios(sizes: tuple[int, ...] = (1000, 4000), rounds: int = 5) -> list[dict[str, Any]]:
    """For each size, the median over rounds in which both take turns; promises in the place of a decomposition."""
    rows = []
    for n in sizes:
        # Any symmetric matrix within its bounds takes as long: a diagonal one with a reflection on both sides.
        rng = np.random.default_rng(n)
        u = rng.standard_normal(n)
        u /= np.linalg.norm(u)
        values = np.geomspace(1 / 20, 1, n)
        matrix = np.diag(values) - 2 * np.outer(u, values * u) - 2 * np.outer(values * u, u)
        matrix = jnp.asarray(matrix + 4 * (u @ (values * u)) * np.outer(u, u), jnp.float32)
        b = jnp.asarray(rng.standard_normal(n), jnp.float32)
        solver = qn.EmulatedQSVT(1e-3, kappa=20.0, norm=1.0)

        @jax.jit
        def solve(matrix, b, solver=solver):
            operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
            solution = lx.linear_solve(operator, b, solver, throw=False)
            return solution.value, solution.stats["num_steps"]

        product = jax.jit(lambda matrix, b: matrix @ b)
        degree = int(jax.block_until_ready(solve(matrix, b))[1])
        jax.block_until_ready(product(matrix, b))
        solves, products = [], []
        for _ in range(rounds):
            products += [_seconds(lambda m=matrix, v=b, f=product: f(m, v)) for _ in range(20)]
            solves.append(_seconds(lambda m=matrix, v=b, f=solve: f(m, v)))
        each, whole = statistics.median(products), statistics.median(solves)
        ratio = whole / (degree * each)
        rows.append({"n": n, "degree": degree, "product_s": each, "solve_s": whole, "ratio": ratio})
        print(f"n = {n:,}: {whole:.3f} s for {degree} products of {each:.2e} s, ratio {ratio:.2f}", flush=True)
    return rows


def floors(kappas: tuple[float, ...] = (10.0, 100.0, 1000.0), n: int = 128) -> list[dict[str, float]]:
    """Relative error in single precision where far more is asked for."""
    rows = []
    for kappa in kappas:
        matrix = symmetric_with_spectrum(np.geomspace(1 / kappa, 1, n))
        vectors = np.linalg.eigh(matrix)[1]
        worst = 0.0
        for b in (np.random.default_rng(0).standard_normal(n), vectors[:, -1]):
            operator = lx.MatrixLinearOperator(jnp.asarray(matrix, jnp.float32), lx.symmetric_tag)
            solver = qn.EmulatedQSVT(1e-7, kappa=kappa, norm=1.0)
            value = lx.linear_solve(operator, jnp.asarray(b, jnp.float32), solver, throw=False).value
            exact = np.linalg.solve(matrix, b)
            worst = max(worst, float(np.linalg.norm(value - exact) / np.linalg.norm(exact)))
        rows.append({"kappa": kappa, "relative_error": worst})
        print(f"float32, kappa {kappa:g}: {worst:.1e}", flush=True)
    return rows


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - started
