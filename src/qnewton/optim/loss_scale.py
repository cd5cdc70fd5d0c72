"""A loss seen in its own unit, so that what an optimizer does is the same whether nats or millionths are counted."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from ..curvature.objective import Batch, Objective

_SIGNS = 0x5CA1E
# Of the loss's rounding a difference of two losses holds this many; a mean over a batch adds a little to one.
_ROUNDINGS = 4


class LossScale(eqx.Module):
    """The unit in which a loss is counted, and what stands in for the curvature that it does not have.

    Everything that is divided by `unit` is the same for a loss and its multiples: to the last bit where the factor is a
    power of two, to rounding otherwise. Without it, dampings that are numbers would mean something else for each of
    them, and squares would leave the floating-point range.

    Attributes:
        unit: largest entry of the loss's curvature in the outputs on the first batch, or, where that is zero, of its
            slope times the largest output; 0 before.
        lift: added to that curvature's diagonal where the whole batch has none: a change of the outputs by as much as
            they are then ends at slope zero. Otherwise 0.
    """

    unit: Float[Array, ""]
    lift: Float[Array, ""]

    @classmethod
    def unknown(cls, dtype: Any) -> "LossScale":
        """Before the first batch."""
        return cls(jnp.zeros((), dtype), jnp.zeros((), dtype))

    @classmethod
    def of(cls, objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None = None) -> "LossScale":
        """Measured on a batch: three products with the Hessian in the outputs, besides the model's forward pass.

        The products are with random signs and numbers. Positions or tokens of one example (all axes of its outputs but
        the last) are summed, since a loss is a sum or a mean over them.
        """
        targets = batch[1]
        whole = objective.outputs(params, batch[0], key)
        outputs, classes = eqx.partition(whole, lambda leaf: jnp.issubdtype(leaf.dtype, jnp.inexact))

        def total(z: PyTree) -> Float[Array, ""]:
            return jnp.sum(objective.terms(eqx.combine(z, classes), targets)[0])

        slope, curve = jax.linearize(jax.grad(total), outputs)
        leaves, structure = jax.tree.flatten(outputs)
        dtype = jax.tree.leaves(params)[0].dtype
        keys = [jax.random.fold_in(jax.random.key(_SIGNS), k) for k in range(len(leaves))]
        signs = [jax.random.rademacher(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
        # Equal signs cancel in a loss of differences, and then these do not.
        turned = [sign * (1 - 2 * (jnp.arange(sign.shape[-1]) % 2)).astype(sign.dtype) for sign in signs]
        # Numbers of all sizes cancel nowhere: they tell a loss without curvature.
        normal = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
        sizes = [_size(curve(jax.tree.unflatten(structure, each))).astype(dtype) for each in (signs, turned, normal)]
        curvature = jnp.maximum(sizes[0], sizes[1])
        curvature = jnp.where(curvature > 0, curvature, sizes[2])
        flat = curvature == 0
        size, steepest = _size(outputs).astype(dtype), _size(slope).astype(dtype)
        size = jnp.where(size > 0, size, 1)
        lift = jnp.where(flat, steepest / size, 0)
        weights = objective.terms(whole, targets)[1]
        heaviest = jnp.ones((), dtype) if weights is None else jnp.max(weights).astype(dtype)
        unit = jnp.where(flat, steepest * size, curvature) / jnp.where(heaviest > 0, heaviest, 1)
        usable = jnp.isfinite(unit) & jnp.isfinite(lift)
        return cls(jnp.where(usable, unit, 0), jnp.where(usable, lift, 0))

    def after(self, measured: "LossScale") -> "LossScale":
        """The unit that was known first, and the new lift."""
        return LossScale(jnp.where(self.unit > 0, self.unit, measured.unit), measured.lift)

    @property
    def divisor(self) -> Float[Array, ""]:
        """The unit, 1 as long as it is unknown."""
        return jnp.where(self.unit > 0, self.unit, 1)

    @property
    def flat(self) -> Bool[Array, ""]:
        """Whether the loss had no curvature in the outputs, on the whole of the last batch."""
        return self.lift > 0

    def penalty(self, objective: Objective) -> Float[Array, ""] | float:
        """The objective's `l2` in units; the number 0 where it has none."""
        return objective.l2 / self.divisor if objective.l2 else 0.0

    def applied(self, objective: Objective, *, lifted: bool = True) -> Objective:
        """The objective in units, without l2; its curvature with the lift, which changes neither value nor slope."""

        def loss(outputs: PyTree, targets: Any) -> Any:
            pair = objective.loss(outputs, targets)
            values = pair[0] if isinstance(pair, tuple) else pair
            if lifted:
                share = (
                    self.lift
                    / 2
                    * _squares_about_here(outputs, self.lift.dtype)
                    / max(1, values.size // max(1, values.shape[0]))
                )
                values = values + share.reshape(share.shape + (1,) * (values.ndim - 1)).astype(values.dtype)
            values = values / self.divisor.astype(values.dtype)
            return (values, *pair[1:]) if isinstance(pair, tuple) else values

        return replace(objective, loss=loss, l2=0.0)


def rounding(loss: Float[Array, ""]) -> Float[Array, ""]:
    """The difference of two losses of this size that rounding alone can make."""
    return _ROUNDINGS * jnp.finfo(loss.dtype).eps * jnp.abs(loss)


def lowered(
    before: Float[Array, ""], actual: Float[Array, ""], predicted: Float[Array, ""]
) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
    """Whether a step may be taken, and whether its reduction ratio is nothing but rounding.

    Of a decrease that is predicted below the loss's own rounding the trial can say nothing, unless the loss rose by
    more than that: the step is then taken on the model's word, and the ratio must count neither for nor against the
    damping.

    Args:
        before: the loss; where it is not finite nothing can be compared, and no step may be taken.
        actual: decrease that was seen; not finite for a step that must not be taken.
        predicted: decrease that was predicted.
    """
    noise = rounding(before)
    finite = jnp.isfinite(before) & jnp.isfinite(actual)
    predicted = predicted.astype(before.dtype)
    drowned = finite & (jnp.abs(predicted) <= noise) & (actual >= -noise)
    return finite & ((actual > 0) | (drowned & (predicted > 0))), drowned


def _squares_about_here(tree: PyTree, dtype: Any) -> Float[Array, " batch"]:
    """Zero, with slope zero and the identity for half its Hessian."""
    parts = []
    for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array)):
        moved = leaf - jax.lax.stop_gradient(leaf)
        parts.append(jnp.sum(moved.reshape(leaf.shape[0], -1) ** 2, axis=1).astype(dtype))
    return jnp.sum(jnp.stack(parts), axis=0)


def _size(tree: PyTree) -> Float[Array, ""]:
    """Largest entry over the last axis, summed over an example's positions, of the largest example."""

    def of_leaf(leaf: Array) -> Float[Array, ""]:
        size = jnp.abs(leaf)
        if size.ndim > 1:
            size = jnp.max(size, axis=-1)
        return jnp.max(jnp.sum(size.reshape(size.shape[0], -1), axis=1))

    return jnp.max(jnp.stack([of_leaf(leaf) for leaf in jax.tree.leaves(tree)]))
