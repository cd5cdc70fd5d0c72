"""From estimate, candidates, assumption sets and clocks to the table of offers, without solving anything."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float

from .._core.arrays import NumberArray, namespace
from .._core.records import ClassicalWorkload, Encoding, SystemEstimate
from .._core.status import Refusal
from .._hardware import ClassicalMachine, QuantumMachine
from .._solvers import AbstractSolver
from .._solvers.base import is_charged
from .assumptions import AbstractAssumptions
from .columns import Column, Reasons, quantum_column, reasons_of, settled, table
from .offers import Offers

NO_ENCODING = Encoding(condition_number=1.0, subnormalisation=1.0)


def price(
    estimate: SystemEstimate,
    candidates: Sequence[AbstractSolver],
    sets: Sequence[AbstractAssumptions],
    classical: ClassicalMachine,
    quantum: QuantumMachine,
    *,
    refusals: Sequence[Refusal],
    formed: bool,
    factors: Float[NumberArray, " candidates"] | None = None,
    solves: int = 1,
) -> Offers:
    """What every candidate asks under every assumption set: `[sets, candidates]`.

    Args:
        estimate: the system's numbers.
        candidates: solvers, each of which says what it is by its `capabilities`.
        sets: what a quantum solve is charged for.
        classical: the calibrated machine.
        quantum: the modelled machine.
        refusals: per candidate, what is known without computing anything.
        formed: whether the matrix is at hand. Where it is not, classical candidates that need it are charged for
            forming it; quantum ones for what the assumption set charges them for.
        factors: per candidate, observed iterations over expected ones (`Turn.factors`); None: 1 for all.
        solves: right-hand sides that one set-up serves.

    Raises:
        TypeError: for a classical candidate that states no classical workload.
    """
    columns: list[list[Column]] = []
    for i, (candidate, known) in enumerate(zip(candidates, refusals, strict=True)):
        reasons = reasons_of(candidate, estimate, known)
        if is_charged(candidate):
            columns.append([quantum_column(candidate, estimate, assumed, quantum, reasons) for assumed in sets])
        else:
            factor = None if factors is None else factors[i]
            # No assumption set changes what a classical solve takes.
            own = _classical(candidate, estimate, classical, reasons, formed, factor, solves)
            columns.append([own] * len(sets))
    return table(candidates, estimate, columns)


def forming(estimate: SystemEstimate) -> ClassicalWorkload:
    """Forming the matrix of a system that is not: what a classical candidate that needs it pays besides its own."""
    cost = estimate.access.forming
    return ClassicalWorkload(kernel="forming", flops=cost.flops, bytes=cost.bytes)


def classical_workload(candidate: AbstractSolver, estimate: SystemEstimate) -> ClassicalWorkload:
    """What a classical candidate states.

    Raises:
        TypeError: where it states another kind of workload.
    """
    workload = candidate.workload(estimate, NO_ENCODING)
    if not isinstance(workload, ClassicalWorkload):
        raise TypeError(
            f"{candidate.name} states a {type(workload).__name__} and calls itself classical: subclass "
            "qnewton.solvers.AbstractQuantumSolver, or state a ClassicalWorkload"
        )
    return workload


def _classical(
    candidate: AbstractSolver,
    estimate: SystemEstimate,
    machine: ClassicalMachine,
    reasons: Reasons,
    formed: bool,
    factor: Any,
    solves: int,
) -> Column:
    workload = classical_workload(candidate, estimate)
    if candidate.capabilities.iterative and factor is not None:
        workload = dataclasses.replace(workload, steps=namespace(factor).maximum(workload.steps * factor, 1))
    seconds = machine.seconds(workload.amortised(solves), formed=formed)
    if not (formed or candidate.capabilities.matrix_free):
        seconds = seconds + machine.seconds(forming(estimate)) / solves
    return settled(reasons, estimate, seconds=seconds, expected_steps=workload.steps)
