"""Newton's method as one optax transformation, whatever its systems are made of."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import lineax as lx
import optax
from jaxtyping import PyTree

from .._core.kinds import check_sequence, flag
from .._core.suggest import unknown
from .._curvature.objective import Batch, Objective, check_objective
from .._curvature.partition import Block, Partition, whole
from .._devices.mapped import AxisName
from .family import NO_CURVATURE, Family
from .inside_optax import inside_optax

if TYPE_CHECKING:  # what a call names is loaded by who names it
    from .._conditioning import AbstractConditioner, AbstractMetric
    from .._curvature import AbstractCurvature
    from .adaptation import AbstractAdaptation
    from .correction import Correction
    from .step_rules import AbstractStepRule


@inside_optax
def newton(
    objective: Objective,
    learning_rate: optax.ScalarOrSchedule = 1.0,
    *,
    family: str | Sequence[str] | None = None,
    example: Batch | None = None,
    minibatch: bool | None = None,
    solver: lx.AbstractLinearSolver | None = None,
    curvature: "AbstractCurvature | None" = None,
    partition: Partition = whole,
    conditioning: "Sequence[AbstractConditioner] | None" = None,
    metric: "AbstractMetric | None" = None,
    correction: "Correction | None" = None,
    adaptation: "AbstractAdaptation | None" = None,
    step: "AbstractStepRule | None" = None,
    refresh: int = 1,
    clip: float | None = None,
    weight_decay: float = 0.0,
    residual_tolerance: float = 0.1,
    warm_start: bool = False,
    where: Callable[[Block], bool] | None = None,
    axis_name: AxisName = None,
) -> optax.GradientTransformationExtraArgs:
    """Return Newton's method as one optimizer: a family of systems that fits the problem, and their scheduler.

    By default the family is chosen at `init` by shapes, and the training keeps it; `info.family` names it, and
    `info.because` gives the reason:

    | family | chosen for | systems |
    |---|---|---|
    | `dual` | at most 1,500 residuals and as many as parameters; fits of 100 parameters | two, of the residuals |
    | `kfac` | other networks whose layers are recognised | the Kronecker product of each layer |
    | `fisher` | layers of more than 4,096 inputs or outputs; no curvature in the outputs | one for each unit |
    | `blocks` | examples that influence each other, networks without recognised layers | of each block of parameters |

    Their pages, `dual_newton`, `kfac` and `fisher_newton`, describe the steps and their infos; the arguments from
    `curvature` on are of the family `blocks`, and giving one of them, or a solver alone, names it. In the family `kfac`
    a new batch is noticed, since its loss is not the one that the last step reached: from then on steps are those for
    noisy batches (`KLClip`; average the parameters to judge them).

    `update(grads, state, params, batch=(inputs, targets), key=None)` returns the step, with `grads` those of
    `objective(params, batch, key)`. It is pure and can be jitted. It had best come last in an `optax.chain`:
    what changes the update behind it is noticed by the next step (`info.altered`), which judges what was taken instead.
    Under `optax.MultiSteps` curvature and trial are those of the last batch.

    Args:
        objective: what is minimised; supplies the curvature.
        learning_rate: of `blocks` and `fisher`: factor on the direction, or a schedule of the step count.
        family: `blocks`, `dual`, `kfac` or `fisher`. None: by shapes. Several: the first one begins, and the others are
            kept, each with its state and its part of the compiled step; after 60 steps, 120 more and so on, or where
            the loss stalls, the next one is tried for 20 and stays if the loss falls faster (`info.corrections`).
        example: a batch `(inputs, targets)` of the size that training will use, arrays or `jax.ShapeDtypeStruct`, by
            which `init` chooses. None: what the parameters tell has to do, and `info.because` says so.
        minibatch: whether a batch is a part of the data, another one at each step. None: it is noticed.
        solver: of the systems: a `Hybrid`, which gives each to the candidate that it predicts to finish soonest, or any
            other solver for all of them. None: `Hybrid()` for blocks that are named; for those that shapes choose the
            one among several that shapes predict to finish soonest (`info.systems`); direct solvers and a quantum one
            at all its costs for the other families. Unless a family is named, a solver names `blocks`.
        curvature: default `GaussNewton()`.
        partition: which parameters share a system: `whole`, `per_layer`, `per_tensor` or any function of `params` that
            returns blocks.
        conditioning: applied to each block from first to last, in the metric's units. None is `Damp(0.5)`, which suits
            the adapted damping, or `Damp(2.0)` where the metric follows the diagonal; with `Fixed()`, `Damp(5e-3)` is
            Q-Newton's. A change of basis is undone for the step.
        metric: what damping is a multiple of: `Levenberg()`, the identity, or `Marquardt()`, a diagonal that makes the
            training independent of the parameters' units. None: `Marquardt()` for fits (at most 100 parameters; neither
            `conditioning` nor `step` given, no `Fixed()` damping, no preconditioner through layers), else
            `Levenberg()`: networks, whose initialisation has chosen the units, take 1.4 times the steps and more
            with the other. `clip` and `weight_decay` stay in the parameters' own units.
        correction: of what conditioning left out or put in its place, by conjugate gradients on the exact damped
            system; None takes the conditioned system's solution as it is.
        adaptation: of the damping; default `LevenbergMarquardt()`, `Fixed()` for constant rules.
        step: how far to go along the direction, in the place of `learning_rate` and `adaptation`: `QuadraticModel()`
            takes learning rate and momentum from the exact two-dimensional model, and its damping is the factor on
            that of `conditioning` (which `Shift(1)` makes the same quantity); `LineSearch()` backtracks;
            `TrustRegion()` minimises the exact model in the plane of direction and gradient, within a radius that
            follows the ratio.
        refresh: steps that one curvature serves, damped anew in each; above 1 the formed blocks are part of the state.
        clip: largest absolute entry of the direction before the learning rate, positive; None does not clip.
        weight_decay: decoupled (Loshchilov and Hutter 2019): `learning_rate * weight_decay * params` is subtracted as
            well, and the objective does not know; at least 0. A penalty in the objective is its `l2`.
        residual_tolerance: a solve whose relative residual exceeds it has failed (0.1: a direction is asked for).
        warm_start: an iterative solver starts from the block's last solution (Martens 2010, section 4.5), in the
            multiple that fits best for solvers of ours; costs one product and a vector in the state. Saves a quarter
            of the iterations where the damping is fixed, and next to none where it is adapted.
        where: whether a block has a system, e.g. `lambda block: block.n <= 4096`; one that has none takes its gradient
            for a direction, as embeddings and norms do in Q-Newton's language models. None: every block has. For
            constant damping alone, since a step that is partly without curvature predicts no decrease.

        axis_name: of the mapped axis or axes (`jax.shard_map`, `jax.pmap`, `jax.vmap`) that batches are spread over:
            the step is that of the whole batch, on every replica the same. None: a step inside of a mapped axis is
            refused. `()`: each replica trains alone.

    Returns:
        The transformation. Its state is that of the family, for blocks a `NewtonState`, and its `info` reports on the
        last step. A block that cannot be
        solved takes its gradient for a direction and says so in its status: at the learning rate under `Fixed()`;
        where the step is tried, over the damping, and no longer than the block's parameters over the damping scale, so
        that a refused one is followed by a shorter one. A block whose gradient is not finite stays. Where the loss is
        not finite nothing can be compared: every block stays, with `Status.NOT_FINITE`, under `Fixed()` as well, which
        does not look at the loss after the step. Where the loss is seen to have no curvature in the outputs (a model
        that returns its loss, absolute errors, hinges), so that Gauss-Newton's matrix is zero, the exact Hessian takes
        its place, which the adapted damping keeps from saddle points.

    Raises:
        ValueError, TypeError: from `init`, for parameters that are empty, not floating-point, or missed or repeated by
            the partition.
        MemoryError: from `init`, for a block whose matrix and factor alone exceed what is free; `memory_estimate` tells
            what a whole step takes.
        TypeError: for a solver that is none.
        ValueError: for a family that is none, or an argument that is another family's.
    """
    check_objective(objective, "newton")
    minibatch = None if minibatch is None else flag(minibatch, "newton: minibatch")
    if family is not None and not isinstance(family, str):
        check_sequence(family, (), "newton: family", '"kfac"')
    named = () if family is None else (family,) if isinstance(family, str) else tuple(family)
    for one in named:
        if one not in list(Family):
            raise ValueError(unknown("family", str(one), [str(known) for known in Family]))
    blocks: dict[str, Any] = {
        name: value
        for name, value, default in (
            ("learning_rate", learning_rate, 1.0),
            ("curvature", curvature, None),
            ("partition", partition, whole),
            ("conditioning", conditioning, None),
            ("metric", metric, None),
            ("correction", correction, None),
            ("adaptation", adaptation, None),
            ("step", step, None),
            ("refresh", refresh, 1),
            ("clip", clip, None),
            ("weight_decay", weight_decay, 0.0),
            ("residual_tolerance", residual_tolerance, 0.1),
            ("warm_start", warm_start, False),
            ("where", where, None),
        )
        if not _left_out(value, default)
    }
    if named == (Family.BLOCKS,) or (not named and (blocks or solver is not None)):
        from .block_newton import block_newton

        return block_newton(objective, solver=solver, axis_name=axis_name, **blocks)
    from .border import transformation

    for one in named:
        _check_taken(Family(one), blocks)
    if len(named) < 2:
        asked = _Asked(objective, Family(named[0]) if named else None, example, minibatch, solver, blocks)
        return transformation("newton", objective, asked.init, asked.update, axis_name)
    from .kept_families import KeptFamilies

    members = [_Asked(objective, Family(one), example, minibatch, solver, blocks) for one in named]
    kept = KeptFamilies(named, [optax.GradientTransformationExtraArgs(one.init, one.update) for one in members])
    return transformation("newton", objective, kept.init, kept.update, axis_name)


@inside_optax
def newton_of(
    objective: Objective,
    family: str,
    because: str,
    example: Batch,
    minibatch: bool | None,
    solver: lx.AbstractLinearSolver | None = None,
    axis_name: AxisName = None,
) -> optax.GradientTransformationExtraArgs:
    """`newton` with a family that was chosen before `init`.

    Args:
        objective: as of `newton`.
        family: its name.
        because: why.
        example: as of `newton`, as are the last three.
        minibatch: likewise.
        solver: likewise; it names no family here.
        axis_name: likewise.
    """
    from .border import transformation

    asked = _Asked(objective, Family(family), example, minibatch, solver, {}, because)
    return transformation("recipe", objective, asked.init, asked.update, axis_name)


@dataclasses.dataclass(frozen=True)
class _Asked:
    """The arguments of `newton`, and the transformation that they give at `init`."""

    objective: Objective
    family: Family | None
    example: Batch | None
    minibatch: bool | None
    solver: lx.AbstractLinearSolver | None
    given: dict[str, Any]
    because: str = ""

    # A family is loaded once it is chosen: blocks need none of the others.

    def init(self, params: PyTree) -> Any:
        if self.family is not None:
            return _because(self._steps(self.family, self.because).init(params), self.because)
        from .families import family_for

        chosen = family_for(self.objective, params, self.example, self.minibatch)
        return _because(self._steps(*chosen).init(params), chosen.because)

    def update(self, updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any) -> tuple[PyTree, Any]:
        because = state.info.because
        moved, after = self._steps(state.info.family, because).update(updates, state, params, **extra)
        return moved, _because(after, because)

    def _steps(self, family: str, because: str) -> optax.GradientTransformationExtraArgs:
        objective, solver, given = self.objective, self.solver, self.given
        if family == Family.DUAL:
            from .dual import dual_newton

            return dual_newton(objective, solver=solver, **given)
        if family == Family.FISHER:
            from .fisher_newton import fisher_newton

            return fisher_newton(objective, solver=solver, **given)
        if family == Family.BLOCKS:
            from .._curvature import Hessian
            from .._scheduling.families import scheduler_of_blocks, scheduler_of_saddles
            from .block_newton import block_newton

            if because == NO_CURVATURE:
                contest = scheduler_of_saddles() if solver is None else None
                return block_newton(objective, curvature=Hessian(), solver=solver, contest=contest)
            contest = scheduler_of_blocks() if solver is None else None
            return block_newton(objective, solver=solver, contest=contest, residual_tolerance=0.5)
        from .kfac_steps import KFACSteps
        from .working_types import in_working_types

        inputs = None if self.example is None else self.example[0]
        steps = KFACSteps.for_batches(objective, self.minibatch, inputs, solver)
        return in_working_types(objective, lambda own: dataclasses.replace(steps, objective=own))


def _left_out(value: Any, default: Any) -> bool:
    """Return whether an argument has its default value; True is no number."""
    equal = isinstance(value, float | int) and isinstance(value, bool) == isinstance(default, bool) and value == default
    return value is default or equal


_TAKEN = {
    Family.BLOCKS: (),
    Family.KFAC: (),
    Family.DUAL: ("metric",),
    Family.FISHER: ("learning_rate", "refresh", "weight_decay"),
}


def _check_taken(family: Family, given: dict[str, Any]) -> None:
    foreign = [name for name in given if name not in _TAKEN[family]]
    if foreign:
        raise ValueError(
            f"newton got family={str(family)!r} and {foreign[0]}={given[foreign[0]]!r}, which that family does not "
            f"read: omit it, or call {_OWN[family]}, which has arguments of its own"
        )


_OWN = {
    Family.BLOCKS: "newton with that family alone",
    Family.KFAC: "qnewton.kfac",
    Family.DUAL: "qnewton.dual_newton",
    Family.FISHER: "qnewton.fisher_newton",
}


def _because(state: Any, because: str) -> Any:
    return state._replace(info=dataclasses.replace(state.info, because=because))
