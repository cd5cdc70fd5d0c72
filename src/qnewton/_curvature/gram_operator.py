"""Blocks `sum_n J_n^T D_n J_n`: applied by one forward and one backward pass, formed from layers or Jacobians."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core.layout import Layout
from .._core.operators import AbstractCurvatureOperator, AbstractRoot, KroneckerFactors, Path
from .._core.pieces import as_own
from .chunks import sum_over_chunks
from .factors import block_signals
from .formation import mirrored
from .gram_root import GramRoot
from .kronecker import Layer, Small, assemble, layout_of, pairs
from .layer_operator import LayerOperator
from .linear_pair import linear_pair, products_with_units
from .partition import Block
from .point import Point
from .storage import stored_operator

_UNITS = 64
"""Unit vectors that are pushed through the whole batch together."""


class GramOperator(AbstractCurvatureOperator):
    """Operator `v -> J^T D J v / total`, linearised once (Schraudolph 2002, section 4.2).

    Attributes:
        point, block: what is differentiated where, and in which parameters.
        layers: that the block's parameters are used in; None where one is not recognised.
        chunk_bytes: memory for the products of the examples that are handled together.
        push: `v -> J v` `[batch, c]`.
        pull: `u -> J^T u` `[n]`.
        curve: `u -> D u`.
    """

    point: Point
    block: Block
    layers: list[Layer] | None
    chunk_bytes: int = eqx.field(static=True)
    push: Callable[[Array], Array]
    pull: Callable[[Array], Array]
    curve: Callable[[Array], Array]

    @classmethod
    def of(
        cls, point: Point, block: Block, layers: list[Layer] | None, chunk_bytes: int
    ) -> "GramOperator | LayerOperator":
        """The operator that suits the block: from stored layer curvature where that is small.

        Args:
            point: where.
            block: in which parameters.
            layers: that the block's parameters are used in; None for products with the whole Jacobian.
            chunk_bytes: memory for the products of the examples that are handled together, and for what is stored.
        """
        verdict = point.examples.verdict
        outputs, push, pull = linear_pair(
            lambda w: point.outputs(w, block), block.take(point.params), verdict.reverse_only, verdict.rounding
        )

        def root() -> GramRoot:
            return GramRoot.of(point, block, layers, push, pull)

        if layers is not None and _stored_fits(point, layers, chunk_bytes):
            stored = stored_operator(point, block, layers, layer_curvature, root)
            if stored is not None:
                return stored
        _, curve = jax.linearize(jax.grad(point.total_loss), outputs)
        return cls(point, block, layers, chunk_bytes, push, pull, curve)

    @property
    def path(self) -> Path:
        if not self.point.examples.independent:
            return Path.BATCH
        if self.layers is not None and _formed_from_layers(self.point, self.layers):
            return Path.LAYERS
        return Path.GRADIENTS if self.point.examples.width == 1 else Path.JACOBIANS

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        return self.point.like(self.block)

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.pull(self.curve(self.push(vector))) / self.point.examples.total

    def as_matrix(self) -> Float[Array, "n n"]:
        dtype, batch = self.like.dtype, self.point.examples.batch
        if self.path is Path.LAYERS:
            assert self.layers is not None
            total = assemble(self.block, self.layers, self._layer_curvature, batch, self.chunk_bytes, dtype)
        elif self.path is Path.BATCH:
            return mirrored(products_with_units(self.mv, self.like, lambda row, unit: row, _UNITS))
        else:
            total = self._over_jacobians(
                lambda left, right: left.reshape(-1, self.block.n).T @ right.reshape(-1, self.block.n),
                jnp.zeros((self.block.n, self.block.n), dtype),
            )
        return mirrored(total / self.point.examples.total)

    def diagonal(self) -> Float[Array, " n"]:
        if self.path is Path.BATCH:
            return products_with_units(self.mv, self.like, jnp.vdot, _UNITS)
        zero = jnp.zeros(self.block.n, self.like.dtype)
        return self._over_jacobians(lambda left, right: jnp.sum(left * right, axis=(0, 1)), zero) / (
            self.point.examples.total
        )

    def max_entry(self) -> Float[Array, ""]:
        """Return the largest entry of the diagonal: exact for a semidefinite block, else a lower bound."""
        return jnp.max(jnp.abs(self.diagonal()))

    def arrangement(self) -> Layout | None:
        return None if self.layers is None else layout_of(self.block, self.layers, self.point.sizes(self.block))

    def kronecker(self) -> KroneckerFactors | None:
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
        # Of a loss that couples its examples the curvature in the outputs is one matrix, and need not be semidefinite.
        if not self.point.examples.verdict.loss:
            return None
        return GramRoot.of(self.point, self.block, self.layers, self.push, self.pull)

    def _layer_curvature(self, example: PyTree) -> tuple[Small, list[Float[Array, "t i"]]]:
        """`G^T D G` of one example, with `G` the Jacobian of its outputs in the outputs of the layers."""
        assert self.layers is not None
        return layer_curvature(self.point, self.layers, example)

    def _over_jacobians(self, reduce: Callable[[Array, Array], Array], zero: Array) -> Array:
        """Sum of `reduce(J, D J)` over chunks of examples, both `[chunk, c, n]`."""
        examples, block, dtype = self.point.examples, self.block, self.like.dtype
        jacobian_of = self._jacobian_of()

        def contribution(example: PyTree) -> tuple[Float[Array, "c n"], Float[Array, "c n"]]:
            x, y = example
            z, jacobian = jacobian_of(x)
            # Outputs may be wider than the parameters (float32 logits of a bfloat16 network); the block is not.
            return jacobian, (jax.hessian(examples.loss)(z, y) @ jacobian).astype(dtype)

        def add(total: Array, chunk: PyTree) -> Array:
            return total + reduce(*jax.vmap(contribution)(chunk))

        bytes_per_example = 2 * examples.width * block.n * dtype.itemsize
        return sum_over_chunks(add, zero, examples.batch, bytes_per_example, self.chunk_bytes)

    def _jacobian_of(self) -> Callable[[PyTree], tuple[Float[Array, " c"], Float[Array, "c n"]]]:
        """Return a function that gives the outputs of one example and their Jacobian."""
        point, block, layers = self.point, self.block, self.layers
        vector = block.take(point.params)
        layout = None if layers is None else layout_of(block, layers, point.sizes(block))

        def by_parameters(x: PyTree) -> tuple[Float[Array, " c"], Float[Array, "c n"]]:
            z, pullback = jax.vjp(lambda w: point.examples.outputs(block.put(point.params, w), x), vector)
            return z, jax.vmap(lambda row: pullback(row)[0])(as_own(jnp.eye(point.examples.width, dtype=z.dtype)))

        def by_layers(x: PyTree) -> tuple[Float[Array, " c"], Float[Array, "c n"]]:
            assert layers is not None
            assert layout is not None
            z, signals, inputs = layer_jacobians(point, layers, x)
            extended = [layer.extend(given).astype(vector.dtype) for layer, given in zip(layers, inputs, strict=True)]
            parts = [jnp.einsum("ti,cta->cia", x, s) for x, s in zip(extended, signals, strict=True)]
            # Every parameter of a block with layers is used in one of them.
            merge, no_rest = layout.merge, vector[:0]
            return z, jax.vmap(lambda matrices: merge(matrices, no_rest))(parts)

        # The products with the inputs as one matrix product each: the derivative of a convolution in its kernel, mapped
        # over outputs and examples, is a grouped convolution (a block of n = 1,152 takes 23 ms for 31 ms).
        return by_parameters if layout is None else by_layers


def layer_curvature(point: Point, layers: Sequence[Layer], example: PyTree) -> tuple[Small, list[Float[Array, "t i"]]]:
    """Gauss-Newton curvature of one example in the outputs of the layers, and the inputs of each layer's lead."""
    x, y = example
    z, jacobians, inputs = layer_jacobians(point, layers, x)
    curvature = jax.hessian(point.examples.loss)(z, y)
    curved = [jnp.einsum("cd,dsb->csb", curvature, jacobian) for jacobian in jacobians]
    small = {(u, v): jnp.einsum("cta,csb->tasb", jacobians[u], curved[v]) for u, v in pairs(layers)}
    return small, inputs


def layer_jacobians(
    point: Point, layers: Sequence[Layer], x: PyTree
) -> tuple[Float[Array, " c"], list[Float[Array, "c t a"]], list[Float[Array, "t i"]]]:
    """Return outputs of one example, their derivatives in the layers' outputs, and inputs of each layer's lead."""
    leads = [layer.lead for layer in layers]
    dtype = jax.tree.leaves(point.params)[0].dtype
    perturbations = as_own([jnp.zeros((lead.positions, lead.index.shape[1]), dtype) for lead in leads])

    def outputs(given: list[Float[Array, "t a"]]) -> tuple[Float[Array, " c"], list[Float[Array, "t i"]]]:
        z, inputs = point.program.run(point.params, x, dict(zip(leads, given, strict=True)))
        return z, [inputs[lead] for lead in leads]

    z, pullback, inputs = jax.vjp(outputs, perturbations, has_aux=True)
    (jacobians,) = jax.vmap(pullback)(as_own(jnp.eye(point.examples.width, dtype=z.dtype)))
    return z, jacobians, inputs


def _formed_from_layers(point: Point, layers: Sequence[Layer]) -> bool:
    # With several positions per example the outputs of a use are wider than the outputs of the model, and with one
    # output per example the Jacobian is as small as it gets.
    return point.examples.width > 1 and all(layer.lead.positions == 1 for layer in layers)


def _stored_fits(point: Point, layers: Sequence[Layer], chunk_bytes: int) -> bool:
    # Of one layer the stored curvature is applied faster than the network above it. Of several it is not, and it takes
    # one backward pass per output to get.
    if len(layers) > 1 or layers[0].lead.positions > 1:
        return False
    itemsize = jax.tree.leaves(point.params)[0].dtype.itemsize
    return point.examples.count * layers[0].shape[1] ** 2 * itemsize <= chunk_bytes
