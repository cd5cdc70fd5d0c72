"""Empirical query counts: where their constants were measured, and what other measured constants would say."""

import dataclasses
import math
from typing import Any

import numpy as np

from .._core.records import Encoding
from .._solvers.quantum.queries import QueryModel
from .problem import Problem

MEASURED = ("least_seconds", "most_seconds", "beyond")
"""Fields of a row of a table that only empirical counts have."""


def at_points(values: Any, shape: tuple[int, ...], index: int | None = None) -> np.ndarray:
    """Return the values at all points, in one axis; those of one model if it is given."""
    array = np.asarray(values)
    return np.ravel(np.broadcast_to(array if index is None else array[index], shape))


def places_of(model: QueryModel) -> str:
    """Return the range in which an empirical constant was measured, in words."""
    words = [("kappa", model.measured_kappa), ("n", model.measured_rows)]
    return " and ".join(
        f"{name} {ends[0]:g}" if ends[0] == ends[1] else f"{name} {ends[0]:g} to {ends[1]:g}"
        for name, ends in words
        if ends is not None
    )


def measured_times(model: QueryModel, problem: Problem, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The seconds at the ends of the measured constants over those of the count, and how far outside each point is."""
    if model.ends is None:
        return dict.fromkeys(MEASURED, np.full(math.prod(shape), np.nan))

    def queries(one: QueryModel) -> np.ndarray:
        system = Encoding(np.asarray(problem.condition_number, float), 1.0)
        return at_points(one(system, np.asarray(problem.precision, float)).queries, shape)

    own = queries(model)
    beyond = np.ones(len(own))
    for value, ends in ((problem.condition_number, model.measured_kappa), (problem.n, model.measured_rows)):
        if ends is not None:
            at = at_points(value, shape).astype(float)
            beyond = np.maximum(beyond, np.maximum(at / ends[1], ends[0] / at))
    least, most = (queries(dataclasses.replace(model, count=end)) / own for end in model.ends)
    return dict(zip(MEASURED, (least, most, beyond), strict=True))
