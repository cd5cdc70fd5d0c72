"""Sparsification by magnitude."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float

from ..core.records import System
from .base import AbstractConditioner


class Prune(AbstractConditioner):
    """Keep the largest entries of every row, made symmetric: Q-Newton's pruning as its text has it (arXiv 2405.00252).

    An entry stays if it is among the `ceil(keep n)` largest magnitudes of its row or of its column, so `(i, j)` and
    `(j, i)` stay or go together; the diagonal always stays. A row can end with more than `ceil(keep n)` entries; the
    estimate's `degree` counts them. Definiteness does not survive pruning, so the eigenvalue floor is dropped.

    Attributes:
        keep: ratio in (0, 1]; 1 leaves the matrix as it is.
    """

    keep: float = eqx.field(static=True, converter=float)

    def __check_init__(self):
        _check_keep(self.keep)

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Set the small entries to zero; `scale` is not used."""
        if self.keep == 1:
            return system
        system = system.formed()
        mask = _largest_per_row(system.matrix, self.keep)
        return _pruned(system, mask | mask.T | jnp.eye(mask.shape[0], dtype=bool), symmetric=system.symmetric)


class PruneRows(AbstractConditioner):
    """Keep the largest entries of every row, unsymmetric: Q-Newton's pruning as its published code has it.

    For the preset `paper-code`. The result is not symmetric, so only solvers for general matrices can take it.

    Attributes:
        keep: ratio in (0, 1]; 1 leaves the matrix as it is.
    """

    keep: float = eqx.field(static=True, converter=float)

    def __check_init__(self):
        _check_keep(self.keep)

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Set the small entries of each row to zero; `scale` is not used."""
        if self.keep == 1:
            return system
        system = system.formed()
        return _pruned(system, _largest_per_row(system.matrix, self.keep), symmetric=False)


def _check_keep(keep: float) -> None:
    if not 0 < keep <= 1:
        raise ValueError(
            f"keep ratio is {keep}: it must lie in (0, 1], the fraction of each row's entries that stay "
            "(1 keeps all; plain pruning can destroy definiteness)"
        )


def _largest_per_row(matrix: Float[Array, "n n"], keep: float) -> Bool[Array, "n n"]:
    n = matrix.shape[0]
    # Without the margin 0.07 * 100 = 7.000000000000001 would keep 8 entries.
    count = math.ceil(keep * n * (1 - 1e-12))
    _, columns = jax.lax.top_k(jnp.abs(matrix), count)
    return jnp.zeros((n, n), bool).at[jnp.arange(n)[:, None], columns].set(True)


def _pruned(system: System, mask: Bool[Array, "n n"], *, symmetric: bool) -> System:
    before = system.matrix
    after = jnp.where(mask, before, 0)
    dtype = before.dtype
    # In units of the largest entry, since squares of entries leave the floating-point range long before the entries do.
    largest = jnp.max(jnp.abs(before))
    unit = jnp.where(largest > 0, largest, 1)
    removed, total = jnp.linalg.norm((before - after) / unit), jnp.linalg.norm(before / unit)
    # A zero matrix loses nothing: 0 / 0 must read as "all kept, nothing removed".
    entries = jnp.maximum(jnp.count_nonzero(before), 1)
    kept = jnp.where(jnp.any(before != 0), jnp.count_nonzero(after) / entries, 1)
    return System(
        operator=lx.MatrixLinearOperator(after, lx.symmetric_tag if symmetric else ()),
        symmetric=symmetric,
        eigenvalue_floor=None,
        damping=system.damping,
        kept_fraction=system.kept_fraction * kept.astype(dtype),
        perturbation=system.perturbation + removed / jnp.where(total > 0, total, 1),
    )
