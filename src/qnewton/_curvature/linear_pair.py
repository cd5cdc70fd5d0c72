"""Products with a Jacobian and its transpose, in whichever mode the model has derivative rules for."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core.pieces import as_own
from .._core.powers_of_two import unit_of
from .._core.trees import ravel
from .._core.widths import COARSE

Push = Callable[[PyTree], PyTree]


def linear_pair(
    function: Callable[[PyTree], PyTree], at: PyTree, reverse_only: bool, rounding: float = 0.0
) -> tuple[PyTree, Push, Push]:
    """The value, `v -> J v` and `u -> J^T u` of a function, linearised once.

    Args:
        function: of one argument.
        at: the argument.
        reverse_only: whether there are rules for reverse mode alone (`jax.custom_vjp`). Then `J v` is the transpose of
            the backward pass, which is linear in `u`.
        rounding: unit of the narrowest float in the function.

    Returns:
        Value and products. `J v` raises a ValueError that names the way out where a backward pass has no transpose.
    """
    if not reverse_only:
        value, push = jax.linearize(function, at)
        transpose = jax.linear_transpose(push, at)
        return value, in_range(push, rounding), in_range(lambda u: transpose(u)[0], rounding)
    value, pullback = jax.vjp(function, at)

    def pull(cotangent: PyTree) -> PyTree:
        return pullback(cotangent)[0]

    def push_through_transpose(tangent: PyTree) -> PyTree:
        try:
            return jax.linear_transpose(pull, value)(tangent)[0]
        except NotImplementedError as error:
            raise ValueError(
                "the model has derivative rules for reverse mode alone (jax.custom_vjp), and their backward pass "
                f"cannot be transposed: {error}. Use a solver that takes the formed matrix, such as Cholesky() or "
                "LU(): Gauss-Newton blocks are formed in reverse mode. Or write the rule with jax.custom_jvp"
            ) from error

    return value, in_range(push_through_transpose, rounding), in_range(pull, rounding)


def in_range(product: Push, rounding: float) -> Push:
    """Return a linear function with its argument scaled near size 1 if it computes with 16 bits, then scaled back.

    Args:
        product: linear.
        rounding: unit of the narrowest float in it.
    """
    if rounding < COARSE:
        return product

    def scaled(vector: PyTree) -> PyTree:
        unit = unit_of(ravel(jax.tree.leaves(vector)))
        return jax.tree.map(lambda leaf: leaf * unit, product(jax.tree.map(lambda leaf: leaf / unit, vector)))

    return scaled


def products_with_units(
    product: Callable[[Float[Array, " n"]], Float[Array, " n"]],
    like: jax.ShapeDtypeStruct,
    read: Callable[[Array, Array], Array],
    chunk: int,
) -> Array:
    """`read(H e, e)` for every unit vector `e`, stacked; `chunk` of them at a time.

    Args:
        product: `v -> H v`.
        like: shape and dtype of the vectors.
        read: what to keep of a product.
        chunk: vectors that are pushed through together.
    """
    positions = jnp.arange(like.shape[0], dtype=jnp.int32)

    def row(position: Array) -> Array:
        # Made here: all unit vectors at once would be a matrix as large as the block.
        unit = as_own((positions == position).astype(like.dtype))
        return read(product(unit), unit)

    return jax.lax.map(row, positions, batch_size=min(chunk, like.shape[0]))
