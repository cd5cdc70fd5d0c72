"""From estimate, candidates, assumption sets and clocks to the table of offers, without solving anything."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.records import ClassicalWorkload, Encoding, SystemEstimate
from .._core.status import Refusal
from .._hardware import ClassicalMachine, QuantumMachine
from .._solvers import AbstractSolver
from .._solvers.base import Charged, is_charged
from .assumptions import AbstractAssumptions
from .clock import Clock
from .offers import Offers
from .solver import CountedSolver

NO_ENCODING = Encoding(condition_number=1.0, subnormalisation=1.0)

_Reasons = list[tuple[Refusal, Bool[Array, ""]]]
"""Why a candidate cannot take a system, and where that is so; the first that holds is the reason."""


def price(
    estimate: SystemEstimate,
    candidates: Sequence[AbstractSolver],
    sets: Sequence[AbstractAssumptions],
    classical: ClassicalMachine,
    quantum: QuantumMachine,
    *,
    refusals: Sequence[Refusal],
    formed: bool,
    factors: Float[Array, " candidates"] | None = None,
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
    finite = jnp.isfinite(estimate.frobenius_norm)
    columns: list[list[dict[str, Array]]] = []
    for i, (candidate, known) in enumerate(zip(candidates, refusals, strict=True)):
        reasons = [(Refusal.NOT_FINITE, ~finite), *_reasons(candidate, estimate, known)]
        if is_charged(candidate):
            columns.append([_quantum(candidate, estimate, assumed, quantum, reasons) for assumed in sets])
        else:
            factor = None if factors is None else factors[i]
            # No assumption set changes what a classical solve takes.
            own = _classical(candidate, estimate, classical, reasons, formed, factor, solves)
            columns.append([own] * len(sets))
    table = _stacked([_stacked(row) for row in zip(*columns, strict=True)])
    return Offers(
        names=tuple(candidate.name for candidate in candidates),
        quantum=tuple(candidate.capabilities.quantum for candidate in candidates),
        feasible=table["refusal"] == Refusal.NONE,
        log_condition_number=estimate.log_condition_number,
        **{**table, "expected_steps": table["expected_steps"][0]},
    )


def _reasons(candidate: AbstractSolver, estimate: SystemEstimate, known: Refusal) -> _Reasons:
    """Why a candidate cannot take a system whose numbers are finite."""
    able, found = candidate.capabilities, [] if known == Refusal.NONE else [(known, jnp.asarray(True))]
    if able.needs_definite:
        definite = estimate.presumed_definite if able.notices_indefinite else estimate.definite
        found.append((Refusal.NOT_DEFINITE, ~definite))
    return found


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


def _quantum(
    candidate: Charged,
    estimate: SystemEstimate,
    assumed: AbstractAssumptions,
    machine: QuantumMachine,
    reasons: _Reasons,
) -> dict[str, Array]:
    # A candidate that promises a condition number is charged at that one, since its circuit is built for it.
    built_for = candidate.built_for(estimate)
    counted = CountedSolver(candidate.count, candidate.counts_sparse_access, candidate.known_norm)
    charge = assumed.charge(counted, built_for, candidate.asked_precision, Clock.of(machine))
    refused = [
        *reasons,
        (Refusal.NO_CONDITION_NUMBER, ~jnp.isfinite(jnp.exp(built_for.log_condition_number))),
        (Refusal.OUT_OF_RANGE, ~charge.valid),
    ]
    own = ("seconds", "fixed_seconds", "queries", "copies", "success_probability", "clamped")
    return _settled(refused, estimate, **{name: getattr(charge, name) for name in own})


def _classical(
    candidate: AbstractSolver,
    estimate: SystemEstimate,
    machine: ClassicalMachine,
    reasons: _Reasons,
    formed: bool,
    factor: Any,
    solves: int,
) -> dict[str, Array]:
    workload = classical_workload(candidate, estimate)
    if candidate.capabilities.iterative and factor is not None:
        workload = dataclasses.replace(workload, steps=jnp.maximum(workload.steps * factor, 1))
    seconds = machine.seconds(workload.amortised(solves), formed=formed)
    if not (formed or candidate.capabilities.matrix_free):
        seconds = seconds + machine.seconds(forming(estimate)) / solves
    return _settled(reasons, estimate, seconds=seconds, expected_steps=workload.steps)


def _settled(
    reasons: _Reasons,
    estimate: SystemEstimate,
    *,
    seconds: Any,
    fixed_seconds: Any = 0.0,
    queries: Any = 0.0,
    copies: Any = 0.0,
    success_probability: Any = 1.0,
    clamped: Any = False,
    expected_steps: Any = 0.0,
) -> dict[str, Array]:
    """A candidate's column of the table under one set; by default that of a classical one that does not iterate."""
    # Not `jnp.select`, which looks for the first by a reduction: a kernel each, where all of this is one.
    refusal = jnp.int32(Refusal.NONE)
    for code, holds in reversed([*reasons, (Refusal.NO_PREDICTION, ~jnp.isfinite(seconds))]):
        refusal = jnp.where(holds, jnp.int32(code), refusal)
    numbers = {
        "seconds": jnp.where(refusal == Refusal.NONE, seconds, jnp.inf),
        "fixed_seconds": fixed_seconds,
        "queries": queries,
        "copies": copies,
        "success_probability": success_probability,
        "expected_steps": expected_steps,
    }
    column = {name: jnp.asarray(number, estimate.max_entry.dtype) for name, number in numbers.items()}
    return {**column, "refusal": refusal, "clamped": jnp.asarray(clamped, bool)}


def _stacked(columns: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return jax.tree.map(lambda *numbers: jnp.stack(numbers), *columns)
