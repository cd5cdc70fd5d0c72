"""All groups of a step set up and solved: equal systems by one program, and by several devices each by its owner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._devices.crew import EVERYONE, Task, crew, dealt
from .._pricing.group import direct_seconds
from .._solvers import AbstractSolver
from .group_plan import GroupPlan, PackedPlans
from .groups import Factors, GroupSolver, GroupState
from .one_system import states_of
from .owners import Deal, Job, deal_out

_PIECES = 8
"""For each device, into which many equal systems are cut: fine enough to be dealt out evenly."""

Floors = tuple[Float[Array, " count"], ...]


def set_up_all(
    solvers: Sequence[GroupSolver], given: Sequence[tuple[Factors, Floors]], before: PackedPlans | None = None
) -> tuple[list[GroupState], list[GroupPlan]]:
    """Set up every group, and return their records; equal factors use one program if nothing is estimated.

    Args:
        solvers: of the groups.
        given: of each, what its `set_up` takes.
        before: the last plans of the same groups, of which policies with memory see the choices.
    """
    stacks = _stacks(solvers, given)
    whole = [k for k, solver in enumerate(solvers) if solver.estimates]
    works = [stack.work() for stack in stacks] + [
        _whole(solvers[k], *given[k], None if before is None else before.last_choices(k)) for k in whole
    ]
    deal, owners, results = _shared_out(works)
    states: dict[tuple[int, int], object] = {}
    made_by = {(k, side): np.full(solver.group.count, EVERYONE) for k, solver in enumerate(solvers) for side in (0, 1)}
    for stack, by, joint in zip(stacks, owners, results, strict=False):
        for place, part in stack.parts():
            states[place] = jax.tree.map(lambda leaf, part=part: leaf[part] if eqx.is_array(leaf) else leaf, joint)
            made_by[place] = by[part]
    estimated = dict(zip(whole, results[len(stacks) :], strict=True))
    for k, by in zip(whole, owners[len(stacks) :], strict=True):
        made_by |= {(k, side): np.repeat(by, solvers[k].group.count) for side in (0, 1)}
    found, plans = [], []
    for k, (solver, (factors, _)) in enumerate(zip(solvers, given, strict=True)):
        by = np.stack([made_by[k, side] for side in range(len(factors))])
        if k in estimated:
            state, plan = estimated[k]
            plan = replace(plan, owners=by)
        else:
            both = tuple(states[k, side] for side in range(len(factors)))
            state, plan = solver.settled_state(both), solver.settled_at(deal, by)
        found.append(state)
        plans.append(plan)
    return found, plans


def solve_all(
    solvers: Sequence[GroupSolver], states: Sequence[GroupState], vectors: Sequence[Float[Array, "count a b"]]
) -> list[tuple[Float[Array, "count a b"], Bool[Array, " count"]]]:
    """Every group's `solve`.

    Args:
        solvers: of the groups.
        states: as set up.
        vectors: right-hand sides of each group.
    """
    return _shared_out([_solving(*one) for one in zip(solvers, states, vectors, strict=True)])[2]


@dataclass(frozen=True)
class _Work:
    """Equal tasks that one program may do, some of them or all.

    Attributes:
        count: of the tasks.
        seconds: of each.
        nbytes: of each result.
        run: the results of the tasks whose inputs it is given, stacked.
        given: inputs of all tasks, their leading axis counting them.
        whole: whether there is one task, of which nothing is stacked.
    """

    count: int
    seconds: float
    nbytes: Callable[[], int]
    run: Callable[[Any], Any]
    given: Any
    whole: bool = False

    def some(self, which: np.ndarray) -> Any:
        """Inputs of some tasks."""
        if self.whole or len(which) == self.count:
            return self.given
        return jax.tree.map(lambda leaf: picked(leaf, which), self.given)


@dataclass(frozen=True)
class _Stack:
    solver: AbstractSolver
    matrices: Float[Array, "count n n"]
    places: tuple[tuple[int, int], ...]
    counts: tuple[int, ...]
    seconds: float

    def work(self) -> _Work:
        def one() -> int:
            like = jax.ShapeDtypeStruct((1, *self.matrices.shape[1:]), self.matrices.dtype)
            return _bytes_of(eqx.filter_eval_shape(partial(states_of, self.solver), like))

        return _Work(len(self.matrices), self.seconds, one, partial(states_of, self.solver), self.matrices)

    def parts(self) -> list[tuple[tuple[int, int], slice]]:
        ends = np.cumsum(self.counts)
        return [(place, slice(int(e - c), int(e))) for place, e, c in zip(self.places, ends, self.counts, strict=True)]


def _stacks(solvers: Sequence[GroupSolver], given: Sequence[tuple[Factors, Floors]]) -> list[_Stack]:
    together: dict[tuple[AbstractSolver, int], list[tuple[int, int]]] = {}
    for k, (solver, (factors, _)) in enumerate(zip(solvers, given, strict=True)):
        if not solver.estimates:
            for side, stack in enumerate(factors):
                together.setdefault((solver.solvers[0], stack.shape[-1]), []).append((k, side))
    found = []
    for (chosen, _), places in together.items():
        stacks = [given[k][0][side] for k, side in places]
        first, side = places[0]
        parts = (
            direct_seconds(solvers[first].group, chosen, solvers[first].machine) if chosen.capabilities.direct else []
        )
        each = parts[side][0] if parts else 0.0
        counts = tuple(len(stack) for stack in stacks)
        found.append(_Stack(chosen, jnp.concatenate(stacks), tuple(places), counts, float(each)))
    return found


def _whole(solver: GroupSolver, factors: Factors, floors: Floors, last: Int[Array, " sets"] | None) -> _Work:
    def run(given: Any) -> Any:
        return solver.set_up(*given)

    def nbytes() -> int:
        return _bytes_of(eqx.filter_eval_shape(solver.set_up, factors, floors, last))

    once = [sum(pair[0] for pair in direct_seconds(solver.group, one, solver.machine)) for one in _directs(solver)]
    return _Work(1, solver.group.count * min(once, default=0.0), nbytes, run, (factors, floors, last), whole=True)


def _solving(solver: GroupSolver, state: GroupState, vectors: Float[Array, "count a b"]) -> _Work:
    index = None if state.chosen is None else state.chosen[0]

    def run(given: Any) -> Any:
        index, slots, log_kappas, sound, vectors = given
        chosen = None if index is None else (index[0], log_kappas)
        return solver.solve(GroupState(slots, chosen, sound), vectors)

    # Of every system, as all inputs are.
    every = None if index is None else jnp.broadcast_to(index, state.sound.shape)
    given = every, state.slots, None if state.chosen is None else state.chosen[1], state.sound, vectors
    each = [sum(pair[1] for pair in direct_seconds(solver.group, one, solver.machine)) for one in _directs(solver)]
    nbytes = vectors.dtype.itemsize * vectors[0].size
    return _Work(len(vectors), min(each, default=0.0), lambda: nbytes, run, given)


def _directs(solver: GroupSolver) -> list[AbstractSolver]:
    return [one for one in solver.solvers if one.capabilities.direct]


def _shared_out(works: Sequence[_Work]) -> tuple[Deal, list[np.ndarray], list[Any]]:
    """Return the assignment, the owner of each task of each work, and the works' results."""
    devices = crew()
    if devices is None:
        nobody = [np.full(work.count, EVERYONE) for work in works]
        return deal_out([], None), nobody, [work.run(work.given) for work in works]
    cuts = [np.array_split(np.arange(work.count), min(work.count, _PIECES * devices.count)) for work in works]
    jobs = [
        Job(len(piece) * work.seconds, len(piece) * nbytes)
        for work, pieces in zip(works, cuts, strict=True)
        for nbytes in [work.nbytes()]
        for piece in pieces
    ]
    deal, owners, at = deal_out(jobs, devices), [], 0
    for pieces in cuts:
        owners.append(np.repeat(deal.owners[at : at + len(pieces)], [len(piece) for piece in pieces]))
        at += len(pieces)
    if not deal.shared:
        return deal, owners, [work.run(work.given) for work in works]
    tasks: list[Task] = []
    whose: list[int] = []
    parts: list[list[tuple[np.ndarray, int]]] = []
    for work, own in zip(works, owners, strict=True):
        parts.append([])
        for owner in np.unique(own).tolist():
            which = np.flatnonzero(own == owner)
            parts[-1].append((which, len(tasks)))
            tasks.append((work.run, (work.some(which),)))
            whose.append(owner)
    made = dealt(devices, tasks, whose)
    return deal, owners, [_joined([(which, made[k]) for which, k in own]) for own in parts]


def _joined(parts: Sequence[tuple[np.ndarray, Any]]) -> Any:
    """The results of all tasks in their order, from those of some and of others."""
    if len(parts) == 1:
        return parts[0][1]
    order = np.concatenate([which for which, _ in parts])
    back = np.argsort(order, kind="stable")
    return jax.tree.map(
        lambda *leaves: picked(jnp.concatenate(leaves), back) if eqx.is_array(leaves[0]) else leaves[0],
        *(made for _, made in parts),
    )


def picked(stack: Array, which: np.ndarray) -> Array:
    """Some members, run by run: on CPUs a gather of large ones copies number by number."""
    ends = np.flatnonzero(np.diff(which) != 1) + 1
    runs = np.split(which, ends)
    slices = [stack[run[0] : run[-1] + 1] for run in runs]
    return slices[0] if len(slices) == 1 else jnp.concatenate(slices)


def _bytes_of(shapes: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes) if hasattr(leaf, "dtype"))
