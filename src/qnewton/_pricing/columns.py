"""One candidate's column in a table of offers: traced inside a step, with numpy before one is traced."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from .._core.arrays import Number, NumberArray, namespace
from .._core.records import SystemEstimate
from .._core.status import Refusal
from .._hardware import QuantumMachine
from .._solvers import AbstractSolver
from .._solvers.base import Charged
from .._solvers.quantum.encoding import Numbers
from .assumptions import AbstractAssumptions
from .clock import Clock
from .offers import Offers
from .solver import CountedSolver

Reasons = list[tuple[Refusal, Bool[NumberArray, "..."]]]
"""Why a candidate cannot take a system, and where that is so; the first that holds is the reason."""

Column = dict[str, NumberArray]
"""What one candidate asks under one set, by the fields of `Offers`."""


def reasons_of(candidate: AbstractSolver, estimate: SystemEstimate, known: Refusal) -> Reasons:
    """Return the reasons for which a candidate cannot take a system.

    Args:
        candidate: a solver.
        estimate: the system's numbers.
        known: what its structure tells.
    """
    xp, able = namespace(estimate.frobenius_norm), candidate.capabilities
    found = [(Refusal.NOT_FINITE, ~xp.isfinite(estimate.frobenius_norm))]
    if known != Refusal.NONE:
        found.append((known, xp.asarray(True)))
    if able.needs_definite:
        definite = estimate.presumed_definite if able.notices_indefinite else estimate.definite
        found.append((Refusal.NOT_DEFINITE, ~definite))
    return found


def quantum_column(
    candidate: Charged,
    estimate: Any,
    assumed: AbstractAssumptions,
    machine: QuantumMachine,
    reasons: Reasons,
    *,
    times: Number = 1.0,
    precision: Any = None,
    promised: bool = True,
) -> Column:
    """Return the column of a candidate that is charged by its count of queries.

    Args:
        candidate: the solver.
        estimate: the system's numbers, a `SystemEstimate` or arrays of them (`encoding.Numbers`).
        assumed: what it is charged for.
        machine: the modelled machine.
        reasons: why it cannot take the system.
        times: solves that the seconds are of, all of them alike.
        precision: 2-norm error of the step, in the place of what the candidate asks for.
        promised: whether numbers that the candidate promises take the place of the system's; False for a lower bound.
    """
    # A candidate that promises a condition number is charged at that one, since its circuit is built for it.
    built_for = candidate.built_for(estimate) if promised else estimate
    counted = CountedSolver(candidate.count, candidate.counts_sparse_access, candidate.known_norm)
    asked = candidate.asked_precision if precision is None else precision
    charge = assumed.charge(counted, built_for, asked, Clock.of(machine))
    xp = namespace(built_for.log_condition_number)
    refused = [
        *reasons,
        (Refusal.NO_CONDITION_NUMBER, ~xp.isfinite(xp.exp(built_for.log_condition_number))),
        (Refusal.OUT_OF_RANGE, ~charge.valid),
    ]
    own = ("queries", "copies", "success_probability", "clamped")
    spent = {name: getattr(charge, name) * times for name in ("seconds", "fixed_seconds")}
    return settled(refused, estimate, **spent, **{name: getattr(charge, name) for name in own})


def settled(
    reasons: Reasons,
    estimate: Numbers,
    *,
    seconds: Any,
    fixed_seconds: Any = 0.0,
    queries: Any = 0.0,
    copies: Any = 0.0,
    success_probability: Any = 1.0,
    clamped: Any = False,
    expected_steps: Any = 0.0,
) -> Column:
    """Return a candidate's column under one set; by default that of a classical, non-iterative one."""
    entry: Any = estimate.max_entry
    xp, dtype = namespace(entry, seconds), entry.dtype
    # Not `select`, which looks for the first by a reduction: a kernel each, where all of this is one.
    refusal = xp.int32(Refusal.NONE)
    for code, holds in reversed([*reasons, (Refusal.NO_PREDICTION, ~xp.isfinite(seconds))]):
        refusal = xp.where(holds, xp.int32(code), refusal)
    numbers = {
        "seconds": xp.where(refusal == Refusal.NONE, seconds, np.inf),
        "fixed_seconds": fixed_seconds,
        "queries": queries,
        "copies": copies,
        "success_probability": success_probability,
        "expected_steps": expected_steps,
    }
    shape = np.shape(seconds)
    column = {name: xp.asarray(number, dtype) for name, number in numbers.items()}
    column |= {"refusal": refusal, "clamped": xp.asarray(clamped, bool)}
    return {name: xp.broadcast_to(number, shape) for name, number in column.items()}


def table(
    candidates: Sequence[AbstractSolver],
    estimate: SystemEstimate,
    columns: Sequence[Sequence[Column]],
    own: Mapping[int, Float[NumberArray, "..."]] | None = None,
) -> Offers:
    """The offers `[sets, candidates]`.

    Args:
        candidates: solvers.
        estimate: the system's numbers.
        columns: per candidate, what it asks under each set.
        own: by their place, the logarithms of the condition numbers of candidates that do not solve this system.
    """
    log_kappa = estimate.log_condition_number
    if own:
        xp = namespace(log_kappa)
        seen = [own.get(i, log_kappa) for i in range(len(candidates))]
        log_kappa = xp.stack(seen, axis=-1)
    rows = [_stacked(row) for row in zip(*columns, strict=True)]
    whole = _stacked(rows)
    return Offers(
        names=tuple(candidate.name for candidate in candidates),
        quantum=tuple(candidate.capabilities.quantum for candidate in candidates),
        feasible=whole["refusal"] == Refusal.NONE,
        log_condition_number=log_kappa,
        **{**whole, "expected_steps": whole["expected_steps"][0]},
    )


def _stacked(columns: Sequence[Column]) -> Column:
    xp = namespace(columns[0]["seconds"])
    return {name: xp.stack([column[name] for column in columns]) for name in columns[0]}
