"""An objective seen one example at a time: outputs raveled, loss as a function of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .coupling import refuse_coupling
from .objective import Batch, Objective


@dataclass(frozen=True)
class Examples:
    """How to evaluate single examples of a batch. The objective is `sum_n loss_n / total`.

    Attributes:
        count: examples in the batch.
        width: scalars that the model returns for one example.
        total: what sums over the examples are divided by: their number, or the sum of their weights.
        batch: `(inputs, targets)` with a leading axis; where the model takes a key, `inputs` carries each example's.
        predict: `(params, inputs)` to the outputs of examples with a leading axis of 1.
        outputs: `(params, x)` to the raveled outputs `[width]` of one example.
        loss: `(outputs, y)` to its loss, weights included.
        weight: `(outputs, y)` to its weight.
    """

    count: int
    width: int
    total: Float[Array, ""] | float
    batch: Batch
    predict: Callable[[PyTree, PyTree], Array]
    outputs: Callable[[PyTree, PyTree], Float[Array, " c"]]
    loss: Callable[[Float[Array, " c"], PyTree], Float[Array, ""]]
    weight: Callable[[Float[Array, " c"], PyTree], Float[Array, ""]]


def single_examples(objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None = None) -> Examples:
    """Take the objective apart into examples.

    Raises:
        ValueError: if the leading axis of the outputs does not count the examples, or the model couples them.
    """
    inputs, targets = batch
    count = jax.tree.leaves(inputs)[0].shape[0]
    outputs = jax.eval_shape(lambda p, x: objective.outputs(p, x, key), params, inputs)
    if outputs.shape[:1] != (count,):
        raise ValueError(
            f"predict returned outputs of shape {outputs.shape} for {count} examples: their leading axis must count "
            "the examples. Keep positions or tokens on an axis of their own and sum over it in the loss"
        )
    refuse_coupling(lambda p, x: objective.outputs(p, x, key), params, inputs)
    shape = outputs.shape[1:]

    def of_one(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[None], tree)

    def predict(params: PyTree, x: PyTree) -> Array:
        if key is None:
            return objective.predict(params, x)
        x, keys = x
        return objective.predict(params, x, key=keys[0])

    def outputs_of(params: PyTree, x: PyTree) -> Float[Array, " c"]:
        return jnp.ravel(predict(params, of_one(x))[0])

    def terms_of(z: Float[Array, " c"], y: Any) -> tuple[Array, Array | None]:
        return objective.terms(z.reshape(1, *shape), of_one(y))

    def loss_of(z: Float[Array, " c"], y: Any) -> Float[Array, ""]:
        return terms_of(z, y)[0][0]

    def weight_of(z: Float[Array, " c"], y: Any) -> Float[Array, ""]:
        weights = terms_of(z, y)[1]
        return jnp.ones((), z.dtype) if weights is None else weights[0]

    # The outputs are needed for the shape of the weights alone; the compiler drops what does not enter the result.
    _, weights = objective.terms(objective.outputs(params, inputs, key), targets)
    total = float(count) if weights is None else jnp.sum(weights)
    data = (inputs if key is None else (inputs, jax.random.split(key, count)), targets)
    width = max(1, outputs.size // count)
    return Examples(count, width, total, data, predict, outputs_of, loss_of, weight_of)


def sum_over_chunks(
    add: Callable[[PyTree, PyTree], PyTree], zero: PyTree, examples: PyTree, bytes_per_example: int, chunk_bytes: int
) -> PyTree:
    """Accumulate over chunks of examples.

    Args:
        add: `(total, chunk)` to the new total.
        zero: the empty total.
        examples: pytree with a common leading axis.
        bytes_per_example: memory that `add` needs for one example of a chunk.
        chunk_bytes: memory that a chunk may need; at least one example is always taken.
    """
    count = jax.tree.leaves(examples)[0].shape[0]
    chunk = _chunk_size(count, chunk_bytes // max(1, bytes_per_example))
    whole, left_over = divmod(count, chunk)
    total = zero
    if whole == 1:
        total = add(total, jax.tree.map(lambda a: a[:chunk], examples))
    else:
        head = jax.tree.map(lambda a: a[: whole * chunk].reshape(whole, chunk, *a.shape[1:]), examples)
        total, _ = jax.lax.scan(lambda carry, part: (add(carry, part), None), total, head)
    if left_over:
        total = add(total, jax.tree.map(lambda a: a[whole * chunk :], examples))
    return total


def _chunk_size(count: int, limit: int) -> int:
    """The largest divisor of `count` up to `limit`, unless it is so small that a remainder costs less.

    A remainder compiles the body of the loop a second time.
    """
    limit = max(1, min(count, limit))
    divisor = next(size for size in range(limit, 0, -1) if count % size == 0)
    return divisor if 2 * divisor >= limit else limit
