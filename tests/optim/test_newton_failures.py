"""What goes wrong is said in the state, block by block, and never poisons the parameters."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q
from qnewton.testing import DenseBlock

# optax's types know states made of arrays alone; a NewtonState holds more.
newton: Any = q.newton


class Replaced(q.curvature.AbstractCurvature):
    """Gauss-Newton, with one block's matrix filled with one number."""

    name: str = eqx.field(static=True)
    value: float = eqx.field(static=True)

    @property
    def semidefinite(self) -> bool:
        return False

    def operator(self, point, block: q.Block):
        block_of = q.GaussNewton().operator(point, block)
        matrix = block_of.as_matrix()
        if block.name == self.name:
            matrix = jnp.full_like(matrix, self.value)
        return DenseBlock(matrix)


def statuses(state) -> list[q.Status]:
    return [q.Status(int(block.status)) for block in state.info.blocks]


# What the block's matrix is filled with, whether a Hybrid solves, and the status.
FAILURES = {
    "NaN, Hybrid": (np.nan, True, q.Status.NOT_FINITE),
    "infinite, LU": (np.inf, False, q.Status.NOT_FINITE),
    # A matrix of zeros is damped by a multiple of its largest entry, so it stays singular.
    "singular, Hybrid": (0.0, True, q.Status.NOT_SOLVED),
    "singular, LU": (0.0, False, q.Status.NOT_SOLVED),
}


@pytest.mark.parametrize(("value", "scheduled", "status"), FAILURES.values(), ids=FAILURES.keys())
def test_a_block_that_fails_takes_its_gradient_and_the_others_their_newton_step(
    value, scheduled, status, problem_of, hybrid_of, step_of
):
    problem = problem_of()
    optimizer = newton(
        problem.objective,
        0.5,
        curvature=Replaced("hidden", value),
        partition=q.per_layer,
        conditioning=[q.Damp(0.1)],
        solver=hybrid_of(solvers=[q.LU(), q.QLSA()]) if scheduled else lx.LU(),
        adaptation=q.Fixed(),
    )
    step, _ = step_of(optimizer, problem.objective)
    params, state, updates = step(problem.params, optimizer.init(problem.params), problem.batch)
    w = problem.oracle.vector
    gradient, matrix = problem.oracle.gradient(w), problem.oracle.curvature("gauss-newton", w)
    expected = np.zeros(15)
    for index, rows in enumerate(problem.oracle.blocks("per_layer")):
        block = matrix[np.ix_(rows, rows)]
        damped = block + 0.1 * np.abs(block).max() * np.eye(len(rows))
        expected[rows] = -0.5 * (gradient[rows] if index == 0 else np.linalg.solve(damped, gradient[rows]))
    np.testing.assert_allclose(problem.vector(updates), expected, rtol=1e-3, atol=1e-4)
    if scheduled and value == 0.0:
        # An infinite condition number shuts out the quantum candidate; LU is always allowed to try.
        assert not bool(state.info.blocks[0].plan.offers.feasible[0, 1])
    assert statuses(state) == [status, q.Status.OK]
    assert np.isfinite(problem.vector(params)).all()


@pytest.mark.parametrize("adaptation", [q.Fixed(), q.LevenbergMarquardt()], ids=["fixed", "levenberg-marquardt"])
def test_a_bad_batch_moves_nothing_and_the_next_good_one_does(adaptation, problem_of, hybrid_of, step_of):
    problem = problem_of()
    optimizer = newton(
        problem.objective, partition=q.per_layer, solver=hybrid_of(), adaptation=adaptation, conditioning=[q.Damp(0.5)]
    )
    step, traces = step_of(optimizer, problem.objective)
    inputs, targets = problem.batch
    bad = inputs.at[3, 1].set(np.nan), targets
    params, state, updates = step(problem.params, optimizer.init(problem.params), bad)
    assert statuses(state) == [q.Status.NOT_FINITE] * 2
    assert np.isnan(state.info.loss)
    assert not bool(state.info.accepted)
    assert not problem.vector(updates).any()
    np.testing.assert_array_equal(problem.vector(params), problem.vector(problem.params))

    params, state, _ = step(params, state, problem.batch)
    assert statuses(state) == [q.Status.OK] * 2
    assert problem.oracle.loss(problem.vector(params)) < problem.oracle.loss(problem.vector(problem.params))
    assert len(traces) == 1


def test_a_block_whose_gradient_is_not_finite_stays_and_the_others_move(problem_of, step_of):
    problem = problem_of()
    optimizer = newton(problem.objective, partition=q.per_layer, solver=lx.LU(), adaptation=q.Fixed())
    step, _ = step_of(optimizer, problem.objective)
    inputs, targets = problem.batch
    # Infinity saturates the tanh: the outputs are finite, and the derivative in the first layer is infinity times 0.
    bad = inputs.at[3, 1].set(np.inf), targets
    _, state, updates = step(problem.params, optimizer.init(problem.params), bad)
    assert np.isfinite(state.info.loss)
    assert statuses(state) == [q.Status.NOT_FINITE, q.Status.OK]
    assert not np.any(updates["hidden"]["weight"])
    assert not np.any(updates["hidden"]["bias"])
    assert np.all(updates["out"]["weight"])
    assert np.isfinite(updates["out"]["weight"]).all()


def test_no_candidate_is_a_status_of_its_own(step_of, hybrid_of):
    # w^4 / 4 - w^2 / 2 is concave at 0.1.
    objective = q.Objective(lambda p, x: jnp.broadcast_to(p, x.shape[:1]), lambda o, t: o**4 / 4 - o**2 / 2)
    optimizer = newton(
        objective,
        curvature=q.Hessian(),
        conditioning=[q.Damp(5e-3)],
        solver=hybrid_of(solvers=[q.Cholesky()]),
        adaptation=q.Fixed(),
    )
    params, batch = jnp.asarray([0.1]), (jnp.zeros((2, 1)), jnp.zeros(2))
    step, _ = step_of(optimizer, objective)
    params, state, updates = step(params, optimizer.init(params), batch)
    assert statuses(state) == [q.Status.NO_CANDIDATE]
    np.testing.assert_allclose(updates, [0.1 - 0.1**3], rtol=1e-5)  # minus the gradient
    # On the convex side, past 1 / sqrt(3), the same compiled step is Newton's again.
    params, state, updates = step(jnp.asarray([2.0]), state, batch)
    assert statuses(state) == [q.Status.OK]
    np.testing.assert_allclose(updates, [-(2**3 - 2) / (1.005 * (3 * 4 - 1))], rtol=1e-4)


# The tolerance is 0.1 unless told otherwise.
TOLERANCES = {"by default": ({}, q.Status.NOT_SOLVED), "0.9": ({"residual_tolerance": 0.9}, q.Status.OK)}


@pytest.mark.parametrize(("option", "status"), TOLERANCES.values(), ids=TOLERANCES.keys())
def test_the_residual_decides_what_counts_as_solved(option, status, problem_of, step_of):
    problem = problem_of()
    optimizer = newton(
        problem.objective,
        conditioning=[q.Damp(0.5)],
        solver=lx.CG(rtol=1e-8, atol=1e-8, max_steps=1),
        adaptation=q.Fixed(),
        **option,
    )
    step, _ = step_of(optimizer, problem.objective)
    _, state, updates = step(problem.params, optimizer.init(problem.params), problem.batch)
    w = problem.oracle.vector
    gradient, matrix = problem.oracle.gradient(w), problem.oracle.curvature("gauss-newton", w)
    matrix = matrix + 0.5 * np.abs(matrix).max() * np.eye(15)
    # One step of conjugate gradients from 0 is a Cauchy step along the gradient.
    cauchy = gradient * (gradient @ gradient) / (gradient @ matrix @ gradient)
    residual = np.linalg.norm(matrix @ cauchy - gradient) / np.linalg.norm(gradient)
    assert 0.1 < residual < 0.9
    np.testing.assert_allclose(state.info.blocks[0].relative_residual, residual, rtol=1e-3)
    assert statuses(state) == [status]
    expected = -cauchy if status == q.Status.OK else -gradient
    np.testing.assert_allclose(problem.vector(updates), expected, rtol=1e-3, atol=1e-5)


def test_a_vanishing_gradient_is_no_failure(hybrid_of, step_of):
    objective = q.Objective(lambda p, x: x @ p, lambda o, t: (o - t) ** 2)
    optimizer = newton(objective, solver=hybrid_of(), adaptation=q.Fixed())
    step, _ = step_of(optimizer, objective)
    params, batch = jnp.zeros(2), (jnp.eye(2), jnp.zeros(2))
    params, state, _ = step(params, optimizer.init(params), batch)
    assert statuses(state) == [q.Status.OK]
    assert float(state.info.blocks[0].relative_residual) == 0
    np.testing.assert_array_equal(params, 0)


def test_a_refused_step_moves_nothing_and_is_damped_more(problem_of, hybrid_of, step_of):
    problem = problem_of()
    optimizer = newton(
        problem.objective,
        -1.0,  # uphill: the trial step always raises the loss
        conditioning=[q.Damp(0.5)],
        solver=hybrid_of(),
        adaptation=q.LevenbergMarquardt(grow=3.0, largest=20.0),
    )
    step, _ = step_of(optimizer, problem.objective)
    params, state = problem.params, optimizer.init(problem.params)
    scales = []
    for _ in range(3):
        params, state, updates = step(params, state, problem.batch)
        assert not bool(state.info.accepted)
        assert not problem.vector(updates).any()
        scales.append(float(state.info.damping_scale))
    np.testing.assert_array_equal(problem.vector(params), problem.vector(problem.params))
    np.testing.assert_allclose(scales, [1.0, 9.0, 20.0], rtol=1e-6)


def test_a_concave_start_is_left_behind(hybrid_of, step_of):
    # The Hessian's step goes uphill there, as its model predicts: both decreases are negative and their ratio is near
    # 1. That must not pass for a good step, or the damping shrinks for ever and no step is ever taken.
    objective = q.Objective(lambda p, x: jnp.broadcast_to(p, x.shape[:1]), lambda o, t: o**4 / 4 - o**2 / 2)
    optimizer = newton(
        objective,
        curvature=q.Hessian(),
        conditioning=[q.Damp(5e-3)],
        solver=hybrid_of(),
        adaptation=q.LevenbergMarquardt(),
    )
    params, batch = jnp.asarray([0.1]), (jnp.zeros((2, 1)), jnp.zeros(2))
    step, _ = step_of(optimizer, objective)
    state = optimizer.init(params)
    refused = 0
    for _ in range(20):
        before = float(state.damping_scale)
        params, state, _ = step(params, state, batch)
        # At the minimum a refusal is rounding's, and says nothing.
        if not bool(state.info.accepted) and abs(float(params[0]) - 1) > 1e-3:
            refused += 1
            assert float(state.damping_scale) > before
    assert refused > 0
    np.testing.assert_allclose(params, [1.0], rtol=1e-2)  # the minimum


@pytest.mark.parametrize("status", q.Status)
def test_every_status_names_its_remedy(status):
    words = {
        q.Status.OK: "solved",
        q.Status.NOT_FINITE: "learning rate",
        q.Status.NO_CANDIDATE: "add LU",
        q.Status.NOT_SOLVED: "raise the damping",
        q.Status.COUPLED: "influence each other",
        q.Status.NO_CURVATURE: "curvature=qnewton.Hessian()",
    }
    assert words[status] in status.remedy
    assert status.label == status.name.lower()
