"""What a conditioned system costs to encode and what its step is worth: dense numpy in float64, none of it ours."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

TARGETS = (0.9, 0.99)


def encodings(matrix: np.ndarray, smallest: float) -> dict[str, float]:
    """Encoded condition numbers alpha / sigma_min: sparse access, Frobenius (QRAM), LCU of dyadic levels, row access.

    The LCU: the diagonal is one unitary; of each dyadic level of magnitudes, the most nonzeros in a row times its top.
    """
    size = np.abs(matrix)
    degree = int(np.max(np.count_nonzero(size, axis=1)))
    off = size - np.diag(np.diag(size))
    alpha = float(np.max(np.diag(size)))
    level = np.full(size.shape, -1000)
    np.log2(off, out=(logs := np.full(size.shape, -1000.0)), where=off > 0)
    level = np.floor(logs).astype(int)
    top = float(np.max(off))
    for power in np.unique(level[off > top * 2.0**-50]) if top > 0 else ():
        inside = level == power
        alpha += float(np.max(np.sum(inside, axis=1)) * np.max(off[inside]))
    alphas = {
        "sparse": degree * float(np.max(size)),
        "frobenius": float(np.linalg.norm(matrix)),
        "lcu": alpha,
    }
    return {name: value / smallest for name, value in alphas.items()}


@dataclass(frozen=True)
class Exact:
    """The damped block, its step and its spectrum."""

    matrix: np.ndarray
    gradient: np.ndarray
    step: np.ndarray
    values: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray, gradient: np.ndarray) -> "Exact":
        values, vectors = np.linalg.eigh(matrix)
        return cls(matrix, gradient, vectors @ (vectors.T @ gradient / values), values, vectors)

    @property
    def best(self) -> float:
        return float(self.gradient @ self.step)

    def decrease(self, x: np.ndarray) -> float:
        """Fraction of the best model decrease at optimal length; 0 for an ascent direction."""
        slope = float(self.gradient @ x)
        return slope**2 / float(x @ self.matrix @ x) / self.best if slope > 0 else 0.0

    def unpruned(self) -> dict[str, float]:
        """Encodings of the block as it is, the square root of a Gauss-Newton block among them."""
        found = encodings(self.matrix, float(self.values[0]))
        return {**found, "square_root": float(np.sqrt(np.trace(self.matrix) / self.values[0]))}

    def raised_damping(self, least: float) -> float:
        """Sparse-access condition number with as much more damping as the decrease allows: found per block."""
        rotated = self.vectors.T @ self.gradient
        degree = float(np.max(np.count_nonzero(self.matrix, axis=1)))
        found = np.inf
        for more in np.concatenate([[0.0], np.geomspace(1e-4, 1e4, 161) * float(np.max(np.abs(self.matrix)))]):
            y = rotated / (self.values + more)
            decrease = float(rotated @ y) ** 2 / float(y @ (self.values * y)) / self.best
            if decrease >= least:
                largest = max(
                    float(np.max(np.abs(self.matrix - np.diag(np.diag(self.matrix))))),
                    float(np.max(np.diag(self.matrix))) + more,
                )
                found = min(found, degree * largest / (float(self.values[0]) + more))
        return found


def outer_steps(
    exact: np.ndarray, gradient: np.ndarray, best: float, solve: Callable[[np.ndarray], np.ndarray], most: int = 60
) -> dict[str, int | None]:
    """Preconditioned CG steps to each target, by the true decrease."""
    x, r = np.zeros_like(gradient), gradient.copy()
    p, gamma, found = np.zeros_like(gradient), 1.0, dict.fromkeys(map(str, TARGETS))
    for count in range(1, most + 1):
        z = solve(r)
        new = float(r @ z)
        if not new > 0:
            break
        p = z + new / gamma * p if count > 1 else z
        gamma, image = new, exact @ p
        length = new / float(p @ image)
        x, r = x + length * p, r - length * image
        decrease = float(2 * gradient @ x - x @ exact @ x) / best
        for target in TARGETS:
            if found[str(target)] is None and decrease >= target:
                found[str(target)] = count
        if found[str(TARGETS[-1])] is not None:
            break
    return found


def solver_of(matrix: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    factor = scipy.linalg.lu_factor(matrix)
    return lambda vector: scipy.linalg.lu_solve(factor, vector)
