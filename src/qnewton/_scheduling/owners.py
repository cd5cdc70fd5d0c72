"""Assignment of factorisations to the devices that take a step together.

Tasks are dealt out by their predicted seconds, by the heuristic for the shortest schedule. The exchange of the results
is part of the price, at the measured speed of the link: what would take longer to exchange than to make is made by
every device.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import lineax as lx
import numpy as np

from .._core.costs import Cost
from .._core.records import ClassicalWorkload
from .._devices.crew import EVERYONE, Crew
from .._devices.processes import check_agreed, of_first, several
from .._hardware.link import Link, measured_link, recorded_link
from .._pricing.group import Group, direct_seconds
from .._solvers import CG, LU, AbstractSolver
from .calibration import agreed, rated_once
from .makespan.heuristic import heuristic
from .makespan.problem import Jobs, finish_of
from .recognised import scheduler_in


@dataclass(frozen=True)
class Job:
    """A task that one device may do for all.

    Attributes:
        seconds: predicted, of doing it.
        nbytes: of its result.
    """

    seconds: float
    nbytes: int


@dataclass(frozen=True)
class Deal:
    """Assignment of jobs to devices. All seconds are predicted.

    Attributes:
        owners: of each job, a device; `EVERYONE` of one that every device does.
        seconds: until every device has all results.
        alone_seconds: the same, of every device doing everything.
        exchanged_bytes: results that are exchanged.
    """

    owners: tuple[int, ...]
    seconds: float
    alone_seconds: float
    exchanged_bytes: int

    @property
    def shared(self) -> bool:
        """Whether anything has one owner."""
        return any(owner != EVERYONE for owner in self.owners)

    @property
    def factor(self) -> float:
        """Seconds of all devices together over those of each alone; below 1 if sharing pays."""
        return self.seconds / self.alone_seconds if self.shared and self.alone_seconds > 0 else 1.0


class _Links:
    """Links between the devices, measured once per process for each number of devices."""

    def __init__(self):
        self._found: dict[int, Link | None] = {}
        self._given: dict[int, Link] = {}

    def __call__(self, count: int) -> Link | None:
        """None where it cannot be measured: of several processes between some of their devices."""
        if count in self._given:
            return self._given[count]
        if count not in self._found:
            self._found[count] = _measured(count)
        return self._found[count]

    def set(self, link: Link) -> None:
        """Take this for what is between as many devices."""
        self._given[link.devices] = link

    def unmeasured(self, count: int) -> Link | None:
        """What was given, or is recorded of devices of one host; None of devices that nothing is recorded of."""
        return self._given.get(count) or (recorded_link(count) if jax.default_backend() == "cpu" else None)

    def cache_clear(self) -> None:
        """Forget what was measured and given."""
        self._found.clear()
        self._given.clear()


links = _Links()


def deal_out(jobs: Sequence[Job], devices: Crew | None) -> Deal:
    """Return the assignment of jobs to devices, the same on every process.

    Args:
        jobs: in an order that is the same on all of them.
        devices: that take the step; None for one.
    """
    alone = sum(job.seconds for job in jobs)
    nobody = Deal((EVERYONE,) * len(jobs), alone, alone, 0)
    link = None if devices is None or len(jobs) < 2 else links(devices.count)
    if link is None:
        return nobody
    spared = 1 - 1 / link.devices
    pays = [k for k, job in enumerate(jobs) if job.seconds * spared > link.seconds_per_byte * job.nbytes]
    if len(pays) < 2:
        return nobody
    problem = Jobs.of(np.repeat([[jobs[k].seconds] for k in pays], link.devices, axis=1))
    assignment = heuristic(problem)
    exchanged = sum(jobs[k].nbytes for k in pays)
    left = alone - sum(jobs[k].seconds for k in pays)
    together = left + float(finish_of(problem, assignment).max()) + link.seconds(exchanged)
    if together >= alone:
        return nobody
    owners = np.full(len(jobs), EVERYONE)
    owners[pays] = assignment
    return replace(nobody, owners=tuple(owners.tolist()), seconds=together, exchanged_bytes=exchanged)


def worth_dividing(cost: Cost, nbytes: int, dtype: str, devices: Crew | None) -> bool:
    """Whether each device works on its own examples, and sums are exchanged; else each works on all of them.

    Args:
        cost: of the work on all examples.
        nbytes: of the sums.
        dtype: of what is computed.
        devices: that take the step; where they are one, or several processes', or nothing is recorded of them, nothing
            speaks against it.

    Nothing is measured for it: sums in another order have other bits, and a run that goes on after a stop would have
    them if it measured otherwise. What devices of one host take is recorded.
    """
    link = None if devices is None or several() else links.unmeasured(devices.count)
    if link is None:
        return True
    machine = rated_once((LU(), CG()), str(np.promote_types(dtype, np.float32)), probe=False)
    seconds = float(machine.seconds(ClassicalWorkload("forming", cost.flops, cost.bytes)))
    return seconds * (1 - 1 / link.devices) > link.seconds_to_sum(nbytes)


def solving_seconds(solver: lx.AbstractLinearSolver, n: int, dtype: str) -> float:
    """Return the predicted seconds to set up one dense system and solve it; of a solver that states no work, by LU.

    Args:
        solver: a scheduler or a direct solver.
        n: rows.
        dtype: of the system; what is narrower than single precision is solved in it.
    """
    dtype = str(np.promote_types(dtype, np.float32))
    scheduler = scheduler_in(solver)
    candidates = [solver] if scheduler is None else scheduler.solvers
    direct = tuple(one for one in candidates if isinstance(one, AbstractSolver) and not one.capabilities.quantum)
    direct = direct or (LU(),)
    given = None if scheduler is None else scheduler.classical
    machine = rated_once(direct, dtype) if given is None else agreed(given, direct)
    group = Group("a block", (n,), 1, dtype=dtype)
    return min(sum(map(sum, direct_seconds(group, one, machine))) for one in direct)


def _measured(count: int) -> Link | None:
    if not several():
        return measured_link(jax.devices()[:count]) if count <= jax.device_count() else None
    if count != jax.device_count():
        return None
    # Nobody begins an exchange that another process does not come to: that would wait for ever.
    check_agreed("the link between devices", count)
    found = measured_link(jax.devices())
    return of_first("the link between devices", lambda: found)
