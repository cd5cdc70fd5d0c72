"""Weiss' algorithm for the polynomial that completes another one to a unitary."""

import numpy as np
import scipy.fft
from jaxtyping import Float

# Longer transforms would take half a minute and gigabytes.
LONGEST_TRANSFORM = 2**24

# Rounding leaves more than an epsilon where |b| comes very close to 1; the certificate judges the outcome.
_VANISHED = 1e-14


def complementary(b: Float[np.ndarray, " d+1"]) -> Float[np.ndarray, " d+1"]:
    """The outer polynomial `a` with `|a(u)|^2 + |b(u)|^2 = 1` on the unit circle, `a(0) > 0`, in float64.

    Outer means without zeros inside the circle: among all that complete `b` it is the one whose phases are smallest,
    and for which peeling layers off is stable (Ni, Sarkar, Ying and Lin, arXiv 2505.12615). With
    `G = ln(1 - |b|^2) / 2 = g_0 + sum_k g_k (u^k + u^-k)` it is `exp(g_0 + 2 sum_k g_k u^k)` (Weiss' algorithm in
    Alexis, Lin, Mnatsakanyan, Thiele and Wang, arXiv 2407.05634). That is four real Fourier transforms, whose length
    doubles until what lies beyond the degree of `b` vanishes, at some `d / sqrt(1 - sup|b|)`.

    Args:
        b: real coefficients, lowest power first.

    Returns:
        The real coefficients of `a`, lowest first.

    Raises:
        ValueError: `|b|` reaches 1, or comes so close that transforms grow beyond `LONGEST_TRANSFORM`.
    """
    size = len(b)
    length = 1 << (8 * size - 1).bit_length()
    while True:
        values = np.fft.rfft(b, length)
        square = values.real**2 + values.imag**2
        largest = float(np.sqrt(np.max(square)))
        if not largest < 1:
            raise ValueError(
                f"the target reaches {largest:.6g} on [-1, 1], and no unitary has an entry above 1: divide it by its "
                "largest value and a little more, e.g. by 1.01 InversePolynomial.maximum"
            )
        cosines = np.asarray(scipy.fft.dct(0.5 * np.log1p(-square), type=1)) / length
        # An even sequence has half of its series on each side; all of it goes to the powers of u.
        series = np.zeros(length)
        series[0], series[1 : length // 2 + 1] = cosines[0], 2 * cosines[1:]
        series[length // 2] /= 2
        a = np.fft.irfft(np.exp(np.fft.rfft(series)), length)
        if np.max(np.abs(a[size:])) <= _VANISHED:
            return a[:size]
        if length >= LONGEST_TRANSFORM:
            raise ValueError(
                f"the target reaches {largest:.12g} on [-1, 1], too close to 1 for a Fourier transform of length "
                f"{length:,} at degree {size - 1:,}: divide it by 1.01, say"
            )
        length *= 2
