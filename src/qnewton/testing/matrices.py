"""Matrices with known answers."""

import numpy as np
from numpy.typing import ArrayLike


def symmetric_with_spectrum(eigenvalues: ArrayLike, seed: int = 0) -> np.ndarray:
    """A symmetric matrix `Q diag(eigenvalues) Q^T` with a random orthogonal `Q`.

    Args:
        eigenvalues: `[n]`, of any sign.
        seed: of `Q`, uniformly distributed (QR of a Gaussian matrix with the signs of R undone, Mezzadri 2007).

    Returns:
        float64 `[n, n]`, exactly symmetric, with the eigenvalues to rounding.
    """
    values = np.asarray(eigenvalues, np.float64)
    gaussian = np.random.default_rng(seed).standard_normal((len(values), len(values)))
    q, r = np.linalg.qr(gaussian)
    q *= np.sign(np.diag(r))
    matrix = (q * values) @ q.T
    return (matrix + matrix.T) / 2
