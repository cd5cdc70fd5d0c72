"""The gates of one run: all its queries, and all its preparations of the right-hand side."""

from collections.abc import Sequence
from types import ModuleType

import numpy as np

from .._core.arrays import Number, NumberArray
from .._core.conditions import Condition
from .._core.gates import GateCost
from .._core.records import Encoding
from .._solvers.quantum.encoding import AbstractEncoding, AbstractPreparation, Numbers

ALGORITHM_QUBITS = 6
"""Beside those of the encoding: what Jennings et al. v1 add (second-hand). All are charged that many."""


def circuit_of(
    xp: ModuleType,
    encodings: Sequence[AbstractEncoding],
    preparation: AbstractPreparation,
    numbers: Numbers,
    *,
    queries: Number,
    preparations: Number,
    error: Number,
    encoding_gates: bool,
    preparation_gates: bool,
) -> tuple[GateCost, NumberArray]:
    """Return the cost of the queries and preparations, and the T layers that belong to the queries.

    Arrays with an axis for the encodings before all others.

    Args:
        xp: numpy or `jax.numpy`.
        encodings: one for each entry of the first axis.
        preparation: of the right-hand side.
        numbers: of the matrix.
        queries: of one run.
        preparations: of one run.
        error: that synthesising all their gates may make, evenly shared: errors of calls add up.
        encoding_gates: whether those of a query are charged; else it takes one layer.
        preparation_gates: whether those of a preparation are; else it takes nothing.
    """
    calls = queries + (preparations if preparation_gates else 0.0)
    # A coarser synthesis than this is none.
    each = xp.minimum(error / xp.maximum(calls, 1.0), 0.5)
    shape = np.broadcast_shapes(np.shape(calls)[1:], np.shape(numbers.n))

    def gates(costs: list[GateCost]) -> tuple[NumberArray, NumberArray, NumberArray, tuple[Condition, ...]]:
        columns = ([getattr(cost, field) for cost in costs] for field in ("t_count", "t_depth", "qubits"))
        count, depth, qubits = (_stacked(xp, column, shape) for column in columns)
        return count, depth, qubits, _merged(xp, [cost.conditions for cost in costs], shape)

    amplitudes = [encoding.amplitudes(numbers) for encoding in encodings]
    if encoding_gates:
        query = gates([encoding.cost(numbers, each[i]) for i, encoding in enumerate(encodings)])
    else:
        index = _stacked(xp, [xp.ceil(xp.log2(xp.maximum(entries, 2.0))) + 1 for entries in amplitudes], shape)
        query = (0.0 * index, 0.0 * index + 1, index, ())
    if preparation_gates:
        vector = gates([preparation.cost(entries, each[i]) for i, entries in enumerate(amplitudes)])
    else:
        vector = (0.0, 0.0, 0.0, ())
    # The demands are looked at with all others of a charge, so nothing is made infinite here.
    run = GateCost(
        t_count=queries * query[0] + preparations * vector[0],
        t_depth=queries * query[1] + preparations * vector[1],
        qubits=xp.maximum(query[2], vector[2]) + ALGORITHM_QUBITS,
        conditions=(*query[3], *vector[3]),
    )
    return run, queries * query[1]


def stacked_encodings(xp: ModuleType, encodings: Sequence[AbstractEncoding], numbers: Numbers) -> Encoding:
    """Return all encodings as one record, on an axis before all others: all of a square matrix, or a single one."""
    found = [encoding.encode(numbers) for encoding in encodings]
    columns = [
        [getattr(one, field) for one in found]
        for field in ("condition_number", "subnormalisation", "smallest_solution_norm", "other")
    ]
    shape = np.broadcast_shapes(*(np.shape(value) for column in columns for value in column))
    kappa, alpha, norm, other = (_stacked(xp, column, shape) for column in columns)
    # Conditions on another matrix are looked at only where there is one.
    known = other if any(one.other is not False for one in found) else False
    return Encoding(kappa, alpha, norm, rectangular=found[0].rectangular, other=known)


def _stacked(xp: ModuleType, values: Sequence[Number], shape: tuple[int, ...]) -> NumberArray:
    return xp.stack([xp.broadcast_to(xp.asarray(value), shape) for value in values])


def _merged(xp: ModuleType, groups: Sequence[Sequence[Condition]], shape: tuple[int, ...]) -> tuple[Condition, ...]:
    """Return conditions of single encodings as conditions of all; a missing condition holds for its encoding."""
    words = dict.fromkeys(one.words for group in groups for one in group)
    merged = []
    for said in words:
        rows = []
        for group in groups:
            holds = xp.ones(shape, bool)
            for one in group:
                if one.words == said:
                    holds = holds & one.holds
            rows.append(holds)
        merged.append(Condition(xp.stack(rows), said))
    return tuple(merged)
