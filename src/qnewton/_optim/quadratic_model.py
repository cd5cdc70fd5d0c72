"""The exact quadratic model in the plane of two directions: learning rate and momentum from a 2x2 system.

Martens and Grosse 2015, sections 6.4 and 7: along `c_1 u_1 + c_2 u_2` the loss is modelled by

    h + c.b + c^T (Q + shift S) c / 2,    b = U^T g,  Q = U^T (J^T D J / total) U,  S = U^T U,

with `J` the Jacobian of the outputs and `D` the Hessian of the loss in them: Gauss-Newton's curvature, exactly and over
the whole batch, for one forward-mode pass per direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._core.one_kernel import LARGE
from .._core.pieces import Pieces, in_piece, pieces_of
from .._core.traces import inner
from .._core.trees import ravel
from .._curvature.batch import OutputRows, example_count, own_examples
from .._curvature.independence import rules_and_rounding
from .._curvature.linear_pair import Push, linear_pair
from .._curvature.objective import Batch, Objective
from .._curvature.stored import computed_wide


class PlaneModel(eqx.Module):
    """The quadratic model in the span of k = 1 or 2 directions, without the loss itself.

    Attributes:
        slopes: `U^T g` `[k]`.
        curvature: `U^T J^T D J U / total` `[k, k]`; without l2 and damping.
        squares: `U^T M U` `[k, k]`, what a multiple of the metric `M` (the identity) adds to the curvature.
    """

    slopes: Float[Array, " k"]
    curvature: Float[Array, "k k"]
    squares: Float[Array, "k k"]

    @classmethod
    def of(
        cls,
        objective: Objective,
        params: PyTree,
        batch: Batch,
        gradient: Float[Array, " n"],
        directions: Sequence[PyTree],
        key: Key[Array, ""] | None = None,
        metric: Float[Array, " n"] | None = None,
        lift: Float[Array, ""] | float = 0.0,
        linearised: "Linearised | None" = None,
    ) -> "PlaneModel":
        """Compute the model in one forward-mode pass for all directions, with the gradient's own forward pass.

        Args:
            objective: what is modelled.
            params: where.
            batch: `(inputs, targets)`.
            gradient: of the objective, l2 included, raveled `[n]`.
            directions: k pytrees like `params`.
            key: of the model, where it takes one.
            metric: diagonal of what `shift` multiplies `[n]`; None is the identity.
            lift: added to the diagonal of the loss's Hessian in the outputs, for an example of weight 1.
            linearised: what `linearised` returned there; None computes it.
        """
        inputs, targets = batch
        objective = computed_wide(objective, params, inputs, key)
        pieces = _pieces(objective, batch, key)
        if pieces is None:
            found = Linearised.of(objective, params, batch, key) if linearised is None else linearised
            products, total = found.products(directions, lift)
        else:
            own = own_examples(pieces, inputs), own_examples(pieces, targets)

            def here(params: PyTree, directions: Sequence[PyTree]) -> tuple[Array, Array]:
                return Linearised.of(objective, params, own, key).products(directions, lift)

            products, total = pieces.total(in_piece(pieces, here, params, list(directions)))
        curvature = (products / total).astype(gradient.dtype)
        curvature = (curvature + curvature.T) / 2
        flat = [ravel(jax.tree.leaves(direction)) for direction in directions]
        if gradient.size >= LARGE:
            weighted = flat if metric is None else [one * metric for one in flat]
            squares = jnp.stack([jnp.stack([inner(one, other) for other in flat]) for one in weighted])
            return cls(jnp.stack([inner(one, gradient) for one in flat]), curvature, squares)
        rows = jnp.stack(flat)
        return cls(rows @ gradient, curvature, (rows if metric is None else rows * metric) @ rows.T)

    @staticmethod
    def linearised(
        objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None = None
    ) -> "Linearised | None":
        """Return what a model needs of the point alone; None where the examples are divided.

        A branch of a `lax.cond` shares no forward pass with what is outside, but it can be given this.
        """
        objective = computed_wide(objective, params, batch[0], key)
        return None if _pieces(objective, batch, key) is not None else Linearised.of(objective, params, batch, key)

    def minimiser(self, shift: Float[Array, ""] | float) -> tuple[Float[Array, " k"], Bool[Array, ""]]:
        """Return the minimum's coefficients `[k]` with `shift` on the diagonal, and whether there is a minimum.

        A second direction that is zero, or parallel to the first up to rounding, gets the coefficient 0. Where the
        curvature along the first direction is not positive the model has no minimum: the coefficients are then 0.
        """
        q = self.curvature + shift * self.squares
        first = q[0, 0]
        bounded = (first > 0) & jnp.isfinite(first) & jnp.all(jnp.isfinite(self.slopes))
        safe = jnp.where(bounded, first, 1)
        if self.slopes.shape[0] == 1:
            coefficients = -self.slopes / safe
        else:
            # Gauss's elimination: what the second direction has that the first one lacks.
            ratio = q[0, 1] / safe
            pivot = q[1, 1] - ratio * q[0, 1]
            distinct = pivot > 64 * jnp.finfo(q.dtype).eps * q[1, 1]
            second = jnp.where(distinct, -(self.slopes[1] - ratio * self.slopes[0]) / jnp.where(distinct, pivot, 1), 0)
            coefficients = jnp.stack([-self.slopes[0] / safe - ratio * second, second])
        bounded = bounded & jnp.all(jnp.isfinite(coefficients))
        return jnp.where(bounded, coefficients, 0), bounded

    def decrease(self, coefficients: Float[Array, " k"], shift: Float[Array, ""] | float) -> Float[Array, ""]:
        """Return the decrease of the objective that the model with `shift` on the diagonal predicts."""
        q = self.curvature + shift * self.squares
        return -(self.slopes @ coefficients + coefficients @ q @ coefficients / 2)


@dataclass(frozen=True)
class Linearised:
    """First derivative of a model's outputs and second one of its loss in them, at a point.

    Attributes:
        push: tangent of the parameters to one of all outputs `[batch, c]`.
        curve: product with the loss's Hessian in the outputs, of the sum over the examples.
        weights: of the examples; None where each is 1.
        total: their sum.
    """

    push: Push
    curve: Push
    weights: Float[Array, " batch"] | None
    total: Float[Array, ""]

    @classmethod
    def of(cls, objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None) -> "Linearised":
        """Linearise on the examples at hand.

        Args:
            objective: what is modelled.
            params: where.
            batch: `(inputs, targets)`.
            key: of the model.
        """
        inputs, targets = batch
        rows = OutputRows.of(jax.eval_shape(lambda p: objective.outputs(p, inputs, key), params))

        def outputs_of(params: PyTree) -> Float[Array, "batch c"]:
            return rows.ravel(objective.outputs(params, inputs, key))

        outputs, push, _ = linear_pair(outputs_of, params, *rules_and_rounding(outputs_of, params))

        def total_loss(z: Float[Array, "batch c"]) -> tuple[Float[Array, ""], Array | None]:
            values, weights = objective.terms(rows.unravel(z), targets)
            return jnp.sum(values), weights

        _, curve, weights = jax.linearize(jax.grad(total_loss, has_aux=True), outputs, has_aux=True)
        total = jnp.asarray(outputs.shape[0], outputs.dtype) if weights is None else jnp.sum(weights)
        return cls(push, curve, weights, total)

    def products(
        self, directions: Sequence[PyTree], lift: Float[Array, ""] | float
    ) -> tuple[Float[Array, "k k"], Float[Array, ""]]:
        """`U^T J^T (D + lift) J U` over the examples, and the sum of their weights.

        Args:
            directions: the columns of `U`.
            lift: for an example of weight 1.
        """
        # One after the other: of both at once products with the layers' inputs would have to be transposed.
        moved = [self.push(direction) for direction in directions]
        lifts = jnp.asarray(lift if self.weights is None else lift * self.weights, moved[0].dtype).reshape(-1, 1)
        curved = [self.curve(one) + lifts * one for one in moved]
        # Three sums: a product of matrices with so few rows takes several times as long.
        above = [[jnp.sum(one * other) for other in curved[k:]] for k, one in enumerate(moved)]
        square = [[above[min(i, j)][abs(i - j)] for j in range(len(moved))] for i in range(len(moved))]
        return jnp.stack([jnp.stack(row) for row in square]), self.total


def _pieces(objective: Objective, batch: Batch, key: Key[Array, ""] | None) -> Pieces | None:
    return None if key is not None and objective.takes_key else pieces_of(example_count(batch[0]))
