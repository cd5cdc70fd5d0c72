"""The two damped steps that a step of `dual_newton` chooses from."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._conditioning import AbstractMetric
from .._core.one_kernel import in_one_kernel
from .._core.traces import begun, diagonal, trace
from .._core.traces import gram as products
from .._curvature.loss_scale import LossScale
from .._curvature.partition import Block
from .._curvature.point import Point
from .._scheduling.group_plan import PackedPlans
from .dual_rows import Rows, rows_of
from .dual_steps import Damped, Trials, Wide, solve_tall, solve_wide
from .dual_systems import Scheduled
from .metrics import FEW

TRIED = (0.4, 2.5)
"""Multiples of the damping that every step tries: below 1 to let it fall, above to let it grow, about inverse."""
LARGEST = 1e12
"""Damping relative to the mean diagonal entry of the Gram matrix: a step that fails there has nothing to gain.

Residuals 1e9 times what the parameters can move need about as much."""


class Tried(NamedTuple):
    """Results of a step's computation on its examples.

    Attributes:
        trials: both steps, in units of the loss.
        damping: around which they were taken.
        unit: what the loss was counted in.
        level: mean diagonal entry of the Gram matrix; not finite where a residual or the curvature is not.
        memory: of the metric, from here on; None of the identity.
        packed: who solved the systems.
    """

    trials: Trials
    damping: Float[Array, ""]
    unit: LossScale
    level: Float[Array, ""]
    memory: Float[Array, "k n"] | None
    packed: PackedPlans


class Options(NamedTuple):
    """Options of `dual_newton`.

    Attributes:
        start: first damping relative to the mean diagonal entry of `K`.
        acceleration: bound on `2 |a| / |d|`, or None for no acceleration.
        metric: what the damping is a multiple of.
        scheduled: by whom.
        towards: as of `Damped`.
    """

    start: float
    acceleration: float | None
    metric: AbstractMetric
    scheduled: Scheduled
    towards: Float[Array, " n"] | None = None


def try_two(
    point: Point,
    block: Block,
    damping: Float[Array, ""],
    memory: Float[Array, "k n"] | None,
    options: Options,
) -> Tried:
    """Both steps at a point, each from what the scheduler chose to solve its system.

    Args:
        point: whose examples give the residuals.
        block: of all parameters.
        damping: around which to try, in the metric's units; 0 to begin with `options.start`.
        memory: of the metric, in the loss's own unit; None of the identity.
        options: of the step.
    """
    w, metric = block.take(point.params), options.metric
    tall = not metric.fixed and block.n <= FEW and point.examples.count * point.examples.width > block.n
    rows = rows_of(point, block, dense=tall or not metric.fixed, square=not tall)
    unit = rows.scale.divisor
    l2 = (point.objective.l2 / unit).astype(w.dtype) if point.objective.penalised else None
    factors = squares = None
    if not metric.fixed:
        assert rows.matrix is not None
        # Of a few columns all inner products are one call of a library.
        squares = diagonal(products(rows.matrix.T)) if tall else jnp.sum(rows.matrix**2, axis=0)
        assert memory is not None
        memory = metric.follow(memory, unit * (squares if l2 is None else squares + l2), w)
        factors = rows.unit_root / metric.roots(memory)
        rows = rows.in_units(factors)
    # With l2 each damping has a Gram matrix of its own in a metric: the penalty is a multiple of the identity only in
    # the parameters' own units.
    gram = None if tall or (l2 is not None and factors is not None) else rows.gram()
    parts = _squares(rows, gram, None if factors is None or squares is None else squares * factors * factors)
    limits, largest = jnp.finfo(w.dtype), begun(jnp.abs(rows.residual), largest=True)

    def dampings() -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, "2"], Float[Array, ""]]:
        scale, size = jnp.sum(parts) / rows.residual.size, jnp.max(largest)
        # The identity has the loss's unit, and a metric that follows the loss leaves none to its damping.
        own = damping / rows.scale.divisor if metric.fixed else damping
        # The rounding of the Gram matrix is as large as the lower limit; tiny, for rows that are all zero.
        lowest = limits.eps * scale + limits.tiny
        chosen = jnp.where(own > 0, own, options.start * scale)
        chosen = jnp.clip(chosen, lowest, jnp.maximum(lowest, LARGEST * scale))
        both = chosen * jnp.asarray(TRIED, chosen.dtype)
        return scale, chosen, both, 1 / jnp.where((size > limits.tiny) & jnp.isfinite(size), size, 1)

    scale, around, both, inverse = in_one_kernel(dampings)
    damped = Damped(both, factors, l2, options.acceleration, options.towards)

    def outputs(v: Float[Array, " n"]) -> Float[Array, "batch c"]:
        return point.outputs(v, block)

    if tall:
        trials, packed = solve_tall(rows, scale, outputs, w, damped, options.scheduled)
    else:
        trials, packed = solve_wide(Wide.of(rows, gram, damped, inverse), outputs, w, damped, options.scheduled)
    return Tried(trials, around, rows.scale, scale, memory, packed)


def _squares(
    rows: Rows, gram: Float[Array, "rows rows"] | None, of_columns: Float[Array, " n"] | None
) -> Float[Array, "*parts"]:
    """The sum of the squares of all entries, or parts of it, from what is at hand."""
    if gram is not None:
        return trace(gram)
    if of_columns is not None:
        return begun(of_columns)
    assert rows.matrix is not None
    return jnp.sum(rows.matrix**2)
