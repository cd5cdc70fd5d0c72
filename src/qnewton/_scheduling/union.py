"""One fixed set of arrays that can hold the state of any of several solvers.

The branches of a `lax.switch` must return the same structure, and solvers' states differ (LU: a factor and pivots,
Cholesky: a factor). Each array of a state goes into a slot of its shape and dtype; a branch leaves the slots that it
does not need at zero. The parts of a state that are not arrays are static and are found by abstract evaluation.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


class StateUnion:
    """Packs and unpacks the states of several solvers; a trace-time helper, not a pytree."""

    def __init__(self, abstract_states: Sequence[PyTree]):
        """Make the union from each solver's state with `jax.ShapeDtypeStruct` in place of arrays."""
        self._slots: list[jax.ShapeDtypeStruct] = []
        self._layouts = [self._place(state) for state in abstract_states]

    def _place(self, state: PyTree) -> tuple[tuple[int, ...], Any, Any]:
        dynamic, static = eqx.partition(state, _is_array_like)
        leaves, structure = jax.tree.flatten(dynamic)
        taken: list[int] = []
        for leaf in leaves:
            fits = (i for i, slot in enumerate(self._slots) if i not in taken and _same(slot, leaf))
            slot = next(fits, len(self._slots))
            if slot == len(self._slots):
                self._slots.append(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype))
            taken.append(slot)
        return tuple(taken), structure, static

    def pack(self, index: int, state: PyTree) -> tuple[Array, ...]:
        """The state of solver `index` in slots."""
        taken, _, _ = self._layouts[index]
        leaves = jax.tree.leaves(eqx.filter(state, eqx.is_array))
        held = dict(zip(taken, leaves, strict=True))
        return tuple(held[i] if i in held else jnp.zeros(slot.shape, slot.dtype) for i, slot in enumerate(self._slots))

    def unpack(self, index: int, slots: Sequence[Array]) -> PyTree:
        """Return the state of solver `index` from slots."""
        taken, structure, static = self._layouts[index]
        return eqx.combine(jax.tree.unflatten(structure, [slots[i] for i in taken]), static)


def _is_array_like(leaf: object) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _same(slot: jax.ShapeDtypeStruct, leaf: jax.ShapeDtypeStruct) -> bool:
    return slot.shape == leaf.shape and slot.dtype == leaf.dtype
