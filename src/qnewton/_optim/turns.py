"""A block's position in the training, as the scheduler reads it, and its memory for the next step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._curvature import Block
from .._pricing.policies import Turn
from .._pricing.policies.base import remembered
from .stages import BlockInfo
from .state import NewtonState

if TYPE_CHECKING:
    from .._scheduling import Hybrid

Choices = tuple[Int[Array, " sets"], ...]
Factors = tuple[Float[Array, " candidates"], ...]


def first_choices(scheduler: "Hybrid | None", turns: Sequence[Turn]) -> Choices:
    """Return each block's choice before the first; empty if no policy uses it."""
    return tuple(turn.last for turn in turns) if scheduler is not None and scheduler.policy.remembers else ()


def first_factors(scheduler: "Hybrid | None", turns: Sequence[Turn]) -> Factors:
    """Return each block's `Turn.factors` before any iterations were observed; empty without iterative candidates."""
    if scheduler is None or not scheduler.iterates:
        return ()
    return tuple(turn.factors for turn in turns if turn.factors is not None)


def first_turns(scheduler: "Hybrid | None", blocks: Sequence[Block], dtype: jnp.dtype) -> list[Turn]:
    """Return each block's position in the first step; empty without a scheduler."""
    if scheduler is None:
        return []
    rows = sum(block.n for block in blocks)
    return [scheduler.first_turn(block.n / rows, dtype) for block in blocks]


def turns_of(
    scheduler: "Hybrid | None", blocks: Sequence[Block], state: NewtonState, dtype: jnp.dtype
) -> list[Turn] | list[None]:
    """Return each block's position in this step; None without a scheduler.

    Args:
        scheduler: of the blocks' systems.
        blocks: with a system.
        state: before the step.
        dtype: of the systems.
    """
    if scheduler is None:
        return [None] * len(blocks)
    turns = first_turns(scheduler, blocks, dtype)
    if scheduler.policy.remembers:
        turns = [Turn(last, turn.share, turn.factors) for turn, last in zip(turns, state.choices, strict=True)]
    if scheduler.iterates:
        turns = [Turn(turn.last, turn.share, factors) for turn, factors in zip(turns, state.factors, strict=True)]
    return turns


def choices_after(scheduler: "Hybrid | None", infos: Sequence[BlockInfo], last: Choices) -> Choices:
    """Return each block's last choice for the next step, from the plans of this one."""
    if scheduler is None or not scheduler.policy.remembers:
        return ()
    return tuple(
        remembered(info.plan.choice, info.plan.verdict, before)
        for info, before in zip(infos, last, strict=True)
        if info.plan is not None
    )


def factors_after(scheduler: "Hybrid | None", infos: Sequence[BlockInfo], last: Factors) -> Factors:
    """Return each block's `Turn.factors` for the next step, from the iterations in this one."""
    if scheduler is None or not scheduler.iterates:
        return ()
    return tuple(
        scheduler.observed(before, info.plan, info.iterations)
        for info, before in zip(infos, last, strict=True)
        if info.plan is not None
    )
