"""Curvature of a batch whose examples are spread over devices: divided among them, or made whole by each."""

from collections.abc import Callable
from typing import TypeVar

import jax
from jaxtyping import Array, PyTree

from .._core.costs import cost_of
from .._core.pieces import dividing
from .._core.placement import copies_on
from .._curvature.point import Point
from .._devices.crew import Crew, crew
from .._scheduling.owners import worth_dividing

Made = TypeVar("Made", bound=PyTree)


def divided(make: Callable[[Point], Made], point: Point, nbytes: int) -> Made:
    """Return what is made of a point, of all its examples.

    Each device takes its own examples where it takes less time to sum the results over all devices than is spared by
    that, as predicted from the work and the measured link. Otherwise each takes all of them, and nothing but the batch
    is exchanged.

    Args:
        make: sums over the examples.
        point: with the examples of all devices.
        nbytes: of the sums.
    """
    devices = crew()
    if devices is None:
        return make(point)
    with dividing(None):
        cost = cost_of(lambda: make(point))
    if worth_dividing(cost, nbytes, str(jax.tree.leaves(point.params)[0].dtype), devices):
        return make(point)
    with dividing(None):
        return make(point.on(point.examples.part(_everywhere(devices, point.examples.batch))))


def _everywhere(devices: Crew, batch: PyTree) -> PyTree:
    if devices.mesh is None:
        return batch
    mesh = devices.mesh

    def copied(leaf: Array) -> Array:
        return jax.lax.with_sharding_constraint(leaf, copies_on(mesh, leaf))

    return jax.tree.map(copied, batch)
