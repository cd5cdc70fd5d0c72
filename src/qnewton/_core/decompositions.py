"""Decompositions of matrices that may not be finite, for which LAPACK would print messages to standard error."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact


class SVD(NamedTuple):
    """Singular value decomposition `left diag(values) right`."""

    left: Inexact[Array, "m k"]
    values: Float[Array, " k"]
    right: Inexact[Array, "k n"]


def svd(matrix: Inexact[Array, "m n"], sound: Bool[Array, ""] | None = None) -> SVD:
    """Return the reduced singular value decomposition; NaN for a matrix that is not finite.

    Args:
        matrix: to be decomposed.
        sound: for a matrix that is finite whatever it says: False makes NaN of the results. None looks at every entry.
    """
    if sound is None:
        sound = _is_finite(matrix)
        matrix = jnp.where(sound, matrix, 1)
    # Of the transpose, whose columns, as LAPACK wants them, are the rows that lie in memory: nothing is copied.
    right, values, left = jnp.linalg.svd(matrix.T, full_matrices=False)
    return jax.tree.map(lambda part: jnp.where(sound, part, jnp.nan), SVD(left.T, values, right.T))


def singular_values(matrix: Inexact[Array, "m n"]) -> Float[Array, " k"]:
    """Return the singular values, descending; NaN for a matrix that is not finite."""
    sound = _is_finite(matrix)
    return jnp.where(sound, jnp.linalg.svd(jnp.where(sound, matrix, 1), compute_uv=False), jnp.nan)


def _is_finite(matrix: Inexact[Array, "m n"]) -> Bool[Array, ""]:
    return jnp.all(jnp.isfinite(matrix))
