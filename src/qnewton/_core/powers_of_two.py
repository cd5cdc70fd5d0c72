"""Powers of two as units: norms and inner products stay in range, and subnormal numbers are kept.

Times a power of two no digit changes, so a system is solved by the same steps at every scale. XLA's arithmetic on CPUs
takes a subnormal number (below 1e-38 in single precision) for zero, comparisons and conversions included; its bits are
still there, and here they are what is read.
"""

from collections.abc import Callable
from functools import reduce

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Inexact, Int


def exponent_of(array: Inexact[Array, "*shape"]) -> Int[Array, ""]:
    """Return the exponent of the power of two next above the largest entry.

    Subnormal entries count; the result is 0 if the largest entry is zero or not finite.

    For a complex array the largest real or imaginary part counts.
    """
    info = jnp.finfo(array.dtype)
    largest = reduce(lax.max, [jnp.max(_magnitude(part), initial=0) for part in _parts(array)])
    biased = lax.convert_element_type(largest >> info.nmant, jnp.int32)
    subnormal = (info.bits - info.nmant) - lax.convert_element_type(lax.clz(largest), jnp.int32)
    # One less at the very end of the range, where the power above is no number any more.
    exponent = lax.min(lax.select(biased > 0, biased, subnormal) + info.minexp, jnp.int32(info.maxexp - 1))
    usual = (largest > 0) & (biased < (1 << info.nexp) - 1)
    return lax.select(usual, exponent, jnp.int32(0))


def power_of_two(exponent: Int[Array, ""], dtype: jnp.dtype) -> Float[Array, ""]:
    """Return `2^exponent` exactly; 0 below the normal range, and the largest power above it."""
    info = jnp.finfo(dtype)
    exponent = lax.convert_element_type(exponent, jnp.int32)
    biased = lax.clamp(jnp.int32(info.minexp - 1), exponent, jnp.int32(info.maxexp - 1)) - (info.minexp - 1)
    return lax.bitcast_convert_type(lax.convert_element_type(biased, _unsigned(dtype)) << info.nmant, info.dtype)


def shifted(value: Inexact[Array, "*shape"], exponent: Int[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """Return `value 2^exponent` for numbers in the normal range."""
    # In two steps, for of the power itself the float type need not hold the inverse.
    half, dtype = exponent >> 1, jnp.finfo(value.dtype).dtype
    return value * power_of_two(half, dtype) * power_of_two(exponent - half, dtype)


def unit_of(array: Inexact[Array, "*shape"]) -> Float[Array, ""]:
    """A power of two within a factor of two of the largest entry; 1 where that is zero, subnormal or not finite."""
    largest = reduce(lax.max, [jnp.max(jnp.abs(part), initial=0) for part in _parts(array)])
    # Without its fraction a number is the power of two below it; a subnormal one has nothing else, and leaves zero.
    power = _bits(largest) >> (mantissa := jnp.finfo(largest.dtype).nmant) << mantissa
    unit = lax.bitcast_convert_type(power, largest.dtype)
    return jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)


def norm(array: Inexact[Array, "*shape"]) -> Float[Array, ""]:
    """Return the 2-norm of all entries, for a matrix the Frobenius norm."""
    unit = unit_of(array)
    # A sum, which is fused with what makes its terms: a dot would have the scaled array written out.
    return unit * jnp.sqrt(jnp.sum(jnp.square(jnp.abs(array / unit))))


def root_of_product(
    left: Inexact[Array, " n"], right: Inexact[Array, " n"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """`sqrt(left . right)`, 0 where the inner product is negative, and a number of the inner product's sign.

    The second is finite where the inner product of the scaled vectors is, whatever their scales.
    """
    one, other = exponent_of(left), exponent_of(right)
    dtype = jnp.finfo(left.dtype).dtype
    square = jnp.vdot(shifted(left, -one), shifted(right, -other)).real
    # The root of an odd power of two would round.
    odd = (one + other) & 1
    root = jnp.sqrt(jnp.maximum(square, 0) * (1 + odd).astype(dtype))
    return shifted(root, (one + other) >> 1), square


def normalised(vector: Inexact[Array, " n"]) -> tuple[Inexact[Array, " n"], Int[Array, ""]]:
    """`vector / 2^e` with its largest entry in [1/2, 1), subnormal entries included, and `e`."""
    exponent = exponent_of(vector)
    return scaled_by(vector, -exponent), exponent


def scaled_by(vector: Inexact[Array, " n"], exponent: Int[Array, ""]) -> Inexact[Array, " n"]:
    """Return `vector 2^exponent`, subnormal entries included; results below the normal range are lost."""
    info = jnp.finfo(vector.dtype)
    fraction = (1 << info.nmant) - 1

    def scale(part: Float[Array, " n"]) -> Float[Array, " n"]:
        magnitude = _magnitude(part)
        lost = magnitude <= fraction
        # The bits of a subnormal number count multiples of the least one.
        whole = lax.convert_element_type(magnitude, info.dtype)
        seen = lax.select(lost, lax.select(_bits(part) > magnitude, -whole, whole), part)
        least = info.minexp - info.nmant
        return shifted(
            seen, exponent + lax.select(lost, jnp.full_like(lost, least, jnp.int32), jnp.zeros_like(lost, jnp.int32))
        )

    return _joined(scale, vector)


def restored(scaled: Inexact[Array, " n"], exponent: Int[Array, ""]) -> tuple[Inexact[Array, " n"], Bool[Array, ""]]:
    """Return `scaled 2^exponent`, and whether the float type can hold it, negligible entries aside."""
    vector = shifted(scaled, exponent)
    left, largest = (jnp.max(jnp.abs(part), initial=0) for part in (shifted(vector, -exponent) - scaled, scaled))
    # NaN fails the comparison.
    return vector, left <= jnp.finfo(vector.dtype).eps * largest


def lost_below(x: Inexact[Array, " n"]) -> Float[Array, ""]:
    """Return a bound, in the 1-norm, on the part of `A x` from subnormal entries, which arithmetic treats as zero.

    Types of 16 bits are computed in a wider one.
    """
    info = jnp.finfo(x.dtype)
    largest = float(info.tiny) * (2**0.5 if jnp.iscomplexobj(x) else 1)
    return (0.0 if info.bits < 32 else largest) * (x.size * jnp.sum(jnp.abs(x)))


def _unsigned(dtype: jnp.dtype) -> jnp.dtype:
    return jnp.dtype(f"uint{jnp.finfo(dtype).bits}")


def _bits(part: Float[Array, "*shape"]) -> Int[Array, "*shape"]:
    return lax.bitcast_convert_type(part, _unsigned(part.dtype))


def _magnitude(part: Float[Array, "*shape"]) -> Int[Array, "*shape"]:
    """The bits without the sign, which sort as the magnitudes do."""
    return _bits(part) & ((1 << (jnp.finfo(part.dtype).bits - 1)) - 1)


def _parts(array: Inexact[Array, "*shape"]) -> tuple[Float[Array, "*shape"], ...]:
    return (array.real, array.imag) if jnp.iscomplexobj(array) else (array,)


def _joined(of_part: Callable[[Array], Array], array: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    parts = [of_part(part) for part in _parts(array)]
    return jax.lax.complex(*parts) if len(parts) == 2 else parts[0]
