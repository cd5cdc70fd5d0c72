"""A loss in its own unit, so that an optimizer's behaviour does not depend on the loss's scale."""

from collections.abc import Sequence
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._core.arrays import Number, filled
from .._core.pieces import largest_of_all
from .._core.traces import over_last
from .batch import from_real_parts, real_parts
from .objective import Batch, Objective


class LossScale(eqx.Module):
    """The unit of a loss, and the replacement for curvature that the loss does not have.

    Everything that is divided by `unit` is the same for a loss and its multiples: to the last bit where the factor is a
    power of two, to rounding otherwise. Without it, dampings that are numbers would mean something else for each of
    them, and squares would leave the floating-point range.

    Attributes:
        unit: about the largest curvature of the loss in the outputs on the first batch (of `seen` the largest sum of
            sizes in a row, of `of` the largest entry of a product with numbers of size 0.5 to 1.5); where that is zero,
            the largest slope times the largest output; 0 before. Of an example of weight 1.
        lift: added to that curvature's diagonal where the whole batch has none: a change of the outputs by as much as
            they are then ends at slope zero. Otherwise 0.
    """

    unit: Float[Array, ""]
    lift: Float[Array, ""]

    @classmethod
    def unknown(cls, dtype: jnp.dtype) -> "LossScale":
        """Return the unknown unit, before the first batch."""
        return cls(filled((), 0, dtype), filled((), 0, dtype))

    @classmethod
    def of(cls, objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None = None) -> "LossScale":
        """Measure the unit on a batch: one product with the Hessian in the outputs, and the model's forward pass.

        Positions or tokens of one example (all axes of its outputs but the last) are summed, since a loss is a sum or
        a mean over them.
        """
        targets = batch[1]
        whole = objective.outputs(params, batch[0], key)
        outputs, classes = eqx.partition(real_parts(whole), lambda leaf: jnp.issubdtype(leaf.dtype, jnp.inexact))

        def total(z: PyTree) -> tuple[Float[Array, ""], Array | None]:
            values, weights = objective.terms(from_real_parts(whole, eqx.combine(z, classes)), targets)
            return jnp.sum(values), weights

        tangents = jax.tree.map(_scattered, outputs)
        slope, curved, weights = jax.jvp(jax.grad(total, has_aux=True), (outputs,), (tangents,), has_aux=True)
        heaviest = 1.0 if weights is None else jnp.max(weights)
        curvature, steepest, size = (_size(tree) for tree in (curved, slope, outputs))
        return cls.measured((curvature, steepest, size), heaviest, jax.tree.leaves(params)[0].dtype)

    @classmethod
    def seen(
        cls,
        outputs: Float[Array, "batch c"],
        slope: Float[Array, "batch c"],
        curvature: Float[Array, "batch c"],
        channels: int,
        heaviest: Float[Array, ""] | float,
    ) -> "LossScale":
        """Return the unit from quantities that a step computes anyway.

        Args:
            outputs: of every example.
            slope: of its loss, weight included.
            curvature: sums of the sizes in each row of that loss's Hessian.
            channels: entries of one position; an example's positions are summed.
            heaviest: largest weight of an example.
        """
        sizes = cls.sizes(outputs, slope, curvature, channels)
        return cls.measured(largest_of_all(jnp.max(sizes, axis=1)), heaviest, outputs.dtype)

    @staticmethod
    def sizes(
        outputs: Float[Array, "batch c"],
        slope: Float[Array, "batch c"],
        curvature: Float[Array, "batch c"],
        channels: int,
    ) -> Float[Array, "3 batch"]:
        """Return the sizes of every example's curvature, slope and outputs, for arguments as in `seen`.

        `measured` takes the largest.
        """
        by_position = [jnp.abs(one).reshape(len(one), -1, channels) for one in (curvature, slope, outputs)]
        return jnp.stack([over_last(over_last(one, largest=True)) for one in by_position])

    @classmethod
    def measured(cls, largest: Sequence[Array] | Float[Array, "3"], heaviest: Number, dtype: jnp.dtype) -> "LossScale":
        """The unit from the largest entries of all three.

        Args:
            largest: curvature, slope and outputs, of the largest example each.
            heaviest: largest weight of an example.
            dtype: of the result.
        """
        curvature, slope, size = (value.astype(dtype) for value in largest)
        flat = curvature == 0
        size = jnp.where(size > 0, size, 1)
        heaviest = jnp.asarray(heaviest, dtype)
        heaviest = jnp.where(heaviest > 0, heaviest, 1)
        unit = jnp.where(flat, slope * size, curvature) / heaviest
        lift = jnp.where(flat, slope / size / heaviest, 0)
        usable = jnp.isfinite(unit) & jnp.isfinite(lift)
        return cls(jnp.where(usable, unit, 0), jnp.where(usable, lift, 0))

    def after(self, measured: "LossScale") -> "LossScale":
        """Return the unit that was known first, with the new lift."""
        dtype = self.unit.dtype
        unit = jnp.where(self.unit > 0, self.unit, measured.unit.astype(dtype))
        return LossScale(unit, measured.lift.astype(dtype))

    @property
    def divisor(self) -> Float[Array, ""]:
        """The unit, 1 as long as it is unknown."""
        return jnp.where(self.unit > 0, self.unit, 1)

    @property
    def flat(self) -> Bool[Array, ""]:
        """Whether the loss had no curvature in the outputs on the whole of the last batch."""
        return self.lift > 0

    def penalty(self, objective: Objective) -> Float[Array, ""] | float:
        """The objective's `l2` in units; the number 0 where it has none."""
        return objective.l2 / self.divisor if objective.penalised else 0.0

    def applied(self, objective: Objective) -> Objective:
        """The objective in units, without l2 and without the lift."""

        def loss(outputs: PyTree, targets: PyTree) -> PyTree:
            pair = objective.loss(outputs, targets)
            values = pair[0] if isinstance(pair, tuple) else pair
            values = values / self.divisor.astype(values.dtype)
            return (values, *pair[1:]) if isinstance(pair, tuple) else values

        return replace(objective, loss=loss, l2=0.0)


def _scattered(like: Array) -> Array:
    """Return numbers of both signs, sizes 1/2 to 3/2, in an order in which a loss's differences do not cancel.

    Hashed indices rather than a random key's draws, whose program takes longer to compile than the rest of the step.
    """
    bits = jnp.arange(like.size, dtype=jnp.uint32) * jnp.uint32(0x9E3779B1)
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x85EBCA77)
    sign = 1 - 2 * (bits >> 31).astype(jnp.float32)
    return (sign * (0.5 + ((bits >> 15) & 0xFFFF).astype(jnp.float32) / 0x10000)).reshape(like.shape).astype(like.dtype)


def _size(tree: PyTree) -> Float[Array, ""]:
    """Largest entry over the last axis, summed over an example's positions, of the largest example."""

    def of_leaf(leaf: Array) -> Float[Array, ""]:
        size = jnp.abs(leaf)
        if size.ndim > 1:
            size = jnp.max(size, axis=-1)
        return jnp.max(jnp.sum(size.reshape(size.shape[0], -1), axis=1))

    return jnp.max(jnp.stack([of_leaf(leaf) for leaf in jax.tree.leaves(tree)]))
