"""Layer stripping of a unitary: the inverse of the nonlinear Fourier transform."""

import numpy as np
from jaxtyping import Float


def peel(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The angles of the last `n` layers of the pair `(a, b)`, last one first, in radians.

    A layer of angle `phi` makes the pair one degree longer,

        a' = cos(phi) a - sin(phi) u b,   b' = sin(phi) a + cos(phi) u b,

    so `phi = atan2(b'(0), a'(0))`, and the transposed rotation undoes it. A layer needs only the lowest coefficient of
    what is left: `n` coefficients of each are enough for `n` layers. `O(n^2)`, each layer one operation on vectors;
    stable for an outer `a` (arXiv 2505.12615, layer stripping).

    Args:
        a: the lowest `n` real coefficients of the outer polynomial, lowest first.
        b: those of the other one, `|a|^2 + |b|^2 = 1` on the unit circle.

    Returns:
        `n` angles in (-pi/2, pi/2).
    """
    angles = np.empty(len(a))
    for layer in range(len(a)):
        radius = np.hypot(a[0], b[0])
        cosine, sine = a[0] / radius, b[0] / radius
        angles[layer] = np.arctan2(b[0], a[0])
        a, b = cosine * a[:-1] + sine * b[:-1], cosine * b[1:] - sine * a[1:]
    return angles
