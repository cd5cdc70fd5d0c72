"""Operators on pytrees, seen as maps of flat vectors."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from ..core.operators import Shifted
from ..core.trees import ravel, unravel

Product = Callable[[Float[Array, " n"]], Float[Array, " n"]]


def product(operator: lx.AbstractLinearOperator) -> Product:
    """The operator's product as a map of flat vectors `[n]`."""
    leaves, tree = jax.tree.flatten(operator.in_structure())

    def apply(vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return ravel(jax.tree.leaves(operator.mv(jax.tree.unflatten(tree, unravel(vector, leaves)))))

    return apply


def flatten(tree: PyTree[Array]) -> Float[Array, " n"]:
    """The leaves of `tree`, raveled and joined."""
    return ravel(jax.tree.leaves(tree))


def unflatten(vector: Float[Array, " n"], like: PyTree[Any]) -> PyTree[Array]:
    """Undo `flatten`, in the structure, shapes and dtypes of `like`."""
    leaves, tree = jax.tree.flatten(like)
    parts = unravel(vector, leaves)
    return jax.tree.unflatten(
        tree, [part.astype(jnp.result_type(leaf)) for part, leaf in zip(parts, leaves, strict=True)]
    )


def dtype_of(operator: lx.AbstractLinearOperator) -> jnp.dtype:
    """The float type of the operator's vectors."""
    return jnp.result_type(*jax.tree.leaves(operator.in_structure()))


def without_tags(operator: lx.AbstractLinearOperator) -> lx.AbstractLinearOperator:
    """The operator inside any number of `lineax.TaggedLinearOperator`."""
    while isinstance(operator, lx.TaggedLinearOperator):
        operator = operator.operator
    return operator


def split_shift(operator: lx.AbstractLinearOperator) -> tuple[lx.AbstractLinearOperator, Float[Array, ""]]:
    """Base and shift of a `Shifted` operator; any other operator is its own base, with shift 0."""
    bare = without_tags(operator)
    if isinstance(bare, Shifted):
        return without_tags(bare.base), jnp.asarray(bare.shift, dtype_of(bare))
    return bare, jnp.zeros((), dtype_of(bare))


def check_square_and_real(operator: lx.AbstractLinearOperator, name: str) -> None:
    """Refuse what none of our symmetric solvers can take.

    Raises:
        ValueError: if the operator is not square, or complex.
    """
    if operator.in_size() != operator.out_size():
        raise ValueError(
            f"{name} solves square systems, got an operator of shape ({operator.out_size()}, {operator.in_size()})"
        )
    if jnp.issubdtype(dtype_of(operator), jnp.complexfloating):
        raise ValueError(f"{name} solves real systems, got {dtype_of(operator)}")


def check_symmetric(operator: lx.AbstractLinearOperator, name: str) -> None:
    """Refuse an operator that is not known to be symmetric.

    Raises:
        ValueError: if it is not; says which tag to set.
    """
    claims = (lx.is_symmetric, lx.is_positive_semidefinite, lx.is_negative_semidefinite)
    if not any(claim(operator) for claim in claims):
        raise ValueError(
            f"{name} needs a symmetric operator, and this one is not known to be: tag it with lineax.symmetric_tag "
            "if it is, or use LU"
        )


def mean_magnitude(values: Float[Array, "..."]) -> Float[Array, ""]:
    """Mean of `|values|`, or 1 where that is 0 or not finite: a positive scale to fall back on."""
    mean = jnp.mean(jnp.abs(values))
    return jnp.where((mean > 0) & jnp.isfinite(mean), mean, 1)
