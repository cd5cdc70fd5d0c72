"""`newton` takes the step that numpy computes, and says truthfully what it did."""

import functools
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import pytest

import qnewton as q

# optax's types know states made of arrays alone; a NewtonState holds more.
newton: Any = q.newton

CURVATURES = {"gauss-newton": q.GaussNewton(), "hessian": q.Hessian()}
PARTITIONS = {"per_tensor": q.per_tensor, "per_layer": q.per_layer, "whole": q.whole}


def numpys_step(oracle, curvature: str, partition: str, *, relative: float, rate: float, clip: float = np.inf):
    """Update, and per block the amount of damping; float64."""
    w = oracle.vector
    gradient, matrix = oracle.gradient(w), oracle.curvature(curvature, w)
    update, damping = np.zeros_like(w), []
    for rows in oracle.blocks(partition):
        block = matrix[np.ix_(rows, rows)]
        damping.append(relative * np.abs(block).max())
        direction = np.linalg.solve(block + damping[-1] * np.eye(len(rows)), gradient[rows])
        update[rows] = -rate * np.clip(direction, -clip, clip)
    return update, damping


@pytest.mark.parametrize(
    ("curvature", "partition"), [*(("gauss-newton", name) for name in PARTITIONS), ("hessian", "per_tensor")]
)
def test_a_step_is_numpys(curvature, partition, x64, problem_of, hybrid_of, step_of):
    problem = problem_of("float64")
    clip = 0.3
    expected, damping = numpys_step(problem.oracle, curvature, partition, relative=0.05, rate=0.7, clip=clip)
    assert (np.abs(expected) == 0.7 * clip).any(), "the clip does something"
    assert (np.abs(expected) < 0.7 * clip).any()
    optimizer = newton(
        problem.objective,
        0.7,
        curvature=CURVATURES[curvature],
        partition=PARTITIONS[partition],
        conditioning=[q.Damp(0.05)],
        solver=hybrid_of("float64"),
        adaptation=q.Fixed(),
        clip=clip,
    )
    step, _ = step_of(optimizer, problem.objective)
    params, state, updates = step(problem.params, optimizer.init(problem.params), problem.batch)

    np.testing.assert_allclose(problem.vector(updates), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(problem.vector(params), problem.oracle.vector + expected, rtol=1e-6, atol=1e-9)
    info = state.info
    np.testing.assert_allclose(info.loss, problem.oracle.loss(problem.oracle.vector), rtol=1e-12)
    np.testing.assert_allclose([block.damping for block in info.blocks], damping, rtol=1e-6)
    assert [int(block.status) for block in info.blocks] == [q.Status.OK] * len(damping)
    assert all(float(block.relative_residual) < 1e-10 for block in info.blocks)
    assert float(info.learning_rate) == 0.7
    assert bool(info.accepted)
    assert np.isnan(info.reduction_ratio), "a step that was not tried has no ratio"
    assert int(state.count) == 1


# Solvers that fit in: any of lineax's, and the scheduler. One row each.
SOLVERS = {
    "lineax.LU": lx.LU(),
    "lineax.Cholesky": lx.Cholesky(),
    "lineax.AutoLinearSolver": lx.AutoLinearSolver(well_posed=True),
    "Hybrid": None,
}


@pytest.mark.parametrize("name", SOLVERS)
def test_every_lineax_solver_serves(name, problem_of, hybrid_of, step_of):
    problem = problem_of()
    expected, _ = numpys_step(problem.oracle, "gauss-newton", "whole", relative=0.05, rate=1.0)
    solver = SOLVERS[name] or hybrid_of()
    optimizer = newton(problem.objective, conditioning=[q.Damp(0.05)], solver=solver, adaptation=q.Fixed())
    step, traces = step_of(optimizer, problem.objective)
    params, state, updates = step(problem.params, optimizer.init(problem.params), problem.batch)
    np.testing.assert_allclose(problem.vector(updates), expected, rtol=1e-2, atol=1e-3)
    (block,) = state.info.blocks
    assert (block.plan is None) is (name != "Hybrid")
    assert int(block.status) == q.Status.OK
    step(params, state, problem.batch)
    assert len(traces) == 1


def test_a_solver_that_needs_a_proof_of_definiteness_refuses_a_hessian_when_traced(problem_of):
    problem = problem_of()
    optimizer = newton(problem.objective, curvature=q.Hessian(), solver=lx.Cholesky(), adaptation=q.Fixed())
    with pytest.raises(ValueError, match="positive"):
        optimizer.init(problem.params)


def test_the_ratio_is_the_actual_over_the_predicted_decrease(x64, problem_of, hybrid_of, step_of):
    problem = problem_of("float64")
    oracle, w = problem.oracle, problem.oracle.vector
    partition = "per_layer"
    update, damping = numpys_step(oracle, "gauss-newton", partition, relative=0.5 * 4, rate=0.9)
    gradient, matrix = oracle.gradient(w), oracle.curvature("gauss-newton", w)
    # The model is block-diagonal, like the systems, and knows nothing of the damping.
    predicted = -sum(
        gradient[rows] @ update[rows] + update[rows] @ matrix[np.ix_(rows, rows)] @ update[rows] / 2
        for rows in oracle.blocks(partition)
    )
    actual = oracle.loss(w) - oracle.loss(w + update)
    assert actual > 0

    optimizer = newton(
        problem.objective,
        0.9,
        partition=PARTITIONS[partition],
        conditioning=[q.Damp(0.5)],
        solver=hybrid_of("float64"),
        adaptation=q.LevenbergMarquardt(damping=4.0, shrink=0.5, grow=2.0, good=0.75, poor=0.25),
    )
    step, _ = step_of(optimizer, problem.objective)
    _, state, updates = step(problem.params, optimizer.init(problem.params), problem.batch)
    np.testing.assert_allclose(problem.vector(updates), update, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(state.info.reduction_ratio, actual / predicted, rtol=1e-6)
    assert float(state.info.damping_scale) == 4.0
    np.testing.assert_allclose([block.damping for block in state.info.blocks], damping, rtol=1e-6)
    factor = 0.5 if actual / predicted > 0.75 else 1.0 if actual / predicted >= 0.25 else 2.0
    assert float(state.damping_scale) == 4.0 * factor


def test_kept_fraction_is_counted_and_the_pruned_matrix_is_what_is_solved(x64, problem_of, step_of):
    problem = problem_of("float64")
    w = problem.oracle.vector
    matrix = problem.oracle.curvature("gauss-newton", w)
    # The 8 largest of each row (a half, rounded up), made symmetric, and the diagonal.
    order = np.argsort(-np.abs(matrix), axis=1)[:, :8]
    mask = np.zeros_like(matrix, bool)
    np.put_along_axis(mask, order, True, axis=1)
    mask |= mask.T | np.eye(15, dtype=bool)
    pruned = np.where(mask, matrix, 0)
    damped = pruned + 0.5 * np.abs(pruned).max() * np.eye(15)
    expected = -np.linalg.solve(damped, problem.oracle.gradient(w))

    optimizer = newton(
        problem.objective, conditioning=[q.Prune(0.5), q.Damp(0.5)], solver=lx.LU(), adaptation=q.Fixed()
    )
    step, _ = step_of(optimizer, problem.objective)
    _, state, updates = step(problem.params, optimizer.init(problem.params), problem.batch)
    np.testing.assert_allclose(problem.vector(updates), expected, rtol=1e-6, atol=1e-9)
    (block,) = state.info.blocks
    np.testing.assert_allclose(block.kept_fraction, np.count_nonzero(pruned) / np.count_nonzero(matrix), rtol=1e-12)
    np.testing.assert_allclose(block.perturbation, np.linalg.norm(matrix - pruned) / np.linalg.norm(matrix), rtol=1e-9)


def test_a_quadratic_is_solved_in_one_step(dtype, step_of, hybrid_of):
    rng = np.random.default_rng(3)
    inputs, targets = rng.standard_normal((20, 4)), rng.standard_normal(20)
    objective = q.Objective(lambda p, x: x @ p["w"] + p["b"], lambda o, t: (o - t) ** 2)
    params = {"w": jnp.asarray(rng.standard_normal(4), dtype), "b": jnp.zeros((), dtype)}
    optimizer = newton(objective, conditioning=[q.Damp(0.0)], solver=hybrid_of(dtype), adaptation=q.Fixed())
    step, _ = step_of(optimizer, objective)
    batch = jnp.asarray(inputs, dtype), jnp.asarray(targets, dtype)
    params, state, _ = step(params, optimizer.init(params), batch)
    design = np.column_stack([inputs, np.ones(20)])
    expected = np.linalg.lstsq(design, targets)[0]
    tolerance = 200 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.append(params["w"], params["b"]), expected, rtol=tolerance, atol=tolerance)
    # At the minimum there is nothing left to do, and nothing to divide by.
    _, state, updates = step(params, state, batch)
    assert np.isfinite(updates["w"]).all()
    np.testing.assert_allclose(updates["w"], 0, atol=tolerance)


@functools.cache
def quadratic_step(rate):
    objective = q.Objective(lambda p, x: x @ p, lambda o, t: (o - t) ** 2 / 2)
    optimizer = newton(objective, rate, conditioning=[q.Damp(0.0)], solver=lx.LU(), adaptation=q.Fixed())

    @jax.jit
    def step(params, batch):
        updates, _ = optimizer.update(jax.grad(objective)(params, batch), optimizer.init(params), params, batch=batch)
        return params + updates

    return step


@hypothesis.given(seed=st.integers(0, 2**16), rate=st.sampled_from([0.1, 1.0]))
def test_a_fraction_of_the_step_on_a_definite_quadratic_goes_that_fraction_of_the_way(seed, rate):
    # loss = |C (p - target)|^2 / 2 with C far from singular.
    rng = np.random.default_rng(seed)
    factor = np.eye(3) * 3 + rng.uniform(-1, 1, (3, 3))
    target, start = rng.uniform(-2, 2, 3), rng.uniform(-2, 2, 3)
    batch = jnp.asarray(factor, jnp.float32), jnp.asarray(factor @ target, jnp.float32)
    reached = quadratic_step(rate)(jnp.asarray(start, jnp.float32), batch)
    np.testing.assert_allclose(reached, start + rate * (target - start), rtol=1e-3, atol=1e-3)


def test_a_schedule_is_asked_for_every_step(problem_of, step_of):
    problem = problem_of()
    schedule = optax.piecewise_constant_schedule(1.0, {1: 0.5, 2: 0.1})
    optimizer = newton(problem.objective, schedule, solver=lx.LU(), adaptation=q.Fixed())
    step, traces = step_of(optimizer, problem.objective)
    params, state = problem.params, optimizer.init(problem.params)
    rates = []
    for _ in range(3):
        params, state, _ = step(params, state, problem.batch)
        rates.append(float(state.info.learning_rate))
    np.testing.assert_allclose(rates, [1.0, 0.5, 0.05], rtol=1e-6)
    assert len(traces) == 1


# A solver, a residual tolerance and the status that they end in.
CLIPPED = {
    "newton step": (lx.LU(), 0.1, q.Status.OK),
    "gradient step": (lx.CG(rtol=1e-6, atol=1e-6, max_steps=1), 1e-9, q.Status.NOT_SOLVED),
}


@pytest.mark.parametrize(("solver", "tolerance", "status"), CLIPPED.values(), ids=CLIPPED.keys())
def test_the_direction_is_clipped_before_the_learning_rate(solver, tolerance, status, problem_of, step_of):
    problem = problem_of()
    optimizer = newton(
        problem.objective, 0.25, solver=solver, adaptation=q.Fixed(), clip=1e-3, residual_tolerance=tolerance
    )
    step, _ = step_of(optimizer, problem.objective)
    _, state, updates = step(problem.params, optimizer.init(problem.params), problem.batch)
    assert int(state.info.blocks[0].status) == status
    entries = problem.vector(updates)
    np.testing.assert_allclose(np.abs(entries).max(), 0.25e-3, rtol=1e-6)
    if status != q.Status.OK:
        gradient = problem.oracle.gradient(problem.oracle.vector)
        np.testing.assert_allclose(entries, -0.25 * np.clip(gradient, -1e-3, 1e-3), rtol=1e-3)
