"""Levenberg-Marquardt in the residuals, with geodesic acceleration."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from ..core.status import Status
from ..core.trees import check_params
from ..curvature import Objective, whole
from ..curvature.objective import Batch
from ..curvature.point import Point
from .dual_rows import Rows, rows_of

Outputs = Callable[[Float[Array, " n"]], Float[Array, "batch c"]]

TRIED = (0.4, 2.5)
"""Multiples of the damping that every step tries: below 1 to let it fall, above to let it grow, about inverse."""
GROW = 4.0
"""Factor on the damping after a step that no trial was good enough for."""

LARGEST = 1e6
"""Damping relative to the mean diagonal entry of the Gram matrix: a step that fails there has nothing to gain."""


class DualNewtonInfo(NamedTuple):
    """What happened in one step; diagnostics only, the next step does not read it.

    Attributes:
        loss: objective on the batch before the step.
        damping: of the better of the two trials, in units of the mean loss's curvature.
        winner: which trial that was: 0 the less damped one, 1 the other.
        reduction_ratio: actual over predicted decrease of the better trial; NaN where it is not finite.
        accepted: False where no trial lowered the loss and the update is zero.
        acceleration_ratio: `|a| / |d|` of the better trial before `a` is shortened; 0 without acceleration.
        relative_residual: of the better trial's solve in the rows, `||(K + m I) u - b|| / ||b||`; near the smallest
            dampings it may be large where the step is good all the same, which the trial decides.
        status: a `Status`; with every one but `OK` the parameters stay where they are.
    """

    loss: Float[Array, ""]
    damping: Float[Array, ""]
    winner: Int[Array, ""]
    reduction_ratio: Float[Array, ""]
    accepted: Bool[Array, ""]
    acceleration_ratio: Float[Array, ""]
    relative_residual: Float[Array, ""]
    status: Int[Array, ""]


class DualNewtonState(NamedTuple):
    """State of `dual_newton`.

    Attributes:
        count: steps taken, refused ones included.
        damping: around which the next step tries two; 0 until a first batch has set the scale.
        info: of the last step; zeros before the first.
    """

    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]  # optax's name for it
    damping: Float[Array, ""]
    info: DualNewtonInfo


class _Trials(NamedTuple):
    """Two steps, along a leading axis of 2.

    Attributes:
        damping: without l2.
        step: `d + a`, with `a` shortened.
        moved: `R (d + a)`.
        acceleration_ratio: `|a| / |d|`, `a` not shortened.
        residual: `||(K + m I) u - b|| / ||b||` of the solve behind d.
    """

    damping: Float[Array, "2"]
    step: Float[Array, "2 n"]
    moved: Float[Array, "2 rows"]
    acceleration_ratio: Float[Array, "2"]
    residual: Float[Array, "2"]


def dual_newton(
    objective: Objective,
    *,
    start: float = 0.1,
    acceleration: float | None = 0.75,
) -> optax.GradientTransformationExtraArgs:
    """Gauss-Newton steps damped after Levenberg and Marquardt, solved in the residuals, bent along the geodesic.

    For few residuals (examples times outputs, up to about 1,500) and at least as many parameters, where high accuracy
    is wanted: physics-informed networks, small regressions. Every step factors `K = R R^T` of the residuals at two
    dampings, 0.4 and 2.5 times the last one, and tries both:

        d = -R^T (K + m I)^-1 r                      the Gauss-Newton step, `R^T R` being the curvature
        a = -1/2 R^T (K + m I)^-1 r''                geodesic acceleration, `r''` the second derivative along d

    The better one of `w + d + a` is taken if it lowers the loss, and its damping kept; otherwise nothing moves and the
    damping grows fourfold. The acceleration is Transtrum and Sethna's (2012, arXiv:1207.4999); here for any loss that
    is convex in the outputs, whose Hessian takes the place of the squares'. An l2 term enters gradient and curvature
    exactly.

    `update(grads, state, params, batch=(inputs, targets), key=None)` is pure, can be jitted and scanned, and returns
    the step itself. It does not read `grads`: under `jit` their computation is dropped, and zeros serve as well. The
    transformation must come last in an `optax.chain`, since its step was tried as it is.

    On a CPU with few or shared cores, give BLAS one thread (`import scipy.linalg`, then
    `threadpoolctl.threadpool_limits(1, user_api="blas")`): its threads wait for XLA's, and a step takes twice as long.

    Args:
        objective: what is minimised; its loss must be convex in the outputs, its batches should be the full data or
            large, since a noisy loss misleads the damping.
        start: first damping relative to the mean diagonal entry of `K`, positive.
        acceleration: largest `2 |a| / |d|`, to which longer accelerations are shortened (the source rejects above
            0.75); None leaves them out.

    Returns:
        The transformation. Its state is a `DualNewtonState` whose `info` reports on the last step: `Status.NOT_FINITE`
        for a batch with a loss or curvature that is not finite (a loss that is not convex in the outputs shows so
        too), which moves neither parameters nor damping; `Status.NOT_SOLVED` where the factorisation failed at both
        dampings, which grow.

    Raises:
        ValueError, TypeError: from `init`, for parameters that are empty or not floating-point; from `update`, for a
            missing batch, or a model that couples its examples.
        MemoryError: from `update`, for more residuals than fit in memory.
    """
    if not 0 < start < float("inf"):
        raise ValueError(f"start is {start}: the first damping is relative to the curvature and must be positive")
    if acceleration is not None and not acceleration > 0:
        raise ValueError(
            f"acceleration is {acceleration}: it bounds 2 |a| / |d| and must be positive, or None for no acceleration"
        )

    def init(params: PyTree) -> DualNewtonState:
        check_params(params)
        dtype = jax.tree.leaves(params)[0].dtype
        zero, number = jnp.zeros((), dtype), jnp.zeros((), jnp.int32)
        return DualNewtonState(
            number, zero, DualNewtonInfo(zero, zero, number, zero, jnp.zeros((), bool), zero, zero, number)
        )

    def update(
        updates: PyTree,
        state: DualNewtonState,
        params: PyTree | None = None,
        *,
        batch: Batch | None = None,
        key: Key[Array, ""] | None = None,
        **_: Any,
    ) -> tuple[PyTree, DualNewtonState]:
        del updates  # the rows give the gradient
        if params is None or batch is None:
            raise ValueError("dual_newton needs update(grads, state, params, batch=(inputs, targets))")
        (block,) = whole(params)
        w = block.take(params)

        def outputs(v: Float[Array, " n"]) -> Float[Array, "batch c"]:
            z = objective.outputs(block.put(params, v), batch[0], key)
            return z.reshape(z.shape[0], -1)

        rows = rows_of(Point.of(objective, params, batch, key), block)
        gram = rows.gram()
        scale = jnp.trace(gram) / gram.shape[0]
        limits = jnp.finfo(w.dtype)
        # The rounding of the Gram matrix is as large as the lower limit; tiny, for rows that are all zero.
        lowest = limits.eps * scale + limits.tiny
        damping = jnp.where(state.damping > 0, state.damping, start * scale)
        damping = jnp.clip(damping, lowest, jnp.maximum(lowest, LARGEST * scale))
        trials = _solve(rows, gram, outputs, w, damping, objective.l2, acceleration)

        # The three losses by one program: compiled once, and with one rounding.
        points = jnp.concatenate([w[None], w + trials.step])
        losses = jax.vmap(lambda v: objective(block.put(params, v), batch, key))(points)
        loss = losses[0]
        winner = jnp.argmin(jnp.where(jnp.isfinite(losses[1:]), losses[1:], jnp.inf)).astype(jnp.int32)
        best = jax.tree.map(lambda leaf: leaf[winner], trials)
        predicted = -(jnp.vdot(rows.residual, best.moved) + jnp.vdot(best.moved, best.moved) / 2)
        if objective.l2:
            predicted = predicted - objective.l2 * jnp.vdot(w + best.step / 2, best.step)
        decrease = loss - losses[1:][winner]

        finite, solved = jnp.isfinite(loss) & jnp.isfinite(scale), jnp.all(jnp.isfinite(best.step))
        # False for a trial whose loss is not finite, too.
        accepted = finite & solved & (decrease > 0)
        ratio = decrease / predicted
        info = DualNewtonInfo(
            loss=loss.astype(w.dtype),
            damping=best.damping,
            winner=winner,
            reduction_ratio=jnp.where(jnp.isfinite(ratio), ratio, jnp.nan).astype(w.dtype),
            accepted=accepted,
            acceleration_ratio=best.acceleration_ratio,
            relative_residual=best.residual,
            status=_status(finite, solved),
        )
        following = jnp.where(accepted, best.damping, GROW * damping)
        step = block.put(params, jnp.where(accepted, best.step, 0))
        return step, DualNewtonState(state.count + 1, jnp.where(finite, following, state.damping), info)

    # optax's types know states made of arrays alone; this one holds a record.
    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def _status(finite: Bool[Array, ""], solved: Bool[Array, ""]) -> Int[Array, ""]:
    codes = [jnp.int32(code) for code in (Status.NOT_FINITE, Status.NOT_SOLVED, Status.OK)]
    return jnp.select([~finite, ~solved], codes[:2], codes[2])


def _solve(
    rows: Rows,
    gram: Float[Array, "rows rows"],
    outputs: Outputs,
    w: Float[Array, " n"],
    damping: Float[Array, ""],
    l2: float,
    acceleration: float | None,
) -> _Trials:
    """Both steps, from one factorisation each."""
    dampings = damping * jnp.asarray(TRIED, damping.dtype)
    shifts = dampings + l2
    # Call by call rather than batched, which would run the two one after the other; only lower triangles are read.
    identity = jnp.eye(gram.shape[0], dtype=gram.dtype)
    factors = [jax.lax.linalg.cholesky(gram + m * identity, symmetrize_input=False) for m in shifts]

    def solve(right: Float[Array, "2 rows"]) -> Float[Array, "2 rows"]:
        return jnp.stack([cho_solve((factor, True), b) for factor, b in zip(factors, right, strict=True)])

    right = jnp.broadcast_to(rows.residual, (2, *rows.residual.shape))
    if l2:
        # The gradient R^T r + l2 w leaves the span of the rows, and the Woodbury identity takes its last term there.
        penalty = (l2 / shifts)[:, None] * w
        right = right - rows.push(penalty)
        dual = solve(right)
        direction = -rows.pull(dual) - penalty
    else:
        dual = solve(right)
        direction = -rows.pull(dual)

    def excess(along: Float[Array, "2 rows"]) -> Float[Array, "2"]:
        # R d = -(K u + R penalty), so this is the equation's residual without a product with K. Scaled, because the
        # squares of what a loss without curvature makes of r would overflow.
        scale = jnp.max(jnp.abs(right), axis=1, keepdims=True)
        scale = jnp.where(scale > 0, scale, 1)
        excess = (along + rows.residual - shifts[:, None] * dual) / scale
        norm = jnp.linalg.norm(right / scale, axis=1)
        return jnp.linalg.norm(excess, axis=1) / jnp.where(norm > 0, norm, 1)

    if acceleration is None:
        moved = rows.push(direction)
        return _Trials(dampings, direction, moved, jnp.zeros_like(dampings), excess(moved))
    first, second = jax.vmap(lambda d: _derivatives(rows, outputs, w, d))(direction)
    bend = solve(second)
    bent = -rows.pull(bend) / 2
    short, long = (jnp.linalg.norm(vectors, axis=1) for vectors in (bent, direction))
    ratio = short / jnp.where(long > 0, long, 1)
    factor = jnp.minimum(1, acceleration / 2 / jnp.where(ratio > 0, ratio, 1))[:, None]
    # R a = -K v / 2 with (K + m I) v = r'': no further product.
    moved = first - factor * (second - shifts[:, None] * bend) / 2
    return _Trials(dampings, direction + factor * bent, moved, ratio, excess(first))


def _derivatives(
    rows: Rows, outputs: Outputs, w: Float[Array, " n"], d: Float[Array, " n"]
) -> tuple[Float[Array, " rows"], Float[Array, " rows"]]:
    """First and second derivative of the residuals along d, the weights `L` held fixed."""

    def along(v: Float[Array, " n"]) -> tuple[Array, Array]:
        z = jax.jvp(outputs, (v,), (d,))[1]
        return z, z

    _, second, first = jax.jvp(along, (w,), (d,), has_aux=True)
    return rows.weighted(first), rows.weighted(second)
