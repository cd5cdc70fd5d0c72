"""A model of the zoo, with its data and its loss."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

import qnewton as qn

BATCH, WIDTH, CLASSES, WORDS, LENGTH = 4, 24, 3, 30, 5
"""Weights of `WIDTH` x `WIDTH` are larger than what may be a scale."""

Predict = Callable[[PyTree, Any], Array]


class Case(NamedTuple):
    """A model that is ready to be trained.

    Attributes:
        params: the parameters.
        predict: of parameters and inputs with a leading axis.
        inputs: of a batch.
    """

    params: PyTree
    predict: Predict
    inputs: Any

    @property
    def objective(self) -> qn.Objective:
        """Half the sum of squares of the outputs, whatever their shape, against zeros."""
        return qn.Objective(self.predict, lambda z, y: jnp.sum(z.reshape(z.shape[0], -1) ** 2, axis=-1) / 2)

    @property
    def batch(self) -> tuple[Any, Array]:
        """Inputs and targets."""
        return self.inputs, jnp.zeros(len(jax.tree.leaves(self.inputs)[0]))


class Draw:
    """Numbers drawn one array after the other."""

    def __init__(self, seed: int = 0):
        self._key = jax.random.key(seed)

    def __call__(self, *shape: int, fan: int | None = None) -> Array:
        """A normal array, by default over the root of its first axis but one."""
        self._key, key = jax.random.split(self._key)
        inputs = fan if fan is not None else (shape[-2] if len(shape) > 1 else 1)
        return jax.random.normal(key, shape, float) / jnp.sqrt(1.0 * inputs)

    def key(self) -> Array:
        """A key."""
        self._key, key = jax.random.split(self._key)
        return key

    def words(self, *shape: int) -> Array:
        """Tokens."""
        return jax.random.randint(self.key(), shape, 0, WORDS)


def normalised(x: Array) -> Array:
    """Layer normalisation without gain and offset."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt(jnp.mean(centred**2, -1, keepdims=True) + 1e-5)
