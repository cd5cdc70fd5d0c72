"""Differences of a training by several processes from one alone.

Every process computes the same step, of which each device has its part of the batch. What a step depends on beyond its
arrays (seconds, a checkpoint that is due, an interrupt) is decided by process 0, through the key-value store of jax's
coordination service, which takes half a millisecond.
"""

import itertools
import struct
from pathlib import Path
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from ..._curvature import Batch
from ..._devices.meshes import put
from ..._devices.processes import PATIENCE_SECONDS, several
from .._runfile import Elsewhere, RunDirectory

_PREFIX, _AXIS = "qnewton/lab", "data"
_count = itertools.count()
"""Of what all processes come to in the same order."""
_REMEMBERED = 64
"""Decisions that the store keeps: no process is further behind, since every step needs all of them."""


def first() -> bool:
    """Whether this process writes the run's files and talks: process 0, or one alone."""
    return not several() or jax.process_index() == 0


def directory_at(path: Path) -> RunDirectory:
    """The directory of a run, into which process 0 alone writes."""
    return RunDirectory(path) if first() else Elsewhere(path)


def fetched(tree: PyTree) -> PyTree:
    """All arrays on this host, also those whose parts lie on devices of several processes, which all call this."""
    apart = [
        leaf
        for leaf in jax.tree.leaves(tree)
        if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated)
    ]
    if not apart:
        return jax.device_get(tree)
    from jax.experimental.multihost_utils import process_allgather

    return process_allgather(tree, tiled=True)


def meet() -> None:
    """Wait until every process has come here."""
    if several():
        _store().wait_at_barrier(f"{_PREFIX}/meeting/{next(_count)}", PATIENCE_SECONDS * 1000)


def reading_alone() -> dict[str, Any]:
    """What orbax is told where each process reads by itself, and waits for no other."""
    if not several():
        return {}
    own = jax.process_index()
    return {"primary_host": own, "active_processes": {own}, "barrier_sync_key_prefix": f"alone-{own}"}


class Together:
    """The processes of a training; alone, nothing is done."""

    def __init__(self):
        """Take all devices."""
        self._several, self._asked = several(), False
        if self._several:
            self._asked_key = f"{_PREFIX}/asked/{next(_count)}/"
            mesh = jax.make_mesh((jax.device_count(),), (_AXIS,), axis_types=(AxisType.Auto,))
            self._copies, self._parts = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), (_AXIS,)))

    def everywhere(self, tree: PyTree) -> PyTree:
        """A copy of each array on every device; all processes have the same ones."""
        return jax.tree.map(lambda leaf: put(leaf, self._copies), tree) if self._several else tree

    def placed(self, batch: Batch) -> Batch:
        """A batch that every process has, on devices; each gets its part where they divide the examples."""
        if not self._several:
            return jax.device_put(batch)
        parts = self._parts.mesh.size
        return jax.tree.map(lambda leaf: put(leaf, self._copies if len(leaf) % parts else self._parts), batch)

    def divided(self, batch: Batch) -> Batch:
        """Inside of a step: the devices share the examples; where these do not divide, the last one has fewer."""
        return jax.lax.with_sharding_constraint(batch, self._parts) if self._several else batch

    def laid_as(self, tree: PyTree) -> Any:
        """The `out_shardings` of a step that leaves everything where it was."""
        return jax.tree.map(lambda leaf: leaf.sharding, tree) if self._several else None

    def put_as(self, tree: PyTree, like: PyTree) -> PyTree:
        """Arrays of this host where those of `like` are."""
        if not self._several:
            return jax.tree.map(jax.numpy.asarray, tree)
        return jax.tree.map(_put_as, tree, like)

    def decided(self, *numbers: float) -> tuple[float, ...]:
        """Return the numbers of process 0; alone, the own ones."""
        if not self._several:
            return numbers
        number = next(_count)
        key = f"{_PREFIX}/decision/{number}"
        if first():
            _store().key_value_set_bytes(key, struct.pack(f"{len(numbers)}d", *numbers))
            _store().key_value_delete(f"{_PREFIX}/decision/{number - _REMEMBERED}")
            return numbers
        return struct.unpack(f"{len(numbers)}d", _store().blocking_key_value_get_bytes(key, PATIENCE_SECONDS * 1000))

    def any(self, asked: int) -> int:
        """Return, on process 0, the signal that asked any process to stop, or 0; on others the value has no meaning."""
        if not self._several:
            return asked
        if asked and not self._asked:
            self._asked = True
            _store().key_value_set_bytes(f"{self._asked_key}{jax.process_index()}", bytes([asked]))
        if asked or not first():
            return asked
        return next((said[0] for _, said in _store().key_value_dir_get_bytes(self._asked_key)), 0)


def _put_as(leaf: Any, like: jax.Array) -> jax.Array:
    lies = isinstance(leaf, jax.Array) and leaf.sharding == like.sharding
    return leaf if lies else put(leaf, like.sharding)  # pyright: ignore[reportArgumentType]


def _store() -> Any:
    from jax._src.distributed import global_state  # which has no public name, see `_devices/processes.py`

    return global_state.client
