"""Sparsification into few neighbours per parameter: greedy matchings, cliques, and one block per output.

Both greedy methods take the heaviest entries first. They run in rounds over the whole matrix, in each of which every
entry that is the heaviest still possible in its row and in its column is taken; the outcome is that of the sequential
method (Preis 1999; Khan et al. 2016 for several neighbours), without a sort of n^2 entries, and in jax.
"""

import dataclasses
import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.kinds import check_scalars, plain
from .._core.records import System
from .base import AbstractConditioner
from .guarantee import Conditioning, Definiteness, Guarantee
from .sparsify import sparsified

_PINCHED = Guarantee(
    "at most the largest sum of what left a row, in the 2-norm (Gershgorin)",
    Definiteness.KEPT,
    Conditioning.NOT_RAISED,
    "what is kept is block-diagonal in some order, so all eigenvalues stay between the old extremes (pinching: Bhatia "
    "1997, section II.5)",
)


class Matching(AbstractConditioner):
    """Keep the diagonal and the heaviest entries that leave no row more than `degree` nonzeros, diagonal included.

    Heaviest by `|a_ij| / sqrt(|a_ii a_jj|)`, as in `Threshold`. With degree 2 no two kept entries share a row: every
    parameter has at most one partner, the matrix falls into blocks of two, and stays definite. Above 2 it need not.

    Attributes:
        degree: at least 1; 1 keeps the diagonal alone.
    """

    degree: int = eqx.field(static=True, converter=plain, default=2)

    def __check_init__(self):
        check_scalars(self)
        _check_size("degree", self.degree)

    @property
    def guarantee(self) -> Guarantee:
        if self.degree <= 2:
            return _PINCHED
        return dataclasses.replace(
            _PINCHED,
            definiteness=Definiteness.LOST,
            condition_number=Conditioning.UNKNOWN,
            statement="no eigenvalue moves further than the perturbation (Weyl)",
        )

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Set the entries outside of the matching to zero; `scale` is not used."""
        system = system.formed()
        mask = greedy_matching(_weights(system), self.degree - 1)
        mask = mask | jnp.eye(mask.shape[0], dtype=bool)
        return sparsified(system, mask, symmetric=system.symmetric, pinched=self.degree <= 2)


class Cliques(AbstractConditioner):
    """Keep disjoint blocks of at most `size` parameters, joined heaviest entry first (Kruskal 1956, with a cap).

    Heaviest by `|a_ij| / sqrt(|a_ii a_jj|)`, as in `Threshold`.

    Attributes:
        size: at least 1; 1 keeps the diagonal alone.
    """

    size: int = eqx.field(static=True, converter=plain, default=4)

    def __check_init__(self):
        check_scalars(self)
        _check_size("size", self.size)

    @property
    def guarantee(self) -> Guarantee:
        return _PINCHED

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Set the entries between blocks to zero; `scale` is not used."""
        system = system.formed()
        label = greedy_cliques(_weights(system), self.size)
        return sparsified(system, label[:, None] == label, symmetric=system.symmetric, pinched=True)


class OutputBlocks(AbstractConditioner):
    """Keep, of every layer, the blocks of inputs by inputs that belong to one output.

    In the standard basis that is one block per neuron. Parameters outside of layers keep their diagonal, as do all of a
    block without recognised layers.
    """

    @property
    def guarantee(self) -> Guarantee:
        return _PINCHED

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Set the entries between outputs to zero; `scale` is not used."""
        system = system.formed()
        n = system.operator.in_size()
        label = jnp.arange(n)
        if system.layout is not None:
            matrices, rest, first = [], system.layout.split(label)[1], n
            for inputs, outputs in system.layout.shapes:
                matrices.append(jnp.broadcast_to(first + jnp.arange(outputs), (inputs, outputs)))
                first += outputs
            label = system.layout.merge(matrices, rest)
        return sparsified(system, label[:, None] == label, symmetric=system.symmetric, pinched=True)


@functools.partial(jax.jit, static_argnames="partners")
def greedy_matching(weights: Float[Array, "n n"], partners: int) -> Bool[Array, "n n"]:
    """The entries of a greedy matching with at most `partners` per row; symmetric.

    Args:
        weights: symmetric, positive where an entry may be taken, else 0 or less.
        partners: 0 takes none.
    """
    n = weights.shape[0]
    row = jnp.arange(n)

    class Round(NamedTuple):
        taken: Bool[Array, "n n"]
        room: Int[Array, " n"]
        changed: Bool[Array, ""]

    def advance(state: Round) -> Round:
        open_ = (state.room > 0)[:, None] & (state.room > 0) & ~state.taken
        best = jnp.argmax(jnp.where(open_, weights, 0), axis=1)
        # Among equals the first of each row: the least parameter that has such an entry finds its choice returned.
        mutual = (best[best] == row) & open_[row, best] & (weights[row, best] > 0)
        taken = state.taken.at[row, best].max(mutual)
        return Round(taken, state.room - mutual, jnp.any(mutual))

    first = Round(jnp.zeros((n, n), bool), jnp.full(n, partners), jnp.asarray(partners > 0))
    return jax.lax.while_loop(lambda state: state.changed, advance, first).taken


@functools.partial(jax.jit, static_argnames="size")
def greedy_cliques(weights: Float[Array, "n n"], size: int) -> Int[Array, " n"]:
    """Return a label per row, equal for the members of a clique.

    Args:
        weights: symmetric, positive where an entry may join two cliques, else 0 or less.
        size: members at most.
    """
    n = weights.shape[0]
    row = jnp.arange(n)

    class Round(NamedTuple):
        weights: Float[Array, "n n"]
        label: Int[Array, " n"]
        members: Int[Array, " n"]
        changed: Bool[Array, ""]

    def advance(state: Round) -> Round:
        alive = state.members > 0
        fits = (state.members[:, None] + state.members <= size) & alive[:, None] & alive
        best = jnp.argmax(jnp.where(fits, state.weights, 0), axis=1)
        joined = (best[best] == row) & fits[row, best] & (state.weights[row, best] > 0)
        # The first of a pair goes on as the clique, with the heavier of both entries to every other.
        partner = jnp.where(joined, best, row)
        heaviest = jnp.maximum(state.weights, state.weights[partner])
        heaviest = jnp.maximum(heaviest, heaviest[:, partner]).at[row, partner].set(0)
        heaviest = heaviest.at[row, row].set(0)
        gone = joined & (partner < row)
        members = jnp.where(gone, 0, jnp.where(joined, state.members + state.members[partner], state.members))
        label = jnp.minimum(row, partner)[state.label]
        return Round(heaviest, label, members, jnp.any(joined))

    weights = weights.at[row, row].set(0)
    first = Round(weights, row, jnp.ones(n, row.dtype), jnp.asarray(size > 1))
    return jax.lax.while_loop(lambda state: state.changed, advance, first).label


def _weights(system: System) -> Float[Array, "n n"]:
    """`|a_ij| / sqrt(|a_ii a_jj|)`, 0 on the diagonal and where it is not a number."""
    matrix = system.matrix
    roots = jnp.sqrt(jnp.abs(jnp.diagonal(matrix)))
    ratio = jnp.abs(matrix) / jnp.where(roots > 0, roots, 1)[:, None] / jnp.where(roots > 0, roots, 1)
    # Entry (i, j) and (j, i) are divided in different orders; the lower triangle speaks for both.
    ratio = jnp.tril(jnp.where(jnp.isfinite(ratio), ratio, 0), -1)
    return ratio + ratio.T


def _check_size(name: str, value: int) -> None:
    if not (isinstance(value, int) and value >= 1):
        raise ValueError(f"{name} is {value}: it must be an integer of at least 1, where 1 keeps the diagonal alone")
