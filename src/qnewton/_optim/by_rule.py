"""`newton` with a step rule: what the rule is shown, and what is kept and reported of its outcome."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .._core.status import Status
from .._core.trees import ravel
from .._curvature import Batch, Block, Objective
from .._curvature.loss_scale import LossScale
from .assembly import joined
from .blocks import Given
from .stages import BlockInfo, gradient_rate
from .state import NewtonState, StepInfo
from .step_rules import AbstractStepRule, Situation


def seen_in_units(
    objective: Objective,
    params: PyTree,
    batch: Batch,
    key: Key[Array, ""] | None,
    gradients: PyTree,
    parts: tuple[Sequence[Block], Sequence[Float[Array, " n"]], Sequence[Float[Array, " n"]]],
    roots: Float[Array, " n"] | None,
    state: NewtonState,
) -> Situation:
    """What a step rule is shown, in units of the loss.

    Args:
        objective: as given to `newton`.
        params: as in `update`, as are the next three.
        batch: `(inputs, targets)`.
        key: of the model, where it takes one.
        gradients: like `params`.
        parts: the blocks; of each its direction, to be subtracted; and what was added to its curvature's diagonal.
        roots: diagonal of the metric's `D`, which the damping is a multiple of; None where it is the identity.
        state: before the step.
    """
    scale = state.scale.after(LossScale.of(objective, params, batch, key))
    blocks, *vectors = parts
    direction, shift = (ravel(jax.tree.leaves(joined(params, blocks, each))) for each in vectors)
    if roots is not None:
        shift = shift * roots**2
    return Situation(
        objective=objective,
        params=params,
        batch=batch,
        key=key,
        scale=scale,
        gradient=ravel(jax.tree.leaves(gradients)) / scale.divisor,
        direction=-direction,
        last=state.last,
        damping=state.damping_scale,
        shift=shift / scale.divisor,
        radius=state.radius,
        roots=roots,
    )


def stands_for(info: BlockInfo, given: Given) -> Float[Array, " n"]:
    """What the damping of a block adds to the diagonal; of one that was not solved, the inverse of its rate."""
    rate = gradient_rate(info.damping, given.scale, given.gradient, given.params)
    return jnp.full_like(given.gradient, jnp.where(info.status == Status.OK, info.damping, 1 / rate))


def by_rule(
    rule: AbstractStepRule,
    situation: Situation,
    age: Int[Array, ""],
    infos: Sequence[BlockInfo],
    following: NewtonState,
) -> tuple[PyTree, NewtonState]:
    """The rule's step, and `following` with what is to be known after it."""
    outcome = rule.take(situation).of_loss(situation.scale)
    info = StepInfo(
        outcome.loss,
        outcome.learning_rate,
        outcome.momentum,
        situation.damping,
        situation.radius,
        outcome.reduction_ratio,
        outcome.accepted,
        age,
        tuple(flagged(infos, outcome.loss)),
    )
    last = jnp.where(outcome.accepted, outcome.step, situation.last)
    following = following._replace(
        damping_scale=outcome.damping, radius=outcome.radius, scale=situation.scale, last=last, info=info
    )
    return situation.tree(outcome.step), following


def flagged(infos: Sequence[BlockInfo], loss: Float[Array, ""]) -> list[BlockInfo]:
    """The blocks' records, which say so where the loss is not finite."""
    finite = jnp.isfinite(loss)
    return [
        dataclasses.replace(info, status=jnp.where(finite, info.status, jnp.int32(Status.NOT_FINITE))) for info in infos
    ]


def or_coupled(status: Int[Array, ""], good: Bool[Array, ""] | None) -> Int[Array, ""]:
    """The status of a block, or `COUPLED` where this batch disproves what the verdict presumed."""
    return status if good is None else jnp.where(good, status, jnp.int32(Status.COUPLED))
