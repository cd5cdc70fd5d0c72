"""Symmetric phase factors of quantum signal processing, with a certificate."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from .complementary import complementary
from .layers import peel
from .rotations import certificate

_MIXED = 1e-13


@dataclasses.dataclass(frozen=True, eq=False)
class PhaseFactors:
    """Phases, with the accuracy to which they give the requested polynomial.

    Attributes:
        phases: `phi_0 ... phi_d` in radians, float64, symmetric: `phi_k = phi_{d-k}`, in (-pi/2, pi/2).
        certificate: the largest difference between `Im <0|U(x)|0>` and the target over `2 (d + 1)` Chebyshev nodes, see
            `certificate`.
    """

    phases: Float[np.ndarray, " d+1"]
    certificate: float


def symmetric_phases(coefficients: Float[np.ndarray, " d+1"], tolerance: float = 1e-10) -> PhaseFactors:
    """Return the symmetric phases whose quantum signal processing has a real polynomial as its imaginary part.

    With `W(x) = e^{i arccos(x) X}` (convention Wx) and `f = sum_k coefficients[k] T_k`,

        Im <0| e^{i phi_0 Z} W(x) e^{i phi_1 Z} W(x) ... W(x) e^{i phi_d Z} |0> = f(x),

    the form of Dong, Lin, Ni and Wang (arXiv 2209.10162). `real_phases` moves `f` to the real part and
    `projector_phases` to the projector-controlled phases that a block encoding takes.

    A Hadamard gate turns the product into a nonlinear Fourier series, `U = [[A, i B], ...]` with real coefficients in
    `w = e^{i arccos x}` and `B = f`; Weiss' algorithm completes `B` (`complementary`) and the layers are peeled off
    from one end down to the middle (`peel`), the rest by symmetry. `O(d^2)`, in vector operations.
    The fixed-point iteration of that paper takes 12 evaluations of the product where `|f|` is at most 0.5, 134 at 0.99,
    and is at 5e-11 after 300 at 0.999 (measured, degree 4,999): this takes none.

    Args:
        coefficients: Chebyshev coefficients of the target, lowest first, real, of one parity; trailing zeros do not
            count. `|f| < 1` on [-1, 1], and not closer to 1 than about `(8e-7 d)^2`: 2e-5 at degree 5,000, 6e-3 at
            100,000; the closer, the slower (seconds at those ends).
        tolerance: the largest certificate accepted.

    Returns:
        The phases with their certificate.

    Raises:
        ValueError: coefficients that are not real, finite and of one parity, `|f|` that reaches or nearly reaches 1, or
            a certificate above `tolerance`.
    """
    target = _checked(coefficients)
    phases = uncertified_phases(target)
    error = certificate(phases, target)
    if not error <= tolerance:
        raise ValueError(
            f"the phases of degree {len(target) - 1:,} make the target only to {error:.1e}, asked was {tolerance:.1e}: "
            "divide the coefficients by 1.1, or raise `tolerance`"
        )
    return PhaseFactors(phases, error)


def uncertified_phases(target: Float[np.ndarray, " d+1"]) -> Float[np.ndarray, " d+1"]:
    """Return the phases of `symmetric_phases`, by numpy alone, without a certificate or checks of `target`."""
    degree = len(target) - 1
    # B~(u) = w^-d B(w) with u = w^-2, so the coefficient of u^k belongs to w^(d - 2k).
    powers = np.abs(degree - 2 * np.arange(degree + 1))
    b = np.where(powers == 0, 1.0, 0.5) * target[powers]
    count = degree // 2 + 1
    half = peel(complementary(b)[:count], b[:count])
    return np.concatenate([half[: degree + 1 - count], half[::-1]])


def real_phases(phases: Float[np.ndarray, " d+1"]) -> Float[np.ndarray, " d+1"]:
    """Return phases whose response has as real part what that of `phases` has as imaginary part.

    A quarter of pi is taken from the first and the last phase, which multiplies `<0|U|0>` by -i. Degree 1 at least.
    """
    return _turned(phases, 0.0, -math.pi / 4)


def projector_phases(phases: Float[np.ndarray, " d+1"]) -> Float[np.ndarray, " d+1"]:
    """Return Wx phases of an imaginary part as the projector-controlled phases of a real part.

    The R convention, that of singular value transformation (arXiv 1806.01838, Corollary 8) and of PennyLane's `QSVT`:
    with `R(x) = [[x, sqrt(1 - x^2)], [sqrt(1 - x^2), -x]] = -i e^{i pi Z / 4} W(x) e^{i pi Z / 4}`,

        Re <0| e^{i psi_0 Z} R(x) e^{i psi_1 Z} ... R(x) e^{i psi_d Z} |0> = Im <0| e^{i phi_0 Z} W(x) ... |0>,

    where `psi_k = phi_k - pi / 2` between the ends and `psi_k = phi_k + (d - 2) pi / 4` at both. On a block encoding
    `U` of `A / alpha`, `e^{i psi Z}` is `e^{i psi (2 Pi - 1)}` (`qml.PCPhase(psi, dim)`), and `U` and `U^dagger` take
    turns: the mean of the block with `psi` and with `-psi` (one more ancilla, no more calls) is `f(A / alpha)`.
    Degree 1 at least.
    """
    return _turned(phases, -math.pi / 2, (len(phases) - 3) * math.pi / 4)


def _turned(phases: Float[np.ndarray, " d+1"], between: float, ends: float) -> Float[np.ndarray, " d+1"]:
    phases = np.asarray(phases, np.float64)
    if len(phases) < 2:
        raise ValueError(
            f"there are {len(phases)} phases: the conventions differ at both ends, so take a degree of 1 or more"
        )
    turned = phases + between
    turned[[0, -1]] = phases[[0, -1]] + ends
    return turned


def _checked(coefficients: Float[np.ndarray, " d+1"]) -> Float[np.ndarray, " d+1"]:
    """Return the coefficients in float64 without trailing zeros; raise if they cannot be a target."""
    given = np.asarray(coefficients)
    if given.ndim != 1 or given.size == 0 or not np.issubdtype(given.dtype, np.number):
        raise ValueError(
            f"coefficients have shape {given.shape} and dtype {given.dtype}: give a vector of Chebyshev coefficients"
        )
    if np.iscomplexobj(given):
        raise ValueError("the coefficients are complex: symmetric phases make real polynomials, give the parts apart")
    if not np.all(np.isfinite(given)):
        raise ValueError(f"coefficient {int(np.argmin(np.isfinite(given)))} is not finite")
    target = np.trim_zeros(given.astype(np.float64), "b")
    target = target if target.size else np.zeros(1)
    wrong = float(np.max(np.abs(target[-2::-2]), initial=0.0))
    if wrong > _MIXED * float(np.max(np.abs(target))):
        raise ValueError(
            f"the target has degree {target.size - 1} and a coefficient of the other parity of {wrong:.1e}: split it "
            "into an even and an odd polynomial, each with phases of its own"
        )
    return target
