"""Support for `flax.serialization`, which handles tuples and dictionaries but no equinox modules."""

import dataclasses
import sys
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree


def known_to_flax(tree: PyTree) -> None:
    """Register the classes of all modules in a tree with flax; no effect if flax is not loaded.

    A module is saved as the dictionary of its fields that hold arrays; the others come from the module into which it
    is restored, as lengths of tuples do. Classes that flax knows already are left as they are.

    Args:
        tree: of arrays or their shapes.
    """
    serialization: Any = sys.modules.get("flax.serialization")
    if serialization is None:
        return
    for kind in _modules(tree):
        if not serialization.is_serializable(kind):
            serialization.register_serialization_state(
                kind,
                lambda module: {name: serialization.to_state_dict(part) for name, part in _parts(module).items()},
                lambda module, saved: _restored(serialization, module, saved),
            )


def _modules(tree: PyTree) -> set[type]:
    """The classes of the modules in a tree."""
    found, left = set(), [tree]
    while left:
        for node in jax.tree.leaves(left.pop(), is_leaf=lambda node: isinstance(node, eqx.Module)):
            if isinstance(node, eqx.Module):
                found.add(type(node))
                left.append(_parts(node))
    return found


def _parts(module: Any) -> dict[str, Any]:
    """Return the fields that are not constants of the tree's structure."""
    return {
        one.name: getattr(module, one.name)
        for one in dataclasses.fields(module)
        if not one.metadata.get("static", False)
    }


def _restored(serialization: Any, module: Any, saved: dict[str, Any]) -> Any:
    parts = _parts(module)
    if set(saved) != set(parts):
        raise ValueError(
            f"a saved {type(module).__name__} has the fields {sorted(saved)}, and this version's {sorted(parts)}: "
            "restore it with the version of qnewton that saved it"
        )
    fields = {one.name: getattr(module, one.name) for one in dataclasses.fields(module)}
    # As jax puts a module together: without its `__init__`, which would look at arrays as if a user had given them.
    new = object.__new__(type(module))
    for name, value in fields.items():
        value = serialization.from_state_dict(value, saved[name], name=name) if name in parts else value
        object.__setattr__(new, name, value)
    return new
