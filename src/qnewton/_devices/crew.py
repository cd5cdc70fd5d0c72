"""Devices that take one step together: tasks dealt out among them, each done by its owner alone, results exchanged.

All devices run one program. Which task is whose is known before it is traced, so every device has a branch of its own:
it does the tasks that the device owns and lays their results into one array for each number type, which are then
gathered. A task is compiled once and executed once.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend import core as jex
from jax.sharding import AbstractMesh, Mesh, PartitionSpec
from jaxtyping import Array, PyTree

from .mapped import mapped_by_mesh, tracked

EVERYONE = -1
"""The owner of a task that every device does."""

Task = tuple[Callable[..., PyTree], tuple[PyTree, ...]]


@dataclass(frozen=True)
class Crew:
    """Devices that take a step together.

    Attributes:
        names: of the axes along which they lie.
        count: how many they are.
        mesh: that their arrays lie on; None inside of mapped axes, where each device runs the step itself.
    """

    names: tuple[str, ...]
    count: int
    mesh: Mesh | AbstractMesh | None

    @classmethod
    def along(cls, names: tuple[str, ...]) -> "Crew | None":
        """Return the devices along mapped axes, seen from inside; None if there is one, or only a `vmap`'s axis."""
        count = math.prod(jax.lax.axis_size(name) for name in names)
        return cls(names, count, None) if count > 1 and set(names) <= set(mapped_by_mesh()) else None

    @property
    def place(self) -> Array:
        """Which of the devices this one is; only where each runs the step itself."""
        return jax.lax.axis_index(self.names)

    def run(self, body: Callable[..., PyTree], *given: PyTree) -> PyTree:
        """What a function returns that every device calls itself, on copies of what it is given."""
        if self.mesh is None:
            return body(*given)
        alike = PartitionSpec()
        return jax.shard_map(body, mesh=self.mesh, in_specs=alike, out_specs=alike, check_vma=False)(*given)

    def gathered(self, part: Array) -> Array:
        """Every device's array, along a new leading axis, the same on all of them."""
        if self.mesh is not None:
            return jax.lax.all_gather(part, self.names)
        found = part[None]
        for name in reversed(self.names):
            to = {"to": "invarying"} if tracked(name) else {}
            found = jax.lax.all_gather(found, name, axis=0, tiled=True, **to)
        return found


_crew: ContextVar[Crew | None] = ContextVar("crew", default=None)


def crew() -> Crew | None:
    """The devices that take the step which is being traced; None where that is one."""
    return _crew.get()


@contextmanager
def with_crew(devices: Crew | None) -> Iterator[None]:
    """Inside, a step is taken by these devices."""
    token = _crew.set(devices)
    try:
        yield
    finally:
        _crew.reset(token)


def dealt(devices: Crew, tasks: Sequence[Task], owners: Sequence[int]) -> list[PyTree]:
    """The results of all tasks on all devices, each made by its owner alone.

    Args:
        devices: that take the step.
        tasks: functions of arrays that return arrays, each with what it is given; each is traced once. Around them
            there are no other arrays that lie on a mesh.
        owners: of each task, a device, or `EVERYONE`.
    """
    shared = [k for k, owner in enumerate(owners) if owner != EVERYONE]
    results = {k: function(*given) for k, (function, given) in enumerate(tasks) if k not in shared}
    if shared:
        structures: list[Any] = []

        def body(arrays: list[PyTree]) -> list[Array]:
            with with_crew(None):
                whole = [eqx.combine(one, rest) for one, rest in zip(arrays, others, strict=True)]
                traced = [_Traced.of(tasks[k][0], given) for k, given in zip(shared, whole, strict=True)]
            structures.extend(one.structure for one in traced)
            return _exchanged(devices, traced, [owners[k] for k in shared])

        arrays, others = zip(*(eqx.partition(tasks[k][1], eqx.is_array) for k in shared), strict=True)
        leaves = iter(devices.run(body, list(arrays)))
        for k, structure in zip(shared, structures, strict=True):
            results[k] = jax.tree.unflatten(structure, [next(leaves) for _ in range(structure.num_leaves)])
    return [results[k] for k in range(len(tasks))]


@dataclass(frozen=True)
class _Traced:
    """A task as a program."""

    program: jex.ClosedJaxpr
    structure: Any

    @classmethod
    def of(cls, function: Callable[..., PyTree], given: Sequence[PyTree]) -> "_Traced":
        program, shapes = jax.make_jaxpr(lambda: function(*given), return_shape=True)()
        return cls(program, jax.tree.structure(shapes))

    def __call__(self) -> list[Array]:
        return jex.jaxpr_as_fun(self.program)()

    @property
    def types(self) -> list[Any]:
        return list(self.program.out_avals)


def _exchanged(devices: Crew, traced: Sequence[_Traced], owners: Sequence[int]) -> list[Array]:
    """The leaves of all tasks, on all devices; where each of them runs."""
    places: list[list[tuple[jnp.dtype, int]]] = []
    ends: dict[tuple[int, jnp.dtype], int] = {}
    for one, owner in zip(traced, owners, strict=True):
        places.append([])
        for leaf in one.types:
            kind = _carried(leaf.dtype)
            start = ends.get((owner, kind), 0)
            places[-1].append((kind, start))
            ends[owner, kind] = start + math.prod(leaf.shape)
    kinds = sorted({kind for _, kind in ends}, key=str)
    lengths = {kind: max(ends.get((d, kind), 0) for d in range(devices.count)) for kind in kinds}

    def branch(device: int) -> Callable[[], tuple[Array, ...]]:
        def run() -> tuple[Array, ...]:
            own: dict[jnp.dtype, list[Array]] = {kind: [] for kind in kinds}
            for one, owner in zip(traced, owners, strict=True):
                for leaf, like in zip(one(), one.types, strict=True) if owner == device else ():
                    kind = _carried(like.dtype)
                    own[kind].append(jnp.ravel(leaf).astype(kind))
            return tuple(_filled_up(own[kind], lengths[kind], kind) for kind in kinds)

        return run

    here = jax.lax.switch(devices.place, [branch(device) for device in range(devices.count)])
    everywhere = {kind: devices.gathered(part) for kind, part in zip(kinds, here, strict=True)}
    return [
        everywhere[kind][owner, start : start + math.prod(leaf.shape)].reshape(leaf.shape).astype(leaf.dtype)
        for one, owner, its in zip(traced, owners, places, strict=True)
        for leaf, (kind, start) in zip(one.types, its, strict=True)
    ]


def _carried(dtype: jnp.dtype) -> jnp.dtype:
    """Return the type in which a result is sent: collectives of some backends have no truth values."""
    return jnp.dtype(jnp.int32) if dtype == jnp.bool_ else jnp.dtype(dtype)


def _filled_up(parts: Sequence[Array], length: int, dtype: jnp.dtype) -> Array:
    size = sum(part.size for part in parts)
    rest = [jnp.zeros(length - size, dtype)] if size < length else []
    return jnp.concatenate([*parts, *rest])
