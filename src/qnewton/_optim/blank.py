"""Systems without numbers, from which `newton` learns what its state and records will look like."""

import dataclasses

import jax.numpy as jnp

from .._core.layout import Layout
from .._core.records import System
from .._curvature import Block


def blank_system(block: Block, dtype: jnp.dtype, *, semidefinite: bool) -> System:
    """Zeros `[n, n]` in the place of a block's curvature, with an eigenvalue floor where it will have one."""
    floor = jnp.zeros((), dtype) if semidefinite else None
    return System.of(jnp.zeros((block.n, block.n), dtype), symmetric=True, eigenvalue_floor=floor)


def stand_in(block: Block, dtype: jnp.dtype, *, semidefinite: bool) -> System:
    """The same, of parameters in no layer: which there are is only seen with a batch, and changes no shape."""
    system = blank_system(block, dtype, semidefinite=semidefinite)
    return dataclasses.replace(system, layout=Layout(block.n, (), ((0, block.n),)))
