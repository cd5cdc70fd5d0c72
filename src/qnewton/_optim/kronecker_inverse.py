"""Damped inverses of Kronecker factors, formed once and applied as matrix products."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._core.layout import Layout
from .._core.operators import KroneckerFactors
from .._core.status import Status
from .._core.traces import trace


class KroneckerInverse(eqx.Module):
    """`(A_u + pi_u r I)^-1 kron (G_u + r / pi_u I)^-1` per layer with `r = sqrt(damping)`; else `1 / (d + damping)`.

    Attributes:
        inputs: inverses `[i, i]`.
        outputs: inverses `[a, a]`.
        rest: reciprocals of the damped diagonal.
        status: a `Status` per layer, and one for the rest; a part that is not `OK` stands for the identity.
    """

    inputs: tuple[Float[Array, "i i"], ...]
    outputs: tuple[Float[Array, "a a"], ...]
    rest: Float[Array, " rest"]
    status: Int[Array, " blocks"]

    @classmethod
    def of(cls, factors: KroneckerFactors, damping: Float[Array, ""]) -> "KroneckerInverse":
        """Invert by Cholesky factorisation, the damping split by `pi` (Martens and Grosse 2015, section 6.3).

        Args:
            factors: what is inverted.
            damping: added to the curvature, positive.
        """
        root = jnp.sqrt(damping)
        shares = [split(a, g) for a, g in zip(factors.inputs, factors.outputs, strict=True)]
        count = len(shares)
        inverses = _inverses(
            [*factors.inputs, *factors.outputs], [share * root for share in shares] + [root / share for share in shares]
        )
        status, parts = [], []
        for a, g, left, right in zip(factors.inputs, factors.outputs, inverses[:count], inverses[count:], strict=True):
            # A factor with NaN or infinity anywhere has it on the diagonal, too, as an inverse has, both being sums of
            # squares there; a failed factorisation is all NaN.
            given = jnp.isfinite(trace(a)) & jnp.isfinite(trace(g))
            solved = jnp.isfinite(trace(left)) & jnp.isfinite(trace(right))
            status.append(jnp.where(given, jnp.where(solved, Status.OK, Status.NOT_SOLVED), Status.NOT_FINITE))
            parts.append([jnp.where(solved, m, jnp.eye(m.shape[0], dtype=m.dtype)) for m in (left, right)])
        inputs, outputs = zip(*parts, strict=True) if parts else ((), ())
        finite = jnp.all(jnp.isfinite(factors.rest))
        rest = jnp.where(finite, 1 / (jnp.maximum(factors.rest, 0) + damping), 1)
        status.append(jnp.where(finite, Status.OK, Status.NOT_FINITE))
        return cls(inputs, outputs, rest, jnp.stack(status).astype(jnp.int32))

    @classmethod
    def blank(cls, factors: KroneckerFactors) -> "KroneckerInverse":
        """Zeros in the shapes of `of(factors, ...)`."""
        zeros = jax.tree.map(jnp.zeros_like, (factors.inputs, factors.outputs, factors.rest))
        return cls(zeros[0], zeros[1], zeros[2], jnp.zeros(len(factors.inputs) + 1, jnp.int32))

    def apply(self, layout: Layout, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        """The inverse times a raveled vector: two matrix products per layer."""
        matrices, rest = layout.split(vector)
        # The block maps V to A V G, so its inverse maps V to A^-1 V G^-1.
        solved = [a @ v @ g for a, v, g in zip(self.inputs, matrices, self.outputs, strict=True)]
        return layout.merge(solved, self.rest * rest)


def split(a: Float[Array, "i i"], g: Float[Array, "a a"]) -> Float[Array, ""]:
    """`pi = sqrt((tr A / dim A) / (tr G / dim G))`, 1 where there is no trace to compare."""
    ratio = (trace(a) / a.shape[0]) / (trace(g) / g.shape[0])
    usable = (ratio > 0) & jnp.isfinite(ratio)
    return jnp.sqrt(jnp.where(usable, ratio, 1))


def _inverses(matrices: Sequence[Float[Array, "i i"]], shifts: Sequence[Float[Array, ""]]) -> list[Float[Array, "i i"]]:
    """Inverses of the shifted matrices; NaN where one is not positive definite."""
    # Matrices of one size go through one loop: half as much to compile for a network of similar layers. Not as one
    # batch, see `_curvature.roots.factors`.
    sizes = [matrix.shape[0] for matrix in matrices]
    found: dict[int, Array] = {}
    for size in sorted(set(sizes)):
        members = [k for k, other in enumerate(sizes) if other == size]
        eye = jnp.eye(size, dtype=matrices[0].dtype)

        def invert(shifted: Float[Array, "i i"], eye: Float[Array, "i i"] = eye) -> Float[Array, "i i"]:
            # Symmetric by construction. Not `cho_solve` with the identity: one triangular solve and a product are less.
            factor = jax.lax.linalg.cholesky(shifted, symmetrize_input=False)
            root = jax.lax.linalg.triangular_solve(factor, eye, left_side=True, lower=True)
            return root.T @ root

        inverse = jax.lax.map(invert, jnp.stack([matrices[k] + shifts[k] * eye for k in members]))
        found.update(zip(members, inverse, strict=True))
    return [found[k] for k in range(len(matrices))]
