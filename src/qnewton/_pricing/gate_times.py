"""Dependence of a quantum solve's seconds on the gate time: a fixed part, and gates.

For run files, reproductions and reports, so numpy alone computes here.
"""

from typing import Any

import numpy as np

SHORTEST_S = 1e-21
"""The shortest gate time that is looked at, a thousandth of an attosecond: no shorter one counts as a way out."""


def at_gate_time(seconds: Any, fixed_seconds: Any, gate_time_s: float, asked_s: float | np.ndarray) -> np.ndarray:
    """Seconds at another gate time.

    Args:
        seconds: at the machine's own; infinite where no formula holds.
        fixed_seconds: the part of them that no quantum clock scales.
        gate_time_s: the machine's own.
        asked_s: the other one.
    """
    return fixed_seconds + _gates(seconds, fixed_seconds, gate_time_s) * asked_s


def break_even_gate_time(
    classical_seconds: float | np.ndarray, seconds: Any, fixed_seconds: Any, gate_time_s: float
) -> np.ndarray:
    """Return the gate time in seconds below which the quantum solve is faster; 0 if none is fast enough.

    Args:
        classical_seconds: of the fastest classical candidate; infinite where there is none.
        seconds: of the quantum one, as of `at_gate_time`.
        fixed_seconds: likewise.
        gate_time_s: likewise.
    """
    with np.errstate(all="ignore"):
        room = np.maximum(np.asarray(classical_seconds) - fixed_seconds, 0.0)
        return room / _gates(seconds, fixed_seconds, gate_time_s)


def _gates(seconds: Any, fixed_seconds: Any, gate_time_s: float) -> np.ndarray:
    """Gate times that the solve takes."""
    return (seconds - fixed_seconds) / gate_time_s
