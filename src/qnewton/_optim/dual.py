"""Levenberg-Marquardt in the residuals, with geodesic acceleration."""

from functools import partial
from typing import Any, ClassVar, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .._conditioning import AbstractMetric, Levenberg, Marquardt
from .._core.arrays import filled, first_of
from .._core.constants import unfolded
from .._core.kinds import check_kind, known, numbers, varying
from .._core.one_kernel import in_one_kernel
from .._core.renamed import renamed
from .._core.status import Status
from .._core.traces import begun, diagonal, gram
from .._core.trees import check_gradients, check_params
from .._curvature import Objective, whole
from .._curvature.checks import check_batch
from .._curvature.independence import independence
from .._curvature.objective import Batch, check_objective
from .._curvature.point import Point
from .._curvature.stored import stored_rounding
from .._devices.mapped import AxisName
from .._scheduling.families import default_scheduler, scheduler_of, scheduler_of_fits
from .._scheduling.group_plan import GroupPlan, PackedPlans
from .applied import Left, prints_of, rounding_of, sums_over
from .border import transformation
from .dual_sample import Sampling, part_of
from .dual_systems import Scheduled, blank_plans
from .dual_trials import Options, Tried, try_two
from .inside_optax import inside_optax, needs_batch
from .metrics import is_fit
from .rounding import lowered
from .working_types import Steps, in_working_types

SIZES = 3e-3
"""`Marquardt.sizes` of a fit: more than `newton` needs, whose damping begins higher."""
MOMENTUM = 0.5
"""Part of the last step that the next one starts from, where nobody says another and the problem is no fit."""
GROW = 4.0
"""Factor on the damping after a step that no trial was good enough for."""
_DEFAULTS = {False: default_scheduler, True: scheduler_of_fits}
"""By whether the problem is a fit."""


class DualNewtonInfo(eqx.Module):
    """Diagnostics of one step; the next step does not read them.

    Attributes:
        loss: objective on the batch before the step.
        damping: of the better of the two trials, in units of the mean loss's curvature.
        winner: which trial that was: 0 the less damped one, 1 the other.
        reduction_ratio: actual over predicted decrease of the better trial; NaN where it is not finite, or no decrease
            was predicted.
        accepted: False where no trial lowered the loss (or kept it, where less than its rounding was predicted) and the
            update is zero.
        acceleration_ratio: `|a| / |d|` of the better trial before `a` is shortened; 0 without acceleration.
        relative_residual: of the better trial's solve in the rows, `||(K + m I) u - b|| / ||b||`; near the smallest
            dampings it may be large where the step is good all the same, which the trial decides.
        examples: that the trials were computed from, the whole batch or a part of it; both are judged on all of it.
        altered: whether the last step was not applied as it left: the parameters are not where it led.
        applied_ratio: reduction ratio of the step that was taken in its place; NaN where there is none, or another
            batch, on which nothing can be compared.
        status: a `Status`; `NO_CURVATURE` where the step follows the gradient, as the loss has no curvature in the
            outputs; with the others but `OK` the parameters stay where they are.
        packed: the plans of `systems`.
        because: why `newton` chose this family; empty where the user did.
    """

    loss: Float[Array, ""]
    damping: Float[Array, ""]
    winner: Int[Array, ""]
    reduction_ratio: Float[Array, ""]
    accepted: Bool[Array, ""]
    acceleration_ratio: Float[Array, ""]
    relative_residual: Float[Array, ""]
    examples: Int[Array, ""]
    altered: Bool[Array, ""]
    applied_ratio: Float[Array, ""]
    status: Int[Array, ""]
    packed: PackedPlans
    because: str = eqx.field(static=True, default="")
    family: ClassVar[str] = "dual"

    @property
    def systems(self) -> tuple[GroupPlan, ...]:
        """What the two systems cost and who solves them, as one group.

        Where the residuals of a fit outnumber its parameters they are the damped least squares in the parameters.
        """
        return self.packed.plans


class DualNewtonState(NamedTuple):
    """State of `dual_newton`.

    Attributes:
        count: steps taken, refused ones included.
        damping: around which the next step tries two; 0 until a first batch has set the scale.
        sampling: whether the next step may do with a part of the batch.
        metric: what the metric remembers `[k, n]`; None where the damping is a multiple of the identity.
        left: by which the next step sees whether the last one was applied as it left.
        last: step, zero where it was refused `[n]`; None without momentum.
        info: of the last step; zeros before the first.
    """

    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]  # optax's name for it
    damping: Float[Array, ""]
    sampling: Sampling
    metric: Float[Array, "k n"] | None
    left: Left
    last: Float[Array, " n"] | None
    info: DualNewtonInfo


@renamed(start="damping")
@inside_optax
def dual_newton(
    objective: Objective,
    *,
    damping: float = 0.1,
    acceleration: float | None = 0.75,
    momentum: float | None = None,
    sample: int | None = 3,
    metric: AbstractMetric | None = None,
    solver: lx.AbstractLinearSolver | None = None,
    axis_name: AxisName = None,
) -> optax.GradientTransformationExtraArgs:
    """Return a Gauss-Newton optimizer in the residuals: Levenberg-Marquardt damping, geodesic acceleration.

    For few residuals (examples times outputs, up to about 1,500) and at least as many parameters, where high accuracy
    is wanted: physics-informed networks, small regressions. Every step factors `K = R R^T` of the residuals at two
    dampings, 0.4 and 2.5 times the last one, and tries both:

        d = p/2 - R^T (K + m I)^-1 (r + R p/2)       the Gauss-Newton step, `R^T R` the curvature, p the last step
        a = -1/2 R^T (K + m I)^-1 r''                geodesic acceleration, `r''` the second derivative along d

    The better one of `w + d + a` is taken if it lowers the loss, and its damping kept; otherwise nothing moves and the
    damping grows fourfold. The acceleration is Transtrum and Sethna's (2012, arXiv:1207.4999); here for any loss that
    is convex in the outputs, whose Hessian takes the place of the squares'. An l2 term enters gradient and curvature
    exactly.

    Far from a solution the curvature of a third of the examples leads about as far as that of all, in a fraction of the
    time. So the first steps take their trials from one part in `sample` of the batch, each from another part, until the
    whole loss, on which every trial is judged, falls more than `sample` times slower than the part's own; from there
    on each takes the whole batch. Parts of fewer than 100 residuals are never used.

    A **fit** is a problem of at most 100 parameters, each of which may have a unit of its own. Its damping is a
    multiple of Marquardt's diagonal rather than of the identity, so that the units make no difference. A step whose
    acceleration is more than twice the bound is refused, which holds it back where no unit does. Every step sees the
    whole batch. Where residuals outnumber the parameters, its systems are the damped least squares `|R d + r|^2 +
    m |d|^2` in the parameters: by the singular values of `R`, where nothing is squared, or by way of `R^T R` where the
    precision resolves that (`solver=None`; a solver that is named solves by way of `R^T R`). `metric=Levenberg()`
    treats it as any other problem.

    `update(grads, state, params, batch=(inputs, targets), key=None)` is pure, can be jitted and scanned, and returns
    the step itself. It does not read `grads`: under `jit` their computation is dropped, and zeros serve as well. Where
    something behind it in an `optax.chain` changes the update, the step that was tried is not the one that is taken, as
    the next one notices (`info.altered`).

    On a CPU with few or shared cores, give BLAS one thread (`import scipy.linalg`, then
    `threadpoolctl.threadpool_limits(1, user_api="blas")`): its threads wait for XLA's, and a step takes twice as long.

    Args:
        objective: what is minimised. Where an example's loss is not convex in the outputs (a Gaussian of which mean and
            variance are outputs), the positive part of its curvature's diagonal stands for that, as in `kfac`. Batches
            should be the full data or large, since a noisy loss misleads the damping.
        damping: first damping, relative to the mean diagonal entry of `K`, positive.
        acceleration: largest `2 |a| / |d|`, to which longer accelerations are shortened (the source rejects above
            0.75); None leaves them out, and so does a model with `jax.custom_vjp`, which has no second derivative
            along a direction.
        momentum: decay `mu` of the last step `p`, in [0, 1): what is damped is the distance from `mu p`, as in SPRING
            (Goldshlager, Abrahamsen and Lin 2024, arXiv:2401.10190): `d = mu p - R^T (K + m I)^-1 (r + mu R p)`. After
            a refused step `p` is zero. At 0 the step's length is damped. None: 0.5, and 0 for a fit.
        sample: parts into which early steps divide the batch, at least 2; None lets every step see all of it.
        metric: what the damping is a multiple of: `Levenberg()`, the identity, or `Marquardt()`, the curvature's
            diagonal, for which the whole Jacobian is formed. None: `Marquardt(sizes=3e-3)` for a fit, `Levenberg()`
            for more parameters.
        solver: of the two systems: a `Hybrid`, which chooses among its candidates in every step, or one solver of
            ours. None: direct solvers and a quantum one at all its costs.
        axis_name: of the mapped axes that batches are spread over, as of `newton`.

    Returns:
        The transformation. Its state is a `DualNewtonState` whose `info` reports on the last step: `Status.NOT_FINITE`
        for a batch with a loss or curvature that is not finite, which moves neither parameters nor damping;
        `Status.NOT_SOLVED` where the factorisation failed at both dampings, which grow.

    Raises:
        ValueError, TypeError: from `init`, for parameters that are empty or not floating-point; from `update`, for a
            missing batch.
        MemoryError: from `update`, for more residuals than fit in memory.
    """
    check_objective(objective, "dual_newton")
    if metric is not None:
        check_kind(metric, AbstractMetric, "dual_newton: metric", "Marquardt()")
    damping, acceleration, momentum = varying(
        "dual_newton", ("acceleration", "momentum"), damping=damping, acceleration=acceleration, momentum=momentum
    )
    if momentum is not None and known(momentum) and not 0 <= momentum < 1:
        raise ValueError(f"momentum is {momentum}: it is the part of the last step that is kept, in [0, 1)")
    (sample,) = numbers("dual_newton", ("sample",), sample=sample)
    if known(damping) and not 0 < damping < float("inf"):
        raise ValueError(f"damping is {damping}: the first damping is relative to the curvature and must be positive")
    if acceleration is not None and known(acceleration) and not acceleration > 0:
        raise ValueError(
            f"acceleration is {acceleration}: it bounds 2 |a| / |d| and must be positive, or None for no acceleration"
        )
    if sample is not None and not (isinstance(sample, int) and sample >= 2):
        raise ValueError(f"sample is {sample}: give the number of parts, at least 2, or None for the whole batch")

    schedulers = {fit: scheduler_of(solver, "dual_newton", default) for fit, default in _DEFAULTS.items()}

    def metric_for(params: PyTree) -> AbstractMetric:
        return (Marquardt(sizes=SIZES) if is_fit(params) else Levenberg()) if metric is None else metric

    def decay_for(params: PyTree) -> float | None:
        decay = (0.0 if is_fit(params) else MOMENTUM) if momentum is None else momentum
        return None if known(decay) and decay == 0 else decay

    def options_for(
        params: PyTree, before: PackedPlans, *, reverse_only: bool = False, last: Float[Array, " n"] | None = None
    ) -> Options:
        # A second derivative along the step takes forward mode twice.
        bending = None if reverse_only else acceleration
        scheduled = Scheduled(schedulers[is_fit(params)], before)
        decay = decay_for(params)
        towards = None if decay is None or last is None else decay * last
        return Options(damping, bending, metric_for(params), scheduled, towards)

    def init(params: PyTree) -> DualNewtonState:
        check_params(params)
        dtype = jax.tree.leaves(params)[0].dtype
        zero, number = filled((), 0, dtype), filled((), 0, jnp.int32)
        packed = blank_plans(schedulers[is_fit(params)], dtype)
        no = filled((), False, bool)
        info = DualNewtonInfo(zero, zero, number, zero, no, zero, zero, number, no, zero, number, packed)
        (block,) = whole(params)
        metric = metric_for(params)
        memory = None if metric.fixed else metric.init(block.n, dtype)
        last = None if decay_for(params) is None else filled((block.n,), 0, dtype)
        return DualNewtonState(number, zero, Sampling.start(dtype), memory, Left.nothing(dtype), last, info)

    def update(
        objective: Objective,
        updates: PyTree | None,
        state: DualNewtonState,
        params: PyTree | None = None,
        *,
        batch: Batch | None = None,
        key: Key[Array, ""] | None = None,
        **_: Any,
    ) -> tuple[PyTree, DualNewtonState]:
        if params is None or batch is None:
            raise ValueError(needs_batch("dual_newton"))
        params, batch, key = unfolded((params, batch, key))
        check_batch(batch)
        if updates is not None:  # the rows give the gradient
            check_gradients(updates, params)
        (block,) = whole(params)
        w = block.take(params)
        known_of = independence(objective, params, batch, key)
        point = Point.of(objective, params, batch, key, known_of)
        count, independent = point.examples.count, point.examples.independent
        if not independent:
            # Parts of a batch would be another objective; the rows are those of the whole one.
            point = point.as_one()
        options = options_for(params, state.info.packed, reverse_only=known_of.reverse_only, last=state.last)
        # A fit's steps cost so little that there is nothing to spare.
        parts = 1 if sample is None or not options.metric.fixed or not independent else sample

        def tried(point: Point) -> Tried:
            return try_two(point, block, state.damping, state.metric, options)

        part = part_of(point.examples, parts, state.count)
        if part is None:
            found, examples = tried(point), jnp.int32(count)
        else:
            # Made here, because it traces the model for both, which a branch must not do.
            few, sampled = point.on(part.examples), state.sampling.active
            found = jax.lax.cond(sampled, lambda: tried(few), lambda: tried(point))
            examples = jnp.where(sampled, part.examples.count, count).astype(jnp.int32)

        # The three losses by one program: compiled once, and with one rounding.
        points = jnp.concatenate([w[None], w + found.trials.step])
        values, weights = jax.vmap(lambda v: _terms(objective, block.put(params, v), batch, key))(points)
        parts_of_sums = begun(values)
        total = values.shape[1] if weights is None else jnp.sum(weights, axis=1)
        sums_of_part = None if part is None else jnp.sum(values[:, part.chosen], axis=1)
        products, stored = gram(points), stored_rounding(objective)
        places, prints = sums_over(points, state.left.numbers.dtype), prints_of(batch)
        rounding = rounding_of(w, places.dtype, stored)

        def judged() -> _Judged:
            squares, sums = diagonal(products), jnp.sum(parts_of_sums, axis=1)
            penalties = objective.l2 / 2 * squares
            losses = sums / total + penalties
            loss = losses[0]
            judged = jnp.where(jnp.isfinite(losses[1:]) & found.trials.trusted, losses[1:], jnp.inf)
            winner = jnp.argmin(judged).astype(jnp.int32)
            best = jax.tree.map(lambda leaf: leaf[winner], found.trials._replace(step=squares[1:]))
            decrease = loss - judged[winner]

            finite, solved = jnp.isfinite(loss) & jnp.isfinite(found.level), jnp.isfinite(best.step)
            predicted = best.predicted * found.unit.divisor
            unit = found.unit.divisor if options.metric.fixed else jnp.ones_like(found.unit.divisor)
            # False for a trial whose loss is not finite, too.
            better, drowned = lowered(loss, decrease, predicted)
            accepted = finite & solved & better
            ratio = decrease / predicted
            info = {
                "loss": loss.astype(w.dtype),
                "damping": best.damping * unit,
                "winner": winner,
                "reduction_ratio": jnp.where(jnp.isfinite(ratio) & (predicted > 0), ratio, jnp.nan).astype(w.dtype),
                "accepted": accepted,
                "acceleration_ratio": best.acceleration_ratio,
                "relative_residual": best.residual,
                "status": _status(finite, solved, found.unit.flat),
            }
            # Which of two losses is the lower says nothing where rounding decides.
            following = jnp.where(accepted, best.damping, GROW * found.damping)
            following = jnp.where(drowned & solved, found.damping, following) * unit
            sampling = state.sampling
            if part is not None:
                assert sums_of_part is not None
                own = sums_of_part / total * (count / part.examples.count) + penalties
                ends = jnp.stack([jnp.zeros_like(winner), 1 + winner])
                following_sampling = sampling.after(losses[ends], own[ends], accepted, parts)
                sampling = jax.tree.map(lambda new, old: jnp.where(finite, new, old), following_sampling, sampling)
            damping = jnp.where(finite, following, state.damping)
            return _Judged(finite, state.count + 1, damping, predicted, sampling, info)

        verdict = in_one_kernel(judged)
        told = verdict.info

        def noticed() -> tuple[Left, Bool[Array, ""], Float[Array, ""]]:
            last = state.left.seen(places[0], jnp.sqrt(products[0, 0]), prints, told["loss"])
            # At the minimum of its own model a step's slope promises twice what the model does.
            slope, moves = 2 * verdict.predicted, places[1 + told["winner"]] - places[0]
            left = state.left.leaving(last, moves, told["accepted"], told["loss"], slope, verdict.predicted, rounding)
            return left, last.altered, last.ratio.astype(w.dtype)

        left, altered, ratio = in_one_kernel(noticed)
        info = DualNewtonInfo(**told, examples=examples, altered=altered, applied_ratio=ratio, packed=found.packed)
        step = jnp.where(info.accepted, found.trials.step[info.winner], 0)
        memory = jax.tree.map(lambda new, old: jnp.where(verdict.finite, new, old), found.memory, state.metric)
        last = None if state.last is None else jnp.where(verdict.finite, step, state.last)
        following = DualNewtonState(verdict.count, verdict.damping, verdict.sampling, memory, left, last, info)
        return block.put(params, step), following

    def steps_for(own: Objective) -> Steps:
        return cast(Steps, optax.GradientTransformationExtraArgs(init, partial(update, own)))  # pyright: ignore[reportArgumentType]

    inner = in_working_types(objective, steps_for)
    return transformation("dual_newton", objective, inner.init, inner.update, axis_name)


class _Judged(NamedTuple):
    """What the losses say: the state's scalars, and those of the info by name."""

    finite: Bool[Array, ""]
    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]
    damping: Float[Array, ""]
    predicted: Float[Array, ""]
    sampling: Sampling
    info: dict[str, Any]


def _status(finite: Bool[Array, ""], solved: Bool[Array, ""], flat: Bool[Array, ""]) -> Int[Array, ""]:
    codes = [jnp.int32(code) for code in (Status.NOT_FINITE, Status.NOT_SOLVED, Status.NO_CURVATURE, Status.OK)]
    return first_of([~finite, ~solved, flat], codes[:3], codes[3])


def _terms(
    objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None
) -> tuple[Float[Array, " batch"], Float[Array, " batch"] | None]:
    """Weighted loss and weight of every example; None for the latter where all are 1."""
    return objective.terms(objective.outputs(params, batch[0], key), batch[1])
