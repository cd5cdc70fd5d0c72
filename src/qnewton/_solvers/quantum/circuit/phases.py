"""Phases of an inversion circuit, on the host alone: JAX must not be called from inside its own callback."""

import functools

import numpy as np
from jaxtyping import Float
from numpy.polynomial.chebyshev import chebval

from ..polynomials import InversePolynomial, projector_phases
from ..polynomials.phases import uncertified_phases

# The polynomial's largest value on [-1, 1] comes to 1 / HEADROOM.
HEADROOM = 1.01
TOLERANCE = 1e-10


@functools.lru_cache(maxsize=64)
def inversion_phases(polynomial: InversePolynomial) -> tuple[Float[np.ndarray, " d+1"], float]:
    """Return phases for `P / (1.01 max|P|)` in the projector convention, and their certificate.

    The certificate is that of `qsp.certificate`, by numpy: the largest error over the Chebyshev nodes above 0.
    """
    target = polynomial.coefficients() / (HEADROOM * polynomial.maximum)
    phases = uncertified_phases(target)
    angles = (np.arange(len(target)) + 0.5) * np.pi / (2 * len(target))
    cosine, sine = np.cos(angles), 1j * np.sin(angles)
    zero, one = np.full(len(angles), np.exp(1j * phases[0])), np.zeros(len(angles), complex)
    for turn in np.exp(1j * phases[1:]):
        zero, one = (cosine * zero + sine * one) * turn, (sine * zero + cosine * one) * turn.conj()
    error = float(np.max(np.abs(np.imag(zero) - chebval(cosine, target))))
    found = projector_phases(phases)
    found.flags.writeable = False
    return found, error
