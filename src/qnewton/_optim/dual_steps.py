"""The two damped steps of `dual_newton`: in the rows, or by singular values where rows outnumber columns."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.one_kernel import in_one_kernel, paired
from .._core.traces import diagonal, gram
from .._scheduling.group_plan import PackedPlans
from .dual_rows import Rows
from .dual_systems import Scheduled, opened_fit, opened_pair

Outputs = Callable[[Float[Array, " n"]], Float[Array, "batch c"]]

REJECTED = 2.0
"""Multiple of the bound on the acceleration above which a step is not trusted, where the metric is not the identity."""


class Trials(NamedTuple):
    """Two steps, along a leading axis of 2.

    Attributes:
        damping: without l2.
        step: `d + a`, with `a` shortened.
        predicted: decrease of the objective in the quadratic model.
        acceleration_ratio: `|a| / |d|` in the metric, `a` not shortened.
        residual: `||(K + m I) u - b|| / ||b||` of the solve behind d; of the normal equations where residuals outnumber
            parameters.
        trusted: False where the step is not to be taken, whatever the loss there.
    """

    damping: Float[Array, "2"]
    step: Float[Array, "2 n"]
    predicted: Float[Array, "2"]
    acceleration_ratio: Float[Array, "2"]
    residual: Float[Array, "2"]
    trusted: Bool[Array, "2"]


class Damped(NamedTuple):
    """Damping of both steps.

    Attributes:
        dampings: in the metric's units.
        factors: the metric's units in the parameters' own `[n]`; None where they are the same.
        l2: of the objective, in the parameters' own units; None where it has none.
        acceleration: bound on `2 |a| / |d|`, or None for no acceleration.
        towards: in the parameters' own units `[n]`, from which the distance is damped; None: the length is.
    """

    dampings: Float[Array, "2"]
    factors: Float[Array, " n"] | None
    l2: Float[Array, ""] | None
    acceleration: float | None
    towards: Float[Array, " n"] | None = None


class Wide(NamedTuple):
    """The equations `(K + m I) u = b` of both dampings.

    Attributes:
        rows: of each damping.
        grams: their lower triangles `[rows, rows]`.
        shifts: `m`, whatever is a multiple of the identity.
        inverse: one over the size of the residuals, by which their squares are representable.
        units: of the columns, in the parameters' own `[2, n]`; None where they are the same.
    """

    rows: tuple[Rows, Rows]
    grams: tuple[Float[Array, "rows rows"], Float[Array, "rows rows"]]
    shifts: Float[Array, "2"]
    inverse: Float[Array, ""]
    units: Float[Array, "2 n"] | None

    @classmethod
    def of(
        cls, rows: Rows, gram: Float[Array, "rows rows"] | None, damped: Damped, inverse: Float[Array, ""]
    ) -> "Wide":
        """Return the equations from rows in the metric's units, and their Gram matrix if it serves both dampings."""
        m, factors, l2 = damped.dampings, damped.factors, damped.l2
        if gram is not None:
            units = None if factors is None else jnp.broadcast_to(factors, (2, factors.size))
            return cls((rows, rows), (gram, gram), m if l2 is None else m + l2, inverse, units)
        assert factors is not None
        assert l2 is not None
        # In units in which damping and penalty together are the damping.
        spread = jnp.sqrt(m[:, None] / (m[:, None] + l2 * factors**2))
        pair = (rows.in_units(spread[0]), rows.in_units(spread[1]))
        return cls(pair, (pair[0].gram(), pair[1].gram()), m, inverse, spread * factors)

    def push(self, vectors: Float[Array, "2 n"]) -> Float[Array, "2 rows"]:
        """`R v` of each."""
        first, second = self.rows
        if first is second:
            return first.push(vectors)
        return jnp.concatenate([first.push(vectors[:1]), second.push(vectors[1:])])

    def pull(self, vectors: Float[Array, "2 rows"]) -> Float[Array, "2 n"]:
        """`R^T u` of each."""
        first, second = self.rows
        if first is second:
            return first.pull(vectors)
        return jnp.concatenate([first.pull(vectors[:1]), second.pull(vectors[1:])])

    def back(self, vectors: Float[Array, "2 n"]) -> Float[Array, "2 n"]:
        """Convert to the parameters' own units, where a gradient transforms the same way."""
        return vectors if self.units is None else self.units * vectors


def solve_wide(
    wide: Wide,
    outputs: Outputs,
    w: Float[Array, " n"],
    damped: Damped,
    scheduled: Scheduled,
) -> tuple[Trials, PackedPlans]:
    """Return both steps from one set-up each, and the plan with the chosen solvers.

    Args:
        wide: the equations.
        outputs: of all examples, as a function of the parameters.
        w: parameters.
        damped: how.
        scheduled: by whom.
    """
    rows, shifts, l2, inverse = wide.rows[0], wide.shifts, damped.l2, wide.inverse
    packed, solve = opened_pair(wide.grams, shifts, 1 if damped.acceleration is None else 2, scheduled)
    right = jnp.broadcast_to(rows.residual, (2, *rows.residual.shape))
    centre = _centre(wide, w, damped)
    if centre is not None:
        # The gradient R^T r + l2 w leaves the span of the rows, and the Woodbury identity takes its last term there.
        right = right + wide.push(centre)
    dual = solve(right)
    # Minus the direction, and minus twice its acceleration: second derivatives along both are the same.
    away = wide.pull(dual) if centre is None else wide.pull(dual) - centre
    if damped.acceleration is None:
        first, twice_bent, bent = wide.push(away), jnp.zeros_like(away), None
    else:
        first, second = jax.vmap(lambda d: _derivatives(rows, outputs, w, d))(wide.back(away))
        dual_bend = solve(second)
        twice_bent, bent = wide.pull(dual_bend), (second, dual_bend)
    # -R d = K u - R centre, so this is the equation's residual without a product with K. Scaled, because the squares
    # of what a loss without curvature makes of r would overflow.
    excess = (rows.residual - first - shifts[:, None] * dual) * inverse
    lengths = [gram(vectors) for vectors in (right * inverse, excess, twice_bent, away)]

    def sizes() -> tuple[Float[Array, "2"], _Bend]:
        size, excess, bent, direction = (jnp.sqrt(diagonal(products)) for products in lengths)
        bend = _Bend.none(shifts) if damped.acceleration is None else _Bend.of(bent / 2, direction, damped)
        return excess / jnp.where(size > 0, size, 1), bend

    error, bend = in_one_kernel(sizes)
    step, moved = -away, -first
    if bent is not None:
        second, dual_bend = bent
        half = bend.factor / 2
        step = -away - half * twice_bent
        # R a = -K v / 2 with (K + m I) v = r'': no further product.
        moved = -first - half * (second - shifts[:, None] * dual_bend)
    step = wide.back(step)
    decrease = _decrease(moved, rows.residual)
    if l2 is not None:
        decrease = decrease - l2 * jnp.einsum("kn,kn->k", w + step / 2, step)
    return Trials(damped.dampings, step, decrease, bend.ratio, error, bend.trusted), packed


def _centre(wide: Wide, w: Float[Array, " n"], damped: Damped) -> Float[Array, "2 n"] | None:
    """Return the minimum of penalty and damping together, in the units of the columns; None: at zero."""
    found, l2 = None, damped.l2
    if l2 is not None:
        found = -(l2 / wide.shifts)[:, None] * wide.back(jnp.broadcast_to(w, (2, w.size)))
    if damped.towards is not None:
        unit = 1 if damped.factors is None else damped.factors**-2
        along = wide.back(jnp.broadcast_to(damped.towards * unit, (2, w.size)))
        along = (damped.dampings / wide.shifts)[:, None] * along
        found = along if found is None else found + along
    return found


def solve_tall(
    rows: Rows,
    level: Float[Array, ""],
    outputs: Outputs,
    w: Float[Array, " n"],
    damped: Damped,
    scheduled: Scheduled,
) -> tuple[Trials, PackedPlans]:
    """Both steps of least squares `|R d + r|^2 + m |d|^2`, and who solved them.

    In the rows, rounding of what is left at a minimum would drown a step that is small beside it. By the singular
    values of `R` neither that nor the square of a condition number occurs (Golub and Van Loan 2013, section 6.1.4).

    Args:
        rows: with their matrix, in the metric's units.
        level: mean square of its entries, or a multiple of that.
        outputs: of all examples, as a function of the parameters.
        w: parameters.
        damped: how.
        scheduled: by whom.
    """
    matrix, residual, m = rows.matrix, rows.residual, damped.dampings
    assert matrix is not None
    factors = jnp.ones_like(w) if damped.factors is None else damped.factors
    sound = jnp.isfinite(level)
    # Neither LAPACK nor what follows sees what is not finite; the decomposition's NaN makes the steps NaN.
    matrix = jnp.where(sound, matrix, 1)
    if damped.l2 is not None:
        root = jnp.sqrt(damped.l2).astype(w.dtype)
        matrix = jnp.concatenate([matrix, root * jnp.diag(factors)])
        residual = jnp.concatenate([residual, root * w])
    vectors = 1 if damped.acceleration is None else 2
    packed, solve = opened_fit(matrix, m, sound, vectors, scheduled, penalised=damped.l2 is not None)
    # A residual that has slope and no curvature is huge beside a row that is tiny, of which the decomposition keeps
    # nothing: it enters by its gradient.
    flat = jnp.abs(residual) > jnp.finfo(w.dtype).tiny ** -0.25
    # Together, since a product with one vector is no call of a library.
    parts = paired(jnp.where(flat, residual, 0), jnp.where(flat, 0, residual))
    slopes = parts @ matrix
    # The same right-hand side for both dampings, twice for the reason above. The direction is minus the solution.
    rest, gradient = jnp.broadcast_to(slopes[0], slopes.shape), slopes[:1] + slopes[1:]
    if damped.towards is not None:
        pulled = m[:, None] * (damped.towards / factors)
        rest, gradient = rest - pulled, gradient - pulled
    away = solve(jnp.broadcast_to(parts[1], parts.shape), rest)
    excess = gradient - (away @ matrix.T) @ matrix - m[:, None] * away
    if damped.acceleration is None:
        twice_bent = jnp.zeros_like(away)
    else:
        # Second derivatives are those along the direction.
        _, second = jax.vmap(lambda d: _derivatives(rows, outputs, w, d))(factors * away)
        second = jnp.pad(second, ((0, 0), (0, residual.size - rows.residual.size)))
        twice_bent = solve(second, None)
    lengths = [gram(vectors) for vectors in (slopes, excess, twice_bent, away)]

    def sizes() -> tuple[Float[Array, "2"], "_Bend"]:
        size = jnp.sqrt(jnp.sum(lengths[0]))
        excess, bent, direction = (jnp.sqrt(diagonal(products)) for products in lengths[1:])
        bend = _Bend.none(m) if damped.acceleration is None else _Bend.of(bent / 2, direction, damped)
        return excess / jnp.where(size > 0, size, 1), bend

    error, bend = in_one_kernel(sizes)
    step = -away - bend.factor / 2 * twice_bent
    decrease = _decrease(step @ matrix.T, residual)
    return Trials(m, factors * step, decrease, bend.ratio, error, bend.trusted), packed


def _decrease(moved: Float[Array, "2 rows"], residual: Float[Array, " rows"]) -> Float[Array, "2"]:
    """Return the decrease of the quadratic model, `-(R d . r + |R d|^2 / 2)`."""
    products = jnp.matmul(moved, (moved + 2 * residual).T, precision=jax.lax.Precision.HIGHEST)
    return diagonal(products) / -2


class _Bend(NamedTuple):
    """Outcome of the acceleration: `|a| / |d|`, the factor on `a` `[2, 1]`, and whether the step is trusted."""

    ratio: Float[Array, "2"]
    factor: Float[Array, "2 1"]
    trusted: Bool[Array, "2"]

    @classmethod
    def none(cls, like: Float[Array, "2"]) -> "_Bend":
        return cls(jnp.zeros_like(like), jnp.ones_like(like)[:, None], jnp.ones_like(like, bool))

    @classmethod
    def of(cls, short: Float[Array, "2"], long: Float[Array, "2"], damped: Damped) -> "_Bend":
        """Return the outcome from the lengths of accelerations and directions."""
        assert damped.acceleration is not None
        ratio = short / jnp.where(long > 0, long, 1)
        factor = jnp.minimum(1, damped.acceleration / 2 / jnp.where(ratio > 0, ratio, 1))[:, None]
        trusted = jnp.ones_like(ratio, bool)
        if damped.factors is not None:
            # No parameter's own unit bounds a step here: where the model bends so much, its decrease is an accident.
            trusted = 2 * ratio <= REJECTED * damped.acceleration
        return cls(ratio, factor, trusted)


def _derivatives(
    rows: Rows, outputs: Outputs, w: Float[Array, " n"], d: Float[Array, " n"]
) -> tuple[Float[Array, " rows"], Float[Array, " rows"]]:
    """First and second derivative of the residuals along d, the weights `L` held fixed."""

    def along(v: Float[Array, " n"]) -> tuple[Array, Array]:
        z = jax.jvp(outputs, (v,), (d,))[1]
        return z, z

    _, second, first = jax.jvp(along, (w,), (d,), has_aux=True)
    return rows.weighted(first), rows.weighted(second)
