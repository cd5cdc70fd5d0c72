"""Damping that follows each block's own reduction ratio; the oracle integrates the gradient along the step."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qnewton as qn
from qnewton._optim.trial import StepTrial, try_blocks

newton: Any = qn.newton

LM = {"shrink": 0.5, "grow": 3.0, "good": 0.75, "poor": 0.25}


def per_block(**options: Any) -> qn.LevenbergMarquardt:
    return qn.LevenbergMarquardt(per_block=True, **LM, **options)


@pytest.mark.parametrize("start", [1.0, 1e-3])
def test_ratios_are_shares_of_the_decrease_over_predictions(start: float, problem_of, step_of, x64) -> None:
    """A moderate step, and one so barely damped that it fails."""
    problem = problem_of("float64")
    oracle, w = problem.oracle, problem.oracle.vector
    optimizer = newton(
        problem.objective,
        partition=qn.per_tensor,
        conditioning=[qn.Shift(0.3)],
        solver=qn.Cholesky(),
        adaptation=per_block(damping=start),
    )
    step, traces = step_of(optimizer, problem.objective)
    _, state, updates = step(problem.params, optimizer.init(problem.params), problem.batch)
    matrix, gradient = oracle.curvature("gauss-newton", w), oracle.gradient(w)
    moved, predicted, positions = np.zeros(15), [], oracle.blocks("per_tensor")
    for rows in positions:
        block = matrix[np.ix_(rows, rows)]
        moved[rows] = -np.linalg.solve(block + 0.3 * start * np.eye(len(rows)), gradient[rows])
        predicted.append(-(gradient[rows] @ moved[rows] + moved[rows] @ block @ moved[rows] / 2))
    # The trapezium of both ends, and in proportion to the predictions what it misses.
    ends = np.array([-(gradient + oracle.gradient(w + moved))[rows] @ moved[rows] / 2 for rows in positions])
    decrease = oracle.loss(w) - oracle.loss(w + moved)
    shares = ends + (decrease - ends.sum()) * np.array(predicted) / sum(predicted)
    np.testing.assert_allclose([block.reduction_ratio for block in state.info.blocks], shares / predicted, rtol=1e-6)
    np.testing.assert_allclose([block.damping_scale for block in state.info.blocks], start)
    np.testing.assert_allclose(state.info.reduction_ratio, decrease / sum(predicted), rtol=1e-6)
    assert np.isnan(state.info.damping_scale)
    accepted = decrease > 0
    assert bool(state.info.accepted) == accepted
    np.testing.assert_allclose(problem.vector(updates), moved * accepted, rtol=1e-6)
    factors = []
    for share, ratio in zip(shares, shares / predicted, strict=True):
        factor = 9.0 if share <= 0 else 0.5 if ratio > 0.75 else 1.0 if ratio >= 0.25 else 3.0
        factors.append(factor if accepted else max(factor, 1.0))
    np.testing.assert_allclose(state.damping_scale, np.maximum(start * np.array(factors), 1e-3))
    assert len(set(factors)) > 1, "all blocks were treated alike: the test shows nothing"
    step(problem.params, state, problem.batch)
    assert len(traces) == 1


def test_the_shares_come_close_to_the_integral_along_the_step(problem_of, x64) -> None:
    problem = problem_of("float64")
    oracle, w = problem.oracle, problem.oracle.vector
    blocks, gradient = qn.per_tensor(problem.params), oracle.gradient(w)
    moved = -0.1 * gradient
    nodes, weights = np.polynomial.legendre.leggauss(12)
    mean = weights @ np.stack([oracle.gradient(w + (t + 1) / 2 * moved) for t in nodes]) / 2
    exact = [-(mean[rows] @ moved[rows]) for rows in oracle.blocks("per_tensor")]
    trial = try_blocks(
        lambda p: problem.objective(p, problem.batch),
        problem.params,
        _tree(problem, moved),
        jnp.asarray(oracle.loss(w)),
        jnp.ones(3),
        blocks,
        [jnp.asarray(gradient[rows]) for rows in oracle.blocks("per_tensor")],
    )
    assert trial.shares is not None
    np.testing.assert_allclose(jnp.sum(trial.shares), oracle.loss(w) - oracle.loss(w + moved), rtol=1e-10)
    np.testing.assert_allclose(trial.shares, exact, rtol=0.02)


def test_of_a_quadratic_the_shares_are_exact_and_blame_both_sides_alike(x64) -> None:
    """`(a + b)^2 / 2`: each alone would reach the minimum, both together overshoot by as much as they gain."""
    objective = qn.Objective(lambda p, x: x * (p["a"] + p["b"]), lambda z, y: (z - y) ** 2 / 2)
    params, batch = {"a": jnp.asarray([1.0]), "b": jnp.asarray([2.0])}, (jnp.ones(1), jnp.zeros(1))
    optimizer = newton(
        objective, partition=qn.per_tensor, conditioning=[qn.Shift(0.0)], solver=qn.Cholesky(), adaptation=per_block()
    )
    updates, state = jax.jit(lambda s: optimizer.update(jax.grad(objective)(params, batch), s, params, batch=batch))(
        optimizer.init(params)
    )
    np.testing.assert_allclose([block.reduction_ratio for block in state.info.blocks], 0, atol=1e-12)
    np.testing.assert_array_equal([updates["a"], updates["b"]], 0)
    np.testing.assert_allclose(state.damping_scale, 9.0)


ADAPTED: dict[str, tuple[list[float], list[float], bool, list[float]]] = {
    "each by its own": ([0.9, 0.5, 0.1, -0.2], [1, 1, 1, 1], True, [0.5, 1.0, 3.0, 9.0]),
    "a rise that was predicted is none the better": ([0.9, -0.8], [1, -1], True, [0.5, 9.0]),
    "none is damped less after a refusal": ([0.9, 0.5, -2.0], [1, 1, 1], False, [1.0, 1.0, 9.0]),
    "what did not move stays": ([0.9, 0.0], [1, 0], True, [0.5, 1.0]),
    "not a number": ([np.nan, np.nan], [1, 1], False, [9.0, 9.0]),
}


@pytest.mark.parametrize(("shares", "predictions", "accepted", "factors"), ADAPTED.values(), ids=ADAPTED)
def test_scales_follow_the_ratios(shares, predictions, accepted, factors) -> None:
    decrease, predictions = jnp.asarray(sum(shares)), jnp.asarray(predictions, jnp.float32)
    trial = StepTrial(decrease, jnp.sum(predictions), jnp.asarray(shares), predictions, jnp.ones(()))
    scales = 2 * jnp.ones(len(shares))
    following = trial.adapted(per_block(), scales, jnp.asarray(accepted))
    np.testing.assert_allclose(following, 2 * np.array(factors))


def test_it_trains_and_every_refusal_raises_a_scale(problem_of, step_of) -> None:
    problem = problem_of()
    optimizer = newton(
        problem.objective,
        partition=qn.per_layer,
        conditioning=[qn.Damp(0.5)],
        solver=qn.Cholesky(),
        adaptation=per_block(damping=1e-3),
    )
    step, _ = step_of(optimizer, problem.objective)
    params, state, losses = problem.params, optimizer.init(problem.params), []
    for _ in range(12):
        before = np.asarray(state.damping_scale)
        params, state, _ = step(params, state, problem.batch)
        losses.append(float(state.info.loss))
        after = np.asarray(state.damping_scale)
        assert after.shape == (2,)
        if not bool(state.info.accepted):
            assert np.all(after >= before)
            assert np.any(after > before)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.6 * losses[0]


def _tree(problem: Any, vector: np.ndarray) -> Any:
    leaves, structure = jax.tree.flatten(problem.params)
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = np.split(vector, ends[:-1])
    return jax.tree.unflatten(
        structure, [jnp.asarray(part.reshape(leaf.shape)) for part, leaf in zip(parts, leaves, strict=True)]
    )
