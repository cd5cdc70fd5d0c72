"""Blocks without a system in `newton`: the raw gradient, as in Q-Newton's language models."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qnewton as qn


def problem() -> tuple[qn.Objective, Any, Any]:
    rng = np.random.default_rng(0)
    a, b, x, y = (jnp.asarray(rng.standard_normal(s), jnp.float32) for s in ((3, 4), (4, 1), (9, 3), (9, 1)))
    objective = qn.Objective(lambda p, x: jnp.tanh(x @ p["a"]) @ p["b"], lambda z, y: jnp.sum((z - y) ** 2, axis=-1))
    return objective, {"a": a, "b": b}, (x, y)


def stepped(objective: qn.Objective, params: Any, batch: Any, **settings: Any) -> Any:
    optimizer: Any = qn.newton(
        objective,
        0.5,
        curvature=qn.EmpiricalFisher(),
        partition=qn.per_tensor,
        solver=qn.Cholesky(),
        adaptation=qn.Fixed(),
        weight_decay=0.1,
        **settings,
    )

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        return optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)

    return step(params, optimizer.init(params))


def test_large_blocks_take_their_gradient_and_the_others_their_system() -> None:
    objective, params, batch = problem()
    gradient = jax.grad(objective)(params, batch)
    everything, _ = stepped(objective, params, batch)
    limited, state = stepped(objective, params, batch, where=lambda block: block.n <= 4)
    np.testing.assert_allclose(limited["a"], -0.5 * (gradient["a"] + 0.1 * params["a"]), rtol=1e-5)
    np.testing.assert_allclose(limited["b"], everything["b"], rtol=1e-5)
    assert len(state.info.blocks) == 1


def test_a_large_block_that_is_not_finite_stays() -> None:
    objective, params, (x, y) = problem()
    limited, _ = stepped(objective, params, (x.at[0].set(jnp.nan), y), where=lambda block: block.n <= 4)
    assert not np.any(limited["a"])
    assert not np.any(limited["b"])


def test_what_does_not_go_together_is_refused() -> None:
    objective, params, _ = problem()
    with pytest.raises(ValueError, match="the damping follows the decrease"):
        qn.newton(objective, where=lambda block: True)
    with pytest.raises(ValueError, match=r"where holds for none of the blocks a \(12\), b \(4\): it must"):
        qn.newton(objective, where=lambda _: False, partition=qn.per_tensor, adaptation=qn.Fixed()).init(params)
