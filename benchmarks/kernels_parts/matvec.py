"""Products with a block: of the formed one against reading it, of the unformed one against its matrix products."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import qnewton as qn

from .problems import CLASSES, PROBLEMS, Problem, normal
from .timing import against, race

LIMIT = 2.0


def matvec(quick: bool, rounds: int) -> list[dict[str, Any]]:
    cases = [_formed(n, rounds) for n in ((512,) if quick else (1000, 4000))]
    return cases + [
        _unformed(make(quick), name, curvature, rounds)
        for make in PROBLEMS
        for name, curvature in (("hessian", qn.Hessian()), ("gauss_newton", qn.GaussNewton()))
    ]


def _formed(n: int, rounds: int) -> dict[str, Any]:
    matrix, vector = normal(0, n, n), normal(1, n)
    read = jax.jit(jnp.sum)
    apply = jax.jit(lambda m, v: qn.curvature.System.of(m, symmetric=True).operator.mv(v))
    m, v = np.asarray(matrix), np.asarray(vector)
    ways = {"ours": lambda: apply(matrix, vector), "sum": lambda: read(matrix), "gemv": lambda: m @ v}
    return {"problem": "formed", "n": n, "bytes": matrix.nbytes, **against(race(ways, rounds), LIMIT)}


def _unformed(problem: Problem, name: str, curvature: qn.curvature.AbstractCurvature, rounds: int) -> dict[str, Any]:
    """The block is linearised outside of the timed call, as a Krylov solver does once for all its products."""
    block = problem.block
    operator = curvature.operator(problem.point(problem.params, problem.batch), block)
    vector = normal(5, block.n)
    # A bound method of a module cannot be hashed where the module holds arrays.
    apply = jax.jit(lambda v: operator.mv(v))
    count, i, a, t = problem.examples, problem.inputs, problem.outputs, problem.positions
    # Forward and back: `x V` and `x^T W`, with as many rows as the layer is used in the batch. Between them stands the
    # rest of the network, which is small here, or the stored curvature, which has to be read.
    x, weights, back = normal(0, count * t, i), normal(1, i, a), normal(2, count * t, a)
    stored = normal(3, count, a, a) if t == 1 else normal(3, count, CLASSES)
    bound = jax.jit(lambda x, w, u, d: (x @ w, x.T @ u, jnp.sum(d)))
    ways = {"ours": lambda: apply(vector), "gemm": lambda: bound(x, weights, back, stored)}
    return {"problem": problem.name, "curvature": name, "n": block.n, **against(race(ways, rounds), LIMIT)}
