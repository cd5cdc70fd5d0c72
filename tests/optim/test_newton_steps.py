"""How far `newton` goes: step rules in its place of a learning rate, and curvature that serves several steps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import qnewton as qn

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 3)), RNG.standard_normal((12, 2))
PARAMS = {"v": RNG.standard_normal((4, 2)), "w": RNG.standard_normal((3, 4))}
OBJECTIVE = qn.Objective(
    lambda p, x: jnp.tanh(x @ p["w"]) @ p["v"], lambda z, y: jnp.sum((z - y) ** 2, axis=-1) / 2, l2=1e-3
)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def run(steps, **options):
    """Parameters before every step, and the info after it."""
    optimizer = qn.newton(OBJECTIVE, **options)
    params, batch = jax.tree.map(jnp.asarray, PARAMS), (jnp.asarray(X), jnp.asarray(Y))
    state, traces, history = optimizer.init(params), [], []

    @jax.jit
    def step(params, state):
        traces.append(1)
        updates, state = optimizer.update(jax.grad(OBJECTIVE)(params, batch), state, params, batch=batch)
        return updates, state

    for _ in range(steps):
        updates, state = step(params, state)
        history.append((params, updates, state.info))
        params = optax.apply_updates(params, updates)
    assert len(traces) == 1
    return history


def outputs_of(flat):
    v, w = flat[:8].reshape(4, 2), flat[8:].reshape(3, 4)
    return (jnp.tanh(jnp.asarray(X) @ w) @ v).ravel()


@jax.jit
def loss_of(flat):
    return jnp.sum((outputs_of(flat) - Y.ravel()) ** 2) / 2 / len(X) + 1e-3 / 2 * jnp.sum(flat**2)


@jax.jit
def numbers_of(flat):
    """Gradient and Gauss-Newton matrix."""
    jacobian = jax.jacobian(outputs_of)(flat)
    return jax.grad(loss_of)(flat), jacobian.T @ jacobian / len(X) + 1e-3 * jnp.eye(flat.size)


def oracle(params):
    """Loss, gradient and Gauss-Newton matrix on the raveled parameters, independent of the library."""
    flat, _ = ravel_pytree(params)
    gradient, matrix = numbers_of(flat)
    return flat, loss_of, gradient, matrix


@pytest.mark.usefixtures("x64")
def test_the_quadratic_model_sets_learning_rate_and_momentum() -> None:
    """Directions of single tensors, so that the plane has something to mend; the model is that of the whole network."""
    rule = qn.QuadraticModel(damping=0.5)
    history = run(3, solver=qn.Cholesky(), conditioning=(qn.Shift(1.0),), partition=qn.per_tensor, step=rule)
    (_, before, _), (params, updates, info) = history[1:]
    flat, loss, gradient, matrix = oracle(params)
    scale = float(info.damping_scale)
    damped = np.asarray(matrix + scale * jnp.eye(flat.size))
    tensors = [slice(0, 8), slice(8, 20)]
    direction = np.concatenate([-np.linalg.solve(damped[own, own], gradient[own]) for own in tensors])
    plane = np.stack([direction, ravel_pytree(before)[0]], axis=1)
    coefficients = np.linalg.solve(plane.T @ damped @ plane, -plane.T @ gradient)
    np.testing.assert_allclose(ravel_pytree(updates)[0], plane @ coefficients, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose([info.learning_rate, info.momentum], coefficients, rtol=1e-6)
    np.testing.assert_allclose(info.loss, loss(flat), rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_the_line_search_takes_the_first_rate_that_lowers_the_loss_enough() -> None:
    # Barely damped from a random start: full steps overshoot.
    history = run(6, solver=qn.Cholesky(), conditioning=(qn.Shift(1e-9),), step=qn.LineSearch(slope=0.3))
    rates = []
    for params, updates, info in history:
        flat, loss, gradient, matrix = oracle(params)
        direction = -np.linalg.solve(matrix + 1e-9 * np.eye(flat.size), gradient)
        rate = next(
            0.5**k
            for k in range(12)
            if loss(flat) - loss(flat + 0.5**k * direction) >= -0.3 * 0.5**k * float(gradient @ direction)
        )
        np.testing.assert_allclose(info.learning_rate, rate)
        np.testing.assert_allclose(ravel_pytree(updates)[0], rate * direction, rtol=1e-5, atol=1e-10)
        rates.append(rate)
    assert min(rates) < 1, "no step was shortened: the test shows nothing"


def test_the_line_search_leaves_a_concave_start_along_the_gradient() -> None:
    """Two wells at p = -1 and 1: at 0.1 Newton's direction leads uphill, to the ridge between them."""
    wells = qn.Objective(lambda w, _: ((w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2)[None], lambda output, _: output)
    batch = (jnp.zeros((1, 1)), jnp.zeros(1))
    optimizer: Any = qn.newton(wells, solver=qn.LU(), conditioning=(qn.Shift(1e-3),), step=qn.LineSearch())
    params, state = jnp.array([0.1, 0.01]), optimizer.init(jnp.zeros(2))
    step = jax.jit(lambda params, state: optimizer.update(jax.grad(wells)(params, batch), state, params, batch=batch))
    for _ in range(8):
        updates, state = step(params, state)
        params = params + updates
    np.testing.assert_allclose(params, [1, 0], atol=1e-3)


@pytest.mark.usefixtures("x64")
def test_curvature_serves_as_many_steps_as_asked_for() -> None:
    history = run(5, solver=qn.Cholesky(), adaptation=qn.Fixed(), conditioning=(qn.Shift(0.3),), refresh=3)
    assert [int(info.staleness) for _, _, info in history] == [0, 1, 2, 0, 1]
    for k, (params, updates, _) in enumerate(history):
        matrix = oracle(history[3 * (k // 3)][0])[3]
        flat, _, gradient, _ = oracle(params)
        expected = -np.linalg.solve(matrix + 0.3 * np.eye(flat.size), gradient)
        np.testing.assert_allclose(ravel_pytree(updates)[0], expected, rtol=1e-9, atol=1e-13)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="refresh is 0"):
        qn.newton(OBJECTIVE, refresh=0)
    with pytest.raises(ValueError, match="the rule stands in for both"):
        qn.newton(OBJECTIVE, 0.5, step=qn.LineSearch())
    with pytest.raises(ValueError, match="tries 0"):
        qn.LineSearch(tries=0)


CLASSIFIER = qn.Objective(OBJECTIVE.predict, lambda z, y: optax.softmax_cross_entropy(z, y))


@pytest.mark.parametrize(
    ("objective", "examples", "expected"),
    [(OBJECTIVE, 5, "DualNewtonState"), (OBJECTIVE, 13, "DualNewtonState"), (CLASSIFIER, 13, "KFACState")],
    ids=["few residuals", "a fit of squares", "many residuals"],
)
def test_the_recipe_goes_by_the_shape(objective, examples, expected) -> None:
    """20 parameters and 2 outputs: 10 residuals or 26."""
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), PARAMS)
    batch = jnp.ones((examples, 3)), jnp.eye(2)[np.arange(examples) % 2]
    optimizer = qn.recipe(objective, params, batch)
    state = optimizer.init(params)
    assert type(state).__name__ == expected
    gradients = jax.grad(objective)(params, batch)
    updates, _ = jax.jit(lambda g, s, p: optimizer.update(g, s, p, batch=batch))(gradients, state, params)
    assert objective(optax.apply_updates(params, updates), batch) < objective(params, batch)
