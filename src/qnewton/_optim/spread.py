"""Placement of batches and parameters on a mesh, with one process or several, and its error messages."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from .._core.kinds import check_kind
from .._curvature.batch import leads
from .._curvature.checks import check_batch
from .._curvature.objective import Batch
from .._devices.meshes import put

_MESH = 'jax.make_mesh((jax.device_count(),), ("data",))'


def shard_batch(batch: Batch, mesh: Mesh, axis_name: str | Sequence[str] = "data", *, local: bool = False) -> Batch:
    """Spread a batch evenly over the devices of a mesh's axis.

    What examples share (scalars, single keys, `qnewton.Shared`) gets a copy on every device.

    Args:
        batch: `(inputs, targets)`, arrays of numpy or jax on this process.
        mesh: of all devices that take part.
        axis_name: of the axis or axes, the outer one first.
        local: with several processes, whether `batch` is this process's part; False: every process has all of it.

    Raises:
        ValueError: for an axis that the mesh does not have, or a number of examples that its devices do not divide.
        TypeError: for anything but a mesh.
    """
    check_batch(batch)
    check_kind(mesh, Mesh, "shard_batch: mesh", _MESH)
    names = (axis_name,) if isinstance(axis_name, str) else tuple(axis_name)
    for name in names:
        if name not in mesh.axis_names:
            raise ValueError(f"shard_batch: the mesh has no axis {name!r}, its axes are {_listed(mesh)}")
    parts, processes = int(np.prod([mesh.shape[name] for name in names])), jax.process_count() if local else 1
    spread, copies = NamedSharding(mesh, PartitionSpec(names)), NamedSharding(mesh, PartitionSpec())

    def placed(leaf: Array | np.ndarray, *, counts: bool) -> Array:
        if not counts:
            return put(leaf, copies)
        count = leaf.shape[0] * processes
        if count % parts:
            raise ValueError(
                f"shard_batch: {count} examples do not divide among the {parts} devices along {axis_name!r}: take "
                f"{max(count // parts, 1) * parts}, or fill up with examples of weight 0 (a loss of (values, weights))"
            )
        return jax.make_array_from_process_local_data(spread, np.asarray(leaf)) if local else put(leaf, spread)

    leaves, structure = jax.tree.flatten(batch)
    counting = [*leads(batch[0]), *leads(batch[1])]
    return jax.tree.unflatten(structure, [placed(leaf, counts=c) for leaf, c in zip(leaves, counting, strict=True)])


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Put a copy of every array on every device of a mesh; all processes have the same ones.

    Args:
        tree: of arrays of numpy or jax, such as parameters.
        mesh: of all devices that take part.

    Raises:
        TypeError: for anything but a mesh.
    """
    check_kind(mesh, Mesh, "replicate: mesh", _MESH)
    return jax.tree.map(lambda leaf: put(leaf, NamedSharding(mesh, PartitionSpec())), tree)


def _listed(mesh: Mesh) -> str:
    return ", ".join(map(repr, mesh.axis_names))
