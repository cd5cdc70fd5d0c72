"""Mapped axes of a step (`shard_map`, `pmap`, `vmap` with a name): the pieces of a batch are gathered."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp

# Nothing else tells that `vmap` has named an axis.
from jax.extend.core import unsafe_get_axis_names_DO_NOT_USE as _names_of_vmap  # pyright: ignore[reportPrivateImportUsage]
from jaxtyping import Array, PyTree

AxisName: TypeAlias = str | Sequence[str] | None
"""Of the mapped axes that a batch is spread over; none of them for replicas that train alone."""

_UNNAMED = "_internal_pmap_axis_name"
"""What jax calls the axis of a `pmap` without a name."""


def checked_axis_name(axis_name: object, user: str) -> tuple[str, ...] | None:
    """The names as a tuple; None where none was given.

    Args:
        axis_name: as given.
        user: whose argument it is, for the message.

    Raises:
        TypeError: for anything but names.
    """
    if axis_name is None:
        return None
    names = (axis_name,) if isinstance(axis_name, str) else axis_name
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{user}: axis_name is {axis_name!r}: give the name of a mapped axis, or a tuple of names")
    return tuple(names)


def check_unmapped(user: str, params: PyTree, batch: PyTree) -> None:
    """Refuse a batch in pieces that are not gathered: every replica would take a step of its own, and drift.

    Replicas whose parameters differ as well train alone, and may. Where `shard_map` does not say what varies
    (`check_vma=False`, `pmap`), or a function was compiled inside of `vmap`, they cannot be told apart.

    Args:
        user: who takes the step, for the message.
        params: its parameters.
        batch: its batch.

    Raises:
        ValueError: says that `axis_name` is missing.
    """
    manual = mapped_by_mesh()
    names: Sequence[str] = [name for name in manual if not tracked(name)]
    names = [*names, *((_varying(batch) - _varying(params)) & set(manual))]
    vmapped = [str(name) for name in _names_of_vmap() if name not in manual and isinstance(name, str)]
    if vmapped and not _batched(params):
        names = [*names, *vmapped]
    if not names:
        return
    if _UNNAMED in names:
        raise ValueError(
            f"{user} is mapped by jax.pmap over an axis without a name, and its replicas would drift apart: name it "
            f"(axis_name='data' of pmap and of {user}), or pass axis_name=() to {user} where each replica trains alone"
        )
    said = f"{names[0]!r}" if len(names) == 1 else f"{tuple(names)!r}"
    raise ValueError(
        f"{user} is mapped over the axis {said} without being told whether its batch is spread over it, and replicas "
        f"would drift apart: pass axis_name={said} to {user}, or axis_name=() where each replica trains alone"
    )


def gathered(names: tuple[str, ...], counts: Sequence[bool], batch: PyTree, key: Array | None, user: str) -> PyTree:
    """The batch of all replicas, the same for each of them.

    Args:
        names: of the mapped axes that it is spread over.
        counts: for each leaf of the batch, whether its leading axis counts examples; what examples share is the same
            on all replicas already.
        batch: this replica's piece.
        key: of the model; the same on all replicas.
        user: who asks, for the message.

    Raises:
        ValueError: for a name that no mapped axis has, or a key or shared array that is seen to differ.
    """
    manual = mapped_by_mesh()
    there = [*manual, *(name for name in _names_of_vmap() if name not in manual)]
    for name in names:
        if name not in there:
            listed = ", ".join(map(repr, there)) or "there are none"
            raise ValueError(
                f"{user} got axis_name={name!r}, which no axis that it is mapped over has ({listed}): run the step in "
                "jax.shard_map over a mesh with that axis, or leave axis_name out"
            )
    leaves, structure = jax.tree.flatten(batch)
    alone = [leaf for leaf, count in zip(leaves, counts, strict=True) if not count]
    if (_varying([key]) | _varying(alone)) & set(names):
        raise ValueError(
            f"{user} got a key or a shared array that differs along the axis {names[0]!r}: it must be the same on all "
            "replicas (do not fold the axis index into it), since they take one step together"
        )
    whole = [_whole(leaf, names, manual) if count else leaf for leaf, count in zip(leaves, counts, strict=True)]
    return jax.tree.unflatten(structure, whole)


def mapped_by_mesh() -> tuple[str, ...]:
    """Axes of `shard_map` and `pmap` around the present trace."""
    return tuple(map(str, jax.sharding.get_abstract_mesh().manual_axes))


def _whole(leaf: Array, names: tuple[str, ...], manual: Iterable[str]) -> Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _whole(jax.random.key_data(leaf), names, manual)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    for name in reversed(names):
        if name not in manual:
            leaf = jax.lax.all_gather(leaf, name, axis=0, tiled=True)
        elif not tracked(name) or name in _varying([leaf]):
            leaf = jax.lax.all_gather(leaf, name, axis=0, tiled=True, to="invarying")
    return leaf


def tracked(name: str) -> bool:
    """Whether `shard_map` keeps book of what varies along an axis."""
    return name in _varying([jax.lax.axis_index(name)])


def _varying(tree: PyTree) -> set[str]:
    """Manual axes along which any array is known to vary."""
    found: set[str] = set()
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array):
            found |= set(jax.typeof(leaf).manual_axis_type.varying)
    return found


def _batched(tree: PyTree) -> bool:
    """Whether any array is seen to have an axis that `vmap` hides."""
    return any(getattr(leaf, "batch_dim", None) is not None for leaf in jax.tree.leaves(tree))
