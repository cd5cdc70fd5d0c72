"""Rows of a table that are neither a quantum solver nor a classical one: bounds, and systems that are shared out."""

from collections.abc import Iterable, Iterator, Sequence

from .._core.conditions import broken
from .assumptions import Assumptions
from .bounds import Least
from .classical import ClassicalHost
from .clock import Clock
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
    numbers = {"queries": one.queries, "copies": one.copies, "seconds": one.seconds}
    return Row(
        kind="shared",
        solver=f"{one.model.name} + CG",
        encoding=None,
        source=f"arXiv 2602.09696, bounds ours; {one.model.source}",
        version=one.model.version,
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
