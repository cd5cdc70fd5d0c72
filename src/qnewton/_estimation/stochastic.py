"""Trace, rank and negative curvature of a symmetric operator from products with random vectors."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from matfree import stochtrace

from .._core.ritz import Matvec, Quadrature, quadrature
from .counting import share_within


class Stochastic(eqx.Module):
    """A mean over random vectors.

    Attributes:
        value: scalar.
        standard_error: of `value`, from the scatter of the samples; NaN from a single one, 0 where nothing is random.
        matvecs: products that it took.
        unresolved: how far `value` may be off besides, since the products of each sample did not tell more; None where
            they tell all.
    """

    value: Float[Array, ""]
    standard_error: Float[Array, ""]
    matvecs: int = eqx.field(static=True)
    unresolved: Float[Array, ""] | None = None


def trace(matvec: Matvec, like: jax.ShapeDtypeStruct, *, samples: int, key: Key[Array, ""]) -> Stochastic:
    """`tr A` by Hutchinson's estimator: the mean of `z^T A z` over random signs (Hutchinson 1990).

    Its variance is twice the sum of the squared entries off the diagonal over `samples`: a diagonal matrix is exact.

    Args:
        matvec: the operator `[n] -> [n]`.
        like: shape `[n]` and dtype of the vectors.
        samples: products, at least 1.
        key: of the signs.
    """
    _check("samples", samples, 1)
    estimate = stochtrace.estimator_monte_carlo_mean_and_sem(
        stochtrace.monte_carlo_trace(), stochtrace.sampler_signs(jnp.zeros(like.shape, like.dtype), num=samples)
    )
    mean, error = estimate(matvec, key)
    return _of(mean, error, samples, samples)


def trace_plus_plus(matvec: Matvec, like: jax.ShapeDtypeStruct, *, samples: int, key: Key[Array, ""]) -> Stochastic:
    """Estimate `tr A` by Hutch++: the dominant part exactly, the rest by Hutchinson's estimator.

    Meyer, Musco, Musco and Woodruff, "Hutch++: optimal stochastic trace estimation" (2021), algorithm 1: a third of the
    products finds a range `Q`, a third takes `tr Q^T A Q`, a third samples `(I - Q Q^T) A (I - Q Q^T)`. Far better than
    `trace` where few eigenvalues dominate, as in curvature.

    Args:
        matvec: the operator `[n] -> [n]`.
        like: shape `[n]` and dtype of the vectors.
        samples: products, at least 3; what a third of n or more cannot use is not taken.
        key: of the random vectors.
    """
    _check("samples", samples, 3)
    n = like.shape[0]
    rank = min(samples // 3, n)
    first, second = jax.random.split(key)
    sketch = jax.random.rademacher(first, (rank, n), like.dtype)
    basis, _ = jnp.linalg.qr(jax.vmap(matvec)(sketch).T)
    inside = jnp.sum(basis * jax.vmap(matvec)(basis.T).T)

    def outside(vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return vector - basis @ (basis.T @ vector)

    rest = trace(lambda v: outside(matvec(outside(v))), like, samples=samples - 2 * rank, key=second)
    return Stochastic(inside + rest.value, rest.standard_error, samples)


class Density(eqx.Module):
    """A spectral density from Lanczos quadrature, with one atom per random start and product.

    Attributes:
        nodes: `[probes, k]`, ascending in each row; inside the spectrum.
        weights: `[probes, k]`, each row adding up to n, so that they count eigenvalues.
        matvecs: products that it took.
        n: rows.
        residuals: `[probes, k]`, distance to an eigenvalue at most; infinite where an atom stands for none.
    """

    nodes: Float[Array, "probes k"]
    weights: Float[Array, "probes k"]
    matvecs: int = eqx.field(static=True)
    n: int = eqx.field(static=True)
    residuals: Float[Array, "probes k"]

    def count(self, low: Float[Array, ""] | float, high: Float[Array, ""] | float = jnp.inf) -> Stochastic:
        """Return the number of eigenvalues in `[low, high)`.

        The standard error is that of the random starts. An atom represents the eigenvalues near it, so that those close
        to an end of the interval may be counted on its other side as well: `unresolved` bounds how many.
        """
        inside = (self.nodes >= low) & (self.nodes < high)
        return self._counted(inside, *self.shares(low, high))

    def shares(
        self, low: Float[Array, ""] | float, high: Float[Array, ""] | float
    ) -> tuple[Float[Array, " probes"], Float[Array, " probes"]]:
        """Return, per start, the least and most that its spectral measure has in `[low, high]` (`share_within`)."""
        found = Quadrature(self.nodes, self.weights / self.n, self.residuals)
        return jax.vmap(lambda one: share_within(one, low, high))(found)

    def trace(self) -> Stochastic:
        """Return the sum of the eigenvalues, as accurate as Hutchinson's with one sample per start."""
        return self._mean(jnp.sum(self.nodes * self.weights, axis=1))

    def _counted(self, inside: Array, least: Float[Array, " probes"], most: Float[Array, " probes"]) -> Stochastic:
        found = self._mean(jnp.sum(jnp.where(inside, self.weights, 0), axis=1))
        least, most = self.n * jnp.mean(least), self.n * jnp.mean(most)
        unresolved = jnp.maximum(jnp.maximum(most - found.value, found.value - least), 0)
        return Stochastic(found.value, found.standard_error, found.matvecs, unresolved)

    def _mean(self, values: Float[Array, " probes"]) -> Stochastic:
        probes = values.shape[0]
        # The standard deviation over the samples themselves, as matfree's, which `_of` corrects.
        return _of(jnp.mean(values), jnp.std(values) / probes**0.5, probes, self.matvecs)


def density(matvec: Matvec, like: jax.ShapeDtypeStruct, *, probes: int, steps: int, key: Key[Array, ""]) -> Density:
    """The spectral density by stochastic Lanczos quadrature (Lin, Saad and Yang 2016, section 3.2.1).

    Args:
        matvec: the operator `[n] -> [n]`, symmetric.
        like: shape `[n]` and dtype of the vectors.
        probes: random starts, at least 1; one after the other, so that memory is needed for one.
        steps: products of each, at least 1.
        key: of the starts.
    """
    _check("probes", probes, 1)
    _check("steps", steps, 1)
    n = like.shape[0]
    starts = jax.random.normal(key, (probes, n), like.dtype)
    nodes, weights, residuals = jax.lax.map(lambda start: quadrature(matvec, start, steps), starts)
    return Density(nodes, n * weights, probes * min(steps, n), n, residuals)


def rank(
    matvec: Matvec,
    like: jax.ShapeDtypeStruct,
    *,
    threshold: Float[Array, ""] | float,
    probes: int,
    steps: int,
    key: Key[Array, ""],
) -> Stochastic:
    """Return the number of eigenvalues above `threshold` in magnitude, by Lanczos quadrature of a step function.

    Ubaru and Saad, "Fast methods for estimating the numerical rank of large matrices" (2016). Reliable where the
    spectrum has a gap around the threshold, as in damped or truly low-rank blocks; `unresolved` tells.
    """
    found = density(matvec, like, probes=probes, steps=steps, key=key)
    least, most = found.shares(-threshold, threshold)
    return found._counted(jnp.abs(found.nodes) > threshold, 1 - most, 1 - least)


class NegativeCurvature(eqx.Module):
    """Indicators of negative curvature at a spectrum's lower end.

    Attributes:
        count: how many eigenvalues lie below minus the threshold.
        lowest: the smallest Ritz value: a Rayleigh quotient, so that the smallest eigenvalue is not above it. If it is
            negative there is negative curvature, to rounding; if it is positive there may be all the same.
    """

    count: Stochastic
    lowest: Float[Array, ""]


def negative_curvature(
    matvec: Matvec,
    like: jax.ShapeDtypeStruct,
    *,
    threshold: Float[Array, ""] | float = 0.0,
    probes: int,
    steps: int,
    key: Key[Array, ""],
) -> NegativeCurvature:
    """Return the number of negative eigenvalues, and the lower end of the spectrum.

    Args:
        matvec: the operator `[n] -> [n]`, symmetric.
        like: shape `[n]` and dtype of the vectors.
        threshold: at least 0; eigenvalues within it of zero are not counted, which rounding asks for.
        probes: random starts.
        steps: products of each.
        key: of the starts.
    """
    found = density(matvec, like, probes=probes, steps=steps, key=key)
    return NegativeCurvature(found.count(-jnp.inf, -threshold), jnp.min(found.nodes))


def _of(mean: Array, error: Array, samples: int, matvecs: int) -> Stochastic:
    # Of one sample nothing is known about the scatter; of few, the deviation of the samples alone is too small.
    corrected = error * (samples / (samples - 1)) ** 0.5 if samples > 1 else jnp.full_like(mean, jnp.nan)
    return Stochastic(mean, corrected, matvecs)


def _check(what: str, number: int, least: int) -> None:
    if number < least:
        raise ValueError(f"{what} is {number}: at least {least} is needed")
