"""Systems without numbers, from which `newton` derives the structure of its state and records."""

import dataclasses

import jax.numpy as jnp

from .._core.layout import Layout
from .._core.records import System
from .._curvature import Block


def blank_system(block: Block, dtype: jnp.dtype, *, semidefinite: bool) -> System:
    """Return zeros `[n, n]` in place of a block's curvature, with an eigenvalue floor where there will be one."""
    floor = jnp.zeros((), dtype) if semidefinite else None
    return System.of(jnp.zeros((block.n, block.n), dtype), symmetric=True, eigenvalue_floor=floor)


def stand_in(block: Block, dtype: jnp.dtype, *, semidefinite: bool) -> System:
    """Return the same for parameters in no layer: layers are only seen with a batch, and change no shape."""
    system = blank_system(block, dtype, semidefinite=semidefinite)
    return dataclasses.replace(system, layout=Layout(block.n, (), ((0, block.n),)))
