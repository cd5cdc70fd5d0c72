"""Prediction of a queue's wait as a distribution, from the waits that were observed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LEAST_S = 1e-3
_RECENT = 512


@dataclass(frozen=True, eq=False)
class WaitForecast:
    """A wait that is not known yet.

    Attributes:
        sample_s: equally likely values, in order `[values]`.
    """

    sample_s: np.ndarray

    @property
    def mean_s(self) -> float:
        """Expected wait."""
        return float(np.mean(self.sample_s))

    def quantile_s(self, chance: float) -> float:
        """Return the wait that is not exceeded with that probability."""
        return float(np.quantile(self.sample_s, chance))

    def figure(self, quantile: float | None) -> float:
        """Return the expected wait, or a quantile."""
        return self.mean_s if quantile is None else self.quantile_s(quantile)


def forecast(observed_s: Sequence[float] | np.ndarray, ahead: int = 1) -> WaitForecast:
    """Predict a wait from those before it; the same record gives the same forecast.

    The logarithm is regressed on the one before, and what that leaves over is taken as equally likely: no law of it is
    assumed, and waits that say nothing about the next one leave their own distribution.

    Args:
        observed_s: in order; of many the last 512 count.
        ahead: how many waits after the last one.
    """
    waits = np.asarray(observed_s, np.float64)[-_RECENT:]
    if not waits.size:
        return WaitForecast(np.zeros(1))
    logs = np.log(np.maximum(waits, _LEAST_S))
    centre = float(np.mean(logs))
    before, after = logs[:-1] - centre, logs[1:] - centre
    spread = float(before @ before)
    kept = 0.0 if logs.size < 8 or spread == 0 else min(1.0, max(0.0, float(before @ after) / spread))
    left = after - kept * before if logs.size > 1 else np.zeros(1)
    # After several turns what is left over has added up.
    grown = 1.0 if kept == 0 else math.sqrt(sum(kept ** (2 * k) for k in range(ahead)))
    now = centre + kept**ahead * (logs[-1] - centre)
    return WaitForecast(np.sort(np.exp(now + grown * left)))
