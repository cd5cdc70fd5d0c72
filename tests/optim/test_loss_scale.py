"""Multiples of a loss take the same steps, whatever the multiple; what rounding hides says nothing."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as q
from qnewton._curvature.loss_scale import LossScale
from qnewton._optim.rounding import lowered

STEPS = 10
OPTIMIZERS: dict[str, Callable[[q.Objective], Any]] = {
    "kfac": q.kfac,
    "kfac, clipped": lambda objective: q.kfac(objective, step=q.KLClip()),
    "dual_newton": q.dual_newton,
    "fisher_newton": lambda objective: q.fisher_newton(objective, 0.05, refresh=4),
    "newton": lambda objective: q.newton(objective, solver=q.Cholesky()),
    "newton, constant damping": lambda objective: q.newton(objective, solver=q.LU(), adaptation=q.Fixed()),
    "newton, plane": lambda objective: q.newton(objective, solver=q.Cholesky(), step=q.QuadraticModel()),
    "newton, radius": lambda objective: q.newton(objective, solver=q.Cholesky(), step=q.TrustRegion()),
    "newton, line search": lambda objective: q.newton(objective, solver=q.CG(rtol=1e-5), step=q.LineSearch()),
}
# These have no square root of the scale on their way, which rounds differently for odd powers of two.
EXACT = {"kfac", "kfac, clipped", "dual_newton", "fisher_newton"}


def predict(params, x):
    return jnp.tanh(x @ params["w"] + params["b"]) @ params["v"]


def data():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((16, 3)).astype(np.float32)
    y = np.sin(x[:, :1]) + 0.1 * rng.standard_normal((16, 1)).astype(np.float32)
    shapes = {"b": (4,), "v": (4, 1), "w": (3, 4)}
    params = {name: jnp.asarray(rng.standard_normal(shape) / 2, jnp.float32) for name, shape in shapes.items()}
    return params, (jnp.asarray(x), jnp.asarray(y))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_multiples_of_a_loss_take_the_same_steps(name):
    params, batch = data()

    @jax.jit
    def train(scale, constant):
        objective = q.Objective(predict, lambda z, y: scale * jnp.sum((z - y) ** 2, axis=-1) + constant)
        optimizer = OPTIMIZERS[name](objective)

        def body(carry, _):
            params, state = carry
            updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
            params = optax.apply_updates(params, updates)
            return (params, state), (jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(params)]))

        (params_after, _), path = jax.lax.scan(body, (params, optimizer.init(params)), None, length=STEPS)
        return path, jnp.mean((predict(params_after, batch[0]) - batch[1]) ** 2)

    path, reached = train(1.0, 0.0)
    assert reached < 0.8 * np.mean((predict(params, batch[0]) - batch[1]) ** 2)
    for power in (-80, 60):
        same = np.asarray(train(2.0**power, 0.0)[0])
        if name in EXACT:
            np.testing.assert_array_equal(same, path)
        np.testing.assert_allclose(same, path, atol=2e-3)
    # float32 squares 1e-24 to zero, and 1e18 * 1e3 to nearly infinity.
    for scale in (1e-24, 1e-12, 1e18):
        np.testing.assert_allclose(train(scale, 0.0)[0], path, atol=2e-3)
    # Most of the decreases are below the rounding of 1e4 + loss: the steps go on all the same.
    assert train(1.0, 1e4)[1] < 0.9 * np.mean((predict(params, batch[0]) - batch[1]) ** 2)


def test_the_unit_is_about_the_largest_curvature_in_the_outputs():
    rng = np.random.default_rng(0)
    z, y = (jnp.asarray(rng.standard_normal((5, 3)), jnp.float32) for _ in range(2))
    batch, params = (z, y), {"a": jnp.ones(3)}
    weights = jnp.asarray([0.0, 7.0, 7.0, 7.0, 7.0])

    def unit(loss):
        objective = q.Objective(lambda p, x: p["a"] * x, loss)
        scale = jax.jit(lambda b: LossScale.of(objective, params, b))(batch)
        return float(scale.unit), float(scale.lift)

    def squares(z, y):
        return jnp.sum((z - y) ** 2, axis=-1)

    # Weights that are all the same change nothing about a weighted mean, nor do examples without weight.
    for loss in (lambda z, y: squares(z, y) / 2, lambda z, y: (squares(z, y) / 2, weights)):
        found, lift = unit(loss)
        assert 0.5 <= found <= 1.5
        assert lift == 0
    assert unit(lambda z, y: 3 * squares(z, y))[0] == pytest.approx(6 * unit(lambda z, y: squares(z, y) / 2)[0])
    # Of a linear loss: slope times outputs, and slope over outputs.
    slope, size = 2.0, np.abs(np.asarray(z)).max()
    np.testing.assert_allclose(unit(lambda z, y: slope * jnp.sum(z, axis=-1)), (slope * size, slope / size), rtol=1e-6)
    largest = unit(optax.softmax_cross_entropy)[0]
    p = np.asarray(jax.nn.softmax(z, axis=-1), np.float64)
    rows = [
        np.abs((np.diag(row) - np.outer(row, row)) * total).sum(1).max()
        for row, total in zip(p, np.asarray(y, np.float64).sum(1), strict=True)
    ]
    assert 0.15 * max(np.abs(rows)) < largest <= 1.5 * max(np.abs(rows))


def test_an_imaginary_part_alone_has_a_unit():
    objective = q.Objective(lambda p, x: (x @ p["w"]) * (1 + 2j), lambda z, y: jnp.imag(z[:, 0] - y) ** 2 / 2)
    batch = jnp.asarray([[1.0, -2.0], [0.5, 1.0]]), jnp.asarray([1.0, 0.0])
    scale = LossScale.of(objective, {"w": jnp.ones((2, 1))}, batch)
    assert 0.5 <= float(scale.unit) <= 1.5
    assert float(scale.lift) == 0


@pytest.mark.parametrize("name", ["kfac", "dual", "newton by rule"])
def test_weights_times_a_number_are_the_same_flat_loss_and_padding_is_nothing(name, x64):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((8, 3)))
    weights = jnp.asarray([1.0, 0, 2, 1, 0, 3, 1, 0])
    params = {"w": jnp.ones((3, 1)) / 3, "b": jnp.zeros(1)}

    def step(factor: float, outputs: str = "float64") -> Any:
        def loss(z, target):
            y, weight = target
            return jnp.abs(z[:, 0] - y), factor * weight

        objective = q.Objective(lambda p, x: (x @ p["w"] + p["b"]).astype(outputs), loss)
        optimizer = {
            "kfac": lambda: q.kfac(objective),
            "dual": lambda: q.dual_newton(objective, metric=q.Levenberg()),
            "newton by rule": lambda: q.newton(objective, solver=q.Cholesky(), step=q.QuadraticModel()),
        }[name]()
        batch = x, (5 * x[:, 0], weights)
        state = optimizer.init(params)
        updates, after = jax.jit(optimizer.update)(jax.grad(objective)(params, batch), state, params, batch=batch)
        assert [leaf.dtype for leaf in jax.tree.leaves(after)] == [leaf.dtype for leaf in jax.tree.leaves(state)]
        return updates

    updates = step(1.0)
    assert float(jnp.max(jnp.abs(updates["w"]))) > 0
    for leaf, other in zip(jax.tree.leaves(updates), jax.tree.leaves(step(7.0)), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-8)
    for outputs in ("float32", "bfloat16"):  # of another dtype than the state
        step(1.0, outputs)


def test_what_a_step_computes_anyway_gives_the_same_unit():
    rng = np.random.default_rng(0)
    z, slope = (jnp.asarray(rng.standard_normal((5, 3)), jnp.float32) for _ in range(2))
    curvature = jnp.asarray(rng.uniform(0.1, 1.0, (5, 3)), jnp.float32)
    scale = LossScale.seen(z, slope, curvature, 3, 2.0)
    assert (float(scale.unit), float(scale.lift)) == (np.max(curvature) / 2, 0)
    # Three positions of one number: the loss sums over them.
    summed = LossScale.seen(z, slope, curvature, 1, 2.0).unit
    np.testing.assert_allclose(summed, np.sum(curvature, axis=1).max() / 2, rtol=1e-6)
    scale = LossScale.seen(z, slope, 0 * curvature, 3, 2.0)
    steepest, size = np.abs(np.asarray(slope)).max(), np.abs(np.asarray(z)).max()
    np.testing.assert_allclose((scale.unit, scale.lift), (steepest * size / 2, steepest / size / 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("before", "actual", "predicted", "expected"),
    [
        (1.0, 0.1, 0.2, (True, False)),
        (1.0, -0.1, 0.2, (False, False)),
        (1.0, 0.0, 1e-9, (True, True)),  # below rounding: on the model's word
        (1.0, -1e-7, 1e-9, (True, True)),
        (1.0, -1e-3, 1e-9, (False, False)),  # but not against what can be seen
        (1.0, 0.0, 0.0, (False, True)),
        (1e-30, 1e-31, 2e-31, (True, False)),
        (np.nan, 0.1, 0.2, (False, False)),
        (np.inf, np.inf, 0.2, (False, False)),
        (1.0, np.inf, 0.2, (False, False)),  # the loss fell to minus infinity
        (1.0, np.nan, 0.2, (False, False)),
    ],
)
def test_what_a_trial_says(before, actual, predicted, expected):
    assert tuple(map(bool, lowered(*(jnp.float32(v) for v in (before, actual, predicted))))) == expected
