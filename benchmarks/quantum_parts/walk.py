"""What the discrete adiabatic walk leaves after so many steps, and what emulated solvers execute of their charge."""

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np

import qnewton as qn
from qnewton._core.records import Encoding
from qnewton._solvers.quantum.emulated.walk import Walk, _walk

# Steps over kappa: the walk has long settled into its 1 / steps.
_STEPS = 8
_RESAMPLES = 2000

SOLVERS = {
    "EmulatedWalk": (qn.EmulatedWalk(1e-2), False),
    "EmulatedWalk(definite=True)": (qn.EmulatedWalk(1e-2, definite=True), True),
    "EmulatedQSVT": (qn.EmulatedQSVT(1e-3), False),
    "EmulatedQSVT(amplification=Repeated())": (qn.EmulatedQSVT(1e-1, amplification=qn.emulation.Repeated()), False),
    "EmulatedReflection": (qn.EmulatedReflection(1e-2), False),
}


def constants(
    rows: tuple[int, ...] = (2, 4, 8, 16), kappas: tuple[float, ...] = (2.0, 10.0, 100.0, 1000.0), draws: int = 60
) -> list[dict[str, Any]]:
    """The error of the whole state, ancillas included, times steps over kappa: rms over random systems.

    Charged are `charged`; the interval is one of 95 %, by resampling the systems.
    """
    found = []
    with jax.enable_x64(True):
        for definite, charged in ((False, 3.3), (True, 1.84)):
            for n in rows:
                walk = jax.jit(jax.vmap(_walk, in_axes=(None, 0, 0)))
                for kappa in kappas:
                    squares = _squares(walk, n, kappa, draws, definite=definite)
                    rng = np.random.default_rng(0)
                    again = np.sqrt(squares[rng.integers(draws, size=(_RESAMPLES, draws))].mean(axis=1))
                    low, high = np.quantile(again, [0.025, 0.975])
                    numbers = {"constant": np.sqrt(squares.mean()), "low": low, "high": high}
                    row = {"definite": definite, "rows": n, "kappa": kappa, "draws": draws, "charged": charged}
                    found.append(row | {name: round(float(number), 3) for name, number in numbers.items()})
                    print(found[-1], flush=True)
    return found


def charges(kappas: tuple[float, ...] = (1.0, 2.0, 10.0, 100.0), draws: int = 100) -> list[dict[str, Any]]:
    """Queries executed over queries charged: the mean with an interval of 95 %, and the largest.

    Beside them the published count over the charge, and the share of solves above 1.5 times the charge.
    """
    found = []
    with jax.enable_x64(True):
        for name, (solver, definite) in SOLVERS.items():
            tag = lx.positive_semidefinite_tag if definite else lx.symmetric_tag

            @jax.jit
            @jax.vmap
            def executed(matrix, vector, solver=solver, tag=tag):
                operator = lx.MatrixLinearOperator(matrix, tag)
                return lx.linear_solve(operator, vector, solver, throw=False).stats["queries"]

            for kappa in kappas:
                values, vectors, sides = _systems(4, kappa, draws, definite=definite)
                matrices = np.einsum("kij,kj,klj->kil", vectors, values, vectors)
                charge, published = (
                    float(count(Encoding(kappa, 1.0), solver.precision, None).queries)
                    for count in (solver.queries, solver.published)
                )
                ratios = np.asarray(executed(jnp.asarray(matrices), jnp.asarray(sides))) / charge
                error = 1.96 * ratios.std(ddof=1) / draws**0.5
                numbers = {
                    "mean": ratios.mean(),
                    "low": ratios.mean() - error,
                    "high": ratios.mean() + error,
                    "largest": ratios.max(),
                    "share_above_1.5": np.mean(ratios > 1.5),
                    "published": published / charge,
                }
                row = {"solver": name, "rows": 4, "kappa": kappa, "draws": draws}
                found.append(row | {key: round(float(number), 3) for key, number in numbers.items()})
                print(found[-1], flush=True)
    return found


def _systems(n: int, kappa: float, draws: int, *, definite: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues with both ends attained, eigenvectors and right-hand sides."""
    rng = np.random.default_rng([n, round(10 * kappa), definite])
    values = rng.uniform(1 / kappa, 1, (draws, n))
    values[:, 0], values[:, 1] = 1 / kappa, 1.0
    if not definite:
        values *= rng.choice([-1, 1], (draws, n))
    return values, np.linalg.qr(rng.standard_normal((draws, n, n)))[0], rng.standard_normal((draws, n))


def _squares(walk: Any, n: int, kappa: float, draws: int, *, definite: bool) -> np.ndarray:
    """Of each system the squared constant."""
    values, _, b = _systems(n, kappa, draws, definite=definite)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    exact = b / values
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    start, end = (u[:, None] if definite else np.stack([u, u], axis=1) / np.sqrt(2) for u in (b, exact))
    steps = 2 * round(_STEPS * kappa / 2)
    plan = Walk(jnp.asarray(float(steps)), jnp.zeros(()), jnp.asarray(kappa))
    overlap = np.sum(np.asarray(walk(plan, jnp.asarray(values), jnp.asarray(start))) * end, axis=(1, 2))
    return (2 - 2 * np.abs(overlap)) * (steps / kappa) ** 2
