"""The numbers of a system before anything is known of it but its shape."""

from typing import Any

import numpy as np

from .._core.records import Access, Kind, Kinds, SystemEstimate


def nominal_estimate(n: int, access: Access, dtype: str) -> SystemEstimate:
    """A definite system whose norms are all 1, as if it were the identity, which costs least; in numpy.

    Args:
        n: rows.
        access: what using it takes.
        dtype: of the system.
    """
    one: Any = np.ones((), dtype)
    yes: Any = np.ones((), bool)
    none: Any = np.zeros((), int)
    return SystemEstimate(n, none + 1, one, one, one, 0 * one, yes, yes, none, access, yes, Kinds.all(Kind.BOUND))
