"""`newton` with a step rule: the rule's input, and the kept and reported outcome."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core.status import Status
from .._core.trees import ravel
from .._curvature.loss_scale import LossScale
from .assembly import joined
from .block_records import flagged
from .blocks import Given
from .metrics import roots_of, unless_lost
from .stages import BlockInfo, gradient_rate
from .state import NewtonState, StepInfo
from .step_rules import AbstractStepRule, Situation
from .step_start import StepStart


def by_rule(
    rule: AbstractStepRule,
    start: StepStart,
    directions: Sequence[Float[Array, " n"]],
    givens: Sequence[Given],
    infos: Sequence[BlockInfo],
    following: NewtonState,
) -> tuple[PyTree, NewtonState]:
    """Return the rule's step, and `following` completed by what is known after it.

    Args:
        rule: how far to go.
        start: of the step.
        directions: of each block, to be subtracted `[n]`.
        givens: what each block's solve was given.
        infos: of each block.
        following: the state, as far as the solves decide it.
    """
    roots = roots_of(start.damping, start.params, start.blocks, following.metrics)
    shifts = [_stands_for(info, given) for info, given in zip(infos, givens, strict=True)]
    situation = _seen_in_units(start, directions, shifts, roots)
    outcome = rule.take(situation).of_loss(situation.scale)
    info = StepInfo(
        outcome.loss,
        outcome.learning_rate,
        outcome.momentum,
        situation.damping,
        situation.radius,
        outcome.reduction_ratio,
        outcome.accepted,
        start.age,
        start.found.altered,
        start.found.ratio.astype(outcome.loss.dtype),
        tuple(flagged(infos, outcome.loss)),
    )
    last = jnp.where(outcome.accepted, outcome.step, situation.last)
    gradient, unit = situation.gradient, situation.scale.divisor
    following = following._replace(
        damping_scale=outcome.damping,
        scale_before=situation.damping,
        radius=outcome.radius,
        scale=situation.scale,
        last=last,
        left=start.left(outcome.step, outcome.accepted, outcome.predicted_decrease, gradient, unit),
        info=info,
    )
    moved = situation.tree(outcome.step)
    return moved, following._replace(metrics=unless_lost(outcome.loss, following.metrics, start.state.metrics))


def _seen_in_units(
    start: StepStart,
    directions: Sequence[Float[Array, " n"]],
    shifts: Sequence[Float[Array, " n"]],
    roots: Float[Array, " n"] | None,
) -> Situation:
    """Return the input of a step rule, in units of the loss.

    Args:
        start: of the step.
        directions: of each block, to be subtracted `[n]`.
        shifts: what was added to the diagonal of each block's curvature `[n]`.
        roots: diagonal of the metric's `D`, which the damping is a multiple of; None where it is the identity.
    """
    assert start.state.last is not None
    scale = start.state.scale.after(LossScale.of(start.objective, start.params, start.batch, start.key))
    direction, shift = (
        ravel(jax.tree.leaves(joined(start.params, start.blocks, each))) for each in (directions, shifts)
    )
    if roots is not None:
        shift = shift * roots**2
    return Situation(
        objective=start.objective,
        params=start.params,
        batch=start.batch,
        key=start.key,
        scale=scale,
        gradient=ravel(jax.tree.leaves(start.updates)) / scale.divisor,
        direction=-direction,
        last=start.state.last,
        damping=start.state.damping_scale,
        shift=shift / scale.divisor,
        radius=start.state.radius,
        roots=roots,
    )


def _stands_for(info: BlockInfo, given: Given) -> Float[Array, " n"]:
    """Return the diagonal added by a block's damping; for an unsolved block, the inverse of its rate."""
    rate = gradient_rate(info.damping, given.scale, given.gradient, given.params)
    return jnp.full_like(given.gradient, jnp.where(info.status == Status.OK, info.damping, 1 / rate))
