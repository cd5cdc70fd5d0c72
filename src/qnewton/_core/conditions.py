"""Conditions of a formula, and the reason for a missing number where one is not met."""

import functools
import operator
from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float

from .arrays import Number, NumberArray, namespace

Demand = tuple[bool | Bool[NumberArray, "..."], str]
"""Where it is met, and its words, e.g. `a precision in (0, 1)`."""


class Condition(eqx.Module):
    """One condition of a formula, and where it is met.

    Attributes:
        holds: whether it is met, of the count's shape.
        words: the demand, e.g. `a finite condition number`.
    """

    holds: Bool[NumberArray, "*shape"]
    words: str = eqx.field(static=True)


def settle(
    demands: Sequence[Demand], *numbers: Number
) -> tuple[tuple[Condition, ...], list[Float[NumberArray, "*shape"]]]:
    """Broadcast conditions and numbers to a common shape; a number is infinite where a condition is not met.

    One more demand is made: that the numbers are finite, which they are not where a count overflows.
    """
    # A demand may be traced where every number is a constant.
    xp = namespace(*numbers, *(held for held, _ in demands))
    values = [xp.asarray(number) for number in numbers]
    holds = [xp.asarray(held) for held, _ in demands]
    shape = np.broadcast_shapes(*(array.shape for array in (*values, *holds)))
    finite = functools.reduce(operator.and_, (xp.isfinite(value) for value in values))
    holds = [xp.broadcast_to(held, shape) for held in (*holds, finite)]
    met = functools.reduce(operator.and_, holds)
    words = [*(words for _, words in demands), "a count inside the floating-point range"]
    conditions = tuple(Condition(held, said) for held, said in zip(holds, words, strict=True))
    return conditions, [xp.where(met, value, xp.inf) for value in values]


def met(conditions: Sequence[Condition]) -> Bool[NumberArray, "*shape"]:
    """Whether the formula holds."""
    return functools.reduce(operator.and_, (condition.holds for condition in conditions))


def in_words(conditions: Sequence[Condition]) -> str:
    """Return all conditions in words, each once."""
    return f"needs {', '.join(dict.fromkeys(condition.words for condition in conditions))}"


def broken(conditions: Sequence[Condition], index: tuple[int, ...] = ()) -> str:
    """Return the conditions that one entry does not meet; empty if it meets all. Not under jit."""
    words = [condition.words for condition in conditions if not bool(np.asarray(condition.holds)[index])]
    return f"needs {', '.join(dict.fromkeys(words))}" if words else ""
