"""Forming a block against one matrix product of the same operations."""

from typing import Any

import jax

import qnewton as qn
from qnewton._core.operators import Path

from .problems import CLASSES, PROBLEMS, Problem, normal
from .timing import against, race

LIMIT = 2.0
CURVATURES = {"hessian": qn.Hessian(), "gauss_newton": qn.GaussNewton()}


def formation(quick: bool, rounds: int) -> list[dict[str, Any]]:
    return [
        _case(problem, name, curvature, rounds)
        for problem in (make(quick) for make in PROBLEMS)
        for name, curvature in CURVATURES.items()
    ]


def _case(problem: Problem, name: str, curvature: qn.curvature.AbstractCurvature, rounds: int) -> dict[str, Any]:
    block, given = problem.block, (problem.params, problem.batch)
    path = curvature.operator(problem.point(*given), block).path
    flops = operations(problem, path)
    form = jax.jit(problem.formed(curvature)).lower(*given).compile()
    # [n, k] times [k, m]: n rows as the block has, k the rows of the root, m what makes the operations equal.
    rows = problem.examples * (problem.positions if path is Path.LAYERS else CLASSES)
    columns = max(1, round(flops / (2 * rows * block.n)))
    left, right = normal(0, rows, block.n), normal(1, rows, columns)
    product = jax.jit(lambda a, b: a.T @ b)
    ways = {"ours": lambda: form(*given), "gemm": lambda: product(left, right)}
    return {
        "problem": problem.name,
        "curvature": name,
        "n": block.n,
        "path": path.name.lower(),
        "gigaflops": flops / 1e9,
        **against(race(ways, rounds), LIMIT),
    }


def operations(problem: Problem, path: Path) -> float:
    """What the path has to multiply and add, the network's own passes left out.

    One position per example: `x^T diag(D_ab) x` for the pairs a <= b of outputs. Several: `D x`, then `x^T (D x)`.
    Jacobians: `J = x^T S`, `D J` and `J^T (D J)`. Products: a pass forward and one back per unit vector.
    """
    count, i, a, t = problem.examples, problem.inputs, problem.outputs, problem.positions
    n = i * a
    if path is Path.LAYERS and t == 1:
        return 2 * count * i * i * a * (a + 1) / 2
    if path is Path.LAYERS:
        return 2 * count * ((t * a) ** 2 * i + t * n * n)
    if path is Path.JACOBIANS:
        return 2 * count * CLASSES * (t * n + CLASSES * n + n * n)
    return 4 * count * t * n * n
