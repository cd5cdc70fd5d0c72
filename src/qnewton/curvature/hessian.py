"""The exact Hessian."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..core.records import System
from .base import AbstractCurvature
from .examples import single_examples
from .kronecker import Layer, Small, assemble, feed_each_other, find_layers, pairs
from .objective import Batch, Objective
from .partition import Block
from .structure import Program


class Hessian(AbstractCurvature):
    """Exact Hessian block of the objective, indefinite in general.

    Where the model is affine in the block (one layer with the others held fixed), the block follows from the layer's
    inputs and the Hessian in its outputs (`curvature.kronecker`), one small Hessian per example. Otherwise the gradient
    is linearised once and the Hessian-vector product is mapped over the unit vectors (Pearlmutter 1994), `chunk` of
    them at a time, so that the memory for tangents stays bounded.

    Attributes:
        chunk: unit vectors pushed through the network together.
        chunk_bytes: memory for the products of the examples that are handled together.
        structure: look for layers (`curvature.structure`); with False every block takes Hessian-vector products.
    """

    chunk: int = eqx.field(static=True, default=64)
    chunk_bytes: int = eqx.field(static=True, default=2**26)
    structure: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        if self.chunk < 1:
            raise ValueError(f"chunk is {self.chunk}: it counts unit vectors and must be at least 1, e.g. 64")

    @property
    def semidefinite(self) -> bool:
        return False

    def form(self, objective: Objective, params: PyTree, batch: Batch, block: Block) -> System:
        """The block `d^2 loss / d w^2` for the parameters `w` of the block, all others held fixed."""
        if self.structure:
            program = Program(objective.predict, params, jax.tree.map(lambda leaf: leaf[0], batch[0]))
            layers = find_layers(program, block)
            if layers is not None and not feed_each_other(layers, block):
                width = sum(layer.lead.positions * layer.shape[1] for layer in layers)
                if width < block.n:
                    return self.system(self._in_factors(objective, program, layers, params, batch, block))
        return self.system(self._in_products(objective, params, batch, block))

    def _in_factors(
        self, objective: Objective, program: Program, layers: list[Layer], params: PyTree, batch: Batch, block: Block
    ) -> Float[Array, "n n"]:
        """`sum_n x_n x_n^T kron D_n`, with `D_n` the exact Hessian of example n's loss in the outputs of the layers."""
        examples = single_examples(objective, params, batch)
        dtype = block.take(params).dtype
        leads = [layer.lead for layer in layers]
        shapes = [(lead.positions, lead.index.shape[1]) for lead in leads]
        starts = [0, *itertools.accumulate(t * a for t, a in shapes)]

        def inner(example: Batch) -> tuple[Small, list[Float[Array, "t i"]]]:
            x, y = example

            def run(flat: Float[Array, " w"]) -> tuple[Float[Array, ""], list[Float[Array, "t i"]]]:
                given = [
                    flat[start : start + t * a].reshape(t, a) for start, (t, a) in zip(starts[:-1], shapes, strict=True)
                ]
                z, inputs = program.run(params, x, dict(zip(leads, given, strict=True)))
                return examples.loss(z, y), [inputs[lead] for lead in leads]

            hessian, inputs = jax.hessian(run, has_aux=True)(jnp.zeros(starts[-1], dtype))
            small = {
                (u, v): hessian[starts[u] : starts[u + 1], starts[v] : starts[v + 1]].reshape(*shapes[u], *shapes[v])
                for u, v in pairs(layers)
            }
            return small, inputs

        return assemble(block, layers, inner, batch, self.chunk_bytes, dtype)

    def _in_products(self, objective: Objective, params: PyTree, batch: Batch, block: Block) -> Float[Array, "n n"]:
        """One Hessian-vector product per row."""

        def gradient(vector: Float[Array, " n"]) -> Float[Array, " n"]:
            return jax.grad(lambda w: objective(block.put(params, w), batch))(vector)

        vector = block.take(params)
        _, product = jax.linearize(gradient, vector)
        return jax.lax.map(product, jnp.eye(block.n, dtype=vector.dtype), batch_size=min(self.chunk, block.n))
