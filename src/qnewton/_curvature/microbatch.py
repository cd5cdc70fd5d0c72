"""Curvature of a batch that does not fit in memory at once."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core.kinds import check_kind, check_scalars, plain
from .._core.operators import AbstractCurvatureOperator, AbstractRoot, KroneckerFactors, Path
from .base import AbstractCurvature
from .chunks import sum_over_chunks
from .partition import Block
from .point import Point


class Microbatched(AbstractCurvature):
    """Another curvature, applied to `size` examples at a time in a `lax.scan`.

    An operator that is linearised once keeps the activations of the whole batch; this one keeps those of `size`
    examples and runs the model again in every product. Forming a block works in chunks anyway.

    Attributes:
        inner: the curvature.
        size: examples at a time, at least 1; one that divides the batch compiles less.
    """

    inner: AbstractCurvature
    size: int = eqx.field(static=True, converter=plain)

    def __check_init__(self):
        check_scalars(self)
        check_kind(self.inner, AbstractCurvature, "Microbatched: inner", "GaussNewton()")
        if self.size < 1:
            raise ValueError(f"size is {self.size}: at least one example has to be handled at a time")

    @property
    def semidefinite(self) -> bool:
        return self.inner.semidefinite

    @property
    def shift(self) -> float:
        return self.inner.shift

    def operator(self, point: Point, block: Block) -> "MicrobatchOperator":
        point = point.singly("Microbatched curvature")
        whole = self.inner.operator(point, block)
        return MicrobatchOperator(point, block, self.size, self.inner.operator, whole)

    def floor(self, point: Point, block: Block) -> Float[Array, ""] | None:
        return self.inner.floor(point, block)


class MicrobatchOperator(AbstractCurvatureOperator):
    """The sum of the operators of parts of a batch.

    Attributes:
        point, block: what is differentiated where, and in which parameters.
        size: examples of a part.
        make: the operator of a point.
        whole: that of the whole batch, for what works in chunks anyway.
    """

    point: Point
    block: Block
    size: int = eqx.field(static=True)
    make: Callable[[Point, Block], AbstractCurvatureOperator]
    whole: AbstractCurvatureOperator

    @property
    def path(self) -> Path:
        return self.whole.path

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        return self.point.like(self.block)

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return self._over_parts(lambda part: part.mv(vector), jnp.zeros_like(vector))

    def as_matrix(self) -> Float[Array, "n n"]:
        return self.whole.as_matrix()

    def diagonal(self) -> Float[Array, " n"]:
        return self.whole.diagonal()

    def max_entry(self) -> Float[Array, ""]:
        return self.whole.max_entry()

    def kronecker(self) -> KroneckerFactors | None:
        return self.whole.kronecker()

    def rotated_diagonal(
        self, bases: Sequence[tuple[Float[Array, "i i"], Float[Array, "a a"]]]
    ) -> list[Float[Array, "i a"]]:
        return self.whole.rotated_diagonal(bases)

    def root(self) -> AbstractRoot | None:
        return self.whole.root()

    def _over_parts(self, read: Callable[[AbstractCurvatureOperator], Array], zero: Array) -> Array:
        examples = self.point.examples

        def add(total: Array, batch: PyTree) -> Array:
            # The parts share the divisor of the whole, so that their operators add up.
            return total + read(self.make(self.point.on(examples.part(batch)), self.block))

        return sum_over_chunks(add, zero, examples.batch, 1, self.size)
