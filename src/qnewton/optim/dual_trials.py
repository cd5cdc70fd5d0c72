"""The two damped steps that a step of `dual_newton` chooses from."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float

from ..curvature.partition import Block
from ..curvature.point import Point
from .dual_rows import Rows, rows_of

Outputs = Callable[[Float[Array, " n"]], Float[Array, "batch c"]]

TRIED = (0.4, 2.5)
"""Multiples of the damping that every step tries: below 1 to let it fall, above to let it grow, about inverse."""
LARGEST = 1e6
"""Damping relative to the mean diagonal entry of the Gram matrix: a step that fails there has nothing to gain."""


class Trials(NamedTuple):
    """Two steps, along a leading axis of 2.

    Attributes:
        damping: without l2.
        step: `d + a`, with `a` shortened.
        predicted: decrease of the objective in the quadratic model.
        acceleration_ratio: `|a| / |d|`, `a` not shortened.
        residual: `||(K + m I) u - b|| / ||b||` of the solve behind d.
    """

    damping: Float[Array, "2"]
    step: Float[Array, "2 n"]
    predicted: Float[Array, "2"]
    acceleration_ratio: Float[Array, "2"]
    residual: Float[Array, "2"]


class Tried(NamedTuple):
    """What a step computes from its examples.

    Attributes:
        trials: both steps.
        damping: around which they were taken.
        scale: mean diagonal entry of the Gram matrix; not finite where a residual or the curvature is not.
    """

    trials: Trials
    damping: Float[Array, ""]
    scale: Float[Array, ""]


def try_two(
    point: Point,
    block: Block,
    damping: Float[Array, ""],
    l2: Float[Array, ""] | float | None,
    start: float,
    acceleration: float | None,
) -> Tried:
    """Both steps at a point, from one Gram matrix and one factorisation each.

    Args:
        point: whose examples give the residuals.
        block: of all parameters.
        damping: around which to try; 0 to begin with `start`.
        l2: the objective's, in the units of the point's; None where it has none.
        start: first damping relative to the mean diagonal entry of `K`.
        acceleration: bound on `2 |a| / |d|`, or None for no acceleration.
    """
    w = block.take(point.params)
    rows = rows_of(point, block)
    gram = rows.gram()
    scale = jnp.trace(gram) / gram.shape[0]
    limits = jnp.finfo(w.dtype)
    # The rounding of the Gram matrix is as large as the lower limit; tiny, for rows that are all zero.
    lowest = limits.eps * scale + limits.tiny
    damping = jnp.where(damping > 0, damping, start * scale)
    damping = jnp.clip(damping, lowest, jnp.maximum(lowest, LARGEST * scale))

    def outputs(v: Float[Array, " n"]) -> Float[Array, "batch c"]:
        return point.outputs(v, block)

    trials = _solve(rows, gram, outputs, w, damping, l2, acceleration)
    return Tried(trials, damping, scale)


def _solve(
    rows: Rows,
    gram: Float[Array, "rows rows"],
    outputs: Outputs,
    w: Float[Array, " n"],
    damping: Float[Array, ""],
    l2: Float[Array, ""] | float | None,
    acceleration: float | None,
) -> Trials:
    """Both steps, from one factorisation each."""
    dampings = damping * jnp.asarray(TRIED, damping.dtype)
    shifts = dampings if l2 is None else dampings + l2
    # Call by call rather than batched, which would run the two one after the other; only lower triangles are read.
    identity = jnp.eye(gram.shape[0], dtype=gram.dtype)
    factors = [jax.lax.linalg.cholesky(gram + m * identity, symmetrize_input=False) for m in shifts]

    def solve(right: Float[Array, "2 rows"]) -> Float[Array, "2 rows"]:
        return jnp.stack([cho_solve((factor, True), b) for factor, b in zip(factors, right, strict=True)])

    right = jnp.broadcast_to(rows.residual, (2, *rows.residual.shape))
    if l2 is not None:
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

    def predicted(step: Float[Array, "2 n"], moved: Float[Array, "2 rows"]) -> Float[Array, "2"]:
        """By the quadratic model, from `R step`."""
        decrease = -(moved @ rows.residual + jnp.sum(moved**2, axis=1) / 2)
        return decrease if l2 is None else decrease - l2 * jnp.einsum("kn,kn->k", w + step / 2, step)

    if acceleration is None:
        moved = rows.push(direction)
        return Trials(dampings, direction, predicted(direction, moved), jnp.zeros_like(dampings), excess(moved))
    first, second = jax.vmap(lambda d: _derivatives(rows, outputs, w, d))(direction)
    bend = solve(second)
    bent = -rows.pull(bend) / 2
    short, long = (jnp.linalg.norm(vectors, axis=1) for vectors in (bent, direction))
    ratio = short / jnp.where(long > 0, long, 1)
    factor = jnp.minimum(1, acceleration / 2 / jnp.where(ratio > 0, ratio, 1))[:, None]
    # R a = -K v / 2 with (K + m I) v = r'': no further product.
    moved = first - factor * (second - shifts[:, None] * bend) / 2
    step = direction + factor * bent
    return Trials(dampings, step, predicted(step, moved), ratio, excess(first))


def _derivatives(
    rows: Rows, outputs: Outputs, w: Float[Array, " n"], d: Float[Array, " n"]
) -> tuple[Float[Array, " rows"], Float[Array, " rows"]]:
    """First and second derivative of the residuals along d, the weights `L` held fixed."""

    def along(v: Float[Array, " n"]) -> tuple[Array, Array]:
        z = jax.jvp(outputs, (v,), (d,))[1]
        return z, z

    _, second, first = jax.jvp(along, (w,), (d,), has_aux=True)
    return rows.weighted(first), rows.weighted(second)
