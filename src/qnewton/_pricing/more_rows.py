"""Rows of a table that are neither a quantum solver nor a classical one: bounds, and systems that are shared out."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .._core.conditions import broken
from .._solvers.quantum.queries import QUERY_MODELS
from .assumptions import Assumptions
from .bounds import Least
from .classical import ClassicalHost
from .clock import Clock
from .frame import Columns
from .paper import ON_FACTOR
from .problem import Problem
from .split import Shared, shares
from .table import ANY, NUMBERS, Row


def more_rows(
    problem: Problem,
    clocks: Sequence[tuple[str, Clock]],
    sets: Sequence[Assumptions],
    hosts: Sequence[ClassicalHost],
    least: Iterable[Least],
) -> Iterator[Row]:
    """What no quantum solver undercuts, then what a quantum start and classical steps take together.

    Args:
        problem: of single numbers.
        clocks: quantum machines with their names.
        sets: what a quantum solve is charged for.
        hosts: the classical machines.
        least: of `least_charges`.
    """
    for one in least:
        yield _bound_row(one)
    for one in shares(problem, clocks, sets, hosts):
        if np.isfinite(one.seconds):
            yield _shared_row(one)


def _bound_row(one: Least) -> Row:
    bound, charge, assumed = one.bound, one.charge, one.assumed
    reason = broken(charge.conditions, (0,))
    encoding = ANY if one.any_encoding else assumed.encodings_for(one.solver)[int(charge.encoding[0])].name
    known = ("queries", "qubits", "logical_qubits", "seconds", "t_count", "t_depth")
    numbers = {field: float(getattr(charge, field)[0]) for field in known if not reason}
    return Row(
        kind="bound",
        solver=bound.name + ("" if one.solver.factor is None else ON_FACTOR),
        encoding=None if reason else encoding,
        source=bound.source,
        version=bound.version,
        evidence=bound.evidence.value,
        error="trace distance",
        validity=f"n from {bound.smallest_n:g}",
        hardware=one.machine,
        assumptions=assumed.name,
        valid=not reason,
        reason=reason,
        dominant=None,
        factors={},
        notes=(),
        **{field: numbers.get(field) for field in NUMBERS},
    )


def _shared_row(one: Shared) -> Row:
    numbers = {name: float(getattr(one, name)) for name in ("queries", "copies", "seconds")}
    model = QUERY_MODELS[str(one.model)]
    return Row(
        kind="shared",
        solver=f"{model.name} + CG",
        encoding=None,
        source=f"arXiv 2602.09696, bounds ours; {model.source}",
        version=model.version,
        evidence=one.evidence.value,
        error="state 2-norm",
        validity="positive definite",
        hardware=f"{one.machine} + {one.host}",
        assumptions=one.assumed.name,
        valid=True,
        reason="",
        dominant=None,
        factors={},
        notes=(one.note,),
        **{field: numbers.get(field) for field in NUMBERS},
    )


_AT_ONCE = 250
"""Points of a sweep for which the ways to share a system out are priced together, since each has many."""


def shared_columns(
    points: Columns,
    problem: Problem,
    clocks: Sequence[tuple[str, Clock]],
    sets: Sequence[Assumptions],
    hosts: Sequence[ClassicalHost],
) -> Columns:
    """Systems that are shared out, `[points x sets x machines x ways]`, by the order of `shares`.

    Args:
        points: the numbers of the sweep.
        problem: of numbers, or of arrays `[points]`.
        clocks: machines with their names; gate times are numbers, or arrays `[points]`.
        sets: what a quantum solver is charged for.
        hosts: the classical machines.
    """
    found: list[list[Shared]] = []
    for first in range(0, len(points), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        own = [(name, dataclasses.replace(one, gate_time_s=_at(one.gate_time_s, part))) for name, one in clocks]
        found.append(list(shares(problem.at(part) if problem.shape else problem, own, sets, hosts)))
    ways = len(found[0])
    columns = points.repeated(ways)
    fixed = {
        "assumptions": [one.assumed.name for one in found[0]],
        "quantum_hardware": [one.machine for one in found[0]],
        "evidence": [one.evidence.value for one in found[0]],
    }
    columns |= {name: np.tile(np.asarray(values, object), len(points)) for name, values in fixed.items()}
    for name, field in _SHARED.items():
        wide = [np.ravel(np.stack([getattr(one, field) for one in part], axis=-1)) for part in found if part]
        columns[name] = np.concatenate(wide) if wide else np.zeros(0)
    return Columns(columns)


_SHARED = {
    "classical_hardware": "host",
    "solver": "model",
    "part_kappa": "kappa",
    "part_precision": "precision",
    **{name: name for name in ("steps", "queries", "copies", "seconds")},
}
"""Columns of the ways to share systems out by their fields."""


def _at(value: Any, part: slice) -> Any:
    return value[part] if np.ndim(value) else value
