"""The least cost of a candidate for a system of a given shape, whatever its numbers; numpy, on the host."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core.arrays import quiet
from .._core.costs import Cost
from .._core.records import Access
from .._hardware import ClassicalMachine, QuantumMachine
from .._solvers import AbstractSolver
from .._solvers.base import Charged, is_charged
from .assumptions import AbstractAssumptions
from .columns import Column, quantum_column, settled
from .nominal import nominal_estimate
from .price import classical_workload
from .problem import MatrixNumbers

KAPPAS = np.linspace(0.0, np.log(1e12), 129)
"""Logarithms of condition numbers among which a quantum candidate's least cost is looked for.

Some counts dip below their value at 1, so that is no lower bound. They grow with kappa beyond the dip."""
_BETWEEN = 0.5
"""Of the least that is found there: between two of them code distances and rounds step, which makes up to a tenth."""

_NO_ROWS: Any = np.zeros((), int)


@quiet
def least_quantum(
    candidate: Charged,
    rows: Sequence[int],
    dtypes: Sequence[str],
    sets: Sequence[AbstractAssumptions],
    machine: QuantumMachine,
    *,
    times: Any = 1.0,
    precision: Any = None,
) -> list[list[Column]]:
    """Return each system's and set's column at the cheapest condition number, at subnormalisation 1.

    Args:
        candidate: the solver.
        rows: of the systems.
        dtypes: of the systems.
        sets: what a quantum solve is charged for.
        machine: the modelled machine.
        times: solves `[systems, 1]`, as of `quantum_column`.
        precision: likewise, `[systems, kappas]`; None: what the candidate asks for.
    """
    one = np.ones((len(rows), len(KAPPAS)))
    tall = np.array([float(n) for n in rows])[:, None]
    numbers = MatrixNumbers(tall * one, one, one, one, one, KAPPAS * one, definite=True)
    found: list[list[Column]] = [[] for _ in rows]
    for assumed in sets:
        column = quantum_column(
            candidate, numbers, assumed, machine, [], times=times, precision=precision, promised=False
        )
        best = np.argmin(column["seconds"], axis=1)
        for k, (own, dtype) in enumerate(zip(found, dtypes, strict=True)):
            at_best = {name: np.asarray(values[k, best[k]]) for name, values in column.items()}
            at_best |= {name: _BETWEEN * at_best[name] for name in ("seconds", "fixed_seconds")}
            own.append({name: v.astype(dtype) if v.dtype.kind == "f" else v for name, v in at_best.items()})
    return found


@quiet
def least_of(
    candidate: AbstractSolver,
    n: int,
    dtype: str,
    sets: Sequence[AbstractAssumptions],
    classical: ClassicalMachine,
    quantum: QuantumMachine,
    solves: int,
) -> list[Column]:
    """Return a candidate's least offer, under each set, for one solve with a formed matrix.

    A direct solver costs the same whatever the numbers; an iterative one is charged for at least one step.

    Args:
        candidate: the solver.
        n: rows.
        dtype: of the system.
        sets: what a quantum solve is charged for.
        classical: the machine of classical candidates.
        quantum: the modelled machine.
        solves: right-hand sides that one set-up serves.
    """
    if is_charged(candidate):
        return least_quantum(candidate, [n], [dtype], sets, quantum)[0]
    nothing, product = Cost(0.0, 0.0), Cost(2.0 * n**2, 1.0 * n**2 * np.dtype(dtype).itemsize)
    system = nominal_estimate(n, Access(product, nothing, nothing, _NO_ROWS), dtype)
    workload = classical_workload(candidate, system)
    steps = 1.0 if candidate.capabilities.iterative else workload.steps
    workload = dataclasses.replace(workload, steps=steps).amortised(solves)
    seconds = classical.seconds(workload)
    return [settled([], system, seconds=seconds + 0.0 * system.max_entry, expected_steps=steps)] * len(sets)
