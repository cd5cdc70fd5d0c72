"""Solution of all blocks of a step in sequence, those of one kind by one compiled body."""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from .._core.operators import Path
from .._core.records import System
from .._curvature import Point
from .._devices.crew import EVERYONE, Crew, dealt
from .._pricing.policies import Turn
from .._scheduling import scheduler_in
from .._scheduling.owners import Job, deal_out, solving_seconds
from .._solvers import capabilities_of
from .stages import BlockInfo, stackable

if TYPE_CHECKING:
    from .._estimation import Remembered


class Given(eqx.Module):
    """Arguments of a block's solve besides its curvature.

    Attributes:
        gradient: `[n]`.
        params: the block's parameters `[n]`.
        scale: factor on the damping.
        start: first guess at the solution `[n]`; None where the solver takes none.
        remembered: what an earlier step found out about the spectrum; None where nothing is kept.
        turn: the block's place in the training; None without a scheduler.
        metric: what the metric remembers `[k, n]`; None where it remembers nothing.
    """

    gradient: Float[Array, " n"]
    params: Float[Array, " n"]
    scale: Float[Array, ""]
    start: Float[Array, " n"] | None
    remembered: "Remembered | None"
    turn: Turn | None
    metric: Float[Array, "k n"] | None = None


class SolvedBlock(eqx.Module):
    """Contribution of a block to the step.

    Attributes:
        direction: to be subtracted, before the learning rate `[n]`.
        start: the next solve's first guess `[n]`; None where the solver takes none.
        remembered: for the next step; None where nothing is kept.
        predicted: decrease of the loss by this block's part of the step, by the undamped quadratic model of the block.
        info: for the record.
        metric: what the metric remembers from here on `[k, n]`; None where it remembers nothing.
    """

    direction: Float[Array, " n"]
    start: Float[Array, " n"] | None
    remembered: "Remembered | None"
    predicted: Float[Array, ""]
    info: BlockInfo
    metric: Float[Array, "k n"] | None = None


Build = Callable[[Point], tuple[System, Path]]
Arrays = Callable[[], tuple[System | None, Path]]

# Of the curvature of all blocks that wait for their turn stacked, in a step.
_STACKED_BYTES = 2**24
_OWNED_BYTES = 2**30
# Of a block's length that a solve returns: its direction, a start, and what a metric remembers.
_VECTORS = 3


def solve_blocks(
    point: Point,
    builds: Sequence[Build],
    givens: Sequence[Given],
    solve: Partial,
    solver: lx.AbstractLinearSolver,
    devices: Crew | None = None,
) -> list[SolvedBlock]:
    """Build and solve every block; one at a time is formed.

    Where several devices take the step, formed blocks that pay for it are solved by one device each (`owned_blocks`).

    Blocks whose systems differ in nothing but their numbers are stacked, not formed where they need not be, and go
    through one body under `lax.map`, so that conditioning, formation and solve are compiled once for them. Which blocks
    those are is known when the step is traced. What is stacked is there all at once, so it is limited to 16 MiB; the
    other blocks are a static loop.

    Args:
        point: where the curvature is taken.
        builds: for each block, its system at a point, not necessarily formed, and how it is computed.
        givens: for each block, what else its solve is given.
        solve: one block, from system, path and what else it is given; traced once per group.
        solver: that `solve` uses.
        devices: that take the step; None for one.
    """
    results = owned_blocks(point, builds, givens, solve, solver, devices)
    groups = _groups(point, builds, givens, solver, set(results))
    for first in range(len(builds)):
        if first in results:
            continue
        group = groups.get(first)
        if group is None:
            results[first] = solve(*builds[first](point), givens[first])
            point = point.after(results[first].direction)
        else:
            solved = _by_one_body([arrays() for arrays in group.values()], [givens[k] for k in group], solve)
            results |= zip(group, solved, strict=True)
            point = point.after([one.direction for one in solved])
    return [results[k] for k in range(len(builds))]


def owned_blocks(
    point: Point,
    builds: Sequence[Build],
    givens: Sequence[Given],
    solve: Partial,
    solver: lx.AbstractLinearSolver,
    devices: Crew | None,
) -> dict[int, SolvedBlock]:
    """The blocks that one device each solves for all, by their place; none that a solver would take as an operator.

    They are formed by all devices together, each with its part of the batch, and are there all at once, so their
    matrices are limited to 1 GiB.
    """
    able = capabilities_of(solver)
    if devices is None or able.matrix_free or able.needs_root:
        return {}
    scheduler = scheduler_in(solver)
    if scheduler is not None and any(one.capabilities.matrix_free for one in scheduler.solvers):
        return {}
    jobs, room, dtype = [], _OWNED_BYTES, givens[0].gradient.dtype
    for given in givens:
        n = given.gradient.size
        room -= n * n * dtype.itemsize
        seconds = solving_seconds(solver, n, str(dtype)) if room >= 0 else 0.0
        jobs.append(Job(seconds, _VECTORS * n * dtype.itemsize))
    deal = deal_out(jobs, devices)
    owned = [k for k, owner in enumerate(deal.owners) if owner != EVERYONE]
    systems = {k: builds[k](point) for k in owned}
    tasks = [(_solved, (solve, systems[k][0].formed(), systems[k][1], givens[k])) for k in owned]
    owners = [deal.owners[k] for k in owned]
    found = dealt(devices, tasks, owners)
    return {
        k: eqx.tree_at(lambda block: block.info.owner, block, jnp.int32(owner))
        for k, block, owner in zip(owned, found, owners, strict=True)
    }


def _solved(solve: Partial, system: System, path: Path | Int[Array, ""], given: Given) -> SolvedBlock:
    return solve(system, path, given)


def _groups(
    point: Point, builds: Sequence[Build], givens: Sequence[Given], solver: lx.AbstractLinearSolver, done: set[int]
) -> dict[int, dict[int, Arrays]]:
    """Return the groups that share a body, by their first block, each block with the arrays that build its system."""
    sizes = [0 if k in done else given.gradient.size for k, given in enumerate(givens)]
    kinds: dict[tuple[int, object, object], dict[int, Arrays]] = {}
    for k, build in enumerate(builds):
        if k in done or sizes.count(sizes[k]) == 1:
            continue

        def arrays(build: Build = build) -> tuple[System | None, Path]:
            system, path = build(point)
            return stackable(solver, system), path

        # Traced once, for the shapes that decide and for the values.
        traced = eqx.filter_closure_convert(arrays)
        system, _ = eqx.filter_eval_shape(traced)
        leaves, structure = jax.tree.flatten(system)
        if system is not None:
            each = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
            kinds.setdefault((each, structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)), {})[k] = traced
    room, groups = _STACKED_BYTES, {}
    for (each, *_), members in kinds.items():
        group = dict(itertools.islice(members.items(), room // each))
        if len(group) > 1:
            groups[min(group)] = group
            room -= len(group) * each
    return groups


def _by_one_body(
    arrays: Sequence[tuple[System | None, Path]], givens: Sequence[Given], solve: Partial
) -> list[SolvedBlock]:
    systems, paths = zip(*arrays, strict=True)
    turns = systems, [jnp.asarray(path, jnp.int32) for path in paths], givens
    stacked = tuple(jax.tree.map(lambda *leaves: jnp.stack(leaves), *part) for part in turns)
    solved = jax.lax.map(lambda turn: solve(*turn), stacked)
    return [jax.tree.map(lambda leaf, k=k: leaf[k], solved) for k in range(len(givens))]
