"""Ritz values, the one computation that conditioning and estimation share."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .recurrence import Recurrence

Matvec = Callable[[Float[Array, " n"]], Float[Array, " n"]]
Norm = Callable[[Float[Array, " n"]], Float[Array, ""]]

_CUT = 4
"""Units of rounding of the largest entry so far, beside the diagonal too, below which a new direction is rounding."""
_ROUNDING = 4
"""Units of rounding of the largest Ritz value by which products and the small decomposition move a Ritz value."""


def ritz_values(matvec: Matvec, start: Float[Array, " n"], steps: int) -> Float[Array, " k"]:
    """Ritz values of a symmetric operator after `min(steps, n)` Lanczos steps, ascending.

    Extreme Ritz values lie inside the spectrum, to rounding; what would stand behind a breakdown is replaced by the
    first diagonal entry, which lies inside as well.

    Args:
        matvec: the operator `[n] -> [n]`.
        start: start vector `[n]`, not zero.
        steps: matrix-vector products.
    """
    return jnp.linalg.eigvalsh(_iterated(matvec, start, steps).tridiagonal(min(steps, start.shape[0])))


class Quadrature(NamedTuple):
    """Gauss quadrature in the spectral measure of a vector `s`: `sum_j w_j f(t_j) ~ s^T f(A) s / s^T s`.

    Attributes:
        nodes: Ritz values `[k]`, ascending.
        weights: `[k]`, adding up to 1; what stands behind a breakdown weighs nothing.
        residuals: `[k]`, of the Ritz vectors: an eigenvalue lies within this of each node. Infinite behind a breakdown.
    """

    nodes: Float[Array, " k"]
    weights: Float[Array, " k"]
    residuals: Float[Array, " k"]


def quadrature(matvec: Matvec, start: Float[Array, " n"], steps: int) -> Quadrature:
    """Lanczos quadrature (Golub and Meurant 1994; Ubaru, Chen and Saad 2017).

    The nodes are the Ritz values of `ritz_values`, the weights the squared first entries of their eigenvectors.
    """
    size = min(steps, start.shape[0])
    return _iterated(matvec, start, steps).quadrature(size)


def _iterated(matvec: Matvec, start: Float[Array, " n"], steps: int) -> "Krylov":
    steps = min(steps, start.shape[0])
    return Krylov.start(start, steps).extended(matvec, 0, steps, _length)


class Krylov(eqx.Module):
    """A Lanczos iteration that can be inspected and then continued, which matfree's cannot.

    Attributes:
        basis: orthonormal rows `[most + 1, n]`; zero where the iteration has not been, or broke down.
        diagonal: of the tridiagonal matrix `[most]`.
        beside: `[most]`, what was left of each product once it was orthogonal to the basis: positive, the entry that
            couples a row to the next; negative, what was cut at a breakdown.
        steps: products so far.
    """

    basis: Float[Array, "most+1 n"]
    diagonal: Float[Array, " most"]
    beside: Float[Array, " most"]
    steps: Int[Array, ""]

    @classmethod
    def start(cls, vector: Float[Array, " n"], most: int) -> "Krylov":
        """Return the initial state, before the first product.

        Args:
            vector: to start from `[n]`, not zero.
            most: products at most.
        """
        basis = jnp.zeros((most + 1, vector.shape[0]), vector.dtype).at[0].set(vector / jnp.linalg.norm(vector))
        empty = jnp.zeros(most, vector.dtype)
        return cls(basis, empty, empty, jnp.zeros((), jnp.int32))

    def extended(self, matvec: Matvec, first: int, last: int, norm: Norm = jnp.linalg.norm) -> "Krylov":
        """Continue with the products from `first` to `last`, each new vector made orthogonal to all before it.

        Args:
            matvec: the operator `[n] -> [n]`.
            first: products so far.
            last: products afterwards.
            norm: of vectors; the default squares, which a matrix with entries about 1 bears.
        """
        negligible = _CUT * jnp.finfo(self.basis.dtype).eps

        def further(j: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
            basis, diagonal, beside, largest = carry
            vector = matvec(basis[j])
            entry = jnp.vdot(basis[j], vector)
            for _ in range(2):
                vector = vector - basis[:last].T @ (basis[:last] @ vector)
            size = norm(vector)
            # Beside the diagonal as well: of a matrix whose spectrum is symmetric about zero nothing else may be large.
            largest = jnp.maximum(largest, jnp.maximum(jnp.abs(entry), size))
            # An invariant subspace: what is left is rounding, and the vectors from here on stay zero. Were more cut
            # than that, an eigenvalue to which the vectors so far couple weakly would be lost.
            goes_on = size > negligible * largest
            basis = basis.at[j + 1].set(jnp.where(goes_on, vector / size, 0))
            return basis, diagonal.at[j].set(entry), beside.at[j].set(jnp.where(goes_on, size, -size)), largest

        largest = jnp.maximum(jnp.max(jnp.abs(self.diagonal)), jnp.max(jnp.abs(self.beside)))
        carry = self.basis, self.diagonal, self.beside, largest
        basis, diagonal, beside, _ = jax.lax.fori_loop(first, last, further, carry)
        return Krylov(basis, diagonal, beside, jnp.asarray(last, jnp.int32))

    @property
    def recurrence(self) -> Recurrence:
        """Convergence that the tridiagonal matrix so far predicts."""
        return Recurrence.of(self.diagonal, jnp.maximum(self.beside, 0), self.steps)

    def tridiagonal(self, size: int) -> Float[Array, "size size"]:
        """Return the projection on the first vectors.

        Rows after a breakdown hold the first diagonal entry, uncoupled.
        """
        inside = self._inside(size)
        diagonal = jnp.where(inside, self.diagonal[:size], self.diagonal[0])
        beside = jnp.where(inside[1:], self.beside[: size - 1], 0)
        return jnp.diag(diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1)

    def ritz(self, size: int) -> tuple[Float[Array, " size"], Float[Array, " size"]]:
        """Ritz values after `size` products, ascending, and bounds on the norms of their residuals.

        Some eigenvalue lies within the residual's norm of each, rounding included. Behind a breakdown stand repetitions
        of the first diagonal entry, which lies inside the spectrum, with an infinite residual.
        """
        nodes, _, residuals = self.quadrature(size)
        return nodes, residuals

    def quadrature(self, size: int) -> Quadrature:
        """Nodes and weights after `size` products, with bounds on the residuals of the Ritz vectors."""
        values, vectors = jnp.linalg.eigh(self.tridiagonal(size))
        inside = self._inside(size)
        # The iteration ended where it broke down, or with the last product: what couples that row to the rest of the
        # space is the residual.
        last = jnp.sum(inside) - 1
        cut = jnp.abs(self.beside[last] * vectors[last])
        rounding = _ROUNDING * jnp.finfo(values.dtype).eps * jnp.maximum(-values[0], values[-1])
        real = jnp.sum(vectors**2 * inside[:, None], axis=0) > 0.5
        return Quadrature(values, vectors[0] ** 2, jnp.where(real, cut + rounding, jnp.inf))

    def _inside(self, size: int) -> Bool[Array, " size"]:
        """Return the mask of the rows before any breakdown."""
        return jnp.cumprod(jnp.concatenate([jnp.ones(1, bool), self.beside[: size - 1] > 0])).astype(bool)


def _length(vector: Float[Array, " n"]) -> Float[Array, ""]:
    """2-norm of a vector whose squares may underflow."""
    largest = jnp.max(jnp.abs(vector))
    unit = jnp.where(largest > 0, largest, 1)
    return unit * jnp.linalg.norm(vector / unit)
