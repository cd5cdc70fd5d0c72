"""Sparsification by magnitude: the paper's largest entries per row, and a threshold."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.kinds import check_scalars, plain
from .._core.records import System
from .base import AbstractConditioner
from .guarantee import Conditioning, Definiteness, Guarantee
from .sparsify import sparsified

_ROWS_AT_ONCE = 8
# Halvings that a row's threshold takes: it ends with the digits that tell its entries apart.
_BISECTION = 24
_PRUNED = Guarantee(
    "at most the largest sum of what left a row, in the 2-norm (Gershgorin)",
    Definiteness.LOST,
    Conditioning.UNKNOWN,
    "no eigenvalue moves further than the perturbation (Weyl): definite where that is below the smallest eigenvalue, "
    "which below a keep ratio of about a half it was not on any trained block that we measured",
)


class Prune(AbstractConditioner):
    """Pruning that keeps the largest entries of every row, made symmetric.

    This is Q-Newton's pruning as its text has it (arXiv 2405.00252).

    An entry stays if it is among the `ceil(keep n)` largest magnitudes of its row or of its column, so `(i, j)` and
    `(j, i)` stay or go together; the diagonal always stays. A row can end with more than `ceil(keep n)` entries; the
    estimate's `degree` counts them. Definiteness does not survive pruning, so the eigenvalue floor is dropped.

    Attributes:
        keep: ratio in (0, 1]; 1 leaves the matrix as it is.
    """

    keep: float = eqx.field(static=True, converter=plain)
    turns: ClassVar[int] = _BISECTION

    def __check_init__(self):
        check_scalars(self)
        _check_keep(self.keep)

    @property
    def guarantee(self) -> Guarantee:
        return _PRUNED

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Set the small entries to zero; `scale` is not used."""
        if self.keep == 1:
            return system
        system = system.formed()
        mask = _largest_per_row(system.matrix, self.keep)
        return sparsified(system, mask | mask.T | jnp.eye(mask.shape[0], dtype=bool), symmetric=system.symmetric)


class PruneRows(AbstractConditioner):
    """Keep the largest entries of every row, unsymmetric: Q-Newton's pruning as its published code has it.

    For the preset `paper-code`. The result is not symmetric, so only solvers for general matrices can take it.

    Attributes:
        keep: ratio in (0, 1]; 1 leaves the matrix as it is.
    """

    keep: float = eqx.field(static=True, converter=plain)
    turns: ClassVar[int] = _BISECTION

    def __check_init__(self):
        check_scalars(self)
        _check_keep(self.keep)

    @property
    def guarantee(self) -> Guarantee:
        return _PRUNED

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Set the small entries of each row to zero; `scale` is not used."""
        if self.keep == 1:
            return system
        system = system.formed()
        return sparsified(system, _largest_per_row(system.matrix, self.keep), symmetric=False)


class Threshold(AbstractConditioner):
    """Keep the entries with `|a_ij| >= tau sqrt(|a_ii a_jj|)`, and the diagonal.

    Does not depend on how parameters are scaled; after `ScaleDiagonal` or `WhitenOutputs` it is a plain threshold.

    Attributes:
        tau: in [0, 1); 0 leaves the matrix as it is. Off the diagonal of a definite matrix every ratio is below 1.
    """

    tau: float = eqx.field(static=True, converter=plain)

    def __check_init__(self):
        check_scalars(self)
        if not 0 <= self.tau < 1:
            raise ValueError(
                f"tau is {self.tau}: it must lie in [0, 1), the least |a_ij| / sqrt(a_ii a_jj) of an entry that stays"
            )

    @property
    def guarantee(self) -> Guarantee:
        return _PRUNED

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Set the small entries to zero; `scale` is not used."""
        if self.tau == 0:
            return system
        system = system.formed()
        roots = jnp.sqrt(jnp.abs(jnp.diagonal(system.matrix)))
        mask = jnp.abs(system.matrix) >= self.tau * roots[:, None] * roots
        return sparsified(system, mask | jnp.eye(roots.size, dtype=bool), symmetric=system.symmetric)


def _check_keep(keep: float) -> None:
    if not 0 < keep <= 1:
        raise ValueError(
            f"keep ratio is {keep}: it must lie in (0, 1], the fraction of each row's entries that stay "
            "(1 keeps all; plain pruning can destroy definiteness)"
        )


def _largest_per_row(matrix: Float[Array, "n n"], keep: float) -> Bool[Array, "n n"]:
    """Return the mask of the `ceil(keep n)` largest magnitudes of each row; of equal ones, the first.

    `jax.lax.top_k` sorts. This function instead finds the threshold by bisection over the bits of the magnitudes, which
    order as integers do. It reads a row from the cache until as many entries as requested lie above, and is ten times
    as fast.
    """
    n = matrix.shape[0]
    # Without the margin 0.07 * 100 = 7.000000000000001 would keep 8 entries.
    count = math.ceil(keep * n * (1 - 1e-12))
    integer = jnp.int64 if matrix.dtype == jnp.float64 else jnp.int32
    magnitudes = jnp.abs(matrix if matrix.dtype == jnp.float64 else matrix.astype(jnp.float32))
    columns = jnp.arange(n, dtype=jnp.int32)

    def is_open(ends: tuple[Array, Array]) -> Bool[Array, ""]:
        return ends[0] < ends[1]

    def of_row(row: Float[Array, " n"]) -> Bool[Array, " n"]:
        order = jax.lax.bitcast_convert_type(row, integer)

        def raise_threshold(ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            # Not (low + high + 1) // 2, which leaves the range of integers.
            middle = high - (high - low) // 2
            above = jnp.sum(order >= middle, dtype=jnp.int32)
            return jnp.where(above >= count, middle, low), jnp.where(
                above > count, high, jnp.where(above == count, middle, middle - 1)
            )

        threshold, _ = jax.lax.while_loop(is_open, raise_threshold, (jnp.zeros((), integer), jnp.max(order)))
        above, ties = order > threshold, order == threshold
        room = count - jnp.sum(above, dtype=jnp.int32)

        def lower_end(ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = (low + high) // 2
            enough = jnp.sum(ties & (columns < middle), dtype=jnp.int32) >= room
            return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

        # All of the ties stay, as a rule, and then there is nothing to look for.
        first = jnp.where(jnp.sum(ties, dtype=jnp.int32) > room, 0, n).astype(jnp.int32)
        end, _ = jax.lax.while_loop(is_open, lower_end, (first, jnp.int32(n)))
        return above | (ties & (columns < end))

    return jax.lax.map(of_row, magnitudes, batch_size=_ROWS_AT_ONCE)
