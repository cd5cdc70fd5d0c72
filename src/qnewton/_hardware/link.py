"""What it takes devices to exchange their results: measured, not looked up."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_REPEATS = 7
# Bytes on each device. Between them the line is right; beyond, the larger one sets the growth.
_SMALL, _LARGE = 2**8, 2**20
# Numbers that are summed: sums of many take longer by the byte than those of few.
_SUMMED = 2**20


@dataclass(frozen=True)
class Link:
    """Devices and what is between them.

    Attributes:
        devices: how many exchange.
        seconds_per_call: of an exchange of next to nothing.
        seconds_per_byte: of what every device has afterwards.
        seconds_per_summed_byte: of arrays that every device has, and whose sum all have afterwards; each number goes
            twice where the sum is made in turn.
        basis: `measured` or `recorded`.
    """

    devices: int
    seconds_per_call: float
    seconds_per_byte: float
    seconds_per_summed_byte: float
    basis: str = "measured"

    def seconds(self, nbytes: float) -> float:
        """Seconds until every device has so many bytes, of which each had a part."""
        return self.seconds_per_call + self.seconds_per_byte * nbytes

    def seconds_to_sum(self, nbytes: float) -> float:
        """Seconds until every device has the sum of arrays of so many bytes, of which each had one."""
        return self.seconds_per_call + self.seconds_per_summed_byte * nbytes


def recorded_link(count: int) -> Link:
    """Return what is between devices of one host, as it was measured once, so that every start decides alike.

    Least of four measurements (`measured_link`) between 2 and between 8 devices of a process with 2 cores of an Intel
    Xeon, 2026-12-01, other work beside them: 59 and 180 microseconds a call, 0.27 and 7.6 ns a byte that is gathered,
    0.31 and 2.4 ns a byte that is summed. Both by the line through them, with as much beyond.

    Args:
        count: of devices.
    """
    beyond = max(0, count - 2) / 6
    return Link(count, 59e-6 + 121e-6 * beyond, 0.27e-9 + 7.3e-9 * beyond, 0.31e-9 + 2.1e-9 * beyond, "recorded")


def measured_link(devices: Sequence[Any]) -> Link:
    """Time two gatherings and a sum, as many of each on every process: all of them must come here.

    Args:
        devices: of this process, or all of all processes.
    """
    # In a thread of its own, which knows nothing of the mesh and the trace around this.
    with ThreadPoolExecutor(1) as alone:
        return alone.submit(_measure, devices).result()


def _measure(devices: Sequence[Any]) -> Link:
    mesh = Mesh(np.asarray(devices), ("link",))
    with jax.set_mesh(mesh):
        small, large = (_seconds(mesh, each // 4, lambda own: own + 1) for each in (_SMALL, _LARGE))
        summed = _seconds(mesh, _SUMMED, lambda own: jnp.sum(own, axis=0))
    per_byte = max(large - small, 0.0) / ((_LARGE - _SMALL) * len(devices))
    return Link(len(devices), small, per_byte, max(summed - small, 0.0) / (4 * _SUMMED))


def _seconds(mesh: Mesh, entries: int, function: Callable[[Array], Array]) -> float:
    """Return the measured seconds until every device has the value of a function of as many numbers of each."""
    apart, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("link",), ()))
    part = jax.make_array_from_callback((mesh.size, entries), apart, lambda _: np.zeros((1, entries), np.float32))
    made = jax.jit(function, out_shardings=everywhere)
    jax.block_until_ready(made(part))
    taken = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(made(part))
        taken.append(time.perf_counter() - start)
    # The least, since whatever else runs can only add.
    return min(taken)
