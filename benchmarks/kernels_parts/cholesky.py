"""Our Cholesky solver, factorisation and solve, against scipy's on the same matrix."""

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import scipy.linalg

import qnewton as qn

from .timing import against, race

LIMIT = 1.3


def cholesky(sizes: list[int], rounds: int) -> list[dict[str, Any]]:
    cases = []
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            cases += [_case(n, dtype, rounds) for n in sizes]
    return cases


def _case(n: int, dtype: str, rounds: int) -> dict[str, Any]:
    rng = np.random.default_rng(n)
    root = rng.standard_normal((n, n)).astype(dtype)
    matrix = root @ root.T / n + np.eye(n, dtype=dtype)
    vector = rng.standard_normal(n).astype(dtype)
    # Column by column, as LAPACK reads it, and unchecked: the fastest that scipy offers without destroying its input.
    columns = np.asfortranarray(matrix)
    ours = jax.jit(_solve)
    given = jnp.asarray(matrix), jnp.asarray(vector)

    def by_scipy() -> np.ndarray:
        factor = scipy.linalg.cho_factor(columns, lower=True, check_finite=False)
        return scipy.linalg.cho_solve(factor, vector, check_finite=False)

    ways = {"ours": lambda: ours(*given), "scipy": by_scipy}
    difference = np.linalg.norm(np.asarray(ours(*given)) - by_scipy()) / np.linalg.norm(vector)
    assert difference < n * np.finfo(dtype).eps, f"n = {n}, {dtype}: the two solutions differ by {difference}"
    return {"n": n, "dtype": dtype, **against(race(ways, rounds), LIMIT)}


def _solve(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return lx.linear_solve(lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag), vector, qn.Cholesky()).value
