"""Arrays on a mesh with explicit axes, in code that needs automatic axes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import jax
from jax.core import Tracer
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

Tree = TypeVar("Tree")


def explicit_mesh_of(leaf: object) -> AbstractMesh | None:
    """Return the mesh of an array or a shape whose type names explicit axes; None for anything else."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        mesh = getattr(leaf.sharding, "abstract_mesh", None) or getattr(leaf.sharding, "mesh", None)
        return None if mesh is None or mesh.empty or not mesh.explicit_axes else mesh
    if not isinstance(leaf, jax.Array):
        return None
    mesh = jax.typeof(leaf).sharding.mesh
    return None if mesh.empty or not mesh.explicit_axes else mesh


def in_context(tree: Tree) -> Tree:
    """Return closed-over arrays in the form of the surrounding code: over automatic axes if it is traced under those.

    Args:
        tree: pytree of arrays, traced or not; other leaves are handed back.
    """
    around = jax.sharding.get_abstract_mesh()
    if around.empty or not around.auto_axes:
        return tree

    def met(leaf: object) -> object:
        mesh = explicit_mesh_of(leaf)
        if mesh is None or not set(mesh.explicit_axes) & set(around.auto_axes):
            return leaf
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        assert isinstance(leaf, jax.Array)
        return jax.sharding.reshard(leaf, PartitionSpec(*[None] * leaf.ndim))

    return jax.tree.map(met, tree)


@contextmanager
def automatic_axes(tree: Tree) -> Iterator[Tree]:
    """Make explicit axes automatic inside, and yield the tree in that form.

    Args:
        tree: of arrays or shapes; where none lies on explicit axes, those of the context count.
    """
    meshes = [explicit_mesh_of(leaf) for leaf in jax.tree.leaves(tree)]
    mesh = next((mesh for mesh in meshes if mesh is not None), jax.sharding.get_abstract_mesh())
    if mesh.empty or not mesh.explicit_axes:
        yield tree
        return
    with jax.sharding.use_abstract_mesh(mesh.update_axis_types(dict.fromkeys(mesh.explicit_axes, AxisType.Auto))):
        yield in_context(tree)


def automatically(function: Callable[..., Tree], *given: PyTree) -> Tree:
    """Return the results of a function under automatic axes.

    If an argument has explicit axes, every device gets a copy of the results.

    Args:
        function: of the trees.
        given: trees of arrays.
    """
    explicit = [leaf for leaf in jax.tree.leaves(given) if isinstance(leaf, jax.Array) and explicit_mesh_of(leaf)]
    if not explicit:
        return function(*given)
    with automatic_axes(given) as inner:
        found = function(*inner)
    first = explicit[0]
    mesh = jax.typeof(first).sharding.mesh if isinstance(first, Tracer) else cast(NamedSharding, first.sharding).mesh
    put = jax.sharding.reshard if isinstance(first, Tracer) else jax.device_put
    return jax.tree.map(lambda leaf: put(leaf, copies_on(mesh, leaf)) if isinstance(leaf, jax.Array) else leaf, found)


def copies_on(mesh: Mesh | AbstractMesh, leaf: Array) -> NamedSharding:
    """Return the sharding that gives every device a copy of an array.

    Written as jax writes that of what a compiled program returns, which is found again for equal writings only.
    """
    return NamedSharding(mesh, PartitionSpec(*[None] * leaf.ndim) if mesh.explicit_axes else PartitionSpec())


def sharded_alike(leaves: list[Array]) -> list[Array]:
    """Return arrays to be mapped over together, all with the leading axis sharded as that of the first sharded one.

    `vmap` takes no array over a mesh's explicit axis beside one that is not.
    """
    spread = [leaf for leaf in leaves if explicit_mesh_of(leaf) is not None and jax.typeof(leaf).sharding.spec[0]]
    if not spread or len(spread) == len(leaves):
        return leaves
    like = jax.typeof(spread[0]).sharding

    def laid(leaf: Array) -> Array:
        own = tuple(jax.typeof(leaf).sharding.spec)
        rest = own[1:] if explicit_mesh_of(leaf) is not None else (None,) * (leaf.ndim - 1)
        return jax.sharding.reshard(leaf, like.update(spec=PartitionSpec(like.spec[0], *rest)))

    known = {id(leaf) for leaf in spread}
    return [leaf if id(leaf) in known else laid(leaf) for leaf in leaves]
