"""The generalised Gauss-Newton matrix."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .._core.pieces import piece
from .base import AbstractCurvature
from .examples import Examples
from .gram_operator import GramOperator
from .layer_operator import LayerOperator
from .partition import Block
from .point import Point

_LARGEST_OUTPUTS = 1024
"""Outputs of a batch whose loss couples its examples up to which their curvature is looked at."""


class GaussNewton(AbstractCurvature):
    """Generalised Gauss-Newton block `(1/B) sum_n J_n^T D_n J_n` (Schraudolph 2002, eq. 10; Martens 2020, section 8).

    `J_n` is the Jacobian of example n's outputs in the parameters of the block, `D_n` the Hessian of its loss in the
    outputs. Where the loss is convex in the outputs (cross-entropy, squares) the block is positive semidefinite by
    construction, and the system says so.

    Attributes:
        convex_loss: True claims that `loss` is convex in the outputs, so that blocks are semidefinite by construction;
            False claims nothing. None looks: semidefiniteness is claimed for a batch whose every `D_n` is diagonally
            dominant (Gershgorin), as those of cross-entropy and squares are.
        chunk_bytes: memory for the products of the examples that are handled together, and for what an operator keeps
            of the layers.
        structure: form and apply the block from the inputs and the output curvature of its layers where all parameters
            of the block are recognised as used linearly (`_curvature.structure`); otherwise, and with False, from
            Jacobians.
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

    def operator(self, point: Point, block: Block) -> GramOperator | LayerOperator:
        """The block, not formed.

        Raises:
            ValueError: if outputs are not real.
        """
        _check_loss(point)
        layers = point.layers(block) if self.structure else None
        return GramOperator.of(point, block, layers, self.chunk_bytes)

    def floor(self, point: Point, block: Block) -> Float[Array, ""] | None:
        """Return 0 if every `D_n` is shown to be semidefinite, else minus infinity, which means "unknown"."""
        if self.convex_loss is None:
            return jnp.where(_dominant(point), 0, -jnp.inf).astype(point.like(block).dtype)
        return jnp.zeros((), point.like(block).dtype) if self.convex_loss else None


def _check_loss(point: Point) -> None:
    """Refuse outputs that are not real; an exception of the loss passes with a note on its purpose."""
    outputs = jax.eval_shape(point.outputs_of_all)
    if not jnp.issubdtype(outputs.dtype, jnp.floating):
        raise ValueError(
            f"predict returns {outputs.dtype} outputs: Gauss-Newton needs the Hessian of the loss in real outputs. "
            "Return logits rather than classes"
        )
    try:
        jax.eval_shape(lambda z: jax.jvp(jax.grad(point.total_loss), (z,), (z,)), outputs)
    except Exception as error:
        error.add_note(
            "Raised by the loss's Hessian in the outputs, which Gauss-Newton is made of. Write the loss in jax "
            "operations that can be differentiated twice, or use qnewton.EmpiricalFisher(), which needs first "
            "derivatives only"
        )
        raise


def _dominant(point: Point) -> Bool[Array, ""]:
    """Whether the curvature in the outputs is diagonally dominant: every `D_n`, or that of the whole batch."""
    joined = 1
    if not point.examples.verdict.loss:
        # One matrix for all outputs of the batch, since the loss couples its examples.
        joined, point = point.examples.count, point.as_one()
        if point.examples.width > _LARGEST_OUTPUTS:
            return jnp.zeros((), bool)
    examples = point.examples

    def excess(z: Float[Array, " c"], y: Array) -> tuple[Float[Array, ""], Float[Array, ""]]:
        curvature = jax.hessian(examples.loss)(z, y)
        diagonal, rows = jnp.diagonal(curvature), jnp.sum(jnp.abs(curvature), axis=1)
        return jnp.min(diagonal - (rows - jnp.abs(diagonal))), jnp.max(rows)

    def ends(examples: Examples, params: PyTree) -> tuple[Array, Array, Array]:
        outputs = examples.all_outputs(params)
        lowest, largest = jax.vmap(excess)(outputs, examples.batch[1])
        start = jnp.abs(jax.vmap(examples.loss)(jnp.zeros_like(outputs), examples.batch[1])) / joined
        return jnp.max(-lowest), jnp.max(largest), jnp.max(jnp.where(jnp.isfinite(start), start, 0))

    pieces = point.pieces
    if pieces is None:
        deficit, largest, unit = ends(examples, point.params)
    else:
        with piece(pieces):
            own = point.piece(pieces)
            found = ends(own.examples, own.params)
        deficit, largest, unit = pieces.largest(found)
    # Cross-entropy sits on the boundary exactly, so rounding must be let through: it is relative to the terms that
    # D_n is the difference of (probabilities), even where D_n itself is small. Their unit is that of the loss, which
    # outputs of zero show: a loss of 1e-6 times another is as convex as that.
    slack = 8 * examples.width * jnp.finfo(largest.dtype).eps * jnp.maximum(unit, largest)
    return deficit <= slack
