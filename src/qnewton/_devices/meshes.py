"""Arrays spread over a mesh: work on them under automatic axes, and results laid out as the arrays they replace.

JAX types an array over explicit axes by its sharding and refuses an operation whose result's sharding it cannot tell
(Newton steps are full of them: scatters into blocks, products over the batch, factorisations). Over automatic axes the
compiler decides. So whatever a step does is done under automatic axes, and what leaves it gets the shardings of what it
replaces: an update that of its parameter, a number of the state that which it had.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jaxtyping import Array, PyTree

from .._core.closures import closed_over
from .._core.placement import automatic_axes, copies_on, explicit_mesh_of
from .crew import Crew

Leaves = list[Any]
"""Of a pytree: arrays, traced or not, and whatever else stands in it."""


def spread(tree: PyTree) -> bool:
    """Return whether any array lies on a mesh; False if one device holds all."""
    return any(_mesh(leaf) is not None for leaf in jax.tree.leaves(tree))


def crew_on(tree: PyTree) -> Crew | None:
    """The devices of the mesh that arrays lie on, as a step is to see them; None where that is one device.

    Args:
        tree: of arrays, traced or not; over automatic axes, or about to be.
    """
    lying = [leaf for leaf in jax.tree.leaves(tree) if _mesh(leaf) is not None]
    if not lying:
        return None
    mesh = _mesh(lying[0])
    assert mesh is not None
    if mesh.manual_axes or mesh.size == 1:
        return None
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree)):
        axes = dict.fromkeys(mesh.axis_names, AxisType.Auto)
        return Crew(mesh.axis_names, mesh.size, mesh.update_axis_types(axes))
    # Outside of a trace only a mesh of devices tells where to run.
    real = lying[0].sharding.mesh
    return Crew(real.axis_names, real.size, Mesh(real.devices, real.axis_names))


def explicit_mesh(user: str, **trees: PyTree) -> AbstractMesh | None:
    """The mesh with explicit axes that arrays lie on; None where there is none.

    Args:
        user: who asks, for the message.
        trees: pytrees by name.

    Raises:
        ValueError: for arrays on different meshes.
    """
    found: tuple[str, AbstractMesh] | None = None
    for name, tree in trees.items():
        for leaf in jax.tree.leaves(tree):
            mesh = _mesh(leaf)
            if mesh is None or not mesh.explicit_axes:
                continue
            if found is not None and found[1].shape_tuple != mesh.shape_tuple:
                raise ValueError(
                    f"{user} got {found[0]} on a mesh of axes {_axes(found[1])} and {name} on one of {_axes(mesh)}: "
                    "put them on one mesh with jax.device_put"
                )
            found = found or (name, mesh)
    return None if found is None else found[1]


def check_closures(user: str, **functions: object) -> None:
    """Refuse functions that close over arrays on explicit axes, which cannot be brought under automatic ones.

    Args:
        user: who calls them, for the message.
        functions: by name.

    Raises:
        ValueError: names what is closed over, and says what to do.
    """
    for name, function in functions.items():
        for variable, value in closed_over(function):
            if any(explicit_mesh_of(leaf) is not None for leaf in jax.tree.leaves(value)):
                raise ValueError(
                    f"{user}: {name} closes over an array on explicit mesh axes ({variable}): hand it over in the "
                    "inputs as qnewton.Shared(array), or set it aside with qnewton.freeze"
                )


def check_devices(user: str, **trees: PyTree) -> None:
    """Refuse arrays that are committed to different devices; for traced ones jax itself has made sure.

    Args:
        user: who asks, for the message.
        trees: pytrees by name.

    Raises:
        ValueError: names both, and says what to do.
    """
    found: tuple[str, frozenset[int]] | None = None
    for name, tree in trees.items():
        for leaf in jax.tree.leaves(tree):
            if isinstance(leaf, Tracer) or not isinstance(leaf, jax.Array) or not leaf.committed:
                continue
            devices = frozenset(device.id for device in leaf.sharding.device_set)
            if found is not None and found[1] != devices:
                raise ValueError(
                    f"{user} got {found[0]} on {_devices(found[1])} and {name} on {_devices(devices)}: put them on one "
                    "mesh with jax.device_put"
                )
            found = found or (name, devices)


def under_automatic_axes(
    mesh: AbstractMesh, body: Callable[[Leaves], Leaves], leaves: Leaves, replaced: Sequence[Any]
) -> Leaves:
    """Return the results of a function that does not handle explicit axes.

    Args:
        mesh: with explicit axes.
        body: takes the leaves, over automatic axes, and returns others.
        leaves: arrays and whatever else.
        replaced: for each leaf that the body returns, the array whose sharding it gets; one that lies on no mesh gets
            a copy on every device.
    """
    # Outside of a trace arrays are put on a mesh of devices, of which the type of an array says nothing.
    real = [
        leaf.sharding.mesh for leaf in leaves if explicit_mesh_of(leaf) is not None and not isinstance(leaf, Tracer)
    ]
    around = real[0] if real else mesh
    with automatic_axes(leaves) as inner:
        found = body(inner)
    return [_laid(leaf, like, around) for leaf, like in zip(found, replaced, strict=True)]


def laid_alike(found: Sequence[Any], replaced: Sequence[Any]) -> Leaves:
    """Return results of a traced function, sharded by the compiler as the arrays that they replace.

    Otherwise it might lay them out anew, and the next step were compiled once more for its new arguments.
    """
    try:
        from jax.experimental.shard_alike import shard_alike
    except ImportError:  # jax 0.12 has nothing like it
        return list(found)
    return [
        shard_alike(leaf, like)[0] if _traced_alike(leaf, like) else leaf
        for leaf, like in zip(found, replaced, strict=True)
    ]


def put(leaf: Array | np.ndarray, sharding: NamedSharding) -> Array:
    """Return an array in a new layout, also over devices of several processes that all hold the same one.

    `jax.device_put` would have the numbers compared across processes, and NaN is no equal.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        assert isinstance(leaf, jax.Array)
        data = put(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    numbers = np.asarray(leaf)
    return jax.make_array_from_callback(leaf.shape, sharding, lambda part: numbers[part])


def on_mesh_of(params: PyTree, state: PyTree) -> PyTree:
    """Return an initial state where its parameters are: arrays on no mesh are copied to each of their devices.

    Left on one device, the state's arrays would move with the first step, and the second were compiled anew.

    Args:
        params: arrays, traced or not.
        state: of an optimizer.
    """
    lying = [leaf for leaf in jax.tree.leaves(params) if _mesh(leaf) is not None]
    if not lying:
        return state
    like, mesh = lying[0], _mesh(lying[0])
    assert mesh is not None
    if not isinstance(like, Tracer):
        everywhere = like.sharding.mesh
        return jax.tree.map(lambda leaf: leaf if _lies(leaf) else put(leaf, copies_on(everywhere, leaf)), state)
    if not mesh.explicit_axes:
        return state
    return jax.tree.map(lambda leaf: leaf if _lies(leaf) else _laid(leaf, leaf, mesh), state)


def _mesh(leaf: object) -> AbstractMesh | None:
    """Return the mesh of an array; None if one device holds it, or inside of `shard_map` over all of its axes."""
    if not isinstance(leaf, jax.Array):
        return None
    mesh = jax.typeof(leaf).sharding.mesh
    return None if mesh.empty or len(mesh.manual_axes) == len(mesh.axis_names) else mesh


def _lies(leaf: object) -> bool:
    return not isinstance(leaf, jax.Array) or _mesh(leaf) is not None


def _laid(leaf: Any, like: Any, mesh: Mesh | AbstractMesh) -> Any:
    if not isinstance(leaf, jax.Array):
        return leaf
    known = _mesh(like) is not None and leaf.shape == like.shape
    if isinstance(leaf, Tracer):
        laid = NamedSharding(mesh, jax.typeof(like).sharding.spec) if known else copies_on(mesh, leaf)
        return jax.sharding.reshard(leaf, laid)
    if known:
        return jax.device_put(leaf, like.sharding)
    return leaf if _mesh(leaf) is None else jax.device_put(leaf, copies_on(mesh, leaf))


def _traced_alike(leaf: object, like: object) -> bool:
    if not (isinstance(leaf, Tracer) and isinstance(like, Tracer)):
        return False
    one, other = jax.typeof(leaf), jax.typeof(like)
    return (one.shape, one.dtype) == (other.shape, other.dtype)


def _axes(mesh: AbstractMesh) -> str:
    return str(dict(mesh.shape_tuple))


def _devices(devices: frozenset[int]) -> str:
    ids = sorted(devices)
    return f"device {ids[0]}" if len(ids) == 1 else f"devices {ids[0]} to {ids[-1]}"
