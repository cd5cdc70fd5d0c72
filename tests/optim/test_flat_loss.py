"""Losses without curvature in the model's outputs: every optimizer moves all the same, or says why not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import linprog

import qnewton as q
from qnewton._core.status import Status
from qnewton._curvature.flat import linear_in_outputs, quadratic_in_outputs

ROSENBROCK = {"p": jnp.asarray([-1.0, 2.0])}
NOTHING = jnp.zeros((1, 1)), jnp.zeros(1)


def valley(params: Any) -> Any:
    """Minimum 0 at (1, 1)."""
    a, b = params["p"]
    return (a - 1) ** 2 + 5 * (b - a**2) ** 2


def train(make: Any, objective: q.Objective, params: Any, batch: Any, steps: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """Losses after every step, the first after none, and all statuses."""
    optimizer = make(objective)

    def body(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
        params = optax.apply_updates(params, updates)
        info = state.info
        status = info.status if hasattr(info, "status") else jnp.stack([block.status for block in info.blocks])
        return (params, state), (objective(params, batch), jnp.max(status))

    _, (losses, statuses) = jax.jit(lambda c: jax.lax.scan(body, c, None, length=steps))(
        (params, optimizer.init(params))
    )
    return np.append(objective(params, batch), losses), np.asarray(statuses), optimizer


MOVERS: dict[str, tuple[Any, float, set[Status]]] = {
    "newton": (lambda o: q.newton(o, solver=q.Cholesky()), 1e-6, {Status.OK}),
    "newton, layers, refreshed": (
        lambda o: q.newton(o, solver=q.LU(), partition=q.per_layer, refresh=2),
        1.0,
        {Status.OK, Status.NOT_SOLVED},
    ),
    "newton, dual": (lambda o: q.newton(o, solver=q.Dual()), 1.0, {Status.NOT_SOLVED}),
    "newton, plane": (
        lambda o: q.newton(o, solver=q.Cholesky(), step=q.QuadraticModel()),
        1.0,
        {Status.OK, Status.NOT_SOLVED},
    ),
    "kfac": (lambda o: q.kfac(o, example=NOTHING[0]), 1.0, {Status.NO_CURVATURE}),
    "dual_newton": (q.dual_newton, 1.0, {Status.NO_CURVATURE}),
    "fisher_newton": (lambda o: q.fisher_newton(o, 0.03), 3.0, {Status.OK}),
    "recipe": (lambda o: q.recipe(o, ROSENBROCK, NOTHING), 1e-6, {Status.OK}),
}


@pytest.mark.parametrize("name", MOVERS)
def test_a_model_that_returns_its_loss_is_minimised(name):
    make, target, expected = MOVERS[name]
    objective = q.Objective(lambda p, x: valley(p)[None], lambda z, y: z)
    losses, statuses, _ = train(make, objective, ROSENBROCK, NOTHING, 60)
    assert losses[0] == 9
    assert losses[-1] < target
    assert {Status(int(status)) for status in statuses} <= expected


def test_newton_on_a_returned_loss_is_newtons_method():
    """Near the minimum, without damping: its second-order convergence, against numpy's exact Hessian."""
    objective = q.Objective(lambda p, x: valley(p)[None], lambda z, y: z)
    optimizer = q.newton(objective, solver=q.LU(), conditioning=[q.Shift(0.0)])
    params = {"p": jnp.asarray([0.9, 0.8])}
    updates, _ = jax.jit(lambda p, s: optimizer.update(jax.grad(objective)(p, NOTHING), s, p, batch=NOTHING))(
        params, optimizer.init(params)
    )
    a, b = 0.9, 0.8
    gradient = [2 * (a - 1) - 20 * a * (b - a * a), 10 * (b - a * a)]
    hessian = [[2 - 20 * (b - a * a) + 40 * a * a, -20 * a], [-20 * a, 10]]
    np.testing.assert_allclose(updates["p"], -np.linalg.solve(hessian, gradient), rtol=1e-4)


def linear_problem() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((30, 3)).astype(np.float32)
    y = np.sign(x @ np.asarray([[1.0], [-2.0], [0.5]], np.float32) + 0.3)
    return lambda p, x: x @ p["w"], {"w": jnp.zeros((3, 1))}, (jnp.asarray(x), jnp.asarray(y))


@pytest.mark.parametrize("scale", [1.0, 1e-20])
@pytest.mark.parametrize("name", ["newton", "kfac", "dual_newton"])
def test_absolute_errors_of_a_linear_model_fall_to_their_median_fit(name, scale):
    """Neither loss nor model has curvature: the step is a gradient's, whose length the trials find."""
    predict, params, (x, y) = linear_problem()
    objective = q.Objective(predict, lambda z, y: scale * jnp.sum(jnp.abs(z - y), axis=-1))
    make = {"kfac": lambda o: q.kfac(o, example=x)}.get(name, MOVERS[name][0])
    losses, statuses, _ = train(make, objective, params, (x, y), 60)
    n, c = np.asarray(x, float), np.concatenate([np.zeros(3), np.ones(30)]) / 30
    fit = linprog(
        c,
        A_ub=np.block([[n, -np.eye(30)], [-n, -np.eye(30)]]),
        b_ub=np.concatenate([np.asarray(y)[:, 0], -np.asarray(y)[:, 0]]),
        bounds=[(None, None)] * 33,
    )
    assert losses[-1] / scale - fit.fun < 0.2 * (losses[0] / scale - fit.fun)
    assert Status.OK not in {Status(int(status)) for status in statuses}


def test_far_out_on_a_loss_with_tails_and_back():
    """Huber's tails have no curvature; near the targets the same program takes Newton steps again."""
    predict, params, (x, _) = linear_problem()
    batch = x, 30 + x @ jnp.asarray([[1.0], [2.0], [3.0]])
    objective = q.Objective(lambda p, x: predict(p, x) + p["b"], lambda z, y: jnp.sum(optax.huber_loss(z, y), axis=-1))
    for name in ("newton", "kfac", "dual_newton"):
        make = {"kfac": lambda o: q.kfac(o, example=x)}.get(name, MOVERS[name][0])
        losses, statuses, _ = train(make, objective, params | {"b": jnp.zeros(1)}, batch, 60)
        assert losses[-1] < 0.02 * losses[0]
        assert statuses[0] != Status.OK
        assert statuses[-1] == Status.OK


LOSSES: dict[str, tuple[Any, bool, bool]] = {
    "returned": (lambda z, y: jnp.sum(z, axis=-1), True, True),
    "absolute": (lambda z, y: jnp.sum(jnp.abs(z - y), axis=-1), True, True),
    "hinge": (lambda z, y: jnp.sum(jnp.maximum(0, 1 - z * y), axis=-1), True, True),
    "pinball": (lambda z, y: jnp.sum(jnp.where(z > y, z - y, (y - z) / 9), axis=-1), True, True),
    "weighted": (lambda z, y: (jnp.abs(z - y), jnp.ones_like(z)), True, True),
    "squares": (lambda z, y: jnp.sum((z - y) ** 2, axis=-1), False, True),
    "partly linear": (lambda z, y: z[:, 0] + (z[:, 1] - y[:, 1]) ** 2, False, True),
    "cross-entropy": (optax.softmax_cross_entropy, False, False),
    "Poisson": (lambda z, y: jnp.sum(jnp.exp(z) - y * z, axis=-1), False, False),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_the_program_of_a_loss_tells(name):
    loss, linear, quadratic = LOSSES[name]
    objective = q.Objective(lambda p, x: x @ p["w"], jax.jit(loss))
    given = {"w": jnp.ones((3, 4))}, (jnp.ones((5, 3)), jnp.ones((5, 4)))
    assert linear_in_outputs(objective, *given) is linear
    assert quadratic_in_outputs(objective, *given) is quadratic
