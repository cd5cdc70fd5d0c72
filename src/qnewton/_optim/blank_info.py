"""The initial record of a step: zeros, laid out as every step's record.

The state must have one structure from the first step on, or the user's jit compiles twice.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from .._conditioning import AbstractConditioner, condition
from .._core.arrays import filled
from .._curvature import Block
from .._scheduling import Executed, Plan
from .blank import stand_in
from .known_solver import KnownSolver
from .stages import BlockInfo, solve_block
from .state import StepInfo


def plan_shapes(
    known: KnownSolver,
    conditioning: Sequence[AbstractConditioner],
    residual_tolerance: float,
    blocks: Sequence[Block],
    dtype: jnp.dtype,
    *,
    semidefinite: bool,
) -> dict[int, Plan | None]:
    """Return, by size, the structure of a block's plan; None for a solver without plans.

    It also refuses, before any work, a solver that needs definiteness if nothing can be proven.

    Args:
        known: solver of the systems.
        conditioning: of the blocks.
        residual_tolerance: largest relative residual that counts as solved.
        blocks: with a system.
        dtype: of the systems.
        semidefinite: whether the curvature knows an eigenvalue floor.
    """

    def plan_of(block: Block) -> Plan | None:
        blank = stand_in(block, dtype, semidefinite=semidefinite)
        conditioned = condition(conditioning, blank, jnp.ones((), dtype))
        reuse = known.reuse
        estimate = None if reuse is None else reuse.after(conditioned, reuse.init(dtype))[0]
        vector = jnp.zeros(block.n, dtype)
        return solve_block(known.solver, conditioned, vector, residual_tolerance, estimate=estimate)[1].plan

    if known.able.matrix_free:
        return {}
    one_of_a_size = {block.n: block for block in blocks}
    return {n: jax.eval_shape(lambda block=block: plan_of(block)) for n, block in one_of_a_size.items()}


def blank_info(
    known: KnownSolver, plans: Mapping[int, Plan | None], blocks: Sequence[Block], dtype: jnp.dtype
) -> StepInfo:
    """Zeros in the place of a step's record.

    Args:
        known: solver of the systems.
        plans: by size, as `plan_shapes` finds them.
        blocks: with a system.
        dtype: of the systems.
    """

    def blank(block: Block) -> BlockInfo:
        plan, status = plans.get(block.n), filled((), 0, jnp.int32)
        executed = None if plan is None else Executed(zero, zero, status)
        counts = status, executed, status
        packed = known.blank_plan(block.n, dtype)
        last = (zero, zero, zero, zero, zero, status, packed)
        return BlockInfo(plan, status, zero, *counts, zero, zero, status, status, *last)

    zero = filled((), 0, dtype)
    infos = tuple(blank(block) for block in blocks)
    no, never = filled((), False, bool), filled((), 0, jnp.int32)
    empty = StepInfo(zero, zero, zero, zero, zero, zero, no, never, no, zero, infos)
    return jax.tree.map(lambda leaf: filled(leaf.shape, 0, leaf.dtype), empty)
