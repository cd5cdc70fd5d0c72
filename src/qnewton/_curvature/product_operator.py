"""Exact Hessian blocks: applied by Hessian-vector products, formed from layers or from products with unit vectors."""

import itertools
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core.layout import Layout
from .._core.operators import AbstractCurvatureOperator, AbstractRoot, KroneckerFactors, Path
from .._core.pieces import as_own
from .factors import block_signals
from .formation import mirrored
from .kronecker import Layer, Small, assemble, feed_each_other, layout_of, pairs
from .layer_operator import LayerOperator
from .linear_pair import in_range, products_with_units
from .partition import Block
from .point import Point
from .storage import stored_operator


class ProductOperator(AbstractCurvatureOperator):
    """Operator `v -> H v`, the gradient linearised once (Pearlmutter 1994, section 2).

    Attributes:
        point, block: what is differentiated where, and in which parameters.
        layers: that the block's parameters are used in; None where one is not recognised.
        chunk: unit vectors pushed through the network together where the block is formed.
        chunk_bytes: memory for the products of the examples that are handled together.
        product: `v -> H v`.
    """

    point: Point
    block: Block
    layers: list[Layer] | None
    chunk: int = eqx.field(static=True)
    chunk_bytes: int = eqx.field(static=True)
    product: Callable[[Array], Array]

    @classmethod
    def of(
        cls, point: Point, block: Block, layers: list[Layer] | None, chunk: int, chunk_bytes: int
    ) -> "ProductOperator | LayerOperator":
        """Return the operator that suits the block: stored layer curvature if the model is affine in it."""
        if layers is not None and _formed_from_layers(block, layers):
            single = all(layer.lead.positions == 1 for layer in layers)
            width = sum(layer.shape[1] for layer in layers)
            if single and point.examples.count * width**2 * point.like(block).dtype.itemsize <= chunk_bytes:
                stored = stored_operator(point, block, layers, layer_hessian)
                if stored is not None:
                    return stored

        def gradient(vector: Float[Array, " n"]) -> Float[Array, " n"]:
            return jax.grad(lambda w: point.total_loss(point.outputs(w, block)))(vector)

        _, product = jax.linearize(gradient, block.take(point.params))
        return cls(point, block, layers, chunk, chunk_bytes, in_range(product, point.examples.verdict.rounding))

    @property
    def path(self) -> Path:
        if not self.point.examples.independent:
            return Path.BATCH
        by_layers = self.layers is not None and _formed_from_layers(self.block, self.layers)
        return Path.LAYERS if by_layers else Path.PRODUCTS

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        return self.point.like(self.block)

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.product(vector) / self.point.examples.total

    def as_matrix(self) -> Float[Array, "n n"]:
        dtype = self.like.dtype
        if self.path is Path.LAYERS:
            assert self.layers is not None
            layers = self.layers
            total = assemble(
                self.block,
                layers,
                lambda example: layer_hessian(self.point, layers, example),
                self.point.examples.batch,
                self.chunk_bytes,
                dtype,
            )
        else:
            total = self._over_units(lambda rows, units: rows).reshape(self.block.n, self.block.n)
        return mirrored(total / self.point.examples.total)

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal by one product per entry, as many as forming the block takes."""
        return self._over_units(lambda row, unit: jnp.vdot(row, unit)) / self.point.examples.total

    def max_entry(self) -> Float[Array, ""]:
        """Return the largest absolute entry by one product per row, none of them kept."""
        return jnp.max(self._over_units(lambda row, unit: jnp.max(jnp.abs(row)))) / self.point.examples.total

    def arrangement(self) -> Layout | None:
        return None if self.layers is None else layout_of(self.block, self.layers, self.point.sizes(self.block))

    def kronecker(self) -> KroneckerFactors | None:
        """Return the Gauss-Newton matrix's Kronecker factors, which are semidefinite and precondition."""
        signals = block_signals(self.point, self.block, self.layers)
        return None if signals is None else signals.factors(self.diagonal)

    def rotated_diagonal(
        self, bases: Sequence[tuple[Float[Array, "i i"], Float[Array, "a a"]]]
    ) -> list[Float[Array, "i a"]]:
        signals = block_signals(self.point, self.block, self.layers)
        if signals is None:
            raise ValueError(
                f"block `{self.block.name}` has no recognised layers, so no basis to rotate into: use CG without "
                "preconditioner, or LU"
            )
        return signals.rotated_diagonal(bases)

    def root(self) -> AbstractRoot | None:
        return None

    def _over_units(self, read: Callable[[Array, Array], Array]) -> Array:
        return products_with_units(self.product, self.like, read, self.chunk)


def layer_hessian(point: Point, layers: Sequence[Layer], example: PyTree) -> tuple[Small, list[Float[Array, "t i"]]]:
    """Return the exact Hessian of one example's loss in the layers' outputs, and inputs of each layer's lead."""
    x, y = example
    leads = [layer.lead for layer in layers]
    dtype = jax.tree.leaves(point.params)[0].dtype
    shapes = [(lead.positions, lead.index.shape[1]) for lead in leads]
    starts = [0, *itertools.accumulate(t * a for t, a in shapes)]

    def run(flat: Float[Array, " w"]) -> tuple[Float[Array, ""], list[Float[Array, "t i"]]]:
        given = [flat[start : start + t * a].reshape(t, a) for start, (t, a) in zip(starts[:-1], shapes, strict=True)]
        z, inputs = point.program.run(point.params, x, dict(zip(leads, given, strict=True)))
        return point.examples.loss(z, y), [inputs[lead] for lead in leads]

    hessian, inputs = jax.hessian(run, has_aux=True)(as_own(jnp.zeros(starts[-1], dtype)))
    small = {
        (u, v): hessian[starts[u] : starts[u + 1], starts[v] : starts[v + 1]].reshape(*shapes[u], *shapes[v])
        for u, v in pairs(layers)
    }
    return small, inputs


def _formed_from_layers(block: Block, layers: Sequence[Layer]) -> bool:
    """Whether the model is affine in the block, and the layers' outputs are fewer than the parameters."""
    if feed_each_other(layers, block) or any(layer.lead.first_order for layer in layers):
        return False
    width = sum(layer.lead.positions * layer.shape[1] for layer in layers)
    return width < block.n or all(layer.lead.positions == 1 for layer in layers)
