"""Quantum linear solvers reduced to their cost: a query count, and the matrix that it is for."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import numpy as np

from .._core.conditions import Condition
from .._core.records import Encoding, QuantumWorkload
from .._solvers.quantum.encoding import SquareRoot
from .._solvers.quantum.queries import QueryModel, Unit


class CountedSolver(eqx.Module):
    """The count that is charged, for the matrix or for its square root.

    Attributes:
        count: the workload for an encoding and a precision of the solver's state.
        sparse_access: whether a query is one of the oracles of sparse access, which fixes the encoding.
        solution_norm: `||x||` for `||A|| = ||b|| = 1`; None where it is not known.
        factor: the square-root encoding in place of the matrix's; None: the matrix.
    """

    count: Callable[[Encoding, Any], QuantumWorkload] = eqx.field(static=True)
    sparse_access: bool = eqx.field(static=True, default=False)
    solution_norm: Any = None
    factor: SquareRoot | None = None

    @classmethod
    def of(cls, model: QueryModel, solution_norm: Any = None, factor: SquareRoot | None = None) -> "CountedSolver":
        """Return a published count.

        The norm is that of the matrix's solution; a factor's has its least value.
        """
        norm = None if factor is not None else solution_norm

        def count(encoding: Encoding, precision: Any) -> QuantumWorkload:
            return model(encoding, precision, norm)

        return cls(count, model.unit is Unit.SPARSE_ACCESS, norm, factor)

    @classmethod
    def all_of(
        cls, models: Sequence[QueryModel], solution_norm: Any = None, factor: SquareRoot | None = None
    ) -> "CountedSolver":
        """Return several counts of one unit as one, on the second axis after the encodings', which must have length 1.

        What a table needs of all solvers is then computed once.
        """
        norm = None if factor is not None else solution_norm

        def count(encoding: Encoding, precision: Any) -> QuantumWorkload:
            return _side_by_side([model(encoding, precision, norm) for model in models])

        return cls(count, models[0].unit is Unit.SPARSE_ACCESS, norm, factor)


def _side_by_side(workloads: Sequence[QuantumWorkload]) -> QuantumWorkload:
    def joined(field: str) -> Any:
        return np.concatenate([getattr(workload, field) for workload in workloads], axis=1)

    conditions = []
    for words in dict.fromkeys(one.words for workload in workloads for one in workload.conditions):
        columns = []
        for workload in workloads:
            holds = np.ones(np.shape(workload.queries), bool)
            for one in workload.conditions:
                if one.words == words:
                    holds = holds & np.asarray(one.holds)
            columns.append(holds)
        joint: Any = np.concatenate(columns, axis=1)
        conditions.append(Condition(joint, words))
    fields = ("queries", "state_preparations", "success_probability", "clamped", "extrapolated")
    return QuantumWorkload(**{field: joined(field) for field in fields}, conditions=tuple(conditions))
