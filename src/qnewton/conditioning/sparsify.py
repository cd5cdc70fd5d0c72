"""Leaving entries out of a system, with what that did on record."""

import dataclasses

import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float

from ..core.records import System


def sparsified(system: System, mask: Bool[Array, "n n"], *, symmetric: bool, pinched: bool = False) -> System:
    """The system with the entries outside of `mask` set to zero.

    Args:
        system: formed.
        mask: what stays. Entries that are not finite stay in any case, for the step to find them.
        symmetric: whether the result is.
        pinched: whether `mask` is block-diagonal in some order, so that no eigenvalue leaves the old spectrum's range.
    """
    before = system.matrix
    after = jnp.where(mask | ~jnp.isfinite(before), before, 0)
    # In units of the largest entry, since squares of entries leave the floating-point range long before the entries do.
    largest = jnp.max(jnp.abs(before))
    unit = jnp.where(largest > 0, largest, 1)
    gone = before - after
    removed, total = jnp.linalg.norm(gone / unit), jnp.linalg.norm(before / unit)
    # A zero matrix loses nothing: 0 / 0 must read as "all kept, nothing removed".
    entries = jnp.maximum(jnp.count_nonzero(before), 1)
    kept = jnp.where(jnp.any(before != 0), jnp.count_nonzero(after) / entries, 1)
    return dataclasses.replace(
        system,
        operator=lx.MatrixLinearOperator(after, lx.symmetric_tag if symmetric else ()),
        symmetric=symmetric,
        eigenvalue_floor=system.eigenvalue_floor if pinched else None,
        kept_fraction=system.kept_fraction * kept.astype(before.dtype),
        perturbation=system.perturbation + removed / jnp.where(total > 0, total, 1),
        exact=system.unrepaired,
        dropped=_dropped(before, gone) + (0 if system.dropped is None else system.dropped) if symmetric else None,
    )


def _dropped(before: Float[Array, "n n"], gone: Float[Array, "n n"]) -> Float[Array, " n"]:
    """`sum_j |R_ij| w_i / w_j` with `w = sqrt(diag)`: any positive weights will do, these forgive bad scaling."""
    diagonal = jnp.diagonal(before)
    weights = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
    return weights * (jnp.abs(gone) @ (1 / weights))
