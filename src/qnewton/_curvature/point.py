"""Point at which curvature is taken: an objective at parameters and a batch, traced once for all blocks of a step."""

from dataclasses import dataclass, replace
from functools import cached_property

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._core.constants import unfolded
from .._core.pieces import Pieces, piece, pieces_of
from .._core.trees import struct_of
from .examples import Examples, examples_of
from .independence import Coupling, independence
from .kronecker import Layer, find_layers
from .objective import Batch, Objective
from .partition import Block
from .stored import Widths, as_written, computed_wide
from .structure import Program, trace


@dataclass(frozen=True)
class Point:
    """An objective at `params` on a batch; it exists only while a step is traced.

    Attributes:
        objective: what is minimised.
        params: pytree of arrays.
        examples: the objective seen one example at a time, with the batch.
    """

    objective: Objective
    params: PyTree
    examples: Examples

    @classmethod
    def of(
        cls,
        objective: Objective,
        params: PyTree,
        batch: Batch,
        key: Key[Array, ""] | None = None,
        verdict: Coupling | None = None,
    ) -> "Point":
        """Split the objective into examples at a point.

        Args:
            objective: what is minimised.
            params: pytree of arrays; the point has them in their working type.
            batch: `(inputs, targets)`.
            key: of the model, where it takes one.
            verdict: whether examples influence each other; None finds out.

        Raises:
            ValueError: if the outputs have no axis that counts the examples.
        """
        widths = Widths.of(params)
        objective, params = widths.objective(objective), widths.widened(params)
        # Numbers are compared before they are hidden from the compiler.
        verdict = independence(objective, params, batch, key) if verdict is None else verdict
        params, batch, key = unfolded((params, batch, key))
        wide = computed_wide(objective, params, batch[0], key)
        if wide is not objective:
            objective, verdict = wide, replace(verdict, rounding=0.0)
        return cls(objective, params, examples_of(objective, params, batch, key, verdict))

    @cached_property
    def program(self) -> Program:
        """The model's jaxpr for one example, with the linear uses of its parameters."""
        return trace(self.examples.outputs, as_written(self.objective, self.params)[1], self.examples.batch[0])

    def after(self, finished: PyTree[Array]) -> "Point":
        """Return the same point, used only after `finished` is computed.

        Blocks that are formed one after the other need memory for one of them only.
        """
        params, _ = jax.lax.optimization_barrier((self.params, finished))
        return self._sharing(replace(self, params=params))

    def on(self, examples: Examples) -> "Point":
        """The same point on other examples of the same kind."""
        return self._sharing(replace(self, examples=examples))

    @property
    def pieces(self) -> Pieces | None:
        """Replicas that may share the examples; None if they are not divided, or influence each other."""
        return pieces_of(self.examples.count) if self.examples.independent and self.examples.good is None else None

    def piece(self, pieces: Pieces) -> "Point":
        """The same point with one replica's examples and parameters of its own; inside of `pieces.piece`."""
        part = self.examples.part(pieces.own(self.examples.batch))
        return self._sharing(replace(self, params=pieces.varying(self.params), examples=part))

    def _sharing(self, other: "Point") -> "Point":
        # The program is traced from the shapes of one example alone, on which a model may not run.
        if self.examples.independent:
            vars(other)["program"] = self.program
        return other

    def layers(self, block: Block) -> list[Layer] | None:
        """Return the layers that use the block's parameters.

        None where a parameter is not recognised, or has copies, each of which would be a layer of its own; and where
        examples influence each other: layers are found in the program of one example.
        """
        found = find_layers(self.program, block) if self.examples.independent else None
        return None if found is None or any(layer.lead.copies > 1 for layer in found) else found

    def sizes(self, block: Block) -> list[int]:
        """Return the number of scalars in each leaf of the block."""
        leaves = jax.tree.leaves(self.params)
        return [leaves[i].size for i in block.leaves]

    def like(self, block: Block) -> jax.ShapeDtypeStruct:
        """Shape and dtype of the block's vectors."""
        return struct_of((block.n,), jax.tree.leaves(self.params)[block.leaves[0]])

    def outputs(self, vector: Float[Array, " n"], block: Block) -> Float[Array, "batch c"]:
        """Raveled outputs of every example with the block's parameters replaced by `vector`."""
        return self.examples.all_outputs(block.put(self.params, vector))

    def outputs_of_all(self) -> Float[Array, "batch c"]:
        """Raveled outputs of every example; not to be differentiated."""
        pieces = self.pieces
        if pieces is None:
            return self.examples.all_outputs(self.params)
        with piece(pieces):
            own = self.piece(pieces)
            found = own.examples.all_outputs(own.params)
        return pieces.whole(found)

    def total_loss(self, outputs: Float[Array, "batch c"]) -> Float[Array, ""]:
        """Sum of the examples' losses as a function of their outputs."""
        return self.examples.total_loss(outputs)

    def singly(self, what: str) -> "Point":
        """Return the point for a use that requires single examples (`Examples.singly`).

        Args:
            what: the use, for the message.

        Raises:
            ValueError: if examples influence each other.
        """
        examples = self.examples.singly(self.params, what)
        return self if examples is self.examples else Point(self.objective, self.params, examples)

    def as_one(self) -> "Point":
        """Return the same point with the whole batch as its only example, which nothing else influences."""
        return Point(self.objective, self.params, self.examples.as_one())

    def scored(self) -> "Point":
        """Return the same point with each example's loss as its only output, and half its square as the loss.

        Its Gauss-Newton matrix is the empirical Fisher matrix of this one: `sum_n w_n g_n g_n^T / sum_n w_n`, with
        `g_n` the gradient of example n's mean loss.

        Raises:
            ValueError: if examples influence each other.
        """
        examples = self.examples.singly(self.params, "The empirical Fisher matrix")

        def outputs(params: PyTree, example: PyTree) -> Float[Array, " 1"]:
            x, y = example
            z = examples.outputs(params, x)
            weight = jax.lax.stop_gradient(examples.weight(z, y))
            # The loss is weight times mean loss; an example without weight has no gradient either.
            return (examples.loss(z, y) / jnp.sqrt(jnp.where(weight > 0, weight, 1)))[None]

        scored = replace(
            examples,
            width=1,
            channels=1,
            batch=(examples.batch, examples.batch[1]),
            outputs=outputs,
            loss=lambda z, y: z[0] ** 2 / 2,
        )
        return Point(self.objective, self.params, scored)
