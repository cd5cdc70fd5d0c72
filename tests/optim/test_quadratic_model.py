"""The exact model in a plane, against the dense Gauss-Newton matrix in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qnewton as q
from qnewton._core import traces
from qnewton._optim import applied, quadratic_model
from qnewton._optim.quadratic_model import PlaneModel

SHIFT = 0.3


@pytest.fixture
def case(problem_of, x64):
    """A model of 15 parameters, its gradient and dense Gauss-Newton matrix, and two directions."""
    problem = problem_of("float64")
    w = problem.oracle.vector
    directions = np.random.default_rng(3).standard_normal((2, 15))
    return problem, problem.oracle.gradient(w), problem.oracle.curvature("gauss-newton", w), directions


def plane(problem, gradient, directions) -> PlaneModel:
    block = q.whole(problem.params)[0]
    trees = [block.put(problem.params, jnp.asarray(d)) for d in directions]
    return jax.jit(PlaneModel.of, static_argnums=0)(
        problem.objective, problem.params, problem.batch, jnp.asarray(gradient), trees
    )


def test_coefficients_minimise_the_dense_model_over_the_plane(case):
    problem, gradient, curvature, directions = case
    model = plane(problem, gradient, directions)
    coefficients, bounded = model.minimiser(SHIFT)

    damped = curvature + SHIFT * np.eye(15)
    # Minimising over the span is least squares in the metric of the damped matrix.
    root = np.linalg.cholesky(damped).T
    expected = np.linalg.lstsq(root @ directions.T, -np.linalg.solve(root.T, gradient), rcond=None)[0]
    assert bool(bounded)
    np.testing.assert_allclose(coefficients, expected, rtol=1e-9)

    step = expected @ directions
    np.testing.assert_allclose(
        model.decrease(coefficients, SHIFT), -(gradient @ step + step @ damped @ step / 2), rtol=1e-9
    )


def test_one_direction_alone(case):
    problem, gradient, curvature, directions = case
    d = directions[0]
    coefficients, _ = plane(problem, gradient, directions[:1]).minimiser(SHIFT)
    np.testing.assert_allclose(coefficients, [-(d @ gradient) / (d @ curvature @ d + SHIFT * d @ d)], rtol=1e-9)


@pytest.mark.parametrize("factor", [0.0, 1.0, -2.0])
def test_a_second_direction_that_is_zero_or_parallel_is_left_out(case, factor):
    problem, gradient, _, directions = case
    alone, _ = plane(problem, gradient, directions[:1]).minimiser(SHIFT)
    coefficients, bounded = plane(problem, gradient, np.stack([directions[0], factor * directions[0]])).minimiser(SHIFT)
    assert bool(bounded)
    np.testing.assert_allclose(coefficients, [float(alone[0]), 0], rtol=1e-9)


def test_weights_enter_as_in_the_objective(case):
    problem, gradient, _, directions = case
    weights = jnp.asarray([1.0, 0.0, 2.0, 1.0, 0.5, 0.0, 1.0, 3.0])

    def loss(z, y):
        return problem.objective.loss(z, y[0]), y[1]

    block = q.whole(problem.params)[0]
    trees = [block.put(problem.params, jnp.asarray(d)) for d in directions]
    batch = (problem.batch[0], (problem.batch[1], weights))
    model = PlaneModel.of(
        q.Objective(problem.objective.predict, loss), problem.params, batch, jnp.asarray(gradient), trees
    )
    moved = np.einsum("nop,kp->kno", problem.oracle.jacobian(problem.oracle.vector), directions)
    expected = np.einsum("kno,n,mno->km", moved, weights, moved) / np.sum(weights)
    np.testing.assert_allclose(model.curvature, expected, rtol=1e-9)


def test_a_lift_is_the_curvature_of_a_loss_without_any(case):
    problem, gradient, _, directions = case
    weights = np.array([1.0, 0.0, 2.0, 1.0, 0.5, 0.0, 1.0, 3.0])
    block = q.whole(problem.params)[0]
    trees = [block.put(problem.params, jnp.asarray(d)) for d in directions]
    moved = np.einsum("nop,kp->kno", problem.oracle.jacobian(problem.oracle.vector), directions)
    for given, own in ((None, np.ones(8)), (weights, weights)):

        def loss(z, y, given=given):
            return jnp.sum(z, axis=1) if given is None else (jnp.sum(z, axis=1), jnp.asarray(given))

        objective = q.Objective(problem.objective.predict, loss)
        model = PlaneModel.of(objective, problem.params, problem.batch, jnp.asarray(gradient), trees, lift=0.7)
        expected = 0.7 * np.einsum("kno,n,mno->km", moved, own, moved) / np.sum(own)
        np.testing.assert_allclose(model.curvature, expected, rtol=1e-9)


def test_a_model_without_a_minimum_says_so():
    model = PlaneModel(jnp.ones(2), -jnp.eye(2), jnp.eye(2))
    coefficients, bounded = model.minimiser(0.5)
    assert not bool(bounded)
    np.testing.assert_array_equal(coefficients, [0, 0])
    assert bool(model.minimiser(2.0)[1])


def test_large_directions_have_the_model_of_small_ones(case, monkeypatch):
    """They are not copied into one array."""
    problem, gradient, _, directions = case
    block = q.whole(problem.params)[0]
    trees = [block.put(problem.params, jnp.asarray(d)) for d in directions]
    metric = jnp.linspace(0.5, 2, 15)

    def model():
        return jax.jit(
            lambda g: PlaneModel.of(problem.objective, problem.params, problem.batch, g, trees, None, metric)
        )(jnp.asarray(gradient))

    together = model()
    monkeypatch.setattr(quadratic_model, "LARGE", 15)
    apart = model()
    for one, other in zip(jax.tree.leaves(together), jax.tree.leaves(apart), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_what_a_large_step_leaves_is_what_a_small_one_leaves(monkeypatch):
    step, gradient = jnp.linspace(-1, 1, 40), jnp.linspace(2, -1, 40) ** 2
    begun = applied.Left.nothing(jnp.float32)

    def left():
        found, _ = begun.found(step + 3, (jnp.ones((4, 2)), jnp.ones(4)), jnp.ones(()), lambda found: None)
        return begun.after(found, step, jnp.ones((), bool), jnp.ones(()), jnp.ones(()) / 2, 0.0, gradient)

    small = left()
    monkeypatch.setattr(applied, "LARGE", 40)
    monkeypatch.setattr(traces, "LARGE", 40)
    np.testing.assert_allclose(left().numbers, small.numbers, rtol=1e-6)
