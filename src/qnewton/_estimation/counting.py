"""Number of eigenvalues in an interval, from Lanczos quadrature, with a bound on its error."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.ritz import Quadrature

CONFIDENCE = 0.95
"""Of the intervals that are reported."""

# A start is blind to no eigenvalue; that there is one of which so little is seen is ruled out (`_tail`).
_NOTHING = 1e-12


def share_within(
    found: Quadrature, low: Float[Array, ""] | float, high: Float[Array, ""] | float
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The least and the most that the spectral measure of the start can have in `[low, high]`.

    Two facts bound what is sure to lie in each of the three parts of the axis; the most in one is what is not sure to
    lie in the others. Of the nodes in a part, all but those that stand next to another part count in full (Chebyshev,
    Markov and Stieltjes: Szego 1939, section 3.41). And a Ritz vector with the residual `r` has no more than `r / d`
    outside of a part whose ends are `d` away from its Ritz value, so that a start whose component along such vectors
    has the length `c` has at least `(c - e)^2` in the part, `e` being the sum of `c_j r_j / d_j` over `c`.

    Args:
        found: one quadrature.
        low: of the interval.
        high: of the interval, at least `low`.

    Returns:
        Both in [0, 1], rounding included that the residuals include.
    """
    nodes = found.nodes
    left, right = nodes < low, nodes > high
    middle = ~left & ~right
    from_low, from_high = jnp.abs(nodes - low), jnp.abs(nodes - high)
    sure = [
        _sure(found, left, from_low, outer=(False, True)),
        _sure(found, middle, jnp.minimum(from_low, from_high), outer=(low > -jnp.inf, high < jnp.inf)),
        _sure(found, right, from_high, outer=(True, False)),
    ]
    return sure[1], jnp.maximum(1 - sure[0] - sure[2], sure[1])


def _sure(
    found: Quadrature, inside: Array, distance: Float[Array, " k"], *, outer: tuple[Array | bool, Array | bool]
) -> Float[Array, ""]:
    """Return the least weight of a part of the axis; `outer` tells whether other parts lie below and above."""
    weights = jnp.where(inside, found.weights, 0)
    place, k = jnp.arange(weights.shape[0]), weights.shape[0]
    first, last = jnp.argmax(inside), k - 1 - jnp.argmax(inside[::-1])
    edge = ((place == first) & outer[0]) | ((place == last) & outer[1])
    by_order = jnp.sum(jnp.where(edge, 0, weights))

    leak = jnp.where(inside & (distance > 0), found.residuals / jnp.where(distance > 0, distance, 1), jnp.inf)
    # The vectors that leak least, as many of them as serve best.
    order = jnp.argsort(leak)
    sizes = jnp.sqrt(weights)[order]
    lost = jnp.where(sizes > 0, sizes * leak[order], 0)
    length = jnp.sqrt(jnp.cumsum(weights[order]))
    kept = length - jnp.cumsum(lost) / jnp.where(length > 0, length, 1)
    by_residuals = jnp.max(jnp.where(jnp.isfinite(kept), jnp.maximum(kept, 0), 0)) ** 2
    return jnp.maximum(by_order, by_residuals)


def counts(least: float, most: float, n: int, probes: int, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """Return the range of eigenvalue counts consistent with what random starts show of an interval.

    A start that is uniform on the sphere has a share of `Beta(m / 2, (n - m) / 2)` in a space of m dimensions. The mean
    of several is taken for a Beta distribution with its mean and variance, and the interval is that of Clopper and
    Pearson (1934): no more than half of `1 - confidence` is left on either side.

    Args:
        least: bound on the mean share over the starts.
        most: bound on the mean share over the starts.
        n: rows.
        probes: starts.
        confidence: of the interval, in (0, 1).

    Returns:
        The least and the largest number.
    """
    half = (1 - confidence) / 2
    # Both tails grow or fall steadily with m.
    low = _first(lambda m: 1 - _tail(least, m, n, probes) > half or least <= _NOTHING, n)
    high = n - _first(lambda gone: _tail(most, n - gone, n, probes) > half or most >= 1 - _NOTHING, n)
    return min(low, high), high


def _tail(share: float, m: int, n: int, probes: int) -> float:
    """Probability that the mean share of a space of m dimensions does not exceed `share`."""
    from scipy.special import betainc

    if m == 0:
        return 1.0
    if m == n:
        return 0.0
    total = probes * (n + 2) / 2 - 1
    return float(betainc(total * m / n, total * (n - m) / n, min(max(share, 0.0), 1.0)))


def _first(holds: Callable[[int], bool], n: int) -> int:
    """Return the least of `0 .. n` from which a monotone condition holds; n if it never does."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
