"""Pricing: from estimate, candidates, assumption sets and clocks to the table of offers, without a solve."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from .._core.arrays import Number, NumberArray, namespace
from .._core.records import ClassicalWorkload, Encoding, SystemEstimate
from .._core.status import Refusal
from .._hardware import ClassicalMachine, QuantumMachine
from .._solvers import AbstractSolver
from .._solvers.base import is_charged
from .assumptions import AbstractAssumptions
from .columns import Column, Reasons, quantum_column, reasons_of, settled, table
from .offers import Offers

NO_ENCODING = Encoding(condition_number=1.0, subnormalisation=1.0)


class Own(NamedTuple):
    """The system that a candidate with conditioning of its own solves, formed.

    Attributes:
        estimate: of it.
        seconds: that conditioning and estimate take on the classical machine, for one set-up.
        estimated: whether the estimate was made, and is not a placeholder.
        least: under each set, what the candidate asks at least without those seconds; its offer where nothing was
            estimated. None: everything was.
    """

    estimate: SystemEstimate
    seconds: Number
    estimated: Bool[NumberArray, ""] | bool = True
    least: Sequence[Column] | None = None

    @property
    def log_condition_number(self) -> Float[NumberArray, ""]:
        """Logarithm of the condition number; infinite if nothing was estimated."""
        found = self.estimate.log_condition_number
        return namespace(found).where(self.estimated, found, np.inf).astype(found.dtype)


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
    solves: int,
    own: Mapping[int, Own] | None = None,
) -> Offers:
    """Return every candidate's offer under every assumption set: `[sets, candidates]`.

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
        own: by their place, the systems of candidates that do not solve this one.

    Raises:
        TypeError: for a classical candidate that states no classical workload.
    """
    columns: list[list[Column]] = []
    own = own or {}
    for i, (candidate, known) in enumerate(zip(candidates, refusals, strict=True)):
        mine = own.get(i)
        system, at_hand = (estimate, formed) if mine is None else (mine.estimate, True)
        reasons = reasons_of(candidate, system, known)
        scaled = candidate.capabilities.quantum
        if is_charged(candidate):
            column = [quantum_column(candidate, system, assumed, quantum, reasons) for assumed in sets]
        else:
            factor = None if factors is None else factors[i]
            # No assumption set changes what a classical solve takes.
            column = [_classical(candidate, system, classical, reasons, at_hand, factor, solves)] * len(sets)
        if mine is not None:
            pairs = zip(column, mine.least or [None] * len(column), strict=True)
            column = [_paying(*pair, mine.estimated, mine.seconds / solves, scaled) for pair in pairs]
        columns.append(column)
    return table(candidates, estimate, columns, {i: mine.log_condition_number for i, mine in own.items()})


def _paying(
    column: Column, least: Column | None, estimated: Bool[NumberArray, ""] | bool, paid: Number, scaled: bool
) -> Column:
    """Return a column with the seconds of conditioning and estimate added, or the least one without an estimate.

    Args:
        column: what the candidate asks for its system.
        least: what it asks at least; None where the first holds.
        estimated: whether the first holds.
        paid: seconds.
        scaled: whether a quantum clock scales the others, which these stay apart from.
    """
    xp, found = namespace(column["seconds"]), dict(column)
    if least is not None:
        undercut = {**least, "refusal": xp.int32(Refusal.UNDERCUT)}
        found = {name: xp.where(estimated, value, undercut[name]).astype(value.dtype) for name, value in column.items()}
    for name in ("seconds", "fixed_seconds") if scaled else ("seconds",):
        found[name] = (found[name] + paid).astype(column[name].dtype)
    return found


def forming(estimate: SystemEstimate) -> ClassicalWorkload:
    """Return the workload of forming an unformed matrix, which a classical candidate that needs it pays as well."""
    cost = estimate.access.forming
    return ClassicalWorkload(kernel="forming", flops=cost.flops, bytes=cost.bytes)


def classical_workload(candidate: AbstractSolver, estimate: SystemEstimate) -> ClassicalWorkload:
    """Return the workload that a classical candidate states.

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
