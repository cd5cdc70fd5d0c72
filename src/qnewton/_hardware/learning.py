"""Learning from the measured seconds of runs: one bounded correction factor per kernel of a calibration."""

import math
import statistics
from collections.abc import Mapping, Sequence

LARGEST_STEP = 2.0
"""By which one run can change a factor, up or down: a run on a busy machine is no reason to believe it all."""
LARGEST = 4.0
"""By which all runs together can correct what was measured; beyond, measure anew."""


def next_factors(before: Mapping[str, float], ratios: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The factors of the next snapshot.

    A kernel's factor goes to the median of its ratios, by no more than `LARGEST_STEP` at once and never further than
    `LARGEST` from 1.

    Args:
        before: kernel to its factor so far; 1 where there is none.
        ratios: kernel to measured over predicted seconds, the predictions without any factor.

    Raises:
        ValueError: for a ratio that is not positive and finite.
    """
    found = dict(before)
    for kernel, own in ratios.items():
        if not all(0 < ratio < math.inf for ratio in own):
            raise ValueError(f"the ratios of {kernel} are {list(own)}: measured over predicted seconds are positive")
        if own:
            last = before.get(kernel, 1.0)
            moved = last * min(max(statistics.median(own) / last, 1 / LARGEST_STEP), LARGEST_STEP)
            found[kernel] = min(max(moved, 1 / LARGEST), LARGEST)
    return found
