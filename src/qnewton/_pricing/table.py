"""Table of every solver on every machine under every set of assumptions."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .._core.conditions import broken
from .._hardware import QuantumMachine
from .._solvers.quantum.queries import Matrices, QueryModel, Unit
from .assumptions import Assumptions, paper
from .charge import Charge
from .classical import ClassicalHost
from .clock import Clock
from .paper import Charged, Group, Predicted, charged, counts_for, lifted, lifted_numbers, predicted, takes
from .problem import Problem


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table. None where a number does not exist.

    Attributes:
        kind: `quantum` or `classical`.
        solver: the query model or the classical solver.
        encoding: the block encoding that is cheapest here.
        source, version, evidence, error, validity: what is known of the formula.
        hardware: the machine.
        assumptions: the set; of a classical row what its times rest on.
        valid, reason: whether there is a number, and why not.
        queries: of one run, repetitions included.
        repetitions: of one run.
        copies: runs in all.
        rounds: read-outs that follow each other.
        t_count, t_depth: of the whole solve; None where no gates are charged.
        qubits: physical where errors are corrected, else logical.
        logical_qubits: of the algorithm.
        seconds: modelled for a quantum row and a data sheet, predicted for a calibrated machine; never measured.
        dominant: what contributes the largest factor.
        factors: all of them.
        notes: clamped, extrapolated, assumed; refined, streamed.
    """

    kind: str
    solver: str
    encoding: str | None
    source: str
    version: str | None
    evidence: str
    error: str
    validity: str
    hardware: str
    assumptions: str
    valid: bool
    reason: str
    queries: float | None
    repetitions: float | None
    copies: float | None
    rounds: float | None
    t_count: float | None
    t_depth: float | None
    qubits: float | None
    logical_qubits: float | None
    seconds: float | None
    dominant: str | None
    factors: dict[str, float]
    notes: tuple[str, ...]


def table(
    problem: Problem,
    machines: Sequence[tuple[str, QuantumMachine]],
    sets: Sequence[Assumptions],
    hosts: Sequence[ClassicalHost],
) -> list[Row]:
    """All rows, quantum ones first.

    Raises:
        ValueError: if a set cannot charge a machine.
    """
    for assumed in sets:
        for _, machine in machines:
            assumed.check(machine)
    clocks = [(name, Clock.of(machine)) for name, machine in machines]
    rows = []
    for _, of_group in itertools.groupby(charged(problem, clocks, sets), lambda one: one.group.models):
        first, *others = of_group
        # What the queries come to before a set adds anything.
        numbers, precision = lifted_numbers(problem.numbers), lifted(problem.precision)
        bare = paper().charge(first.group.solver, numbers, precision, Clock(1.0)).queries
        rows += [row for one in (first, *others) for row in _quantum_rows(problem, one, bare)]
    return rows + [_classical_row(problem, one) for one in predicted(problem, hosts)]


def _quantum_rows(problem: Problem, one: Charged, bare: Any) -> Iterator[Row]:
    group, assumed, charge = one.group, one.assumed, one.charge
    encodings = assumed.encodings_for(group.solver)
    gated = assumed.encoding_gates or assumed.preparation_gates
    for index, model in enumerate(group.models):
        if not counts_for(assumed, model):
            continue
        reason = broken(charge.conditions, (index,))
        if not takes(model, problem):
            reason = "needs a positive definite matrix"
        valid = not reason

        def number(field: str, index: int = index, valid: bool = valid) -> float | None:
            return float(getattr(charge, field)[index]) if valid else None

        factors = _factors(charge, index, float(bare[index]), assumed) if valid else {}
        encoding = encodings[int(charge.encoding[index])].name if assumed.subnormalisation or gated else None
        yield Row(
            kind="quantum",
            solver=model.name + group.suffix,
            encoding=encoding if valid else None,
            source=model.source,
            version=model.version,
            evidence=model.evidence.value,
            error=model.convention.value,
            validity=validity_of(model),
            hardware=one.machine,
            assumptions=assumed.name,
            valid=valid,
            reason=reason,
            queries=number("queries"),
            repetitions=number("repetitions"),
            copies=number("copies"),
            rounds=number("rounds"),
            t_count=number("t_count") if gated else None,
            t_depth=number("t_depth") if gated else None,
            qubits=number("qubits"),
            logical_qubits=number("logical_qubits"),
            seconds=number("seconds"),
            dominant=max(factors, key=lambda name: factors[name]) if factors else None,
            factors=factors,
            notes=_notes(model, problem, charge, index, group),
        )


def _factors(charge: Charge, index: int, bare: float, assumed: Assumptions) -> dict[str, float]:
    """Return the factors of the seconds per gate time, with the set's additions apart from the queries."""
    factors = {name: float(values[index]) for name, values in charge.factors.items()}
    queries = factors.pop("queries")
    if np.isfinite(bare):
        factors = {"queries": bare, "sparsity" if assumed.sparsity else "subnormalisation": queries / bare, **factors}
    else:
        factors = {"queries": queries, **factors}
    return factors


def _notes(model: QueryModel, problem: Problem, charge: Charge, index: int, group: Group) -> tuple[str, ...]:
    notes = []
    if bool(charge.clamped[index]):
        notes.append(f"kappa raised to the theorem's smallest, {model.smallest_kappa:.3g}")
    if bool(charge.extrapolated[index]) and model.measured_kappa is not None:
        notes.append(f"measured at {_measured(model.measured_kappa)}, extrapolated")
    if model.uses_norm and (problem.solution_norm is None or group.suffix) and not model.needs_norm:
        notes.append("||x|| at its least")
    if group.suffix and problem.factor is not None:
        notes += problem.factor.assumed
    return tuple(notes)


def validity_of(model: QueryModel) -> str:
    """The formula's range in a few words."""
    words = [] if model.matrices is Matrices.GENERAL else [model.matrices.value]
    if model.smallest_kappa > 1 or model.largest_kappa < np.inf:
        high = "" if model.largest_kappa == np.inf else f" to {model.largest_kappa:g}"
        words.append(f"kappa from {model.smallest_kappa:.3g}{high}")
    if model.smallest_precision > 0:
        words.append(f"epsilon from {model.smallest_precision:g}")
    if model.largest_precision < 1:
        words.append(f"epsilon to {model.largest_precision:g}")
    if model.measured_kappa is not None:
        words.append(f"measured at {_measured(model.measured_kappa)}")
    if model.needs_norm:
        words.append("||x|| known")
    if model.unit is Unit.SPARSE_ACCESS and model.uses_norm:
        words.append("epsilon below 1/kappa")
    return ", ".join(words) or "any kappa and epsilon"


def _measured(kappa: tuple[float, float]) -> str:
    low, high = kappa
    return f"kappa {low:g}" if low == high else f"kappa {low:g} to {high:g}"


def _classical_row(problem: Problem, one: Predicted) -> Row:
    rival, host, found = one.rival, one.host, one.found
    seconds, valid, rounds, beyond = (
        float(found.seconds),
        bool(found.valid),
        int(found.rounds),
        float(found.beyond_bytes),
    )
    missing = [words for holds, words in found.demands if not np.all(holds)]
    notes = list(rival.method.notes(problem))
    if host.largest_measured is not None and float(problem.numbers.n) > host.largest_measured:
        notes.append(f"extrapolated: the largest system measured has {host.largest_measured} rows")
    if valid and rounds:
        notes.append(
            f"double precision does not resolve {float(problem.precision):g} at kappa "
            f"{float(problem.condition_number):g}: rounds of refinement in twice that precision: {rounds}"
        )
    if valid and beyond:
        notes.append(
            f"{beyond:.2g} bytes more than the memory holds ({host.memory_bytes:.2g}), streamed at "
            f"{host.link_bytes_per_s:.2g} bytes a second"
        )
    return Row(
        kind="classical",
        solver=rival.name,
        encoding=None,
        source=rival.source,
        version=None,
        evidence=rival.guarantee,
        error="state 2-norm",
        validity="definite" if rival.definite else "any" if rival.definite is None else "not definite",
        hardware=host.name,
        assumptions=host.basis,
        valid=valid,
        reason=f"needs {', '.join(missing)}" if missing else "",
        queries=None,
        repetitions=None,
        copies=None,
        rounds=None,
        t_count=None,
        t_depth=None,
        qubits=None,
        logical_qubits=None,
        seconds=seconds if valid else None,
        dominant=None,
        factors={},
        notes=tuple(notes),
    )
