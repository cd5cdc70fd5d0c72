"""Measured seconds, and the name of the machine that they belong to."""

import contextlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from jax import core
from jaxtyping import Array, PyTree


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Evaluate jax operations immediately inside, on concrete numbers, whatever trace is active.

    Everything that measures goes through this: a scheduler without a calibration measures when it is first traced, be
    it by `jit`, `grad`, `vmap`, a loop or `shard_map`. Not `jax.ensure_compile_time_eval`, under which a `shard_map`
    that is not jitted goes on tracing, and which folds the constants of the very programs that are to be timed.
    """
    with core.eval_context():
        yield


@at_once()
def median_seconds(run: Callable[[], PyTree[Array]], repeats: int = 5, budget_seconds: float = 0.3) -> float:
    """Return the median wall-clock seconds of `run`, waiting for its result, after one warm-up call.

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


PROBE_ROWS = 384


def gemm_probe(dtype: str = "float32", n: int = PROBE_ROWS) -> Callable[[], PyTree[Array]]:
    """Return a product of two random `n` by `n` matrices, whose time measures the machine's present speed.

    On the CPU by numpy, whose BLAS has the threads that factorisations have, elsewhere on jax's device.
    """
    matrix = np.random.default_rng(0).standard_normal((n, n)).astype(dtype)
    if jax.default_backend() == "cpu":
        return lambda: matrix @ matrix
    on_device, product = jax.device_put(matrix), jax.jit(lambda a: a @ a)
    return lambda: product(on_device)


@at_once()
def interleaved_seconds(
    runs: Sequence[Callable[[], PyTree[Array]]],
    probe: Callable[[], PyTree[Array]],
    repeats: int = 5,
    budget_seconds: float = 0.3,
) -> tuple[list[float], float]:
    """Seconds of each run, all at one speed of the machine, and the probe's at that speed.

    Times on a shared machine drift by a factor of two within minutes, and stand still for moments. So the runs take
    turns, the probe goes before each of them, and the median of their quotient counts, times the probe's median.

    Args:
        runs: return arrays; each is called at least twice, the first time to warm up.
        probe: takes milliseconds.
        repeats: rounds at most.
        budget_seconds: for each run; no further measurement of it starts after it has taken this long.
    """
    for run in (probe, *runs):
        jax.block_until_ready(run())
    quotients: list[list[float]] = [[] for _ in runs]
    probes, spent = [], [0.0] * len(runs)
    for turn in range(max(repeats, 1)):
        for i, run in enumerate(runs):
            if turn == 0 or spent[i] < budget_seconds:
                probes.append(_seconds(probe))
                seconds = _seconds(run)
                spent[i] += seconds
                quotients[i].append(seconds / probes[-1])
    typical = statistics.median(probes) if probes else _seconds(probe)
    return [typical * statistics.median(quotient) for quotient in quotients], typical


def _seconds(run: Callable[[], PyTree[Array]]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start


def describe_machine() -> dict[str, str | int]:
    """Platform, processor, cores and the jax device, for provenance."""
    device = jax.local_devices()[0]
    return {
        "platform": platform.platform(terse=True),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "backend": device.platform,
        "device": device.device_kind,
    }


def usable_cores() -> int:
    """Cores on which this process may run, by which XLA cuts its sums."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    # `platform.processor()` is empty on most Linux systems; the kernel's own name is better than nothing.
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
