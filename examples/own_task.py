"""A task of one's own for the command line: a function that takes the dtype and returns a `qnewton.lab.Task`.

qnewton train examples/own_task.py:sines --steps 10
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import qnewton as qn
from qnewton.lab import Data, Task


def sines(dtype: str) -> Task:
    """A small network learns x to sin(3 x) from 256 points."""
    x = np.random.default_rng(0).uniform(-1, 1, (320, 1)).astype(dtype)
    y = np.sin(3 * x)
    layers = eqx.nn.MLP(1, 1, 16, 2, jnp.tanh, key=jax.random.key(0))
    _, static = eqx.partition(layers, eqx.is_inexact_array)

    def init(key: jax.Array):
        made = eqx.nn.MLP(1, 1, 16, 2, jnp.tanh, key=key)
        return jax.tree.map(lambda leaf: leaf.astype(dtype), eqx.filter(made, eqx.is_inexact_array))

    def predict(params, inputs):
        return jax.vmap(eqx.combine(params, static))(inputs)

    def loss(outputs, targets):
        return jnp.sum((outputs - targets) ** 2, axis=-1) / 2

    return Task(
        name="sines",
        model="MLP 1-16-16-1, tanh",
        source="320 points of sin(3 x) on [-1, 1]",
        init=init,
        objective=qn.Objective(predict, loss),
        accuracy=None,
        train=Data(x[:256], y[:256]),
        test=Data(x[256:], y[256:]),
    )
