"""A curvature block whose every part is given, for tests of solvers and preconditioners."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.layout import Layout
from .._core.operators import AbstractCurvatureOperator, DenseRoot, KroneckerFactors, Path


class DenseBlock(AbstractCurvatureOperator):
    """A block held as a matrix, with separately given structure; nothing checks that the parts agree.

    Attributes:
        matrix: `[n, n]`, symmetric.
        factors: what `kronecker()` answers.
        rooted: what `root()` answers.
    """

    matrix: Float[Array, "n n"]
    factors: KroneckerFactors | None = None
    rooted: DenseRoot | None = None

    @classmethod
    def of_root(cls, root: Float[Array, "rows n"]) -> "DenseBlock":
        """`R^T R` from `R`."""
        return cls(matrix=root.T @ root, rooted=DenseRoot(root))

    @property
    def path(self) -> Path:
        return Path.GIVEN

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.matrix.shape[:1], self.matrix.dtype)

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.matrix @ vector

    def as_matrix(self) -> Float[Array, "n n"]:
        return self.matrix

    def diagonal(self) -> Float[Array, " n"]:
        return jnp.diagonal(self.matrix)

    def max_entry(self) -> Float[Array, ""]:
        return jnp.max(jnp.abs(self.matrix))

    def arrangement(self) -> Layout | None:
        return None if self.factors is None else self.factors.layout

    def kronecker(self) -> KroneckerFactors | None:
        return self.factors

    def root(self) -> DenseRoot | None:
        return self.rooted

    def rotated_diagonal(
        self, bases: Sequence[tuple[Float[Array, "i i"], Float[Array, "a a"]]]
    ) -> list[Float[Array, "i a"]]:
        """One quadratic form per basis vector."""
        if self.factors is None:
            return []
        layout = self.factors.layout
        nothing, rest = layout.split(jnp.zeros(self.like.shape, self.like.dtype))

        def entry(layer: int, u: Float[Array, " i"], v: Float[Array, " a"]) -> Float[Array, ""]:
            vector = layout.merge([*nothing[:layer], jnp.outer(u, v), *nothing[layer + 1 :]], rest)
            return vector @ self.matrix @ vector

        def entries(layer: int, u_a: Float[Array, "i i"], u_g: Float[Array, "a a"]) -> Float[Array, "i a"]:
            row = jax.vmap(lambda u, v: entry(layer, u, v), in_axes=(None, 1))
            return jax.vmap(row, in_axes=(1, None))(u_a, u_g)

        return [entries(layer, u_a, u_g) for layer, (u_a, u_g) in enumerate(bases)]
