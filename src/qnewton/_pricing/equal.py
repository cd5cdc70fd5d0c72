"""What would make quantum and classical equally fast: `breakeven` and what it returns."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import ArrayLike

from .._core.arrays import quiet
from .._core.suggest import unknown
from .assumptions import Assumptions
from .breakeven import Pair, Question, Single, orders, pairs, singles, variables
from .frame import Columns, Framed
from .machines import Hardware, machines_of
from .plan import SystemNumbers, points_of, sets_of
from .problem import Problem

if TYPE_CHECKING:
    pass

_AT_ONCE = 32
"""Points of a sweep at once: each is varied over hundreds of values, by every solver and encoding."""


@dataclasses.dataclass(frozen=True)
class BreakevenResult(Framed):
    """What `breakeven` found: a line for every variable at each point.

    Attributes:
        points: the numbers asked about, `[points]`; several are in the order of `numpy.ravel`.
        shape: of the arrays that were given, broadcast; `()` for numbers.
        hardware: names of the quantum machines with the fewest seconds, `[points]`.
        orders: `log10` of quantum over classical seconds as it is, `[points]`; NaN where either has no number.
        questions: what is asked at each point.
        singles: the effects of each variable alone, `[points][variables]`.
        assumed: sentences: what was not given.
    """

    points: Columns
    shape: tuple[int, ...]
    hardware: list[str]
    orders: np.ndarray
    questions: list[Question]
    singles: list[list[Single]]
    assumed: tuple[str, ...]

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """The findings by columns, `[points x variables]`.

        `value` is at which both are equally fast, the nearest to `present`, and NaN where none does it; `least` and
        `most` are `log10` of quantum over classical seconds over the range from `low` to `high`.
        """
        each = len(self.singles[0])
        found = self.points.repeated(each)
        found["hardware"] = np.repeat(np.asarray(self.hardware, object), each)
        found["orders"] = np.repeat(self.orders, each)
        flat = [one for of_point in self.singles for one in of_point]
        found["variable"] = np.asarray([one.variable.name for one in flat], object)
        for name in ("label", "unit"):
            found[name] = np.asarray([getattr(one.variable, name) for one in flat], object)
        for name in ("low", "high"):
            found[name] = np.asarray([getattr(one.variable, name) for one in flat], float)
        for name in ("present", "value", "least", "most"):
            found[name] = np.asarray([getattr(one, name) for one in flat], float)
        found["sentence"] = np.asarray([one.sentence for one in flat], object)
        return found

    def maps(self, point: int = 0) -> list[Pair]:
        """The effects of each pair of variables at one of the points: `orders` over `x` and `y`."""
        return pairs(self.questions[point])


@quiet
def breakeven(
    n: ArrayLike,
    kappa: ArrayLike,
    *,
    vary: Sequence[str] = (),
    hardware: Sequence[Hardware] = (),
    assumptions: str | Assumptions = "end_to_end",
    **numbers: Unpack[SystemNumbers],
) -> BreakevenResult:
    """Find what would make quantum and the best classical solver equally fast, each number varied alone.

    Nothing is solved and nothing is measured; `qnewton breakeven` prints the same numbers. Numbers and arrays
    broadcast; at each point the quantum machine with the fewest seconds is asked about.

    Args:
        n: rows, up to 1e12.
        kappa: condition number, at least 1.
        vary: of `gate_time_s`, `logical_cycle_s`, `kappa`, `d`, `readout_precision` and `n`; empty: all.
        hardware: as of `plan`; a classical machine must be among them.
        assumptions: name of a set, or a set.
        numbers: the others of the system, see `SystemNumbers`: `epsilon`, `sparsity`, `max_entry` and so on.

    Raises:
        TypeError: for a name that is none of these.
        ValueError: for a number outside its range, numbers that no matrix has, an unknown variable, machine or set, or
            without a classical machine.
    """
    points, problem, shape = points_of({"n": n, "kappa": kappa, **numbers})
    machines, hosts = machines_of(hardware)
    if not hosts:
        raise ValueError("hardware names no classical profile: add one to compare with, e.g. nvidia-h100-sxm")
    (assumed,) = sets_of(assumptions)
    asked = []
    for _, machine in machines:
        assumed.check(machine)
        asked.append(Question(problem, assumed, machine, hosts))
    known = [one.name for one in variables(asked[0])]
    for name in vary:
        if name not in known:
            raise ValueError(unknown("variable", name, known))
    present = np.stack([np.broadcast_to(orders(question, {}), (len(points),)) for question in asked])
    best = np.argmin(np.nan_to_num(present, nan=np.inf), axis=0)
    return BreakevenResult(
        points=points,
        shape=shape,
        hardware=[machines[place][0] for place in best],
        orders=np.take_along_axis(present, best[None], axis=0)[0],
        questions=[dataclasses.replace(asked[place], problem=problem.at(point)) for point, place in enumerate(best)],
        singles=_singles(asked, problem, best, vary or known),
        assumed=problem.assumed,
    )


def _singles(asked: Sequence[Question], problem: Problem, best: np.ndarray, vary: Sequence[str]) -> list[list[Single]]:
    """Vary each number at each point, on the machine that is best there."""
    found: list[list[Single]] = [[] for _ in best]
    for place, question in enumerate(asked):
        (own,) = np.nonzero(best == place)
        for chunk in np.split(own, range(_AT_ONCE, len(own), _AT_ONCE)):
            if not len(chunk):
                continue
            there = dataclasses.replace(question, problem=problem.at(chunk))
            for variable in variables(there):
                if variable.name in vary:
                    for point, one in zip(chunk, singles(there, variable), strict=True):
                        found[point].append(one)
    return found
