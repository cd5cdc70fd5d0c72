"""Unformed blocks in units of their own for every parameter."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Int

from .layout import Layout
from .operators import AbstractCurvatureOperator, AbstractRoot, KroneckerFactors, Path, Shifted


class ScaledRoot(AbstractRoot):
    """`[R F; sqrt(shift) F]` of a block `F (R^T R + shift I) F`, `F` diagonal; its upper part alone without a shift.

    Attributes:
        root: `R`.
        factors: diagonal of `F` `[n]`.
        shift: scalar; None where there is none, which spares n rows.
    """

    root: AbstractRoot
    factors: Float[Array, " n"]
    shift: Float[Array, ""] | None

    @property
    def rows(self) -> int:
        return self.root.rows + (0 if self.shift is None else self.factors.shape[0])

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " rows"]:
        scaled = self.factors * vector
        upper = self.root.mv(scaled)
        return upper if self.shift is None else jnp.concatenate([upper, jnp.sqrt(self.shift) * scaled])

    def transpose_mv(self, vector: Float[Array, " rows"]) -> Float[Array, " n"]:
        pulled = self.root.transpose_mv(vector[: self.root.rows])
        if self.shift is not None:
            pulled = pulled + jnp.sqrt(self.shift) * vector[self.root.rows :]
        return self.factors * pulled

    def gram(self) -> Float[Array, "rows rows"]:
        # The root's own Gram matrix has other units; so one product back and forth per row.
        unit = jnp.eye(self.rows, dtype=self.factors.dtype)
        return jax.lax.map(lambda row: self.mv(self.transpose_mv(row)), unit, batch_size=min(64, self.rows))


class ScaledBlock(AbstractCurvatureOperator):
    """Block `F (H + shift I) F` with `F` diagonal, formed only on request.

    Attributes:
        base: `H`.
        shift: scalar; None where there is none.
        factors: diagonal of `F` `[n]`, positive.
        own_diagonal: of the whole `[n]`, found once.
    """

    base: AbstractCurvatureOperator
    shift: Float[Array, ""] | None
    factors: Float[Array, " n"]
    own_diagonal: Float[Array, " n"]

    @property
    def path(self) -> Path:
        return self.base.path

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        return self.base.like

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        scaled = self.factors * vector
        product = self.base.mv(scaled)
        return self.factors * (product if self.shift is None else product + self.shift * scaled)

    def as_matrix(self) -> Float[Array, "n n"]:
        return self._scale(self.base.as_matrix())

    def upper_triangle(self) -> Float[Array, "n n"]:
        return self._scale(self.base.upper_triangle())

    def diagonal(self) -> Float[Array, " n"]:
        return self.own_diagonal

    def max_entry(self) -> Float[Array, ""]:
        """Return the largest entry of the diagonal: exact for a semidefinite block, else a lower bound."""
        return jnp.max(jnp.abs(self.own_diagonal))

    def arrangement(self) -> Layout | None:
        return self.base.arrangement()

    def kronecker(self) -> KroneckerFactors | None:
        """Return None: with a unit for every parameter, a layer's block has no Kronecker factors."""
        return None

    def rotated_diagonal(
        self, bases: Sequence[tuple[Float[Array, "i i"], Float[Array, "a a"]]]
    ) -> list[Float[Array, "i a"]]:
        raise ValueError("a block in units of its own for every parameter has no layers to rotate into a basis")

    def root(self) -> AbstractRoot | None:
        root = self.base.root()
        return None if root is None else ScaledRoot(root, self.factors, self.shift)

    @property
    def reductions(self) -> tuple[int, ...]:
        # What is left out must be zero, and a shift is not.
        return self.base.reductions if self.shift is None else ()

    def support(self) -> Int[Array, ""]:
        return self.base.support()

    def reduced(self, size: int) -> "tuple[ScaledBlock, Int[Array, ' size']]":
        base, kept = self.base.reduced(size)
        return ScaledBlock(base, None, self.factors[kept], self.own_diagonal[kept]), kept

    def _scale(self, matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
        if self.shift is not None:
            rows = jnp.arange(matrix.shape[0])
            matrix = matrix.at[rows, rows].add(self.shift)
        return self.factors[:, None] * matrix * self.factors


def scaled_block(
    operator: lx.AbstractLinearOperator, factors: Float[Array, " n"], diagonal: Float[Array, " n"], shifted: bool
) -> ScaledBlock:
    """Return an unformed block, as curvature returns it, in other units.

    Args:
        operator: a block, or one with a shift.
        factors: `[n]`, positive: of each parameter, how much of its old unit the new one is.
        diagonal: of `operator` `[n]`.
        shifted: whether the shift counts; where it is known to be zero it need not be carried.
    """
    base, shift = (operator.base, operator.shift) if isinstance(operator, Shifted) else (operator, None)
    if not isinstance(base, AbstractCurvatureOperator):
        raise TypeError(f"a {type(operator).__name__} is no curvature block: form the system first")
    return ScaledBlock(base, shift if shifted else None, factors, factors * diagonal * factors)
