"""Newton steps whose systems are blocks of parameters, dense or applied by products."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import lineax as lx
import optax

from .. import _scheduling
from .._conditioning import AbstractConditioner, AbstractMetric
from .._core.kinds import flag
from .._curvature import AbstractCurvature, Block, GaussNewton, Objective, Partition, whole
from .._devices.mapped import AxisName
from .._solvers.refusals import check_linear_solver
from .adaptation import AbstractAdaptation, LevenbergMarquardt
from .arguments import check_arguments, check_together, checked_numbers
from .block_steps import BlockSteps
from .border import transformation
from .correction import Correction
from .inside_optax import inside_optax
from .kept_curvature import KeptCurvature
from .known_solver import KnownSolver
from .one_block import BlockSolve
from .step_rules import AbstractStepRule
from .working_types import in_working_types


@inside_optax
def block_newton(
    objective: Objective,
    learning_rate: optax.ScalarOrSchedule = 1.0,
    *,
    curvature: AbstractCurvature | None = None,
    partition: Partition = whole,
    conditioning: Sequence[AbstractConditioner] | None = None,
    metric: AbstractMetric | None = None,
    correction: Correction | None = None,
    solver: lx.AbstractLinearSolver | None = None,
    adaptation: AbstractAdaptation | None = None,
    step: AbstractStepRule | None = None,
    refresh: int = 1,
    clip: float | None = None,
    weight_decay: float = 0.0,
    residual_tolerance: float = 0.1,
    warm_start: bool = False,
    where: Callable[[Block], bool] | None = None,
    axis_name: AxisName = None,
    contest: "_scheduling.Hybrid | None" = None,
) -> optax.GradientTransformationExtraArgs:
    """Return the block-wise Newton optimizer: every block's system `A x = g` goes to a scheduler, or to one solver.

    The family `blocks` of `newton`, where its arguments are described; None stands for the defaults told there. In the
    place of `solver`, `contest` has candidates among which the shapes of each block choose.
    """
    check_arguments(
        objective, learning_rate, curvature, partition, conditioning, metric, correction, adaptation, step, where
    )
    warm_start = flag(warm_start, "newton: warm_start")
    refresh, clip, weight_decay, residual_tolerance = checked_numbers(refresh, clip, weight_decay, residual_tolerance)
    curvature = GaussNewton() if curvature is None else curvature
    if solver is None:
        # Who is listed first is what the rest of a step goes by: candidates of one contest differ in no state.
        solver = _scheduling.Hybrid() if contest is None else contest.solvers[0]
    check_linear_solver(solver, "solver for newton")
    adaptation = LevenbergMarquardt() if adaptation is None else adaptation
    check_together(solver, adaptation, step, where, warm_start=warm_start)
    known = KnownSolver.of(solver, contest)
    kept = KeptCurvature(curvature, refresh, known.able.needs_root)
    shifted = objective.penalised or curvature.shift > 0
    tried = step is None and adaptation.tries
    follows = step is not None or adaptation.tries
    steps = BlockSteps(
        objective=objective,
        learning_rate=learning_rate,
        curvature=kept,
        partition=partition,
        where=where,
        metric=metric,
        conditioning=conditioning,
        one_block=BlockSolve(known, residual_tolerance, correction, clip, weight_decay, shifted, follows, tried),
        adaptation=adaptation,
        step=step,
        warm_start=warm_start,
    )
    inner = in_working_types(objective, lambda own: replace(steps, objective=own))
    return transformation("newton", objective, inner.init, inner.update, axis_name)
