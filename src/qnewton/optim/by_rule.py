"""`newton` with a step rule: what the rule is shown, and what is kept and reported of its outcome."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from ..core.status import Status
from ..core.trees import ravel
from ..curvature import Batch, Block, Objective
from .assembly import joined
from .loss_scale import LossScale
from .stages import BlockInfo
from .state import NewtonState, StepInfo
from .step_rules import AbstractStepRule, Situation


def seen_in_units(
    objective: Objective,
    params: PyTree,
    batch: Batch,
    key: Key[Array, ""] | None,
    gradients: PyTree,
    blocks: Sequence[Block],
    directions: Sequence[Float[Array, " n"]],
    infos: Sequence[BlockInfo],
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
        blocks: of the partition.
        directions: of each block, to be subtracted.
        infos: of each block, for its damping.
        roots: diagonal of the metric's `D`, which the damping is a multiple of; None where it is the identity.
        state: before the step.
    """
    scale = state.scale.after(LossScale.of(objective, params, batch, key))
    shifts = [jnp.full_like(one, info.damping) for one, info in zip(directions, infos, strict=True)]
    direction, shift = (ravel(jax.tree.leaves(joined(params, blocks, parts))) for parts in (directions, shifts))
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
