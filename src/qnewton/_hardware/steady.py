"""Reliable measured seconds: taken at constant machine speed, and confirmed if a fit does not predict them.

A calibration that was made on a busy machine misleads its users: one such recorded LU at 256 rows ten times too slow,
and a figure was based on it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from .measure import gemm_probe, interleaved_seconds, median_seconds

MOST_DRIFT = 1.5
"""By which a matrix product may become faster or slower between begin and end of a measurement."""
MOST_ERROR = 0.5
"""By which a fit may miss a measurement that it has not seen, unless a second one says the same."""
ATTEMPTS = 3

_REMEDY = "wait until other programs have finished and measure again, or predict by a profile, which measures nothing"


def steady_seconds(runs: Sequence[Callable[[], Any]], dtype: str, repeats: int) -> tuple[list[float], float]:
    """`interleaved_seconds`, at one speed of the machine.

    Raises:
        OSError: if its speed changed by more than `MOST_DRIFT` during each of `ATTEMPTS` measurements.
    """
    probe, drifts = gemm_probe(dtype), []
    for _ in range(ATTEMPTS):
        before = median_seconds(probe, 9)
        found = interleaved_seconds(runs, probe, repeats, 0.3)
        drifts.append(_apart(before, median_seconds(probe, 9)))
        if drifts[-1] <= MOST_DRIFT:
            return found
    raise OSError(
        f"this machine is too busy to be measured: in {ATTEMPTS} attempts a matrix product became "
        f"{', '.join(f'{drift:.1f}' for drift in drifts)} times faster or slower meanwhile, and {MOST_DRIFT} times is "
        f"the most that a calibration bears: {_REMEDY}"
    )


def settled_seconds(
    runs: Sequence[Callable[[], Any]],
    names: Sequence[str],
    fitted: Callable[[Sequence[float]], Sequence[float]],
    dtype: str,
    repeats: int,
) -> tuple[list[float], float]:
    """Return `steady_seconds`, repeated for values that a fit does not predict until two measurements agree.

    Args:
        runs: return arrays.
        names: of the runs, for the message.
        fitted: what a fit through the others says of each, given the seconds of all.
        dtype: of the probe.
        repeats: of each, of which the median counts.

    Raises:
        OSError: if the machine is not steady, or if `ATTEMPTS` measurements of a run all differ.
    """
    seconds, probe = steady_seconds(runs, dtype, repeats)
    confirmed: set[int] = set()
    ratios: dict[int, float] = {}
    for attempt in range(ATTEMPTS + 1):
        expected = fitted(seconds)
        doubted = [
            i for i in range(len(runs)) if i not in confirmed and _apart(seconds[i], expected[i]) > 1 + MOST_ERROR
        ]
        if not doubted:
            break
        if attempt == ATTEMPTS:
            differing = [f"{names[i]} took {ratios.get(i, 1.0):.2g} times as long the next time" for i in doubted]
            raise OSError(f"this machine is too busy to be measured: {'; '.join(differing)}: {_REMEDY}")
        again, speed = steady_seconds([runs[i] for i in doubted], dtype, repeats)
        found = {i: second * probe / speed for i, second in zip(doubted, again, strict=True)}
        ratios |= {i: second / seconds[i] for i, second in found.items()}
        confirmed |= {i for i in found if _apart(ratios[i], 1.0) <= 1 + MOST_ERROR}
        seconds = [found.get(i, second) for i, second in enumerate(seconds)]
    return seconds, probe


def _apart(one: float, other: float) -> float:
    """Return the factor by which two numbers differ, at least 1."""
    return max(one, other) / max(min(one, other), 1e-12)
