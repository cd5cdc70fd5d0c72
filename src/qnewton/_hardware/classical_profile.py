"""Classical machines by their data sheets."""

import math
from collections.abc import Iterable

import equinox as eqx

from .classical import ClassicalMachine, KernelTimes
from .positive import check_positive


class ClassicalProfile(eqx.Module):
    """Published peaks of a processor, and the fraction of them that dense linear algebra reaches.

    Attributes:
        name: of the profile.
        description: the processor.
        float32_flops_per_s, float64_flops_per_s: peak operations per second.
        bytes_per_s: peak memory traffic.
        memory_bytes: that a system can lie in.
        efficiency: the part of either that is reached, in (0, 1]; measured by HPL where there is a source.
        link_bytes_per_s: peak of the bus over which what lies beyond that memory is streamed; the default is a disk on
            four lanes of PCI Express 3.0.
        memory_efficiency: the part of `bytes_per_s` that is reached; None: `efficiency`.
        devices: that share all of the above.
        start_s: until a solve is under way, and until its end is known.
        launch_s: between two kernels that wait for each other.
        exchange_bytes_per_s: that each device receives from the others.
        exchange_s: of a message of next to nothing between two devices.
        source: of the numbers, in a line.
        power_w: of the machine at full load; None: not known.
    """

    name: str = eqx.field(static=True)
    description: str = eqx.field(static=True)
    float32_flops_per_s: float = eqx.field(static=True)
    float64_flops_per_s: float = eqx.field(static=True)
    bytes_per_s: float = eqx.field(static=True)
    memory_bytes: float = eqx.field(static=True)
    efficiency: float = eqx.field(static=True)
    link_bytes_per_s: float = eqx.field(static=True, default=3.5e9)
    memory_efficiency: float | None = eqx.field(static=True, default=None)
    devices: float = eqx.field(static=True, default=1.0)
    start_s: float = eqx.field(static=True, default=0.0)
    launch_s: float = eqx.field(static=True, default=0.0)
    exchange_bytes_per_s: float = eqx.field(static=True, default=math.inf)
    exchange_s: float = eqx.field(static=True, default=0.0)
    source: str = eqx.field(static=True, default="")
    power_w: float | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        for field in ("float32_flops_per_s", "float64_flops_per_s", "bytes_per_s", "link_bytes_per_s"):
            check_positive(field, getattr(self, field), "per second")
        check_positive("memory_bytes", self.memory_bytes, "of bytes")
        if self.power_w is not None:
            check_positive("power_w", self.power_w, "of watts")
        for field in ("efficiency", "memory_efficiency"):
            part = getattr(self, field)
            if part is not None and not 0 < part <= 1:
                raise ValueError(f"{field} is {part}: it must be in (0, 1]")
        for field in ("start_s", "launch_s", "exchange_s"):
            if not 0 <= getattr(self, field) < math.inf:
                raise ValueError(f"{field} is {getattr(self, field)}: it must be a number of seconds, at least 0")
        if not (1 <= self.devices < math.inf and self.devices == round(self.devices)):
            raise ValueError(f"devices is {self.devices}: it is the number of devices, at least 1")
        if self.devices > 1:
            check_positive(
                "exchange_bytes_per_s", self.exchange_bytes_per_s, "per second, as there are several devices"
            )

    def machine(self, kernels: Iterable[str], dtype: str = "float32") -> ClassicalMachine:
        """Return the machine on which every kernel runs at the stated fraction of the peaks.

        Operations and memory traffic are added up, which is at most twice as slow as if they overlapped. Latencies are
        left out: how often a solve waits is known to who prices it (`_pricing.methods`).

        Args:
            kernels: names of the kernels that workloads will ask for.
            dtype: `float32` or `float64`.

        Raises:
            ValueError: for another dtype.
        """
        times = KernelTimes(
            seconds_per_call=0.0,
            seconds_per_byte=1 / ((self.memory_efficiency or self.efficiency) * self.bytes_per_s),
            seconds_per_flop=1 / (self.efficiency * self.flops_per_s(dtype)),
        )
        return ClassicalMachine(
            name=self.name,
            dtype=str(dtype),
            kernels=tuple((kernel, times) for kernel in sorted(set(kernels))),
            basis=f"data sheet of {self.description}",
        )

    def flops_per_s(self, dtype: str) -> float:
        """The peak for a number type.

        Raises:
            ValueError: for another dtype than `float32` and `float64`.
        """
        peaks = {"float32": self.float32_flops_per_s, "float64": self.float64_flops_per_s}
        if str(dtype) not in peaks:
            raise ValueError(f"dtype is {dtype}: a profile has peaks for float32 and float64")
        return peaks[str(dtype)]
