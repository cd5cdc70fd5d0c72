"""What replicas of a mapped axis compute together: each on its own examples, the sums reduced."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.layout import Layout
from .._core.operators import AbstractCurvatureOperator, AbstractRoot, KroneckerFactors, Path
from .._core.pieces import Pieces, piece
from .partition import Block
from .point import Point


class DividedOperator(AbstractCurvatureOperator):
    """The sum of the replicas' operators, each of its own examples.

    Attributes:
        pieces: the replicas.
        part: the operator of this replica's examples, under the divisor of all.
        whole: of all examples; for what is no sum over them.
        semidefinite: whether the largest entry stands on the diagonal.
    """

    pieces: Pieces = eqx.field(static=True)
    part: AbstractCurvatureOperator
    whole: AbstractCurvatureOperator
    semidefinite: bool = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        point: Point,
        block: Block,
        make: Callable[[Point, Block], AbstractCurvatureOperator],
        pieces: Pieces,
        *,
        semidefinite: bool,
    ) -> "DividedOperator":
        """From what makes an operator at a point."""
        with piece(pieces):
            part = make(point.piece(pieces), block)
        return cls(pieces, part, make(point, block), semidefinite)

    @property
    def path(self) -> Path:
        return self.whole.path

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        return self.whole.like

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        with piece(self.pieces):
            found = self.part.mv(self.pieces.varying(vector))
        return self.pieces.total(found)

    def as_matrix(self) -> Float[Array, "n n"]:
        with piece(self.pieces):
            found = self.part.as_matrix()
        return self.pieces.total(found)

    def diagonal(self) -> Float[Array, " n"]:
        with piece(self.pieces):
            found = self.part.diagonal()
        return self.pieces.total(found)

    def max_entry(self) -> Float[Array, ""]:
        return jnp.max(jnp.abs(self.diagonal())) if self.semidefinite else self.whole.max_entry()

    def arrangement(self) -> Layout | None:
        return self.whole.arrangement()

    def kronecker(self) -> KroneckerFactors | None:
        return self.whole.kronecker()

    def rotated_diagonal(
        self, bases: Sequence[tuple[Float[Array, "i i"], Float[Array, "a a"]]]
    ) -> list[Float[Array, "i a"]]:
        return self.whole.rotated_diagonal(bases)

    def root(self) -> AbstractRoot | None:
        return self.whole.root()
