"""Contenders for groups of systems: priced on the host, before an optimizer is traced."""

from collections.abc import Hashable, Sequence

import numpy as np

from .._hardware import ClassicalMachine
from .._pricing.group import Group, bounds
from .._pricing.offers import Offers
from .calibration import agreed, identity_of, rated_once
from .groups import GroupSolver
from .hybrid import Hybrid

BEYOND_DOUBT = 100.0
"""Ratio of seconds that no machine's speed turns: the classical ones rest on a profile of another machine then."""


class _Contests:
    """Cache of the contenders for groups: one pricing per process, for the many traces of an optimizer."""

    def __init__(self):
        self._found: dict[Hashable, list[GroupSolver]] = {}

    def __call__(self, scheduler: Hybrid, groups: Sequence[Group]) -> list[GroupSolver]:
        """One solver of groups for each group.

        Args:
            scheduler: of all of them.
            groups: of one number type.

        Raises:
            ValueError: where the scheduler's machine was calibrated for another number type.
        """
        if not groups:
            return []
        key = identity_of(scheduler), tuple(groups)
        if key not in self._found:
            machine, priced = _priced(scheduler, groups)
            rows = sum(group.rows * group.count for group in groups)
            self._found[key] = [
                GroupSolver(scheduler, group, machine, least, most, group.rows * group.count / rows)
                for group, (least, most) in zip(groups, priced, strict=True)
            ]
        return self._found[key]

    def cache_clear(self) -> None:
        """Clear the cache."""
        self._found.clear()


contests = _Contests()


def _priced(scheduler: Hybrid, groups: Sequence[Group]) -> tuple[ClassicalMachine, list[tuple[Offers, np.ndarray]]]:
    dtype = groups[0].dtype
    solvers, sets, quantum = scheduler.solvers, scheduler.assumptions, scheduler.quantum
    if scheduler.classical is not None:
        if scheduler.classical.dtype != dtype:
            raise ValueError(
                f"the systems are {dtype} and the classical machine was calibrated for {scheduler.classical.dtype}: "
                f"calibrate with qnewton.calibrate(solvers, dtype={dtype!r})"
            )
        given = agreed(scheduler.classical, solvers)
        return given, bounds(groups, solvers, sets, given, quantum)
    machine = rated_once(solvers, dtype, probe=False)
    priced = bounds(groups, solvers, sets, machine, quantum)
    for least, most in priced:
        rivals = np.where(least.quantum, least.seconds[0], np.inf)
        if np.any(rivals < BEYOND_DOUBT * np.min(most[0])):
            machine = rated_once(solvers, dtype)
            return machine, bounds(groups, solvers, sets, machine, quantum)
    return machine, priced
