"""`newton` without a step rule: the learning rate's step, tried on its batch if the damping adapts."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .._core.one_kernel import in_one_kernel
from .._core.status import Status
from .._core.trees import ravel
from .adaptation import AbstractAdaptation
from .block_records import flagged
from .metrics import unless_lost
from .stages import BlockInfo
from .state import NewtonState, StepInfo
from .step_start import StepStart
from .trial import try_blocks, try_whole


class _Judged(NamedTuple):
    """The loss's verdict on a step.

    Attributes:
        ratio: actual over predicted decrease; NaN where the step was not tried.
        accepted: whether it is taken.
        scale: of the next step's damping, or of each block's.
        infos: of the blocks, with their own ratios where they have them.
    """

    ratio: Float[Array, ""]
    accepted: Bool[Array, ""]
    scale: Float[Array, "*blocks"]
    infos: Sequence[BlockInfo]


def scales_each(adaptation: AbstractAdaptation) -> bool:
    """Whether every block has a damping scale of its own."""
    return adaptation.tries and adaptation.per_block


def by_adaptation(
    adaptation: AbstractAdaptation,
    start: StepStart,
    moved: PyTree,
    predicted: Sequence[Float[Array, ""]],
    rows: Sequence[int],
    infos: Sequence[BlockInfo],
    following: NewtonState,
) -> tuple[PyTree, NewtonState]:
    """Return the step, zero if it is refused, and `following` completed by what is known after it.

    Args:
        adaptation: of the damping.
        start: of the step.
        moved: the step, like the parameters.
        predicted: decrease of the loss by each block's part.
        rows: of each block, as rounding in its solve grows with them.
        infos: of each block.
        following: the state, as far as the solves decide it.
    """
    state, rate = start.state, start.rate
    loss = start.before
    judged = _Judged(jnp.full_like(loss, jnp.nan), jnp.isfinite(loss), state.damping_scale, infos)
    if adaptation.tries:
        judged = _tried(adaptation, start, moved, loss, jnp.stack(predicted), rows, infos)
    else:
        judged = judged._replace(scale=adaptation.adapt(state.damping_scale, judged.ratio))
    infos = tuple(flagged(judged.infos, loss))
    shared = jnp.full_like(rate, jnp.nan) if scales_each(adaptation) else state.damping_scale
    info = StepInfo(
        loss=loss.astype(rate.dtype),
        learning_rate=rate,
        momentum=jnp.zeros_like(rate),
        damping_scale=shared,
        radius=state.radius,
        reduction_ratio=judged.ratio.astype(rate.dtype),
        accepted=judged.accepted,
        staleness=start.age,
        altered=start.found.altered,
        applied_ratio=start.found.ratio.astype(rate.dtype),
        blocks=infos,
    )
    metrics = unless_lost(loss, following.metrics, state.metrics)
    step, gradient = (ravel(jax.tree.leaves(tree)) for tree in (moved, start.updates))
    # Without a trial nothing is predicted.
    foretold = jnp.sum(jnp.stack(predicted)) if adaptation.tries else jnp.full_like(loss, jnp.nan)
    left = start.left(step, judged.accepted, foretold, gradient)
    moved = jax.tree.map(lambda leaf: jnp.where(judged.accepted, leaf, 0), moved)
    return moved, following._replace(
        damping_scale=judged.scale,
        scale_before=state.damping_scale,
        metrics=metrics,
        left=left,
        info=info,
    )


def _tried(
    adaptation: AbstractAdaptation,
    start: StepStart,
    moved: PyTree,
    loss: Float[Array, ""],
    predictions: Float[Array, " blocks"],
    rows: Sequence[int],
    infos: Sequence[BlockInfo],
) -> _Judged:
    scale = start.state.damping_scale
    if adaptation.per_block:
        trial = try_blocks(start.loss, start.params, moved, loss, predictions, start.blocks, start.gradients)
    else:
        trial = try_whole(start.loss, start.params, moved, loss, predictions)

    def judged() -> tuple[Float[Array, ""], Bool[Array, ""], Float[Array, "*blocks"]]:
        accepted = trial.accepted(adaptation)
        failed = [(info.status == Status.NOT_SOLVED) & (info.damping > 0) for info in infos]
        following = trial.adapted(adaptation, scale, accepted)
        return trial.ratio, accepted, adaptation.after_solves(scale, following, jnp.stack(failed), rows)

    ratio, accepted, following = in_one_kernel(judged)
    infos = [dataclasses.replace(info, reduction_ratio=own) for info, own in zip(infos, trial.ratios, strict=True)]
    return _Judged(ratio, accepted, following, infos)
