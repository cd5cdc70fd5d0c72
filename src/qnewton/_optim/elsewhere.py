"""Solution of a step's blocks by workers: every one is formed and handed over, then all are waited for."""

from collections.abc import Callable, Sequence

import lineax as lx
from jax.tree_util import Partial
from jaxtyping import Array, Float

from .._curvature import Block, Point
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
    """Form all blocks one after the other, hand each over to the scheduler's workers, and complete them.

    The matrices are there all at once, since residuals are judged here, so what is handed over is limited to 1 GiB; the
    blocks beyond are solved here, after the others were handed over.

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
    for block, given in zip(blocks, givens, strict=True):
        room -= given.gradient.size**2 * given.gradient.dtype.itemsize
        goes.append(room >= 0)
        names += [block.name] if room >= 0 else []
    courier = Courier(scheduler.workers, names, tolerance)
    begun: list[Callable[[], SolvedBlock]] = []
    for build, given, away in zip(builds, givens, goes, strict=True):
        if not away:
            begun.append(lambda point=point, build=build, given=given: begin(*build(point), given)())
            continue
        system, path = build(point)
        begun.append(begin(system.formed(), path, given, _sender(courier, len(begun))))
        point = point.after(courier.ticket)
    return [complete() for complete in begun]


def _sender(courier: Courier, place: int) -> Send:
    def send(
        scheduler: Hybrid, operator: lx.AbstractLinearOperator, vector: Float[Array, " n"], options: Options
    ) -> Callable[[], Found]:
        assert isinstance(operator, lx.MatrixLinearOperator), "it is formed"
        comes = courier.send(place, scheduler, operator, vector, options)

        def found() -> Found:
            value, plan, iterations, executed, old = comes()
            return Found(value, plan, iterations, executed, old=old)

        return found

    return send
