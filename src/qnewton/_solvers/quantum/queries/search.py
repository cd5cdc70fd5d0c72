"""Minimisation of functions of one variable, for arrays of such functions at once."""

from collections.abc import Callable
from types import ModuleType

import jax
import jax.numpy as jnp

from ...._core.arrays import NumberArray, repeat

_RATIO = (5**0.5 - 1) / 2


def argmin(
    xp: ModuleType, function: Callable[[NumberArray], NumberArray], low: NumberArray, high: NumberArray, times: int
) -> NumberArray:
    """Return a unimodal function's minimiser between two arrays by golden section, to `0.618^times` of the distance.

    The result counts as a constant in derivatives: at a minimum inside, that of the least value is the partial one.
    """

    def step(carried: tuple[NumberArray, ...]) -> tuple[NumberArray, ...]:
        # Of the two points inside, one is inside the next interval too: one evaluation a step.
        low, high, left, right, at_left, at_right = carried
        leftward = at_left < at_right
        low, high = xp.where(leftward, low, left), xp.where(leftward, right, high)
        width = _RATIO * (high - low)
        new = xp.where(leftward, high - width, low + width)
        at_new = function(new)
        return (
            low,
            high,
            xp.where(leftward, new, right),
            xp.where(leftward, left, new),
            xp.where(leftward, at_new, at_right),
            xp.where(leftward, at_left, at_new),
        )

    width = _RATIO * (high - low)
    left, right = high - width, low + width
    low, high, *_ = repeat(xp, step, (low, high, left, right, function(left), function(right)), times)
    middle = (low + high) / 2
    return jax.lax.stop_gradient(middle) if xp is jnp else middle
