"""The odd polynomial closest to 1/x, in closed form."""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
import scipy.fft
from jaxtyping import Float

from .checks import check_degree, check_kappa

# kappa = 1 is the limit of formulas that divide by 1 - 1/kappa.
_LARGEST_END = 1 - 1e-15


def inverse_degree(kappa: float, epsilon: float) -> int:
    """The least degree of an odd polynomial within `epsilon` of 1/x on [1/kappa, 1].

    With `a = 1 / kappa` degree `2 n - 1` reaches `(1 - a)^n / (a (1 + a)^(n - 1))` and no less (Sünderhauf et al.,
    arXiv 2507.15537, Theorem 1, after Privalov, Math. Notes 81:415), so
    `n = ceil((ln(1 / epsilon) + ln((1 + a) / a)) / (ln(1 + a) - ln(1 - a)))`.

    Args:
        kappa: condition number of the encoded matrix `A / alpha`, that is `alpha / sigma_min`; at least 1.
        epsilon: the error allowed, absolute where `A / alpha` is inverted, positive.

    Returns:
        The degree, odd: so many calls of the block encoding apply the polynomial once.

    Raises:
        ValueError: kappa is below 1 or `epsilon` not positive, or one of them is not finite.
    """
    kappa = check_kappa(kappa)
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"epsilon is {epsilon}: it is the largest |P(x) - 1/x| allowed and must be positive")
    if kappa == 1:
        return 1
    a = 1 / kappa
    n = math.ceil((-math.log(epsilon) + math.log1p(a) - math.log(a)) / (math.log1p(a) - math.log1p(-a)))
    return 2 * max(n, 1) - 1


@dataclasses.dataclass(frozen=True)
class InversePolynomial:
    """The odd polynomial of one degree that is closest to 1/x on [1/kappa, 1], in the largest deviation.

    With `a = 1 / kappa`, degree `2 n - 1`, `T_n` the Chebyshev polynomials and `c = (1 - a) / (1 + a)`,

        P(x) = (1 - L_n(z(x)) / L_n(z(0))) / x,   L_n = T_n + c T_{n-1},   z(x) = (2 x^2 - 1 - a^2) / (1 - a^2)

    (arXiv 2507.15537, Theorem 1). It is the `n`-th iterate of a heavy ball with constant coefficients, which is how
    `apply` applies it. Here it is evaluated in trigonometric and hyperbolic functions: the cost does not depend on the
    degree, and rounding leaves a few `eps maximum + degree eps error`.

    Attributes:
        kappa: condition number of the encoded matrix, at least 1.
        degree: odd and positive.
    """

    kappa: float
    degree: int

    def __post_init__(self) -> None:
        check_kappa(self.kappa)
        check_degree(self.degree)

    @classmethod
    def within(cls, kappa: float, epsilon: float) -> "InversePolynomial":
        """The polynomial of least degree whose error is at most `epsilon`; see `inverse_degree`."""
        return cls(float(kappa), inverse_degree(kappa, epsilon))

    @property
    def error(self) -> float:
        """The largest `|P(x) - 1/x|` on [1/kappa, 1], attained `n + 1` times with alternating signs."""
        if self.kappa == 1:
            return 0.0
        return math.exp(self._n * self._log_c) * (1 + self._a) / self._a

    @functools.cached_property
    def maximum(self) -> float:
        """Largest `|P(x)|` on [-1, 1], the divisor that makes it a quantum circuit's polynomial."""
        # Either where P - 1/x, which is -error at a, has its next extreme, of the other sign, or before a.
        a, n = self._a, self._n
        later = 1.0 if n <= 2 else math.sqrt(a**2 + (1 - a) * (1 + a) * math.sin(math.pi / n) ** 2)
        return max(_peak(self, 0.0, a), _peak(self, a, later))

    def __call__(self, x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """`P(x)` in float64, for x in [-1, 1].

        Raises:
            ValueError: an x outside [-1, 1].
        """
        x = np.asarray(x, np.float64)
        size = np.abs(x)
        if not np.all(size <= 1):
            raise ValueError(f"x is {x[~(size <= 1)].flat[0]}: the polynomial is evaluated in [-1, 1]")
        inside = size < self._a
        gap = np.where(inside, self._below(np.minimum(size, self._a)), self._above(np.maximum(size, self._a)))
        return np.divide(gap, x, out=np.zeros_like(x), where=x != 0)

    def coefficients(self) -> Float[np.ndarray, " degree+1"]:
        """Chebyshev coefficients in float64, `P = sum_k c[k] T_k` as in `numpy.polynomial.chebyshev`; c[0::2] = 0.

        A discrete cosine transform of the values at the `2 n` Chebyshev nodes: `O(d log d)`, and good to a few
        roundings of `maximum`.
        """
        n = self._n
        positive = self(np.cos((np.arange(n) + 0.5) * np.pi / (2 * n)))
        found = np.asarray(scipy.fft.dct(np.concatenate([positive, -positive[::-1]]), type=2)) / (2 * n)
        found[::2] = 0
        return found

    @property
    def _n(self) -> int:
        return (self.degree + 1) // 2

    @property
    def _a(self) -> float:
        return min(1 / self.kappa, _LARGEST_END)

    @property
    def _log_c(self) -> float:
        return math.log1p(-self._a) - math.log1p(self._a)

    # 1 - L_n(z(x)) / L_n(z(0)) without cancellation. Since cosh^-1 of -z(0) is -ln c, L_n(z(0)) is, but for its sign,
    # (1 - c^2) / (2 c^n); and 1 - c^2 is 4 a / (1 + a)^2.

    def _below(self, x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Evaluate on [0, a], where z is -cosh(phi), from `phi` and its distance below its value at 0."""
        a, n, width = self._a, self._n, (1 - self._a) * (1 + self._a)
        origin, here = a / math.sqrt(width), np.sqrt((a - x) * (a + x) / width)
        phi = 2 * np.arcsinh(here)
        # asinh(u) - asinh(v) = asinh((u^2 - v^2) / (u sqrt(1 + v^2) + v sqrt(1 + u^2)))
        less = 2 * np.arcsinh(x**2 / width / (origin * np.sqrt(1 + here**2) + here * math.sqrt(1 + origin**2)))
        bracket = math.exp(2 * self._log_c) * np.expm1(less) + np.exp(-2 * n * phi) * np.expm1(-less)
        return -np.expm1(-n * less) + np.exp(-n * less) * bracket * (1 + a) ** 2 / (4 * a)

    def _above(self, x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Evaluate on [a, 1], where z is -cos(theta) and theta is most accurate where the polynomial is largest."""
        a, n, c = self._a, self._n, math.exp(self._log_c)
        half = np.arctan2(np.sqrt((x - a) * (x + a)), np.sqrt((1 - x) * (1 + x)))
        # cos(n theta) - c cos((n - 1) theta), where 1 - c = 2 a / (1 + a)
        less = 2 * a / (1 + a) + 2 * c * np.sin(half) ** 2
        wave = less * np.cos(2 * n * half) - c * np.sin(2 * half) * np.sin(2 * n * half)
        return 1 - math.exp(n * self._log_c) * (1 + a) ** 2 / (2 * a) * wave


def _peak(function: Callable[[Float[np.ndarray, " 65"]], Float[np.ndarray, " 65"]], low: float, high: float) -> float:
    """Return the largest value between `low` and `high`, for one peak, in steps that divide the interval by 32."""
    for _ in range(6):
        points = np.linspace(low, high, 65)
        place = int(np.argmax(function(points)))
        low, high = points[max(place - 1, 0)], points[min(place + 1, 64)]
    return float(np.max(function(np.linspace(low, high, 65))))
