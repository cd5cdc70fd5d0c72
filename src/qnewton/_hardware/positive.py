"""Checks that numbers of a machine are positive."""

import math


def check_positive(name: str, value: float, unit: str) -> None:
    """Refuse a value that is not a positive, finite number.

    Args:
        name: of the number.
        value: its.
        unit: it is a number of, or per.

    Raises:
        ValueError: with name and value.
    """
    if isinstance(value, str) or not 0 < value < math.inf:
        raise ValueError(f"{name} is {value!r}: it must be a positive number {unit}")
