"""The parts that the circuits are counted in: bits of addresses, table lookups, rotations."""

from types import ModuleType

from ...._core.arrays import Number, NumberArray


def ceil_log2(xp: ModuleType, number: Number) -> NumberArray:
    """Return the least integer q with `2^q >= number`, e.g. the qubits that index `number` entries.

    It is computed from the number's exponent, since XLA's log2(8) need not be 3.
    """
    mantissa, exponent = xp.frexp(number)
    # Multiplied by the mantissa's type and not cast, which JAX and numpy name differently.
    bits = (exponent - (mantissa == 0.5)) * xp.ones_like(mantissa)
    # The exponent of a number that is not finite says nothing.
    return xp.where(xp.isfinite(number), bits, number)


def power(xp: ModuleType, bits: Number) -> NumberArray:
    """Return `2^bits`, exactly: XLA's exp2 need not be exact."""
    finite = xp.isfinite(bits)
    whole = xp.asarray(xp.where(finite, bits, 0.0), "int32")
    return xp.where(finite, xp.ldexp(xp.ones_like(bits), whole), bits)


def lookup_layers(xp: ModuleType, entries: Number) -> NumberArray:
    """Return the sequential temporary ANDs of a controlled table lookup by unary iteration: `L - 1`.

    Each takes 4 T gates in one layer: 4 L - 4 T gates (Babbush et al., arXiv 1805.03662, section III; from memory).
    """
    return xp.maximum(entries - 1, 0.0)


T_PER_AND = 4.0
"""T gates of a temporary AND; its erasure is measured (Gidney, arXiv 1709.06648; from memory)."""


def rotation_t_count(xp: ModuleType, error: Number) -> NumberArray:
    """Return the T gates, and their layers, that approximate one rotation to `error`: `3 log2(1 / error)`.

    The leading term (Ross and Selinger, arXiv 1403.2975); the next is of order log log(1 / error).
    """
    return 3 * xp.maximum(-xp.log2(error), 0.0)
