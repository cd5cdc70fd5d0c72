"""The rows of the contract tables: one small problem, and every optimizer that must hold what optax.adam holds."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

import qnewton as q

Batch = tuple[Any, Any]
Make = Callable[[q.Objective, Batch], Any]
"""An optimizer for an objective and a batch like those of its training; optax's types do not know our states."""

WIDTHS = (3, 5, 2)
EXAMPLES = 8


def predict(params: PyTree, x: Array) -> Array:
    """A tanh network 3-5-2 of 30 parameters."""
    return jnp.tanh(x @ params["hidden"]["w"] + params["hidden"]["b"][None]) @ params["out"]["w"]


def objective() -> q.Objective:
    """Cross-entropy of the two classes."""
    return q.Objective(predict, optax.softmax_cross_entropy_with_integer_labels)


def params(dtype: Any = jnp.float32) -> PyTree:
    """Of the network, not yet trained."""
    draws = np.random.default_rng(0)
    inputs, hidden, outputs = WIDTHS

    def drawn(*shape: int) -> Array:
        return jnp.asarray(draws.normal(size=shape) / 2, dtype)

    return {"hidden": {"b": drawn(hidden), "w": drawn(inputs, hidden)}, "out": {"w": drawn(hidden, outputs)}}


def batch(dtype: Any = jnp.float32) -> Batch:
    """Points of the plane's two sides, seen with noise, so that the loss has a minimum."""
    draws = np.random.default_rng(1)
    x = draws.normal(size=(EXAMPLES, WIDTHS[0]))
    labels = (x[:, 0] * x[:, 1] + draws.normal(size=EXAMPLES) > 0).astype(np.int32)
    return jnp.asarray(x, dtype), jnp.asarray(labels)


OPTIMIZERS: dict[str, Make] = {
    "newton": lambda objective, batch: q.newton(objective),
    "newton-example": lambda objective, batch: q.newton(objective, example=batch),
    "newton-dual": lambda objective, batch: q.newton(objective, family="dual"),
    "newton-kfac": lambda objective, batch: q.newton(objective, family="kfac", example=batch),
    "newton-fisher": lambda objective, batch: q.newton(objective, family="fisher"),
    "newton-kept": lambda objective, batch: q.newton(objective, family=("kfac", "dual"), example=batch),
    "newton-cholesky": lambda objective, batch: q.newton(objective, solver=q.Cholesky()),
    "newton-cg": lambda objective, batch: q.newton(objective, solver=q.CG()),
    "newton-hybrid": lambda objective, batch: q.newton(objective, solver=q.Hybrid()),
    "newton-layers": lambda objective, batch: q.newton(
        objective, solver=q.LU(), partition=q.per_layer, refresh=2, weight_decay=1e-3
    ),
    "newton-model": lambda objective, batch: q.newton(
        objective, solver=q.Cholesky(), conditioning=[q.Shift(1.0)], step=q.QuadraticModel()
    ),
    "kfac": lambda objective, batch: q.kfac(objective),
    "kfac-clip": lambda objective, batch: q.kfac(objective, step=q.KLClip(), refresh=2),
    "dual_newton": lambda objective, batch: q.dual_newton(objective),
    "fisher_newton": lambda objective, batch: q.fisher_newton(objective),
    "recipe": lambda objective, batch: q.recipe(objective, params(), batch),
}
"""Every family, every way to it, and of the blocks a row for each kind of solver and state."""


def trained(optimizer: Any, objective: q.Objective, start: PyTree, batch: Batch, steps: int) -> tuple[PyTree, Any]:
    """Parameters and state after some steps of the user's own jitted loop."""

    @jax.jit
    def step(params: PyTree, state: Any) -> tuple[PyTree, Any]:
        updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    now, state = start, optimizer.init(start)
    for _ in range(steps):
        now, state = step(now, state)
    return now, state
