"""Operators on pytrees as maps of flat vectors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Inexact, PyTree

from .._core.operators import Shifted
from .._core.trees import ravel, unravel

Product = Callable[[Inexact[Array, " n"]], Inexact[Array, " n"]]


def product(operator: lx.AbstractLinearOperator) -> Product:
    """The operator's product as a map of flat vectors `[n]`."""
    leaves, tree = jax.tree.flatten(operator.in_structure())

    def apply(vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return ravel(jax.tree.leaves(operator.mv(jax.tree.unflatten(tree, unravel(vector, leaves)))))

    return apply


def flatten(tree: PyTree[Array]) -> Float[Array, " n"]:
    """The leaves of `tree`, raveled and joined."""
    return ravel(jax.tree.leaves(tree))


def unflatten(vector: Float[Array, " n"], like: PyTree) -> PyTree[Array]:
    """Undo `flatten`, in the structure, shapes and dtypes of `like`."""
    leaves, tree = jax.tree.flatten(like)
    parts = unravel(vector, leaves)
    return jax.tree.unflatten(
        tree, [part.astype(jnp.result_type(leaf)) for part, leaf in zip(parts, leaves, strict=True)]
    )


class Structure(NamedTuple):
    """A pytree's structure, shapes and dtypes, hashable as states' static fields must be."""

    leaves: tuple[jax.ShapeDtypeStruct, ...]
    tree: Any

    @classmethod
    def of(cls, like: PyTree) -> "Structure":
        """Return the structure of `like`."""
        leaves, tree = jax.tree.flatten(like)
        return cls(tuple(leaves), tree)

    def unflatten(self, vector: Inexact[Array, " n"]) -> PyTree[Array]:
        """Undo `flatten`."""
        return unflatten(vector, jax.tree.unflatten(self.tree, self.leaves))


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


def check_square(operator: lx.AbstractLinearOperator, name: str) -> None:
    """Refuse a rectangular operator.

    Raises:
        ValueError: if it is one.
    """
    if operator.in_size() != operator.out_size():
        raise ValueError(
            f"{name} solves square systems, got an operator of shape ({operator.out_size()}, {operator.in_size()})"
        )


def check_real(operator: lx.AbstractLinearOperator, name: str) -> None:
    """Refuse a complex operator.

    Raises:
        ValueError: if it is one; says who takes it.
    """
    if is_complex(operator):
        raise ValueError(
            f"{name} solves real systems, got {dtype_of(operator)}: use LU, or Cholesky, Eigh, CG or MINRES for a "
            "definite one, tagged with lineax.positive_semidefinite_tag"
        )


def check_square_and_real(operator: lx.AbstractLinearOperator, name: str) -> None:
    """Refuse an operator that qnewton's quantum solvers cannot take.

    Raises:
        ValueError: if the operator is not square, or complex.
    """
    check_square(operator, name)
    check_real(operator, name)


def check_dense(operator: lx.AbstractLinearOperator, name: str) -> None:
    """Refuse an operator that cannot be factorised.

    Raises:
        ValueError: if the operator is not square, or of a float type that LAPACK does not have.
    """
    check_square(operator, name)
    dtype = dtype_of(operator)
    if jnp.finfo(dtype).bits < 32:
        raise ValueError(
            f"{name} factorises float32, float64, complex64 and complex128, got {dtype}: cast the operator and the "
            "right-hand side to float32, or use CG or MINRES, which take products only"
        )


def is_complex(operator: lx.AbstractLinearOperator) -> bool:
    """Whether the operator's vectors are complex."""
    return jnp.issubdtype(dtype_of(operator), jnp.complexfloating)


def check_symmetric(operator: lx.AbstractLinearOperator, name: str) -> None:
    """Refuse an operator not known to be symmetric; for a complex one, Hermitian.

    Raises:
        ValueError: if it is not; says which tag to set.
    """
    semidefinite = lx.is_positive_semidefinite(operator) or lx.is_negative_semidefinite(operator)
    if is_complex(operator) and not semidefinite:
        # lineax's symmetric_tag is about the transpose without the conjugate.
        raise ValueError(
            f"{name} needs a Hermitian operator, and this one, of {dtype_of(operator)}, is not known to be: tag it "
            "with lineax.positive_semidefinite_tag or lineax.negative_semidefinite_tag if it is semidefinite, else use "
            "LU"
        )
    if not semidefinite and not lx.is_symmetric(operator):
        raise ValueError(
            f"{name} needs a symmetric operator, and this one is not known to be: tag it with lineax.symmetric_tag "
            "if it is, or use LU"
        )


def check_definite(operator: lx.AbstractLinearOperator, name: str) -> None:
    """Refuse an operator that is not known to be positive definite.

    Raises:
        ValueError: if it is not; says which tag to set.
    """
    if not lx.is_positive_semidefinite(operator):
        raise ValueError(
            f"{name} may only be used for operators that are known to be positive or negative definite, and takes "
            "the positive ones: tag the operator with lineax.positive_semidefinite_tag, or use LU"
        )


def made_positive(
    operator: lx.AbstractLinearOperator, name: str, otherwise: str
) -> tuple[lx.AbstractLinearOperator, bool]:
    """A definite operator, negated where it is the negative kind, and whether it was.

    Args:
        operator: of the system.
        name: of the solver.
        otherwise: the solver that takes others.

    Raises:
        ValueError: if it is not known to be definite; says which tag to set.
    """
    if lx.is_positive_semidefinite(operator):
        return operator, False
    if lx.is_negative_semidefinite(operator):
        return -operator, True
    raise ValueError(
        f"{name} may only be used for operators that are known to be positive or negative definite: tag the operator "
        f"with lineax.positive_semidefinite_tag, or use {otherwise}"
    )


def mean_magnitude(values: Float[Array, "..."]) -> Float[Array, ""]:
    """Mean of `|values|`, or 1 where that is 0 or not finite: a positive scale to fall back on."""
    mean = jnp.mean(jnp.abs(values))
    return jnp.where((mean > 0) & jnp.isfinite(mean), mean, 1)
