"""Ritz values, the one computation that conditioning and estimation share."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from matfree import decomp

from .recurrence import Recurrence

Matvec = Callable[[Float[Array, " n"]], Float[Array, " n"]]


def ritz_values(matvec: Matvec, start: Float[Array, " n"], steps: int) -> Float[Array, " k"]:
    """Ritz values of a symmetric operator after `min(steps, n)` Lanczos steps, ascending.

    Extreme Ritz values lie inside the spectrum. matfree's iteration runs on past an invariant subspace, where the
    tridiagonal matrix turns into noise; here it is cut at the first off-diagonal entry below `sqrt(eps) ||T||`, and
    the values behind the cut are replaced by the first diagonal entry, which lies inside the spectrum.

    Args:
        matvec: the operator `[n] -> [n]`.
        start: start vector `[n]`, not zero.
        steps: matrix-vector products.
    """
    if start.shape[0] == 1:
        return matvec(jnp.ones_like(start))
    return jnp.linalg.eigvalsh(_tridiagonal(matvec, start, steps))


def quadrature(matvec: Matvec, start: Float[Array, " n"], steps: int) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
    """Nodes and weights of Gauss quadrature in the spectral measure of `s`: `sum_j w_j f(t_j) ~ s^T f(A) s / s^T s`.

    Lanczos quadrature (Golub and Meurant 1994; Ubaru, Chen and Saad 2017): the nodes are the Ritz values of
    `ritz_values`, the weights the squared first entries of their eigenvectors, which add up to 1. What stands behind a
    breakdown weighs nothing.
    """
    if start.shape[0] == 1:
        return matvec(jnp.ones_like(start)), jnp.ones_like(start)
    nodes, vectors = jnp.linalg.eigh(_tridiagonal(matvec, start, steps))
    return nodes, vectors[0] ** 2


def _tridiagonal(matvec: Matvec, start: Float[Array, " n"], steps: int) -> Float[Array, "k k"]:
    steps = min(steps, start.shape[0])
    tridiagonal = jnp.asarray(decomp.tridiag_sym(steps, custom_vjp=False)(matvec, start).J_small)
    diagonal, beside = jnp.diagonal(tridiagonal), jnp.diagonal(tridiagonal, 1)
    # Noise behind a breakdown can dwarf ||T||, so the scale at each row is that of the rows up to it.
    scale = jnp.sqrt(jnp.finfo(start.dtype).eps) * jax.lax.cummax(jnp.abs(diagonal)[:-1])
    alive = jnp.cumprod(jnp.abs(beside) > scale).astype(bool)
    diagonal = jnp.where(jnp.concatenate([jnp.ones(1, bool), alive]), diagonal, diagonal[0])
    beside = jnp.where(alive, beside, 0)
    return jnp.diag(diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1)


class Krylov(eqx.Module):
    """A Lanczos iteration that can be looked at and then taken further, which matfree's cannot.

    Attributes:
        basis: orthonormal rows `[most + 1, n]`; zero where the iteration has not been, or broke down.
        diagonal, beside: of the tridiagonal matrix `[most]`.
        steps: products so far.
    """

    basis: Float[Array, "most+1 n"]
    diagonal: Float[Array, " most"]
    beside: Float[Array, " most"]
    steps: Int[Array, ""]

    @classmethod
    def start(cls, vector: Float[Array, " n"], most: int) -> "Krylov":
        """Before the first product.

        Args:
            vector: to start from `[n]`, not zero.
            most: products at most.
        """
        basis = jnp.zeros((most + 1, vector.shape[0]), vector.dtype).at[0].set(vector / jnp.linalg.norm(vector))
        empty = jnp.zeros(most, vector.dtype)
        return cls(basis, empty, empty, jnp.zeros((), jnp.int32))

    def extended(self, matvec: Matvec, first: int, last: int) -> "Krylov":
        """With the products from `first` to `last` done as well, each new vector made orthogonal to all before it."""
        negligible = jnp.sqrt(jnp.finfo(self.basis.dtype).eps)

        def further(j: Array, carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            basis, diagonal, beside, largest = carry
            vector = matvec(basis[j])
            entry = jnp.vdot(basis[j], vector)
            for _ in range(2):
                vector = vector - basis[:last].T @ (basis[:last] @ vector)
            size = jnp.linalg.norm(vector)
            largest = jnp.maximum(largest, jnp.abs(entry))
            # An invariant subspace: what is left is rounding, and the vectors from here on stay zero.
            goes_on = size > negligible * largest
            basis = basis.at[j + 1].set(jnp.where(goes_on, vector / size, 0))
            return basis, diagonal.at[j].set(entry), beside.at[j].set(jnp.where(goes_on, size, 0)), largest

        carry = self.basis, self.diagonal, self.beside, jnp.max(jnp.abs(self.diagonal))
        basis, diagonal, beside, _ = jax.lax.fori_loop(first, last, further, carry)
        return Krylov(basis, diagonal, beside, jnp.asarray(last, jnp.int32))

    @property
    def recurrence(self) -> Recurrence:
        """The tridiagonal matrix so far."""
        return Recurrence.of(self.diagonal, self.beside, self.steps)

    def ritz(self, size: int) -> tuple[Float[Array, " size"], Float[Array, " size"]]:
        """Ritz values after `size` products, ascending, and the norms of their residuals.

        Some eigenvalue lies within the residual's norm of each. Behind a breakdown stand repetitions of the first
        diagonal entry, which lies inside the spectrum, with an infinite residual.
        """
        alive = jnp.concatenate([jnp.ones(1, bool), self.beside[: size - 1] > 0])
        alive = jnp.cumprod(alive).astype(bool)
        diagonal = jnp.where(alive, self.diagonal[:size], self.diagonal[0])
        beside = jnp.where(alive[1:], self.beside[: size - 1], 0)
        values, vectors = jnp.linalg.eigh(jnp.diag(diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1))
        inside = jnp.sum(vectors**2 * alive[:, None], axis=0) > 0.5
        residuals = jnp.abs(self.beside[size - 1] * vectors[-1])
        return values, jnp.where(inside, residuals, jnp.inf)
