"""Table of every solver on every machine under every set of assumptions."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from .._core.conditions import Condition, in_words
from .._hardware import QuantumMachine
from .._solvers.quantum.queries import Matrices, QueryModel, Unit
from .assumptions import Assumptions, paper
from .charge import Charge
from .classical import ClassicalHost
from .clock import Clock
from .measured import MEASURED, at_points, measured_times, places_of
from .paper import (
    Charged,
    Predicted,
    charged,
    counts_for,
    lifted,
    lifted_numbers,
    predicted,
    said_of_encodings,
    takes,
    where_chosen,
)
from .problem import Problem

ANY = "any"
"""The encoding of a bound that holds for all of them."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table. None where a number does not exist.

    Attributes:
        kind: `quantum` or `classical`; `shared` among both; `bound` of what no quantum solver undercuts.
        solver: the query model, the lower bound or the classical solver; of a shared solve both.
        encoding: the block encoding that is cheapest here; `any` of a bound for all.
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
        least_seconds, most_seconds: at the least and greatest constant that anyone measured, of an empirical count: in
            proportion to its queries.
        beyond: of such a count, how many times kappa or n lies outside of where its constant was measured; at least 1.
        joules: the machine's power times the seconds; None where the profile states no power. A quantum machine's
            counts `qubits`: a lower bound where errors are not corrected. A classical one is at full load.
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
    least_seconds: float | None = None
    most_seconds: float | None = None
    beyond: float | None = None
    joules: float | None = None


@dataclasses.dataclass(frozen=True)
class Line:
    """One solver on one machine under one set, at every point of a sweep.

    Attributes:
        same: the fields of `Row` that are the same at every point.
        columns: the others, `[points]`; a number is NaN and a word None where there is none.
        factors: `[points]`, by name; NaN where there is none.
    """

    same: dict[str, Any]
    columns: dict[str, np.ndarray]
    factors: dict[str, np.ndarray]

    @property
    def quantum(self) -> bool:
        """Whether the solver is one."""
        return self.same["kind"] == "quantum"

    @property
    def seconds(self) -> np.ndarray:
        """NaN where there is no number."""
        return self.columns["seconds"]

    def row(self, point: int = 0) -> Row:
        """The line of the table of one point."""
        numbers = {name: self.columns[name][point].item() for name in (*NUMBERS, *MEASURED)}
        found: dict[str, Any] = {
            name: self.columns[name][point] for name in ("encoding", "reason", "dominant", "notes")
        }
        found |= {name: None if np.isnan(value) else value for name, value in numbers.items()}
        factors = {name: float(values[point]) for name, values in self.factors.items()}
        return Row(
            **self.same,
            **found,
            valid=bool(self.columns["valid"][point]),
            factors={name: value for name, value in factors.items() if not np.isnan(value)},
        )


NUMBERS = (
    *("queries", "repetitions", "copies", "rounds", "t_count", "t_depth"),
    *("qubits", "logical_qubits", "seconds", "joules"),
)
"""Fields of `Row` that are numbers."""


def table(
    problem: Problem,
    machines: Sequence[tuple[str, QuantumMachine]],
    sets: Sequence[Assumptions],
    hosts: Sequence[ClassicalHost],
) -> list[Row]:
    """All rows of one system, quantum ones first.

    Raises:
        ValueError: if a set cannot charge a machine.
    """
    for assumed in sets:
        for _, machine in machines:
            assumed.check(machine)
    clocks = [(name, Clock.of(machine)) for name, machine in machines]
    return [line.row() for line in lines(problem, clocks, sets, hosts)]


def lines(
    problem: Problem,
    clocks: Sequence[tuple[str, Clock]],
    sets: Sequence[Assumptions],
    hosts: Sequence[ClassicalHost],
    left_out: Any = False,
) -> list[Line]:
    """The table at every point of a sweep, quantum lines first.

    Args:
        problem: of numbers, or of arrays `[points]`.
        clocks: machines with their names; gate times are numbers, or arrays `[points]`.
        sets: what a quantum solve is charged for; each can charge each machine.
        hosts: the classical machines.
        left_out: `[points]`, where there is no such matrix.
    """
    shape = np.broadcast_shapes(problem.shape, np.shape(left_out))
    made = []
    for _, of_group in itertools.groupby(charged(problem, clocks, sets, axes=len(shape)), lambda one: one.group.models):
        first, *others = of_group
        # What the queries come to before a set adds anything.
        numbers, precision = lifted_numbers(problem.numbers, len(shape)), lifted(problem.precision, len(shape))
        bare = paper().charge(first.group.solver, numbers, precision, Clock(1.0)).queries
        measured = {model.name: measured_times(model, problem, shape) for model in first.group.models}
        for one in (first, *others):
            made += _quantum_lines(problem, one, bare, measured, shape, left_out)
    return made + [_classical_line(problem, one, shape, left_out) for one in predicted(problem, hosts)]


def _quantum_lines(
    problem: Problem,
    one: Charged,
    bare: Any,
    measured: Mapping[str, Mapping[str, np.ndarray]],
    shape: tuple[int, ...],
    left_out: Any,
) -> Iterator[Line]:
    group, assumed, charge = one.group, one.assumed, one.charge
    encodings = [encoding.name for encoding in assumed.encodings_for(group.solver)]
    gated = assumed.encoding_gates or assumed.preparation_gates
    encoded = assumed.subnormalisation or gated
    for index, model in enumerate(group.models):
        if not counts_for(assumed, model):
            continue
        of_model = partial(at_points, shape=shape, index=index)
        unmet = [~of_model(condition.holds) for condition in charge.conditions]
        reason = _worded(unmet, lambda which, charge=charge: _needs(charge.conditions, which))
        if not takes(model, problem):
            reason[:] = "needs a positive definite matrix"
        reason[at_points(left_out, shape)] = _NO_MATRIX
        valid = reason == ""
        factors = _factors(charge, of_model, of_model(bare), assumed)
        factors = {name: np.where(valid, values, np.nan) for name, values in factors.items()}
        counted = [name for name in NUMBERS if name != "joules"]
        numbers = {name: np.where(valid, of_model(getattr(charge, name)), np.nan) for name in counted}
        watts = None if one.clock.profile is None else one.clock.profile.watts(numbers["qubits"])
        numbers["joules"] = numbers["seconds"] * (np.nan if watts is None else watts)
        if not gated:
            numbers["t_count"] = numbers["t_depth"] = np.full(len(valid), np.nan)
        least, most, beyond = measured[model.name].values()
        yield Line(
            same={
                "kind": "quantum",
                "solver": model.name + group.suffix,
                "source": model.source,
                "version": model.version,
                "evidence": model.evidence.value,
                "error": model.convention.value,
                "validity": validity_of(model),
                "hardware": one.machine,
                "assumptions": assumed.name,
            },
            columns={
                "encoding": picked(encodings, of_model(charge.encoding), valid & encoded),
                "valid": valid,
                "reason": reason,
                **numbers,
                "least_seconds": numbers["seconds"] * least,
                "most_seconds": numbers["seconds"] * most,
                "beyond": beyond,
                "dominant": picked(list(factors), _largest(factors), valid),
                "notes": _worded(
                    [of_model(charge.clamped), beyond > 1, of_model(charge.stretched), *where_chosen(one, of_model)],
                    lambda which, model=model: _notes(model, problem, which, one),
                ),
            },
            factors=factors,
        )


_NO_MATRIX = "no matrix has these numbers"


def _worded(bits: Sequence[np.ndarray], say: Callable[[list[int]], Any]) -> np.ndarray:
    """Say something at every point, by which of the bits hold there; the same is said once."""
    code = sum(bit.astype(np.int64) << place for place, bit in enumerate(bits))
    seen, where = np.unique(code, return_inverse=True)
    said = np.empty(len(seen), object)
    for number, one in enumerate(seen):
        said[number] = say([place for place in range(len(bits)) if one >> place & 1])
    return said[where]


def _needs(conditions: Sequence[Condition], which: Sequence[int]) -> str:
    return in_words([conditions[place] for place in which]) if which else ""


def picked(names: Any, index: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return the names of these places; None where there is none."""
    found = np.asarray(names, object)[index]
    found[~there] = None
    return found


def _largest(factors: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.argmax(np.nan_to_num(list(factors.values()), nan=-np.inf, posinf=np.inf), axis=0)


def _factors(
    charge: Charge, of_model: Callable[[Any], np.ndarray], bare: np.ndarray, assumed: Assumptions
) -> dict[str, np.ndarray]:
    """Return the factors of the seconds per gate time, with the set's additions apart from the queries."""
    factors = {name: of_model(values) for name, values in charge.factors.items()}
    queries, known = factors.pop("queries"), np.isfinite(bare)
    added = np.divide(queries, bare, out=np.full(len(bare), np.nan), where=known)
    return {
        "queries": np.where(known, bare, queries),
        "sparsity" if assumed.sparsity else "subnormalisation": added,
        **factors,
    }


def _notes(model: QueryModel, problem: Problem, which: Sequence[int], one: Charged) -> tuple[str, ...]:
    """The notes of a point; `which` names what holds there: kappa was raised, 0; count 1 and qubits 2 extrapolate."""
    notes = []
    if 0 in which:
        notes.append(f"kappa raised to the theorem's smallest, {model.smallest_kappa:.3g}")
    if 1 in which and model.measured_kappa is not None:
        notes.append(f"measured at {places_of(model)}, extrapolated")
    if 2 in which:
        notes.append("error correction extrapolated: a distance above 99, or T states beyond the listed factories")
    if model.uses_norm and (problem.solution_norm is None or one.group.suffix) and not model.needs_norm:
        notes.append("||x|| at its least")
    if one.group.suffix and problem.factor is not None:
        notes += problem.factor.assumed
    if one.by:
        notes.append(f"charged as {one.by} does: kappa is below the least of {one.assumed.name}'s own count")
    return (*notes, *said_of_encodings(one, [bit - 3 for bit in which if bit > 2]))


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
        words.append(f"measured at {places_of(model)}")
    if model.needs_norm:
        words.append("||x|| known")
    if model.unit is Unit.SPARSE_ACCESS and model.uses_norm:
        words.append("epsilon below 1/kappa")
    return ", ".join(words) or "any kappa and epsilon"


def _classical_line(problem: Problem, one: Predicted, shape: tuple[int, ...], left_out: Any) -> Line:
    rival, host, found = one.rival, one.host, one.found
    reason = _worded(
        [at_points(~np.asarray(holds, bool), shape) for holds, _ in found.demands],
        lambda which: f"needs {', '.join(found.demands[place][1] for place in which)}" if which else "",
    )
    reason[at_points(left_out, shape)] = _NO_MATRIX
    valid = reason == ""
    nothing, words = np.full(len(valid), np.nan), np.full(len(valid), None)
    seconds, watts = np.where(valid, at_points(found.seconds, shape), np.nan), host.profile and host.profile.power_w
    return Line(
        same={
            "kind": "classical",
            "solver": rival.name,
            "source": f"{rival.source}; machine: {host.source}" if host.source else rival.source,
            "version": None,
            "evidence": rival.guarantee,
            "error": "state 2-norm",
            "validity": "definite" if rival.definite else "any" if rival.definite is None else "not definite",
            "hardware": host.name,
            "assumptions": host.basis,
        },
        columns={
            "encoding": words,
            "valid": valid,
            "reason": reason,
            **dict.fromkeys((*NUMBERS, *MEASURED), nothing),
            "seconds": seconds,
            "joules": seconds * (watts or np.nan),
            "dominant": words,
            "notes": _classical_notes(problem, one, shape, valid),
        },
        factors={},
    )


def _classical_notes(problem: Problem, one: Predicted, shape: tuple[int, ...], valid: np.ndarray) -> np.ndarray:
    host = one.host
    n, precision, kappa = (at_points(v, shape) for v in (problem.n, problem.precision, problem.condition_number))
    rounds, beyond = (np.where(valid, at_points(v, shape), 0) for v in (one.found.rounds, one.found.beyond_bytes))
    largest = np.inf if host.largest_measured is None else host.largest_measured
    notes = np.empty(len(valid), object)
    for point in range(len(valid)):
        said = list(one.rival.method.notes(problem))
        if n[point] > largest:
            said.append(f"extrapolated: the largest system measured has {host.largest_measured} rows")
        if rounds[point]:
            said.append(
                f"double precision does not resolve {precision[point]:g} at kappa {kappa[point]:g}: rounds of "
                f"refinement in twice that precision: {int(rounds[point])}"
            )
        if beyond[point]:
            said.append(
                f"{beyond[point]:.2g} bytes more than the memory holds ({host.memory_bytes:.2g}), streamed at "
                f"{host.link_bytes_per_s:.2g} bytes a second"
            )
        notes[point] = tuple(said)
    return notes
