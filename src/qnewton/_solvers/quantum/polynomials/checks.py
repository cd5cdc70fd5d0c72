"""Checks of the two numbers that define an inversion polynomial."""

import math
import operator
from typing import SupportsFloat, SupportsIndex


def check_kappa(kappa: SupportsFloat) -> float:
    """Return `kappa` as a float; raise if it is below 1 or not finite."""
    value = float(kappa)
    if not (math.isfinite(value) and value >= 1):
        raise ValueError(
            f"kappa is {kappa}: the condition number of the encoded matrix (subnormalisation over the least singular "
            "value) is finite and at least 1"
        )
    return value


def check_degree(degree: SupportsIndex) -> int:
    """Return `degree` as an int; raise if it is not odd and positive."""
    value = operator.index(degree)
    if value < 1 or value % 2 == 0:
        raise ValueError(f"degree is {degree}: an inversion polynomial is odd, so take {max(value, 0) + 1}")
    return value
