"""A loss that is not finite is never stepped on, although its gradient is; every optimizer says so."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as q

OPTIMIZERS: dict[str, tuple[Any, bool]] = {  # and whether a step is tried before it is taken
    "kfac": (q.kfac, True),
    "kfac, clipped": (lambda o: q.kfac(o, step=q.KLClip()), False),
    "dual_newton": (q.dual_newton, True),
    "fisher_newton": (q.fisher_newton, False),
    "newton": (lambda o: q.newton(o, solver=q.Cholesky()), True),
    "newton, constant damping": (lambda o: q.newton(o, solver=q.Cholesky(), adaptation=q.Fixed()), False),
    "newton, each block": (
        lambda o: q.newton(
            o, solver=q.Cholesky(), partition=q.per_tensor, adaptation=q.LevenbergMarquardt(per_block=True)
        ),
        True,
    ),
    "newton, line search": (lambda o: q.newton(o, solver=q.Cholesky(), step=q.LineSearch()), True),
    "newton, radius": (lambda o: q.newton(o, solver=q.Cholesky(), step=q.TrustRegion()), True),
}
START = {"b": jnp.asarray([0.5]), "w": jnp.asarray([[1.0], [2.0]])}


def objective(here: Any, away: Any) -> q.Objective:
    """Squares, plus a constant at the start and another one elsewhere: neither enters the gradient."""

    def loss(z, y):
        still = jnp.all(z == START["b"] + START["w"].sum(), axis=-1)
        return jnp.sum((z - y) ** 2, axis=-1) + jax.lax.stop_gradient(jnp.where(still, here, away))

    return q.Objective(lambda p, x: x @ p["w"] + p["b"], loss)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_step_on_or_onto_a_loss_that_is_not_finite(name):
    make, tries = OPTIMIZERS[name]
    batch = jnp.ones((4, 2)), jnp.zeros((4, 1))

    @jax.jit
    def two_steps(here, away):
        goal = objective(here, away)
        optimizer = make(goal)
        params, state, seen = START, optimizer.init(START), []
        for _ in range(2):
            gradients = jax.grad(goal)(params, batch)
            updates, state = optimizer.update(gradients, state, params, batch=batch)
            params = optax.apply_updates(params, updates)
            info = state.info
            status = info.status if hasattr(info, "status") else jnp.stack([block.status for block in info.blocks])
            moves = jnp.any(jnp.stack([jnp.any(leaf != 0) for leaf in jax.tree.leaves(updates)]))
            seen.append((moves, info.accepted, jnp.ravel(status)))
        return params, seen

    params, seen = two_steps(0.0, 0.0)
    assert bool(seen[0][0])
    for bad in (np.nan, np.inf, -np.inf):
        params, seen = two_steps(bad, 0.0)
        for moves, accepted, status in seen:
            assert not bool(moves)
            assert not bool(accepted)
            np.testing.assert_array_equal(status, q.Status.NOT_FINITE)
        params, seen = two_steps(0.0, bad)
        if tries:
            assert not any(bool(moves) or bool(accepted) for moves, accepted, _ in seen)
            assert all(np.array_equal(a, b) for a, b in zip(params.values(), START.values(), strict=True))
        else:  # it sees the loss only where it stands, and stays there
            assert [bool(moves) for moves, _, _ in seen] == [True, False]
            np.testing.assert_array_equal(seen[1][2], q.Status.NOT_FINITE)


@pytest.mark.parametrize("name", ["kfac", "dual_newton", "fisher_newton", "newton"])
def test_nothing_to_go_by_moves_nothing(name):
    """Weights that are all zero (0 / 0), an infinite input, NaN in one leaf of the gradients."""
    goal = q.Objective(lambda p, x: x[0] @ p["w"] + p["b"], lambda z, y: (jnp.sum((z - y) ** 2, axis=-1), y[:, 0]))
    batch = (jnp.ones((4, 2)),), jnp.ones((4, 1))
    make = OPTIMIZERS[name][0] if name != "kfac" else lambda o: q.kfac(o, example=batch[0])
    optimizer = make(goal)

    @jax.jit
    def step(batch, spoilt):
        gradients = jax.grad(goal)(START, batch) | {"b": jnp.asarray([spoilt])}
        return optimizer.update(gradients, optimizer.init(START), START, batch=batch)

    x, y = batch
    for given, spoilt in (((x, 0 * y), 0.0), ((((x[0].at[0, 0].set(jnp.inf)),), y), 0.0), ((x, y), np.nan)):
        updates, state = step(given, spoilt)
        info = state.info
        status = info.status if hasattr(info, "status") else info.blocks[0].status
        if name == "dual_newton" and np.isnan(spoilt):
            continue  # it does not read the gradients
        assert not any(np.any(leaf) for leaf in updates.values())
        np.testing.assert_array_equal(status, q.Status.NOT_FINITE)
