"""Norms and inner products whose squares stay inside the floating-point range.

The unit of a vector is a power of two, so that dividing by it changes no digit: a system times a power of two is solved
by the same steps.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact, Int


def exponent_of(vector: Inexact[Array, " n"]) -> Int[Array, ""]:
    """The power of two next above the largest entry; 0 where that is zero or not finite."""
    largest = jnp.max(jnp.abs(vector))
    usual = (largest > 0) & jnp.isfinite(largest)
    # One less at the very end of the range, where the power above is no number any more.
    limit = jnp.finfo(largest.dtype).maxexp - 1
    return jnp.minimum(jnp.where(usual, jnp.frexp(jnp.where(usual, largest, 1))[1], 0), limit)


def power_of_two(exponent: Int[Array, ""], dtype: jnp.dtype) -> Float[Array, ""]:
    """`2^exponent`, exactly."""
    return jnp.ldexp(jnp.ones((), dtype), exponent)


def unit_of(vector: Inexact[Array, " n"]) -> Float[Array, ""]:
    """A power of two that the largest entry lies within a factor of two of; 1 where that is zero or not finite."""
    return power_of_two(exponent_of(vector), jnp.finfo(vector.dtype).dtype)


def norm(vector: Inexact[Array, " n"]) -> Float[Array, ""]:
    """2-norm."""
    unit = unit_of(vector)
    scaled = vector / unit
    return unit * jnp.sqrt(jnp.vdot(scaled, scaled).real)


def root_of_product(
    left: Inexact[Array, " n"], right: Inexact[Array, " n"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """`sqrt(left . right)`, 0 where the inner product is negative, and a number of the inner product's sign.

    The second is finite where the inner product of the scaled vectors is, whatever their scales.
    """
    one, other = exponent_of(left), exponent_of(right)
    dtype = jnp.finfo(left.dtype).dtype
    square = jnp.vdot(left / power_of_two(one, dtype), right / power_of_two(other, dtype)).real
    # The root of an odd power of two would round.
    odd = (one + other) % 2
    root = jnp.sqrt(jnp.maximum(square, 0) * (1 + odd).astype(dtype))
    return root * power_of_two((one + other - odd) // 2, dtype), square


def times_unit(scaled: Inexact[Array, " n"], unit: Float[Array, ""]) -> tuple[Inexact[Array, " n"], Bool[Array, ""]]:
    """A vector times a power of two, and whether the float type holds that, but for entries that are negligible."""
    vector = scaled * unit
    eps = jnp.finfo(vector.dtype).eps
    # NaN fails the comparison.
    return vector, norm(vector / unit - scaled) <= eps * norm(scaled)
