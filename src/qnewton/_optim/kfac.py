"""K-FAC as a complete optimizer, which sets direction, length, momentum and damping."""

from dataclasses import replace

import lineax as lx
import optax
from jaxtyping import PyTree

from .._core.kinds import check_kind, known, numbers, varying
from .._core.renamed import renamed
from .._curvature.objective import Objective, check_objective
from .._devices.mapped import AxisName
from .._scheduling.families import scheduler_of
from .border import transformation
from .inside_optax import inside_optax
from .kfac_pace import Pace
from .kfac_steps import KFACSteps
from .step_rules import AbstractStepRule, QuadraticModel
from .working_types import in_working_types


@renamed(period="refresh")
@inside_optax
def kfac(
    objective: Objective,
    *,
    step: AbstractStepRule | None = None,
    refresh: int = 5,
    average: float = 0.0,
    probes: int = 1,
    example: PyTree | None = None,
    solver: lx.AbstractLinearSolver | None = None,
    axis_name: AxisName = None,
) -> optax.GradientTransformationExtraArgs:
    """Return K-FAC as a complete optimizer (Martens and Grosse 2015).

    It sets direction, length, momentum and damping.

    Layers are found in the model's jaxpr. Each gets Kronecker factors of the Gauss-Newton matrix from one forward and
    one backward pass per probe. A weight that is used more than once, in a loop or by hand, has one pair of factors;
    each of stacked layers, groups or experts has a pair of its own. Parameters that belong to no layer get a diagonal,
    estimated from squared probe gradients; `init(params).info.coverage` lists them, with the reasons.

    `update(grads, state, params, batch=(inputs, targets), key=None)` returns the step, with `grads` those of
    `objective` (l2 included) on the batch. The loss's unit is taken from the first batch, so that multiples of a loss
    (with its l2) take the same steps. A loss without curvature in the outputs gets one that makes the step follow the
    gradient, its length by the same trial, and `Status.NO_CURVATURE`. It is pure, can be jitted and scanned.
    Compile the gradient together with the update, so that they share the forward pass. What changes the update behind
    it in an `optax.chain` is noticed by the next step (`info.altered`), and under `optax.MultiSteps` the curvature is
    that of the last batch.

    The default, `QuadraticModel()`, is for the full batch or large ones. For small random batches:
    `kfac(objective, step=KLClip(), refresh=10, average=0.8)`, judged by a running average of the parameters.

    Args:
        objective: what is minimised; `key` is handed on to its model.
        step: how far to go along the direction: `QuadraticModel()` (default), `TrustRegion()` or `KLClip()`.
        refresh: steps from one refresh of factors and inverses to the next; nothing is computed for them in between.
        average: weight of the old factors in the running average, in [0, 1). A full batch's factors need none: theirs
            are as good as one batch gives, and older ones are of other parameters.
        probes: backward passes per refresh; more make the output factors less noisy.
        example: the model's inputs, arrays or `jax.ShapeDtypeStruct` with a leading axis, for `init` to lay out its
            state; only shapes and dtypes are read. Not needed for a model of `[batch, features]`, whose width its
            parameters tell.
        solver: of the layers' systems: a `Hybrid`, which chooses among its candidates at each refresh, or one solver of
            ours for all. None: direct solvers and a quantum one at all its costs.
        axis_name: of the mapped axes that batches are spread over, as of `newton`.

    Returns:
        The transformation. Its state is a `KFACState` whose `info` reports on the last step. A layer whose factors
        cannot be inverted takes its gradient for a direction, and its status says so; where the loss or the gradient is
        not finite no step is taken (`Status.NOT_FINITE`), and damping and factors stay as they were.

    Raises:
        ValueError: for arguments out of range; from `init`, for parameters without entries, or where `example` is
            needed; from `update`, without params or batch, or where the batch does not fit the state.
        TypeError: from `init`, for parameters that are not floating-point arrays.
    """
    check_objective(objective, "kfac")
    if step is not None:
        check_kind(step, AbstractStepRule, "kfac: step", "KLClip()")
    refresh, average = varying("kfac", refresh=refresh, average=average)
    (probes,) = numbers("kfac", probes=probes)
    if known(refresh) and not (isinstance(refresh, int) and refresh >= 1):
        raise ValueError(f"refresh is {refresh}: steps between two refreshes of the factors, an integer of at least 1")
    if known(average) and not 0 <= average < 1:
        raise ValueError(f"average is {average}: the weight of the old factors must be in [0, 1)")
    if not (isinstance(probes, int) and probes >= 1):
        raise ValueError(f"probes is {probes}: backward passes per refresh, an integer of at least 1")
    steps = KFACSteps(
        objective,
        QuadraticModel() if step is None else step,
        Pace(refresh, average),
        noisy=None,
        probes=probes,
        example=example,
        scheduler=scheduler_of(solver, "kfac"),
    )
    inner = in_working_types(objective, lambda own: replace(steps, objective=own))
    return transformation("kfac", objective, inner.init, inner.update, axis_name)
