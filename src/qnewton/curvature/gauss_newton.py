"""The generalised Gauss-Newton matrix."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..core.records import System
from .base import AbstractCurvature
from .examples import Examples, mean_over_chunks, single_examples
from .kronecker import Layer, Small, assemble, find_layers, pairs
from .objective import Batch, Objective
from .partition import Block
from .structure import Program


class GaussNewton(AbstractCurvature):
    """Generalised Gauss-Newton block `(1/B) sum_n J_n^T D_n J_n` (Schraudolph 2002, eq. 10; Martens 2020, section 8).

    `J_n` is the Jacobian of example n's outputs in the parameters of the block, `D_n` the Hessian of its loss in the
    outputs. Where the loss is convex in the outputs (cross-entropy, squares) the block is positive semidefinite by
    construction, and the system says so.

    Attributes:
        convex_loss: True claims that `loss` is convex in the outputs, so that blocks are semidefinite by construction;
            False claims nothing. None looks: semidefiniteness is claimed for a batch whose every `D_n` is diagonally
            dominant (Gershgorin), as those of cross-entropy and squares are.
        chunk_bytes: memory for the products of the examples that are handled together.
        structure: form the block from the inputs and the output curvature of the layers where all parameters of the
            block are recognised as used linearly (`curvature.structure`); otherwise, and with False, from Jacobians.
    """

    convex_loss: bool | None = eqx.field(static=True, default=None)
    chunk_bytes: int = eqx.field(static=True, default=2**26)
    structure: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        if self.chunk_bytes < 1:
            raise ValueError(
                f"chunk_bytes is {self.chunk_bytes}: it must be positive. Where it is less than one example needs, "
                "the examples are handled one by one"
            )

    @property
    def semidefinite(self) -> bool:
        return self.convex_loss is not False

    def form(self, objective: Objective, params: PyTree, batch: Batch, block: Block) -> System:
        """The block, in matrix products over chunks of examples.

        Raises:
            ValueError: if the leading axis of the outputs does not count the examples.
        """
        examples = single_examples(objective, params, batch)
        floor = self._floor(examples, params, batch)
        if self.structure:
            program = Program(objective.predict, params, jax.tree.map(lambda leaf: leaf[0], batch[0]))
            layers = find_layers(program, block)
            # With several positions per example the outputs of a use are wider than the outputs of the model, and with
            # one output per example the Jacobian is as small as it gets.
            if layers is not None and examples.width > 1 and all(layer.lead.positions == 1 for layer in layers):
                return self.system(self._in_factors(examples, program, layers, params, batch, block), floor)
        return self.system(self._in_jacobians(examples, params, batch, block), floor)

    def _floor(self, examples: Examples, params: PyTree, batch: Batch) -> Float[Array, ""] | None:
        """0 where every `D_n` is seen to be semidefinite; a floor of minus infinity says that nothing is known."""
        if self.convex_loss is not None:
            return None

        def excess(example: Batch) -> tuple[Float[Array, ""], Float[Array, ""]]:
            x, y = example
            curvature = jax.hessian(examples.loss)(examples.outputs(params, x), y)
            diagonal, rows = jnp.diagonal(curvature), jnp.sum(jnp.abs(curvature), axis=1)
            return jnp.min(diagonal - (rows - jnp.abs(diagonal))), jnp.max(rows)

        lowest, largest = jax.vmap(excess)(batch)
        dtype = jax.tree.leaves(params)[0].dtype
        # Cross-entropy sits on the boundary exactly, so rounding must be let through: it is relative to the terms that
        # D_n is the difference of, which are of order 1 (probabilities) even where D_n itself is small.
        slack = 8 * examples.width * jnp.finfo(dtype).eps * jnp.maximum(1, jnp.max(largest))
        return jnp.where(jnp.all(lowest >= -slack), 0, -jnp.inf).astype(dtype)

    def _in_factors(
        self, examples: Examples, program: Program, layers: list[Layer], params: PyTree, batch: Batch, block: Block
    ) -> Float[Array, "n n"]:
        """`sum_n x_n x_n^T kron (G_n^T D_n G_n)`, with `G_n` the Jacobian in the outputs of the layers."""
        dtype = block.take(params).dtype
        leads = [layer.lead for layer in layers]
        perturbations = [jnp.zeros((lead.positions, lead.index.shape[1]), dtype) for lead in leads]

        def inner(example: Batch) -> tuple[Small, list[Float[Array, "t i"]]]:
            x, y = example

            def outputs(given: list[Float[Array, "t a"]]) -> tuple[Float[Array, " c"], list[Float[Array, "t i"]]]:
                z, inputs = program.run(params, x, dict(zip(leads, given, strict=True)))
                return z, [inputs[lead] for lead in leads]

            z, pullback, inputs = jax.vjp(outputs, perturbations, has_aux=True)
            (jacobians,) = jax.vmap(pullback)(jnp.eye(examples.width, dtype=z.dtype))
            curvature = jax.hessian(examples.loss)(z, y)
            curved = [jnp.einsum("cd,dsb->csb", curvature, jacobian) for jacobian in jacobians]
            small = {(u, v): jnp.einsum("cta,csb->tasb", jacobians[u], curved[v]) for u, v in pairs(layers)}
            return small, inputs

        return assemble(block, layers, inner, batch, self.chunk_bytes, dtype)

    def _in_jacobians(self, examples: Examples, params: PyTree, batch: Batch, block: Block) -> Float[Array, "n n"]:
        """`sum_n J_n^T D_n J_n`, with the Jacobians written out."""
        vector = block.take(params)

        def contribution(example: Batch) -> tuple[Float[Array, "c n"], Float[Array, "c n"]]:
            x, y = example
            z, pullback = jax.vjp(lambda w: examples.outputs(block.put(params, w), x), vector)
            jacobian = jax.vmap(lambda row: pullback(row)[0])(jnp.eye(examples.width, dtype=z.dtype))
            # Outputs may be wider than the parameters (float32 logits of a bfloat16 network); the block is not.
            return jacobian, (jax.hessian(examples.loss)(z, y) @ jacobian).astype(vector.dtype)

        def add(total: Float[Array, "n n"], chunk: Batch) -> Float[Array, "n n"]:
            left, right = jax.vmap(contribution)(chunk)
            return total + left.reshape(-1, block.n).T @ right.reshape(-1, block.n)

        zero = jnp.zeros((block.n, block.n), vector.dtype)
        bytes_per_example = 2 * examples.width * block.n * vector.dtype.itemsize
        return mean_over_chunks(add, zero, batch, bytes_per_example, self.chunk_bytes)
