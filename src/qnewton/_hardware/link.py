"""What it takes devices to exchange their results: measured, not looked up."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_REPEATS = 7
# Bytes on each device. Between them the line is right; beyond, the larger one sets the growth.
_SMALL, _LARGE = 2**8, 2**20


@dataclass(frozen=True)
class Link:
    """Devices and what is between them.

    Attributes:
        devices: how many exchange.
        seconds_per_call: of an exchange of next to nothing.
        seconds_per_byte: of what every device has afterwards.
        basis: `measured`.
    """

    devices: int
    seconds_per_call: float
    seconds_per_byte: float
    basis: str = "measured"

    def seconds(self, nbytes: float) -> float:
        """Until every device has so many bytes, of which each had its part."""
        return self.seconds_per_call + self.seconds_per_byte * nbytes


def measured_link(devices: Sequence[Any]) -> Link:
    """Time two gatherings, as many of each on every process: all of them must come here.

    Args:
        devices: of this process, or all of all processes.
    """
    # In a thread of its own, which knows nothing of the mesh and the trace around this.
    with ThreadPoolExecutor(1) as alone:
        return alone.submit(_measure, devices).result()


def _measure(devices: Sequence[Any]) -> Link:
    mesh = Mesh(np.asarray(devices), ("link",))
    with jax.set_mesh(mesh):
        small, large = (_gathering_seconds(mesh, each) for each in (_SMALL, _LARGE))
    per_byte = max(large - small, 0.0) / ((_LARGE - _SMALL) * len(devices))
    return Link(len(devices), small, per_byte)


def _gathering_seconds(mesh: Mesh, each: int) -> float:
    count, entries = mesh.size, each // 4
    apart, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("link",), ()))
    part = jax.make_array_from_callback((count, entries), apart, lambda _: np.zeros((1, entries), np.float32))
    gather = jax.jit(lambda own: own + 1, out_shardings=everywhere)
    jax.block_until_ready(gather(part))
    taken = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(gather(part))
        taken.append(time.perf_counter() - start)
    # The least, since whatever else runs can only add.
    return min(taken)
