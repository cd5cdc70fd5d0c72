"""Trust region: a step no longer than the radius within which the model is trusted."""

import math
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.kinds import check_scalars, known, plain, varies
from .._core.trees import ravel
from .rounding import lowered
from .step_rules import AbstractStepRule, Situation, StepOutcome

_NEWTON_STEPS = 10


class TrustRegion(AbstractStepRule):
    """The best step within a radius in the plane of the direction and the gradient, by the exact quadratic model.

    Two-dimensional subspace minimisation (Byrd, Schnabel and Shultz 1988; Nocedal and Wright 2006, section 4.1): the
    plane holds the dogleg's whole path, so the step is at least as good, and the exact model of it costs one
    forward-mode pass per direction. The model is Gauss-Newton's of the whole network, undamped, whatever curvature the
    direction comes from; lengths are `|D step|` with the metric's `D`, those of the raveled parameters where it is the
    identity. The radius follows the ratio of actual to predicted decrease (Nocedal and Wright, algorithm 4.1), and a
    step that would raise the loss is not taken. For batches with little noise.

    The radius does what damping would: damp the blocks as little as their solver allows.

    Attributes:
        radius: of the first step, positive; given None it is 1, or infinite where `factor` sets the first one.
        factor: sets the first radius to this multiple of `|D params|`, or, where that is zero, leaves the first step
            its length (More 1978, who takes 100); positive, and in the place of `radius`. None: `radius` counts.
        shrink: factor in (0, 1) on the length of a step whose ratio is below `poor`: the next radius.
        grow: factor above 1 on the radius where the ratio exceeds `good` and the step was as long as allowed.
        good, poor: thresholds on the reduction ratio.
        smallest: lower limit of the radius; None: where a step no longer changes parameters of this length.
        largest: upper limit of the radius; None: the largest number.
        damping: constant.
    """

    radius: float = eqx.field(static=True, converter=plain, default=None)
    factor: float | None = eqx.field(static=True, converter=plain, default=None, kw_only=True)
    shrink: float = eqx.field(static=True, converter=plain, default=0.25)
    grow: float = eqx.field(static=True, converter=plain, default=2.0)
    good: float = eqx.field(static=True, converter=plain, default=0.75)
    poor: float = eqx.field(static=True, converter=plain, default=0.25)
    smallest: float | None = eqx.field(static=True, converter=plain, default=None)
    largest: float | None = eqx.field(static=True, converter=plain, default=None)
    damping: float = varies(default=1.0)

    def __post_init__(self):
        if self.radius is None:
            self.radius = 1.0 if self.factor is None else math.inf

    def __check_init__(self):
        check_scalars(self)
        smallest = math.ulp(0.0) if self.smallest is None else self.smallest
        largest = sys.float_info.max if self.largest is None else self.largest
        if self.factor is not None and not (0 < self.factor < math.inf and self.radius == math.inf):
            raise ValueError(
                f"factor is {self.factor} and radius {self.radius}: factor must be positive and finite, and sets the "
                "first radius, so omit radius"
            )
        radius = smallest if self.factor is not None else self.radius
        if not 0 < smallest <= radius <= largest < float("inf"):
            raise ValueError(
                f"the radius starts at {self.radius} with limits {self.smallest} to {self.largest}: all must be "
                "positive and finite, in the order smallest <= radius <= largest"
            )
        if not (0 < self.shrink < 1 < self.grow and 0 <= self.poor < self.good):
            raise ValueError(
                f"shrink is {self.shrink}, grow {self.grow}, poor {self.poor}, good {self.good}: they must satisfy "
                "0 < shrink < 1 < grow and 0 <= poor < good"
            )
        if known(self.damping) and not 0 < self.damping < float("inf"):
            raise ValueError(f"damping is {self.damping}: it must be positive and finite")

    def take(self, situation: Situation) -> StepOutcome:
        gradient, direction, radius, roots = situation.gradient, situation.direction, situation.radius, situation.roots
        if roots is not None:
            # In the units in which the metric is the identity.
            gradient, direction = gradient / roots, direction * roots
        first = radius >= jnp.finfo(radius.dtype).max
        size = ravel(jax.tree.leaves(situation.params))
        size = jnp.linalg.norm(size if roots is None else size * roots)
        if self.factor is not None:
            radius = jnp.where(first & (size > 0), (self.factor * size).astype(radius.dtype), radius)
        along, length = _unit(direction)
        # Twice: what rounding leaves of the first direction would count as curvature of the second.
        aside = gradient - jnp.vdot(gradient, along) * along
        aside = aside - jnp.vdot(aside, along) * along
        parallel = jnp.linalg.norm(aside) <= 64 * jnp.finfo(gradient.dtype).eps * jnp.linalg.norm(gradient)
        across, _ = _unit(jnp.where(parallel, 0, aside))
        ways = [way if roots is None else way / roots for way in (along, across)]
        plane = situation.plane(*ways)
        squares = jnp.eye(2, dtype=gradient.dtype) if roots is None else plane.squares
        curvature = plane.curvature + situation.l2 * squares
        coefficients, limited = minimise_in_disc(plane.slopes, curvature, radius)
        predicted = plane.decrease(coefficients, situation.l2)
        step = coefficients[0] * ways[0] + coefficients[1] * ways[1]
        before = situation.loss()
        actual = before - situation.loss_after(step)
        ratio = actual / predicted
        solved = jnp.all(jnp.isfinite(step)) & jnp.isfinite(before)
        better, drowned = lowered(before, actual, predicted)
        accepted = solved & better
        own = coefficients[0] - coefficients[1] * jnp.vdot(gradient, along) / _nonzero(jnp.vdot(gradient, across))
        # More trusts a second step no further than the first one went, or than that grows to.
        taken = jnp.linalg.norm(coefficients)
        trusted = jnp.where(first, jnp.minimum(radius, taken), radius)
        following = jnp.where(
            accepted & (ratio >= self.poor),
            jnp.where((ratio > self.good) & (limited | first), self.grow * trusted, trusted),
            self.shrink * taken,
        )
        # At a minimum there is no step to learn from.
        following = jnp.where(taken > 0, following, radius)
        limits = jnp.finfo(radius.dtype)
        smallest = limits.eps * size + limits.tiny if self.smallest is None else self.smallest
        largest = limits.max if self.largest is None else self.largest
        following = jnp.clip(following, smallest, largest).astype(radius.dtype)
        return StepOutcome(
            step=jnp.where(accepted, step, 0),
            damping=situation.damping,
            # A batch that is not finite says nothing about the model, and no more does rounding.
            radius=jnp.where(solved & ~drowned, following, radius),
            loss=before,
            learning_rate=own / _nonzero(length),
            momentum=jnp.zeros_like(length),
            predicted_decrease=predicted,
            actual_decrease=actual,
            reduction_ratio=ratio,
            accepted=accepted,
            solved=solved,
        )


def minimise_in_disc(
    slopes: Float[Array, "2"], curvature: Float[Array, "2 2"], radius: Float[Array, ""]
) -> tuple[Float[Array, "2"], Bool[Array, ""]]:
    """Minimise `slopes.c + c.curvature c / 2` over `|c| <= radius`.

    Returns `c`, and whether it lies on the rim.

    More and Sorensen 1983: `(curvature + s I) c = -slopes` with `s >= 0` and a semidefinite matrix, and `s = 0` inside.
    On the rim `1 / |c|` is concave in s and nearly straight, so that Newton's method from below the solution climbs to
    it; with the start taken here, where |c| is at most 1.5 times the radius, in a handful of steps. The curvature may
    be indefinite.
    """
    # One Jacobi rotation diagonalises it.
    angle = jnp.arctan2(2 * curvature[0, 1], curvature[0, 0] - curvature[1, 1]) / 2
    vectors = jnp.stack([jnp.stack([jnp.cos(angle), -jnp.sin(angle)]), jnp.stack([jnp.sin(angle), jnp.cos(angle)])])
    values = jnp.einsum("ki,kl,li->i", vectors, curvature, vectors)
    along = vectors.T @ slopes
    # Of an eigenvalue within rounding of zero the sign says nothing.
    noise = 4 * jnp.finfo(slopes.dtype).eps * (jnp.max(jnp.abs(values)) + jnp.linalg.norm(slopes) / radius)
    noise = jnp.where(noise > 0, noise, 1)
    values = jnp.where(jnp.abs(values) <= noise, noise, values)

    inner = -along / values
    inside = (jnp.min(values) > 0) & (jnp.linalg.norm(inner) <= radius)
    shift = jnp.maximum(jnp.maximum(0, -jnp.min(values)), jnp.max(jnp.abs(along) / radius - values))
    for _ in range(_NEWTON_STEPS):
        moved = jnp.maximum(values + shift, noise)
        c = -along / moved
        norm = jnp.linalg.norm(c)
        # Of 1 / |c|, whose derivative is this sum over |c|^3.
        slope = jnp.sum(c**2 / moved)
        shift = shift + jnp.where(norm > radius, norm**2 / _nonzero(slope) * (norm - radius) / radius, 0)
    c = -along / jnp.maximum(values + shift, noise)
    # The hard case: without slope along the lowest eigenvector either sign of it does, and it fills up to the rim.
    lowest = jnp.arange(2) == jnp.argmin(values)
    missing = jnp.sqrt(jnp.maximum(0, radius**2 - jnp.sum(jnp.where(lowest, 0, c) ** 2)))
    filled = jnp.where(lowest, -jnp.where(along >= 0, 1, -1) * missing, c)
    c = jnp.where(jnp.linalg.norm(c) < (1 - 1e-3) * radius, filled, c)
    c = c * radius / _nonzero(jnp.linalg.norm(c))
    return vectors @ jnp.where(inside, inner, c), ~inside


def _nonzero(value: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(value == 0, 1, value)


def _unit(vector: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    """The vector over its length, and the length; zero stays zero."""
    length = jnp.linalg.norm(vector)
    return vector / _nonzero(length), length
