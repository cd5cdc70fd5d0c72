"""Conversion of equinox modules to a task's form: parameters and a function of them."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


def network(
    make: Callable[[Array], PyTree], dtype: str
) -> tuple[Callable[[Array], PyTree], Callable[[PyTree, Array], Array]]:
    """Return initialisation and prediction of a module that maps one example to its outputs.

    Args:
        make: key to module; its structure must not depend on the key.
        dtype: of the parameters.

    Returns:
        `init`, from a key to parameters, and `predict`, from parameters and a batch of inputs to outputs.
    """
    # Only the structure, so nothing is drawn; what is no parameter (an activation, a size) is made for good.
    _, static = eqx.partition(eqx.filter_eval_shape(make, jax.random.key(0)), _is_parameter)

    def init(key: Array) -> PyTree:
        params = eqx.filter(make(key), eqx.is_inexact_array)
        return jax.tree.map(lambda leaf: leaf.astype(dtype), params)

    def predict(params: PyTree, inputs: Array) -> Array:
        return jax.vmap(eqx.combine(params, static))(inputs)

    return init, predict


def _is_parameter(leaf: object) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def hits(outputs: Float[Array, "batch classes"], labels: Array) -> Float[Array, " batch"]:
    """1 where the largest output is the label's, else 0: accuracy as the loss of an objective."""
    return (jnp.argmax(outputs, axis=-1) == labels).astype(outputs.dtype)


def half_square(outputs: Float[Array, "batch *shape"], targets: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
    """Half the sum of the squared residuals of each example."""
    return jnp.sum((outputs - targets) ** 2, axis=tuple(range(1, outputs.ndim))) / 2
