"""Inversion by singular value transformation: an odd polynomial close to 1/x on [1/kappa, 1], then amplification.

The polynomial must be at most 1 on [-1, 1], so it is divided by its maximum there, `M`. With `||b|| = 1` the solution
then has amplitude `||x|| / M`, which is what amplification has to make up for.
"""

import dataclasses
import math
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from ...._core.arrays import Number, NumberArray, ceil, floating, quiet
from ...._core.records import QuantumWorkload
from ..precision import ErrorConvention
from .amplification import amplify_known, amplify_unknown, postselect
from .model import CountInputs, Evidence, QueryModel
from .search import argmin

# The maximum is flat where it lies: a place to 5e-4 gives its height to 1e-7.
_TIMES = 16


class OddPolynomial(NamedTuple):
    """Cost of a polynomial close to 1/x.

    Attributes:
        degree: calls of the block encoding that apply it once.
        maximum: of its absolute value on [-1, 1].
    """

    degree: NumberArray
    maximum: NumberArray


@quiet
def optimal_polynomial(kappa: Number, error: Number) -> OddPolynomial:
    """The odd polynomial of least degree within `error` of 1/x on [1/kappa, 1].

    With `a = 1 / kappa` degree `2 n - 1` reaches `(1 - a)^n / (a (1 + a)^(n - 1))` and no less (arXiv 2507.15537,
    Theorem 1, after Privalov, Math. Notes 81:415; two transcriptions, confirmed by a Remez iteration), so
    `n = ceil((ln(1 / error) + ln((1 + a) / a)) / (ln(1 + a) - ln(1 - a)))`.

    Its maximum lies below `a`, where with `c = (1 - a) / (1 + a)` and `L_n = T_n + c T_{n-1}`

        P(x) = (1 - L_n(z(x)) / L_n(z(0))) / x,   z(x) = (2 x^2 - 1 - a^2) / (1 - a^2)

    is written in hyperbolic functions, free of cancellation, and maximised.
    """
    xp, kappa, error = floating(kappa, error)
    kappa, error = xp.broadcast_arrays(kappa, error)
    # At kappa = 1 the polynomial is x itself; the formulas are taken just beside it.
    a = xp.minimum(1 / kappa, 1 - 1e-6)
    rate = xp.log1p(a) - xp.log1p(-a)
    n = xp.maximum(ceil(xp, (-xp.log(error) + xp.log1p(a) - xp.log(a)) / rate), 1.0)

    height = _height_of(xp, a, n)
    t = argmin(xp, lambda t: -height(t), xp.full_like(a, 0.01), xp.ones_like(a), _TIMES)
    # On [a, 1] it stays below kappa + error.
    return OddPolynomial(2 * n - 1, kappa * xp.maximum(height(t), 1.0))


def _height_of(xp: ModuleType, a: Number, n: Number) -> Callable[[NumberArray], NumberArray]:
    """Return `a P(a t)` as a function of t in (0, 1]; terms that do not depend on t are computed once."""
    c, rest, slope = (1 - a) / (1 + a), 2 * a / (1 + a), a / xp.sqrt(1 - a**2)

    def scaled(phi: Number) -> NumberArray:
        # |L_n(-cosh phi)| exp(-n phi) 2, from 1 - c exp(-phi) and 1 - c exp(phi).
        grown = xp.expm1(phi)
        return rest + c * grown / (1 + grown) + xp.exp(-2 * n * phi) * (rest - c * grown)

    origin = 2 * xp.arcsinh(slope)
    at_origin = scaled(origin)

    def height(t: Number) -> NumberArray:
        here = 2 * xp.arcsinh(slope * xp.sqrt(xp.maximum(1 - t**2, 0.0)))
        return (1 - xp.exp(n * (here - origin)) * scaled(here) / at_origin) / t

    return height


@quiet
def truncated_inverse(kappa: Number, error: Number, log_base: float = math.e) -> tuple[NumberArray, NumberArray]:
    """`sqrt(b)` and `D` of the polynomial of Childs, Kothari and Somma (arXiv 1511.02306, Lemmas 17 to 19).

    `b = ceil(kappa^2 log(kappa / error))`, `D = ceil(sqrt(b log(4 b / error)))`; its terms go up to degree `2 D + 1`.
    """
    xp, kappa, error = floating(kappa, error)
    unit = math.log(log_base)
    bits = xp.maximum(xp.log(kappa / error) / unit, 1e-6)
    # The square ends at the square root of the largest float, the count does not.
    small = kappa < 1e15
    square = ceil(xp, xp.where(small, kappa, 1.0) ** 2 * bits)
    root = xp.where(small, xp.sqrt(square), kappa * xp.sqrt(bits))
    return root, ceil(xp, root * xp.sqrt((2 * xp.log(root) + math.log(4) - xp.log(error)) / unit))


@quiet
def truncated_polynomial(kappa: Number, error: Number) -> OddPolynomial:
    """The truncated Chebyshev series of `(1 - (1 - x^2)^b) / x`, as in arXiv 2105.02859, natural logarithms.

    Two errors of `error` each are made, `b` and the truncation; several libraries ask half of each. Its maximum is
    taken before truncation, `0.638 sqrt(b)` for a large `b`; truncation moves it by `error` at most.
    """
    xp, kappa, error = floating(kappa, error)
    kappa, error = xp.broadcast_arrays(kappa, error)
    root, terms = truncated_inverse(kappa, error)

    # -b ln(1 - u^2 / b) tends to u^2, and is nothing but rounding for a large b.
    vast = root > 1e6
    some = xp.where(vast, 2e6, root)

    def height(u: Number) -> NumberArray:
        """The polynomial at `x = u / sqrt(b)`, over `sqrt(b)`."""
        exponent = xp.where(vast, -(u**2), some**2 * xp.log1p(-((u / some) ** 2)))
        return -xp.expm1(exponent) / u

    high = xp.minimum(2.0, some * (1 - 1e-6))
    u = argmin(xp, lambda u: -height(u), 0.15 * high, high, _TIMES)
    return OddPolynomial(2 * terms + 1, root * height(u))


@dataclasses.dataclass(frozen=True)
class PolynomialCount:
    """Expected queries of an inversion by one polynomial.

    Attributes:
        polynomial: degree and maximum for a condition number and an absolute error.
        amplified: whether failures are amplified away (with the known amplitude where the norm is given, by the
            schedule for an unknown one at its least value otherwise) or merely repeated.
    """

    polynomial: Callable[[NumberArray, NumberArray], OddPolynomial]
    amplified: bool = True

    def __call__(self, problem: CountInputs) -> QuantumWorkload:
        """Return the count, with one preparation of the right-hand side per application."""
        xp = problem.xp
        polynomial = self.polynomial(problem.encoded, problem.precision)
        amplitude = xp.minimum(problem.encoded_norm / polynomial.maximum, 1.0)
        if not self.amplified:
            applications, success = postselect(amplitude**2), amplitude**2
        elif problem.known:
            applications, success = amplify_known(amplitude)
        else:
            applications, success = amplify_unknown(amplitude, amplitude), xp.ones_like(amplitude)
        return QuantumWorkload(applications * polynomial.degree, applications, success)


sunderhauf2025 = QueryModel(
    name="sunderhauf2025",
    source="Sünderhauf et al., arXiv 2507.15537, Theorem 1; amplification quant-ph/0005055 and quant-ph/9605034",
    version="v1",
    evidence=Evidence.PROVEN,
    known_from="two transcriptions, confirmed by a Remez iteration and by evaluating the polynomial; amplification is "
    "composed here",
    count=PolynomialCount(optimal_polynomial),
    convention=ErrorConvention.ABSOLUTE,
    uses_norm=True,
    rectangular=True,
)
"""Inversion by the odd polynomial of least degree, about `kappa ln(kappa / error)`."""

martyn2021 = QueryModel(
    name="martyn2021",
    source="Martyn et al., arXiv 2105.02859, after Childs, Kothari and Somma, 1511.02306, Lemmas 17 to 19",
    version="v5",
    evidence=Evidence.PROVEN,
    known_from="transcriptions that agree but for how the error is shared; errors and maxima recomputed; amplification "
    "is composed here",
    count=PolynomialCount(truncated_polynomial),
    convention=ErrorConvention.ABSOLUTE,
    uses_norm=True,
    rectangular=True,
)
"""Inversion by the truncated Chebyshev series, about `2 kappa ln(kappa / error)` and more."""
