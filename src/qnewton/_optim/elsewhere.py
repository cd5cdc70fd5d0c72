"""Solution of a step's blocks by workers: every one is handed over, in parts or formed, then all are waited for."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import lineax as lx
from jax.tree_util import Partial
from jaxtyping import Array, Float

from .._core.operators import Shifted
from .._core.records import System
from .._core.scaled import ScaledBlock
from .._curvature import Block, Point
from .._curvature.layer_operator import LayerOperator
from .._scheduling import Hybrid
from .._scheduling.elsewhere import Courier
from .._solvers.base import Options
from .blocks import Build, Given, SolvedBlock
from .solution import Found, Send

_SENT_BYTES = 2**30


def solve_elsewhere(
    point: Point,
    blocks: Sequence[Block],
    builds: Sequence[Build],
    givens: Sequence[Given],
    begin: Partial,
    scheduler: Hybrid,
    tolerance: float,
) -> list[SolvedBlock]:
    """Set up all blocks one after the other, hand each over to the scheduler's workers, and complete them.

    What is handed over is there all at once, since residuals are judged here, so it is limited to 1 GiB; the blocks
    beyond are solved here, after the others were handed over.

    Args:
        point: where the curvature is taken.
        blocks: of the step.
        builds: as of `solve_blocks`.
        givens: likewise.
        begin: `BlockSolve.begin` of a step.
        scheduler: that has workers.
        tolerance: largest relative residual that counts as solved.
    """
    assert scheduler.workers is not None, "they are whom blocks are handed over to"
    room, names, goes = _SENT_BYTES, [], []
    for block, build in zip(blocks, builds, strict=True):
        room -= _nbytes(eqx.filter_eval_shape(lambda point, build=build: travelling(scheduler, build(point)[0]), point))
        goes.append(room >= 0)
        names += [block.name] if room >= 0 else []
    courier = Courier(scheduler.workers, names, tolerance)
    begun: list[Callable[[], SolvedBlock]] = []
    for build, given, away in zip(builds, givens, goes, strict=True):
        if not away:
            begun.append(lambda point=point, build=build, given=given: begin(*build(point), given)())
            continue
        system, path = build(point)
        begun.append(begin(travelling(scheduler, system), path, given, _sender(courier, len(begun))))
        point = point.after(courier.ticket)
    return [complete() for complete in begun]


def travelling(scheduler: Hybrid, system: System) -> System:
    """Return a block's system as it goes to a worker: in parts where these are fewer bytes than the matrix, or formed.

    The parts are the inputs of the block's layer and the curvature in its outputs. Whoever solves forms the block then,
    which is part of the predicted seconds; otherwise it is formed here. It is formed once either way, so that bytes
    decide.

    Args:
        scheduler: that has workers.
        system: as curvature leaves it.
    """
    block = system.operator.base if isinstance(system.operator, Shifted) else system.operator
    if not isinstance(block, LayerOperator) or not scheduler.keeps_unformed(floor=system.eigenvalue_floor is not None):
        return system.formed()
    parts = block.rootless()
    size = system.like.shape[0] ** 2 * system.like.dtype.itemsize
    if _nbytes(parts) >= size:
        return system.formed()
    whole = parts if block is system.operator else eqx.tree_at(lambda shifted: shifted.base, system.operator, parts)
    return eqx.tree_at(lambda system: system.operator, system, whole)


def _is_parts(operator: lx.AbstractLinearOperator) -> bool:
    """Return whether an operator is its arrays and their places; one that conditioning made of functions is not."""
    if isinstance(operator, (Shifted, ScaledBlock)):
        return _is_parts(operator.base)
    return isinstance(operator, (LayerOperator, lx.MatrixLinearOperator))


def _nbytes(tree: object) -> int:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def _sender(courier: Courier, place: int) -> Send:
    def send(
        scheduler: Hybrid, operator: lx.AbstractLinearOperator, vector: Float[Array, " n"], options: Options
    ) -> Callable[[], Found]:
        if not _is_parts(operator):
            operator = lx.MatrixLinearOperator(operator.as_matrix(), lx.symmetric_tag)
        comes = courier.send(place, scheduler, operator, vector, options)

        def found() -> Found:
            value, plan, iterations, executed, old = comes()
            return Found(value, plan, iterations, executed, old=old)

        return found

    return send
