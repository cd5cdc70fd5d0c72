"""Filters by Chebyshev polynomials, applied by products."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def chebyshev(
    product: Callable[[Array], Array], vector: Float[Array, " n"], degree: Float[Array, ""]
) -> Float[Array, " n"]:
    """`T_k(Y) v` by the three-term recurrence; the degree may be traced.

    Args:
        product: with Y.
        vector: v.
        degree: k, at least 0.
    """

    def advance(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        before, here = carry
        return here, 2 * product(here) - before

    # From T_{-1} = T_1 and T_0 on: k steps lead to T_k.
    return jax.lax.fori_loop(0, degree.astype(jnp.int32), advance, (product(vector), vector))[1]


def steepest(degree: Float[Array, ""], gap: Float[Array, ""]) -> Float[Array, ""]:
    """Return `1 / T_k((1 + D^2) / (1 - D^2))`, the filter `F` of `project` on singular values from D to 1."""
    return 1 / jnp.cosh(2 * degree * jnp.arctanh(gap))


def project(
    square: Callable[[Array], Array], vector: Float[Array, " n"], degree: Float[Array, ""], gap: Float[Array, ""]
) -> Float[Array, " n"]:
    """`F(G) v`, `F(x) = T_k((1 + D^2 - 2 x^2) / (1 - D^2)) / T_k((1 + D^2) / (1 - D^2))`.

    1 on the kernel of G, and at most `steepest` on singular values in [D, 1]: arXiv 2406.12086, Equation 52. Also the
    Dolph-Chebyshev filter of arXiv 2111.08152, of the walk whose eigenphases are the arcsines of G's eigenvalues.

    Args:
        square: product with `G^T G`.
        vector: v.
        degree: k; the polynomial has the degree `2 k` in G, the number of queries.
        gap: D, in (0, 1).
    """

    def mapped(v: Float[Array, " n"]) -> Float[Array, " n"]:
        return ((1 + gap**2) * v - 2 * square(v)) / ((1 - gap) * (1 + gap))

    return chebyshev(mapped, vector, degree) * steepest(degree, gap)
