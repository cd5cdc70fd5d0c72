"""The block encoding: a unitary with the matrix in its corner."""

import numpy as np
from jaxtyping import Float


def data_qubits(n: int) -> int:
    """Return the qubits of an index below n; at least one."""
    return max(1, (n - 1).bit_length())


def padded(matrix: Float[np.ndarray, "n n"], filler: float) -> Float[np.ndarray, "N N"]:
    """Return the matrix padded to the next power of two, with `filler` on the added diagonal.

    What is added stays decoupled from the rest; with alpha for a filler its singular values are the largest there can
    be, so that it never is what makes the condition number.
    """
    n, size = matrix.shape[0], 2 ** data_qubits(matrix.shape[0])
    whole = np.diag(np.full(size, filler))
    whole[:n, :n] = matrix
    return whole


def dilate(block: Float[np.ndarray, "N N"]) -> Float[np.ndarray, "2*N 2*N"]:
    """The orthogonal matrix `[[B, (I - B B^T)^(1/2)], [(I - B^T B)^(1/2), -B^T]]`.

    All four blocks come from one singular value decomposition, whose values are cut at 1, so that the outcome is
    orthogonal to rounding even where `||B||` is 1.

    Args:
        block: `A / alpha`, 2-norm at most 1.

    Raises:
        ValueError: its norm is above 1 by more than rounding.
    """
    left, values, right = np.linalg.svd(block)
    if not values[0] <= 1 + 1e-12:
        raise ValueError(f"the block has 2-norm {values[0]:.6g}: divide it by alpha, the norm or more, first")
    cosine = np.minimum(values, 1)
    sine = np.sqrt((1 - cosine) * (1 + cosine))
    corner = (left * cosine) @ right
    return np.block([[corner, (left * sine) @ left.T], [(right.T * sine) @ right, -corner.T]])
