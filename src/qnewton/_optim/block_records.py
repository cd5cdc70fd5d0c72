"""The blocks' records, completed by facts that no solve has: the step's damping, its batch and its loss."""

import dataclasses
from collections.abc import Iterable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.status import Status
from .._curvature import Point
from .blocks import SolvedBlock
from .stages import BlockInfo


def recorded(solved: Sequence[SolvedBlock], scales: Iterable[Float[Array, ""]], point: Point) -> list[BlockInfo]:
    """Return the solves' records, with each block's damping scale and what is known of the batch's examples.

    Args:
        solved: each block.
        scales: of each block.
        point: where the curvature was taken.
    """
    examples = point.examples
    return [
        dataclasses.replace(
            result.info,
            damping_scale=scale,
            independence=jnp.asarray(examples.verdict.kind, jnp.int32),
            status=_or_coupled(result.info.status, examples.good),
        )
        for result, scale in zip(solved, scales, strict=True)
    ]


def flagged(infos: Sequence[BlockInfo], loss: Float[Array, ""]) -> list[BlockInfo]:
    """Return the blocks' records, marked if the loss is not finite."""
    finite = jnp.isfinite(loss)
    return [
        dataclasses.replace(info, status=jnp.where(finite, info.status, jnp.int32(Status.NOT_FINITE))) for info in infos
    ]


def _or_coupled(status: Int[Array, ""], good: Bool[Array, ""] | None) -> Int[Array, ""]:
    """Return the status of a block, or `COUPLED` if this batch disproves the presumed verdict."""
    return status if good is None else jnp.where(good, status, jnp.int32(Status.COUPLED))
