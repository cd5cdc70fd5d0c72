"""All blocks of a step: one after the other, and those of one kind by one compiled body."""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Int

from .._core.operators import Path
from .._core.records import System
from .._curvature import Point
from .._pricing.policies import Turn
from .stages import BlockInfo, stackable

if TYPE_CHECKING:
    from .._estimation import Remembered


class Given(eqx.Module):
    """What a block's solve is given besides its curvature.

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
    """What a block brings to the step.

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
Solve = Callable[[System, Path | Int[Array, ""], Given], SolvedBlock]
Arrays = Callable[[], tuple[System | None, Path]]

# Of the curvature of all blocks that wait for their turn stacked, in a step.
_STACKED_BYTES = 2**24


def solve_blocks(
    point: Point, builds: Sequence[Build], givens: Sequence[Given], solve: Solve, solver: lx.AbstractLinearSolver
) -> list[SolvedBlock]:
    """Build and solve every block; one of them is formed at a time.

    Blocks whose systems differ in nothing but their numbers are stacked, not formed where they need not be, and go
    through one body under `lax.map`, so that conditioning, formation and solve are compiled once for them. Which blocks
    those are is known when the step is traced. What is stacked is there all at once, so it is limited to 16 MiB; the
    other blocks are a static loop.

    Args:
        point: where the curvature is taken.
        builds: for each block, its system at a point, not necessarily formed, and how it is computed.
        givens: for each block, what else its solve is given.
        solve: one block; traced once per group.
        solver: that `solve` uses.
    """
    results: dict[int, SolvedBlock] = {}
    groups = _groups(point, builds, givens, solver)
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


def _groups(
    point: Point, builds: Sequence[Build], givens: Sequence[Given], solver: lx.AbstractLinearSolver
) -> dict[int, dict[int, Arrays]]:
    """By their first block, the groups that share a body, each block with what makes its system of arrays."""
    sizes = [given.gradient.size for given in givens]
    kinds: dict[tuple[int, object, object], dict[int, Arrays]] = {}
    for k, build in enumerate(builds):
        if sizes.count(sizes[k]) == 1:
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
    arrays: Sequence[tuple[System | None, Path]], givens: Sequence[Given], solve: Solve
) -> list[SolvedBlock]:
    systems, paths = zip(*arrays, strict=True)
    turns = systems, [jnp.asarray(path, jnp.int32) for path in paths], givens
    stacked = tuple(jax.tree.map(lambda *leaves: jnp.stack(leaves), *part) for part in turns)
    solved = jax.lax.map(lambda turn: solve(*turn), stacked)
    return [jax.tree.map(lambda leaf, k=k: leaf[k], solved) for k in range(len(givens))]
