"""Steps in a metric that follows the diagonal, against dense systems in numpy float64."""

from typing import Any

import jax
import numpy as np
import pytest

import qnewton as qn

# optax's types do not know which state comes back.
newton: Any = qn.newton
dual_newton: Any = qn.dual_newton

PARTITIONS = {"whole": qn.whole, "per_layer": qn.per_layer, "per_tensor": qn.per_tensor}
SOLVERS = {"Cholesky": qn.Cholesky(), "CG": qn.CG(rtol=1e-12), "Dual": qn.Dual(), "LU": qn.LU()}


def one_step(optimizer: Any, objective: qn.Objective, params: Any, batch: Any) -> Any:
    step = jax.jit(lambda p, s: optimizer.update(jax.grad(objective)(p, batch), s, p, batch=batch))
    return step(params, optimizer.init(params))


@pytest.mark.parametrize(
    ("solver", "partition", "l2"),
    [
        ("Cholesky", "whole", 0.0),
        ("Cholesky", "per_layer", 0.2),
        ("CG", "per_tensor", 0.0),
        ("CG", "whole", 0.2),
        ("Dual", "whole", 0.2),
        ("Dual", "per_tensor", 0.0),
        ("LU", "per_tensor", 0.2),
    ],
)
def test_newtons_step_is_that_of_the_dense_system(solver, partition, l2, x64, problem_of) -> None:
    """`(H + l2 I + r D^2) x = g`, with `D^2` the diagonal of `H + l2 I`: in its units no entry is above 1."""
    problem, r = problem_of("float64"), 0.1
    objective = qn.Objective(problem.objective.predict, problem.objective.loss, l2=l2)
    w = problem.oracle.vector
    gradient = problem.oracle.gradient(w) + l2 * w
    matrix = problem.oracle.curvature("gauss-newton", w) + l2 * np.eye(15)
    expected = np.zeros(15)
    for rows in problem.oracle.blocks(partition):
        block = matrix[np.ix_(rows, rows)]
        expected[rows] = -np.linalg.solve(block + r * np.diag(np.diag(block)), gradient[rows])
    optimizer = newton(
        objective,
        partition=PARTITIONS[partition],
        conditioning=[qn.Damp(r)],
        metric=qn.Marquardt(sizes=0),
        solver=SOLVERS[solver],
        adaptation=qn.Fixed(),
    )
    update, state = one_step(optimizer, objective, problem.params, problem.batch)
    np.testing.assert_allclose(problem.vector(update), expected, rtol=1e-7, atol=1e-10)
    for block in state.info.blocks:
        assert int(block.status) == qn.Status.OK
        assert float(block.damping) == pytest.approx(r)


@pytest.mark.parametrize("examples", [8, 4], ids=["16 rows for 15 parameters", "8 rows for 15 parameters"])
@pytest.mark.parametrize("l2", [0.0, 0.2])
@pytest.mark.parametrize("metric", [qn.Marquardt(sizes=0), qn.Levenberg()], ids=["marquardt", "levenberg"])
def test_dual_newtons_step_is_that_of_the_dense_system(metric, l2, examples, x64, problem_of) -> None:
    """`(H + l2 I + m D^2) x = g` at the damping on record, whichever side it is solved on."""
    problem = problem_of("float64")
    objective = qn.Objective(problem.objective.predict, problem.objective.loss, l2=l2)
    batch = tuple(array[:examples] for array in problem.batch)
    oracle = type(problem.oracle)(problem.oracle.vector, *(np.asarray(array) for array in batch))
    w = oracle.vector
    gradient = oracle.gradient(w) + l2 * w
    matrix = oracle.curvature("gauss-newton", w) + l2 * np.eye(15)
    optimizer = dual_newton(objective, acceleration=None, metric=metric)
    update, state = one_step(optimizer, objective, problem.params, batch)
    weights = np.eye(15) if metric.fixed else np.diag(np.diag(matrix))
    damped = matrix + float(state.info.damping) * weights
    expected = -np.linalg.solve(damped, gradient)
    np.testing.assert_allclose(problem.vector(update), expected, rtol=1e-7, atol=1e-10)
    predicted = -(gradient @ expected + expected @ matrix @ expected / 2)
    penalty = l2 / 2 * (np.sum((w + expected) ** 2) - np.sum(w**2))
    actual = oracle.loss(w) - oracle.loss(w + expected) - penalty
    assert float(state.info.reduction_ratio) == pytest.approx(actual / predicted, rel=1e-6)
    assert float(state.info.relative_residual) < 1e-9


def test_a_step_that_bends_too_much_is_refused_where_the_metric_follows_the_diagonal(x64) -> None:
    """`w^4` from far below: `|a| / |d|` is 1/3 for undamped steps and of any size for `exp`'s tail."""
    objective = qn.Objective(lambda p, x: x * jax.numpy.exp(p), lambda o, t: (o - t) ** 2)
    batch = (jax.numpy.ones(3), jax.numpy.full(3, 5.0))
    params = jax.numpy.array(-12.0)
    update, state = one_step(dual_newton(objective), objective, params, batch)
    ratio = float(state.info.acceleration_ratio)
    assert 2 * ratio > 1.5
    assert not bool(state.info.accepted)
    assert float(update) == 0
    assert float(state.damping) > float(state.info.damping)
