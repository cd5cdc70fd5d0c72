"""State of one variable of a traced program: the position of the examples in its array.

An example is followed by its axis. Along `axis`, entry `i` belongs to example `(i // inner) % count`: a reshape that
joins the examples with positions (`[batch, time, width]` to `[batch * time, width]`) keeps track of them so.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jax.extend.core import JaxprEqn


@dataclass(frozen=True)
class Free:
    """State of an array that no example enters.

    Attributes:
        uniform: axes along which the array is known to be constant. Along the others it may tell one position of the
            batch from another, as a mask of the batch's size does.
    """

    uniform: frozenset[int] = frozenset()


@dataclass(frozen=True)
class PerExample:
    """State of an array in which every entry depends on one example, the one that it belongs to.

    Attributes:
        axis: that counts the examples.
        inner: entries along it that belong to one example before the next one begins.
    """

    axis: int
    inner: int = 1


@dataclass(frozen=True)
class OneExample:
    """State of an array in a loop over the examples: the whole array depends on the current one."""


@dataclass(frozen=True)
class Mixed:
    """State of an array in which examples may have met.

    Attributes:
        equation: where, None: of no single equation.
        how: what it does with the examples, a predicate for a message.
    """

    equation: JaxprEqn | None
    how: str


State = Free | PerExample | OneExample | Mixed

Rule = Callable[[JaxprEqn, Sequence[State], int], Sequence[State] | None]
"""Of a primitive: the states of an equation's results, from those of its operands and the number of examples."""


def everywhere(rank: int) -> Free:
    """Return the state of a value that is constant along all of its axes."""
    return Free(frozenset(range(rank)))


def reshaped(state: State, old: Sequence[int], new: Sequence[int], count: int) -> State | None:
    """Return the state after a reshape; None if the examples are no longer along one axis."""
    if isinstance(state, Free):
        return _reshaped_free(state, old, new)
    if not isinstance(state, PerExample):
        return state
    # In row-major order entry f belongs to example (f // stride) % count, whatever the shape is.
    stride = state.inner * math.prod(old[state.axis + 1 :])
    for axis, size in enumerate(new):
        below = math.prod(new[axis + 1 :])
        if below and size > 1 and stride % below == 0 and size % (stride // below * count) == 0:
            return PerExample(axis, stride // below)
    return None


def _reshaped_free(state: Free, old: Sequence[int], new: Sequence[int]) -> Free:
    if len(state.uniform) == len(old):
        return everywhere(len(new))
    # Axes of size 1 come and go; any other change forgets which axes are constant.
    wide_old = [axis for axis, size in enumerate(old) if size != 1]
    wide_new = [axis for axis, size in enumerate(new) if size != 1]
    ones = {axis for axis, size in enumerate(new) if size == 1}
    if [old[axis] for axis in wide_old] != [new[axis] for axis in wide_new]:
        return Free(frozenset(ones))
    kept = {b for a, b in zip(wide_old, wide_new, strict=True) if a in state.uniform}
    return Free(frozenset(kept | ones))


def joined(states: Iterable[State], ranks: Iterable[int], equation: JaxprEqn) -> State:
    """Return the state of a value that is computed entry by entry from several of one shape.

    Args:
        states: of the operands.
        ranks: of the operands; a scalar goes with any shape.
        equation: to be named where examples meet.
    """
    found: State | None = None
    free: list[Free] = []
    for state, rank in zip(states, ranks, strict=True):
        if isinstance(state, Mixed):
            return state
        if isinstance(state, Free):
            if rank > 0:
                free.append(state)
        elif found is None:
            found = state
        elif found != state:
            return Mixed(equation, "combines arrays whose examples lie along different axes")
    if found is None:
        return Free(frozenset.intersection(*[one.uniform for one in free])) if free else Free()
    if isinstance(found, PerExample) and any(found.axis not in one.uniform for one in free):
        return Mixed(equation, "takes in an array that differs from one position of the batch to another")
    return found


def mixes(equation: JaxprEqn) -> Sequence[State]:
    """Return the states for an equation that operates along the axis of the examples."""
    return [Mixed(equation, "works along their axis")] * len(equation.outvars)


def only(states: Sequence[State]) -> PerExample | None:
    """Return the state of the first operand if it alone depends on the examples, else None."""
    first, *others = states
    return first if isinstance(first, PerExample) and all(isinstance(state, Free) for state in others) else None
