"""Sparsification: entries left out of a system, and the record of the effect."""

import dataclasses

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool

from .._core.records import System

_ENTRIES_AT_ONCE = 2**18


def sparsified(system: System, mask: Bool[Array, "n n"], *, symmetric: bool, pinched: bool = False) -> System:
    """The system with the entries outside of `mask` set to zero.

    Args:
        system: formed.
        mask: what stays. Entries that are not finite stay in any case, for the step to find them.
        symmetric: whether the result is.
        pinched: whether `mask` is block-diagonal in some order, so that no eigenvalue leaves the old spectrum's range.
    """
    before = system.matrix
    # In units of the largest entry, since squares of entries leave the floating-point range long before the entries do.
    largest = jnp.max(jnp.abs(before))
    unit = jnp.where(largest > 0, largest, 1)
    # Any positive weights bound what a symmetric removal does; these forgive bad scaling.
    diagonal = jnp.diagonal(before)
    weights = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))

    def of_row(row: tuple[Array, Array]) -> tuple[Array, ...]:
        entries, stays = row
        after = jnp.where(stays | ~jnp.isfinite(entries), entries, 0)
        gone = entries - after
        squares = jnp.sum((gone / unit) ** 2), jnp.sum((entries / unit) ** 2)
        return after, *squares, jnp.count_nonzero(after), jnp.count_nonzero(entries), jnp.abs(gone) @ (1 / weights)

    # A few rows at a time, a large matrix is read once and not once per number; a small one needs no loop.
    n = before.shape[0]
    if n**2 <= _ENTRIES_AT_ONCE:
        found = jax.vmap(of_row)((before, mask))
    else:
        found = jax.lax.map(of_row, (before, mask), batch_size=max(1, _ENTRIES_AT_ONCE // n))
    after, removed, total, *counts, dropped = found
    removed, total = jnp.sqrt(jnp.sum(removed)), jnp.sqrt(jnp.sum(total))
    stayed, entries = (jnp.sum(count.astype(before.dtype)) for count in counts)
    # A zero matrix loses nothing: 0 / 0 must read as "all kept, nothing removed".
    kept = jnp.where(entries > 0, stayed / jnp.maximum(entries, 1), 1)
    return dataclasses.replace(
        system,
        operator=lx.MatrixLinearOperator(after, lx.symmetric_tag if symmetric else ()),
        symmetric=symmetric,
        eigenvalue_floor=system.eigenvalue_floor if pinched else None,
        kept_fraction=system.kept_fraction * kept,
        perturbation=system.perturbation + removed / jnp.where(total > 0, total, 1),
        exact=system.unrepaired,
        dropped=weights * dropped + (0 if system.dropped is None else system.dropped) if symmetric else None,
    )
