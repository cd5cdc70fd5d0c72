"""The numbers of a system of which only the shape is known."""

from typing import Any

import numpy as np

from .._core.records import Access, Kind, Kinds, SystemEstimate


def nominal_estimate(n: int, access: Access, dtype: str) -> SystemEstimate:
    """Return a definite system with all norms 1, as for the identity, which costs least; in numpy.

    Args:
        n: rows.
        access: what using it takes.
        dtype: of the system.
    """
    one: Any = np.ones((), dtype)
    yes: Any = np.ones((), bool)
    none: Any = np.zeros((), int)
    return SystemEstimate(n, none + 1, one, one, one, 0 * one, yes, yes, none, access, yes, Kinds.all(Kind.BOUND))
