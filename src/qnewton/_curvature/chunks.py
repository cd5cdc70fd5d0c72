"""Sums over the examples of a batch, in chunks."""

from collections.abc import Callable

import jax
from jaxtyping import PyTree

from .._core.pieces import as_own


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
    total = as_own(zero)
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
