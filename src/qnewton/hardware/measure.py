"""Measured seconds, and the name of the machine that they belong to."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax


def median_seconds(run: Callable[[], Any], repeats: int = 5, budget_seconds: float = 0.3) -> float:
    """Median wall-clock seconds of `run`, its result waited for; one call before the measurement warms it up.

    Args:
        run: returns arrays; called at least twice.
        repeats: measurements at most.
        budget_seconds: no further measurement starts after this long.
    """
    jax.block_until_ready(run())
    began, samples = time.perf_counter(), []
    while not samples or (len(samples) < repeats and time.perf_counter() - began < budget_seconds):
        start = time.perf_counter()
        jax.block_until_ready(run())
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def describe_machine() -> dict[str, str | int]:
    """Platform, processor, cores and the jax device, for provenance."""
    device = jax.devices()[0]
    return {
        "platform": platform.platform(terse=True),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "backend": device.platform,
        "device": device.device_kind,
    }


def _processor() -> str:
    # `platform.processor()` is empty on most Linux systems; the kernel's own name is better than nothing.
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
