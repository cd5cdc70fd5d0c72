"""A batch that all replicas of a mapped axis hold whole, worked on in pieces: each takes its part, sums are reduced.

Whoever knows nothing of this computes on the whole batch, and is right: the same on every replica. What takes long
asks for `pieces_of` its examples, works on its own ones in `piece`, and reduces what it found. Nothing is
differentiated across a reduction: where `shard_map` does not keep book of what varies, that would be wrong.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Pieces:
    """The replicas among which the examples of a batch are divided.

    Attributes:
        names: of the mapped axes along which they lie.
        count: how many they are.
        tracked: whether `shard_map` keeps book of what varies along these axes.
    """

    names: tuple[str, ...]
    count: int
    tracked: bool

    def own(self, tree: Tree) -> Tree:
        """This replica's part of arrays whose leading axis counts the examples."""
        place = jax.lax.axis_index(self.names)

        def part(leaf: Array) -> Array:
            each = leaf.shape[0] // self.count
            return jax.lax.dynamic_slice_in_dim(leaf, place * each, each)

        return jax.tree.map(part, tree)

    def varying(self, tree: Tree) -> Tree:
        """The same numbers, seen as each replica's own: their derivatives then are its examples' alone."""
        if not self.tracked:
            return tree

        def seen(leaf: Any) -> Any:
            if not isinstance(leaf, jax.Array):
                return leaf
            missing = tuple(name for name in self.names if name not in jax.typeof(leaf).manual_axis_type.varying)
            return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

        return jax.tree.map(seen, tree)

    def total(self, tree: Tree) -> Tree:
        """Sums over all replicas, the same on each of them."""
        return jax.tree.map(lambda leaf: jax.lax.psum(leaf, self.names), self.varying(tree))

    def largest(self, tree: Tree) -> Tree:
        """Largest entries over all replicas; NaN where one has it, which a collective may lose."""

        def of_all(leaf: Array) -> Array:
            lost = jnp.isnan(leaf)
            most = jax.lax.pmax(jnp.where(lost, -jnp.inf, leaf), self.names)
            return jnp.where(jax.lax.psum(lost.astype(jnp.int32), self.names) > 0, jnp.nan, most)

        return jax.tree.map(of_all, self.varying(tree))

    def whole(self, tree: Tree) -> Tree:
        """All examples' results, from those of each replica's own."""

        def joined(leaf: Array) -> Array:
            for name in reversed(self.names):
                to = {"to": "invarying"} if self.tracked else {}
                leaf = jax.lax.all_gather(leaf, name, axis=0, tiled=True, **to)
            return leaf

        return jax.tree.map(joined, self.varying(tree))


_divided: ContextVar[Pieces | None] = ContextVar("divided", default=None)
"""Among whom examples may be divided, and are not yet."""
_within: ContextVar[Pieces | None] = ContextVar("within", default=None)
"""In whose piece the program is that is being traced."""


@contextmanager
def dividing(pieces: Pieces | None) -> Iterator[None]:
    """Inside, examples may be divided so; with None they are not, whatever stands around."""
    token = _divided.set(pieces)
    try:
        yield
    finally:
        _divided.reset(token)


def pieces_of(count: int) -> Pieces | None:
    """Return the replicas that may share a batch of so many examples; None if it is not divided."""
    pieces = _divided.get()
    return None if pieces is None or count % pieces.count else pieces


@contextmanager
def piece(pieces: Pieces) -> Iterator[None]:
    """Inside, the examples at hand are one replica's."""
    token = _within.set(pieces)
    try:
        with dividing(None):
            yield
    finally:
        _within.reset(token)


def in_piece(pieces: Pieces, function: Callable[..., PyTree], *given: PyTree) -> PyTree:
    """What a function finds on one replica's examples.

    Args:
        pieces: the replicas.
        function: of the arrays, which are this replica's own in it.
        given: arrays that are the same on all replicas.
    """
    with piece(pieces):
        return function(*pieces.varying(given))


def over_all(tree: Tree) -> Tree:
    """Sums over the examples at hand as those over all examples."""
    pieces = _within.get()
    return tree if pieces is None else pieces.total(tree)


def largest_of_all(tree: Tree) -> Tree:
    """Largest entries over the examples at hand as those over all examples."""
    pieces = _within.get()
    return tree if pieces is None else pieces.largest(tree)


def all_examples(count: int) -> int:
    """How many examples there are, of which so many are at hand."""
    pieces = _within.get()
    return count if pieces is None else count * pieces.count


def at_hand(make: Callable[[int], Array], count: int, axis: int) -> Array:
    """Return the part that belongs to the examples at hand of an array made for all examples along an axis.

    Args:
        make: of the number of examples; the same on all replicas.
        count: examples at hand.
        axis: that counts them.
    """
    pieces = _within.get()
    if pieces is None:
        return make(count)
    whole = make(count * pieces.count)
    return jnp.moveaxis(pieces.own(jnp.moveaxis(whole, axis, 0)), 0, axis)


def as_own(tree: Tree) -> Tree:
    """New arrays, with which the examples at hand are worked on: to be differentiated by, or carried through a loop."""
    pieces = _within.get()
    return tree if pieces is None else pieces.varying(tree)
