"""Means over all data, in pieces where the whole would not fit in memory."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ...._curvature import Batch, Objective

_WHOLE, _PIECE = 2048, 256
_BYTES = 2**26


def mean(
    function: Callable[[PyTree, Batch], Float[Array, ""]],
    params: PyTree,
    batch: Batch,
    divided: Callable[[Batch], Batch] = lambda batch: batch,
) -> Float[Array, ""]:
    """Return `function(params, batch)`; for a large objective the same mean, summed in pieces.

    Args:
        function: an objective, or any other function, which is called with all of the batch.
        params: of the model.
        batch: with a leading axis of examples.
        divided: has devices share what is looked at together.
    """
    if not isinstance(function, Objective):
        return function(params, divided(batch))
    count = jax.tree.leaves(batch)[0].shape[0]
    outputs = jax.eval_shape(function.outputs, params, batch[0])
    if count <= _WHOLE and outputs.size * outputs.dtype.itemsize <= _BYTES:
        return function(params, divided(batch))

    def sums(piece: Batch) -> tuple[Array, Array]:
        inputs, targets = divided(piece)
        values, weights = function.terms(function.outputs(params, inputs), targets)
        return jnp.sum(values), jnp.asarray(len(values), values.dtype) if weights is None else jnp.sum(weights)

    pieces = count // _PIECE
    head = jax.tree.map(lambda leaf: leaf[: pieces * _PIECE].reshape(pieces, _PIECE, *leaf.shape[1:]), batch)
    value, weight = jax.tree.map(jnp.sum, jax.lax.map(sums, head))
    if count % _PIECE:
        rest = sums(jax.tree.map(lambda leaf: leaf[pieces * _PIECE :], batch))
        value, weight = value + rest[0], weight + rest[1]
    penalty = function.l2 / 2 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)) if function.l2 else 0.0
    return value / weight + penalty
