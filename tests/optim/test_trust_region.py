"""Steps within a radius; the oracles are a dense secular equation, and scipy's root finder."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import brentq

import qnewton as qn
from qnewton._optim.trust_region import minimise_in_disc

newton: Any = qn.newton


def oracle_in_ball(slopes: np.ndarray, curvature: np.ndarray, radius: float) -> np.ndarray:
    """The secular equation in any dimension (Nocedal and Wright 2006, theorem 4.1), without the hard case."""
    values, vectors = np.linalg.eigh(curvature)
    along = vectors.T @ slopes
    least = max(0.0, -values[0])

    def excess(shift: float) -> float:
        return float(np.linalg.norm(along / (values + shift))) - radius

    if values[0] > 0 and excess(0.0) <= 0:
        return -vectors @ (along / values)
    top = np.linalg.norm(slopes) / radius - values[0] + 1e-9
    shift = brentq(excess, least + 1e-14 * max(1, top), max(top, least + 1e-9) * 2, xtol=1e-15, rtol=np.float64(1e-14))
    return -vectors @ (along / (values + shift))


SPECTRA = {
    "definite": (1.0, 0.05),
    "nearly singular": (1.0, 1e-9),
    "singular": (1.0, 0.0),
    "indefinite": (1.0, -0.3),
    "negative": (-0.1, -2.0),
    "equal": (0.7, 0.7),
    "none": (0.0, 0.0),
}


@pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA)
def test_the_disc_against_the_secular_equation(spectrum: tuple[float, float], x64) -> None:
    rng = np.random.default_rng(1)
    solve = jax.jit(minimise_in_disc)
    for unit in (1e-6, 1.0, 1e6):
        for radius in (1e-3, 0.3, 2.0, 50.0):
            rotation, _ = np.linalg.qr(rng.standard_normal((2, 2)))
            curvature = unit * rotation @ np.diag(spectrum) @ rotation.T
            slopes = unit * rng.standard_normal(2)
            c, limited = solve(jnp.asarray(slopes), jnp.asarray((curvature + curvature.T) / 2), radius)
            expected = oracle_in_ball(slopes, curvature, radius)
            np.testing.assert_allclose(c, expected, rtol=0, atol=1e-6 * float(np.linalg.norm(expected)))
            assert np.linalg.norm(c) <= radius * (1 + 1e-12)
            assert bool(limited) == (np.linalg.norm(expected) > radius * (1 - 1e-6))


def test_no_slope_along_the_lowest_eigenvector(x64) -> None:
    """The hard case: on the rim, with a value that no sign changes."""
    solve = jax.jit(minimise_in_disc)
    c, limited = solve(jnp.asarray([1.0, 0.0]), jnp.diag(jnp.asarray([1.0, -1.0])), jnp.asarray(2.0))
    # (B + I) c = -g gives the first entry, the rim the second.
    np.testing.assert_allclose([c[0], abs(c[1])], [-0.5, np.sqrt(4 - 0.25)], rtol=1e-10)
    assert bool(limited)
    flat, _ = solve(jnp.zeros(2), jnp.diag(jnp.asarray([1.0, 0.5])), jnp.asarray(2.0))
    np.testing.assert_array_equal(flat, 0)


def test_single_precision_loses_little_of_the_decrease() -> None:
    rng = np.random.default_rng(2)
    solve = jax.jit(minimise_in_disc)
    for _ in range(200):
        factor = rng.standard_normal((2, 2)) * 10 ** rng.uniform(-1, 1, 2)
        slopes, radius = rng.standard_normal(2) * 10 ** rng.uniform(-3, 3), 10 ** rng.uniform(-3, 2)
        curvature = (factor @ factor.T).astype(np.float32).astype(np.float64)
        slopes = slopes.astype(np.float32).astype(np.float64)
        c = np.asarray(solve(jnp.float32(slopes), jnp.float32(curvature), jnp.float32(radius))[0], np.float64)
        best = oracle_in_ball(slopes, curvature, radius)
        model = [slopes @ x + x @ curvature @ x / 2 for x in (c, best)]
        assert model[0] <= model[1] + 1e-2 * abs(model[1])
        assert np.linalg.norm(c) <= radius * (1 + 1e-5)


def dense_model(problem: Any, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return problem.oracle.gradient(w), problem.oracle.curvature("gauss-newton", w)


def run(problem: Any, steps: int, rule: qn.TrustRegion, **options: Any) -> list[tuple[np.ndarray, np.ndarray, Any]]:
    """Parameters, update and state of every step."""
    optimizer = newton(problem.objective, step=rule, conditioning=[qn.Shift(1e-3)], solver=qn.Cholesky(), **options)
    params, state, history, traces = problem.params, optimizer.init(problem.params), [], []

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        traces.append(1)
        return optimizer.update(jax.grad(problem.objective)(params, problem.batch), state, params, batch=problem.batch)

    for _ in range(steps):
        updates, state = step(params, state)
        history.append((problem.vector(params), problem.vector(updates), state))
        params = optax.apply_updates(params, updates)
    assert len(traces) == 1
    return history


def test_the_step_is_the_best_of_the_plane_and_the_radius_follows_the_ratio(problem_of, x64) -> None:
    problem = problem_of("float64")
    radius, limited = 0.3, []
    for w, update, state in run(problem, 12, qn.TrustRegion(radius=0.3), partition=qn.per_tensor):
        gradient, matrix = dense_model(problem, w)
        direction = np.zeros(15)
        for rows in problem.oracle.blocks("per_tensor"):
            direction[rows] = -np.linalg.solve(matrix[np.ix_(rows, rows)] + 1e-3 * np.eye(len(rows)), gradient[rows])
        basis, _ = np.linalg.qr(np.stack([direction, gradient], axis=1))
        best = basis @ oracle_in_ball(basis.T @ gradient, basis.T @ matrix @ basis, radius)
        assert float(state.info.radius) == pytest.approx(radius)
        actual = problem.oracle.loss(w) - problem.oracle.loss(w + best)
        ratio = actual / -(gradient @ best + best @ matrix @ best / 2)
        np.testing.assert_allclose(state.info.reduction_ratio, ratio, rtol=1e-4)
        np.testing.assert_allclose(update, best * (actual > 0), rtol=0, atol=1e-6 * float(np.linalg.norm(best)))
        # The coefficient of the direction; what is left of the step is a multiple of the gradient.
        left = best - float(state.info.learning_rate) * direction
        np.testing.assert_allclose(abs(left @ gradient), np.linalg.norm(left) * np.linalg.norm(gradient), rtol=1e-4)
        length = float(np.linalg.norm(best))
        limited.append(length > radius * (1 - 1e-6))
        if actual <= 0 or ratio < 0.25:
            radius = 0.25 * length
        elif ratio > 0.75 and limited[-1]:
            radius = 2 * radius
        assert float(state.radius) == pytest.approx(radius, rel=1e-5)
    assert set(limited) == {False, True}, "the radius never, or always, mattered: the test shows nothing"


def test_rosenbrock_is_solved_though_newtons_full_step_fails(x64) -> None:
    """Residuals `10 (y - x^2)` and `1 - x`, from the classical start (-1.2, 1): every accepted step lowers the loss."""
    objective = qn.Objective(
        lambda p, x: jnp.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]]) * x, lambda z, y: jnp.sum((z - y) ** 2, axis=-1)
    )
    batch = jnp.ones((1, 1)), jnp.zeros((1, 2))
    optimizer = newton(
        objective,
        step=qn.TrustRegion(),
        conditioning=[qn.Shift(1e-10)],
        solver=qn.Cholesky(),
        curvature=qn.GaussNewton(),
    )
    params = jnp.asarray([-1.2, 1.0])

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
        return params + updates, state

    state, losses = optimizer.init(params), []
    for _ in range(60):
        params, state = step(params, state)
        losses.append(float(state.info.loss))
    np.testing.assert_allclose(params, [1, 1], atol=1e-8)
    assert losses == sorted(losses, reverse=True)


def test_kfac_takes_it_too(problem_of) -> None:
    problem = problem_of()
    optimizer: Any = qn.kfac(problem.objective, step=qn.TrustRegion(radius=0.5))
    params, state = problem.params, optimizer.init(problem.params)
    before = float(problem.objective(params, problem.batch))
    step = jax.jit(
        lambda p, s: optimizer.update(jax.grad(problem.objective)(p, problem.batch), s, p, batch=problem.batch)
    )
    for _ in range(10):
        updates, state = step(params, state)
        assert np.linalg.norm(problem.vector(updates)) <= float(state.info.radius) * (1 + 1e-5)
        params = optax.apply_updates(params, updates)
    assert float(problem.objective(params, problem.batch)) < 0.6 * before


def test_a_batch_that_is_not_finite_moves_nothing_and_does_not_last(problem_of) -> None:
    problem = problem_of()
    inputs, targets = problem.batch
    optimizer = newton(problem.objective, step=qn.TrustRegion(), conditioning=[qn.Shift(0.1)], solver=qn.Cholesky())
    state = optimizer.init(problem.params)
    bad = inputs.at[0, 0].set(jnp.nan), targets
    gradients = jax.grad(problem.objective)(problem.params, bad)
    updates, state = jax.jit(lambda s: optimizer.update(gradients, s, problem.params, batch=bad))(state)
    np.testing.assert_array_equal(problem.vector(updates), 0)
    assert (bool(state.info.accepted), float(state.radius)) == (False, 1.0)


BAD = [
    ({"radius": 0.0}, "the radius starts at 0.0"),
    ({"largest": float("inf")}, "limits None to inf"),
    ({"shrink": 1.0}, "shrink is 1.0"),
    ({"grow": 1.0}, "grow 1.0"),
    ({"damping": 0.0}, "damping is 0.0"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_input(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qn.TrustRegion(**options)
