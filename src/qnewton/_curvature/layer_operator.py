"""A block applied from the inputs of its layers and the curvature in their outputs."""

import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.arrays import namespace
from .._core.layout import Layout, Piece
from .._core.operators import AbstractCurvatureOperator, AbstractRoot, KroneckerFactors, Path
from .formation import mirrored, upper_triangle
from .roots import factors

_WORTH_REDUCING = 64
_SHARES = tuple(sixteenths / 16 for sixteenths in range(4, 16))


class LayerOperator(AbstractCurvatureOperator):
    """Operator `H[(u,i,a), (v,j,b)] = sum_n x^u_{n,i} D^{uv}_{n,a,b} x^v_{n,j} / total`, formed only on request.

    For layers that are applied once per example. A product takes `4 batch inputs outputs` operations per layer for the
    two products with x, and `2 batch (sum of outputs)^2` between them.

    Attributes:
        layout: where the layers lie in the block.
        inputs: `x^u` `[batch, i]` per layer.
        curvature: `D` `[batch, a, b]` in the outputs of all layers, one after the other.
        total: what the sum over the examples is divided by.
        rooted: makes the square root; None where the curvature has none.
    """

    layout: Layout
    inputs: tuple[Float[Array, "batch i"], ...]
    curvature: Float[Array, "batch a b"]
    total: Float[Array, ""]
    rooted: Callable[[], AbstractRoot] | None = None

    @property
    def path(self) -> Path:
        return Path.LAYERS

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.layout.n,), self.curvature.dtype)

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        # On the host, what another process solved is checked by numpy.
        xp = namespace(vector, self.curvature)
        matrices, rest = self.layout.split(vector)
        z = xp.concatenate([x @ v for x, v in zip(self.inputs, matrices, strict=True)], axis=1)
        # Not `sum(D * z[:, None, :], axis=2)`: mapped over many vectors, jaxlib 0.10.2 compiles that to wrong numbers.
        w = xp.einsum("nab,nb->na", self.curvature, z) / self.total
        return self.layout.merge(
            # Twice as fast as x.T @ part, and the layout turns most weights back.
            [(part.T @ x).T for x, part in zip(self.inputs, self._by_layer(w), strict=True)],
            xp.zeros_like(rest),
        )

    def as_matrix(self) -> Float[Array, "n n"]:
        return mirrored(self.upper_triangle())

    def upper_triangle(self) -> Float[Array, "n n"]:
        return upper_triangle(self.layout, self.inputs, self.curvature / self.total)

    def diagonal(self) -> Float[Array, " n"]:
        curved = jnp.diagonal(self.curvature, axis1=1, axis2=2) / self.total
        parts = [(x**2).T @ part for x, part in zip(self.inputs, self._by_layer(curved), strict=True)]
        return self.layout.merge(parts, jnp.zeros(sum(size for _, size in self.layout.rest), self.curvature.dtype))

    def arrangement(self) -> Layout:
        return self.layout

    def kronecker(self) -> KroneckerFactors:
        examples = self.inputs[0].shape[0]
        starts = self._starts
        outputs = jnp.sum(self.curvature, axis=0) / self.total
        return KroneckerFactors(
            self.layout,
            tuple(x.T @ x / examples for x in self.inputs),
            tuple(outputs[start:end, start:end] for start, end in itertools.pairwise(starts)),
            jnp.zeros(sum(size for _, size in self.layout.rest), self.curvature.dtype),
        )

    def rotated_diagonal(
        self, bases: Sequence[tuple[Float[Array, "i i"], Float[Array, "a a"]]]
    ) -> list[Float[Array, "i a"]]:
        parts = []
        for x, (left, right), start in zip(self.inputs, bases, self._starts[:-1], strict=True):
            own = self.curvature[:, start : start + right.shape[0], start : start + right.shape[0]]
            curved = jnp.einsum("ax,nab,bx->nx", right, own, right, optimize="optimal") / self.total
            parts.append(((x @ left) ** 2).T @ curved)
        return parts

    @property
    def reductions(self) -> tuple[int, ...]:
        # Few sizes, since each is compiled; only where there is something to win.
        inputs, outputs = self.layout.shapes[0]
        widest = max(piece.rows for piece in self.layout.layers[0])
        if len(self.layout.layers) > 1 or self.layout.rest or widest < _WORTH_REDUCING:
            return ()
        return tuple(outputs * (inputs - widest + math.ceil(widest * share)) for share in _SHARES)

    def support(self) -> Int[Array, ""]:
        return jnp.sum(jnp.any(self.inputs[0] != 0, axis=0)).astype(jnp.int32) * self.layout.shapes[0][1]

    def reduced(self, size: int) -> "tuple[LayerOperator, Int[Array, ' size']]":
        """Remove, exactly, the zero rows and columns of inputs that are zero in the whole batch."""
        _, outputs = self.layout.shapes[0]
        (positions,), _ = self.layout.split(jnp.arange(self.layout.n, dtype=jnp.int32))
        (x,) = self.inputs
        kept = jnp.argsort(~jnp.any(x != 0, axis=0), stable=True)[: size // outputs]
        layout = Layout(size, ((Piece(0, size // outputs, outputs, transposed=True),),))
        operator = LayerOperator(layout, (x[:, kept],), self.curvature, self.total)
        return operator, positions[kept].T.reshape(-1)

    def root(self) -> AbstractRoot | None:
        return None if self.rooted is None else self.rooted()

    def rootless(self) -> "LayerOperator":
        """Return the same block without its square root: arrays, and a layout with their positions."""
        return LayerOperator(self.layout, self.inputs, self.curvature, self.total)

    def semidefinite(self) -> Bool[Array, ""]:
        """Return whether every example's `D` is semidefinite up to rounding, which makes the block semidefinite."""
        size = self.curvature.shape[-1]
        scale = jnp.max(jnp.abs(self.curvature), axis=(1, 2))
        limits = jnp.finfo(self.curvature.dtype)
        slack = (32 * size * limits.eps * scale + limits.tiny)[:, None, None] * jnp.eye(size, dtype=scale.dtype)
        return jnp.all(jnp.isfinite(factors(self.curvature + slack)))

    def max_entry(self) -> Float[Array, ""]:
        """Return the largest absolute entry, for a semidefinite block from the diagonal."""
        return jax.lax.cond(self.semidefinite(), lambda: jnp.max(self.diagonal()), lambda: self._search_max_entry())

    def _search_max_entry(self) -> Float[Array, ""]:
        # Tile by tile: the block itself may not fit.
        largest = jnp.zeros((), self.curvature.dtype)
        sides = list(zip(self.inputs, self._starts[:-1], self._starts[1:], strict=True))
        for k, (x, start, end) in enumerate(sides):
            for y, low, high in sides[k:]:
                tiles = self.curvature[:, start:end, low:high].reshape(x.shape[0], -1).T
                found = jax.lax.map(lambda d, x=x, y=y: jnp.max(jnp.abs(x.T @ (d[:, None] * y))), tiles)
                largest = jnp.maximum(largest, jnp.max(found))
        return largest / self.total

    @property
    def _starts(self) -> list[int]:
        starts = [0]
        for _, outputs in self.layout.shapes:
            starts.append(starts[-1] + outputs)
        return starts

    def _by_layer(self, together: Float[Array, "batch a"]) -> list[Float[Array, "batch a"]]:
        return [together[:, start:end] for start, end in itertools.pairwise(self._starts)]
