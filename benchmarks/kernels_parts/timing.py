"""Ways that are timed by turns, so that a machine that drifts hits all alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

_SAMPLE_SECONDS = 5e-3


def race(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds per call of each way, one sample a round; a sample repeats a short call until the clock can tell.

    The order turns round with every round: whatever a way leaves in the caches, all come after it equally often.
    """
    repeats = {}
    for name, way in ways.items():
        jax.block_until_ready(way())
        start = time.perf_counter()
        jax.block_until_ready(way())
        repeats[name] = max(1, round(_SAMPLE_SECONDS / max(time.perf_counter() - start, 1e-7)))
    samples = {name: [] for name in ways}
    for turn in range(rounds):
        order = list(ways) if turn % 2 == 0 else list(reversed(ways))
        for name in order:
            start = time.perf_counter()
            for _ in range(repeats[name]):
                jax.block_until_ready(ways[name]())
            samples[name].append((time.perf_counter() - start) / repeats[name])
    return samples


def against(samples: Mapping[str, list[float]], limit: float) -> dict[str, Any]:
    """Medians, and `ours` over the fastest of the others as the median of the rounds' ratios."""
    medians = {name: statistics.median(values) for name, values in samples.items()}
    bound = min((name for name in samples if name != "ours"), key=medians.__getitem__)
    ratio = statistics.median(a / b for a, b in zip(samples["ours"], samples[bound], strict=True))
    return {
        **{f"measured_seconds_{name}": seconds for name, seconds in medians.items()},
        "bound": bound,
        "ratio": ratio,
        "limit": limit,
        "met": ratio <= limit,
    }
