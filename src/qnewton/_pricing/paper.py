"""Modelled prices: every published count on every machine, and every classical rival on every host.

A table shows each of them, and a break-even point looks for the least of either side; both ask here.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._core.arrays import floating
from .._core.conditions import Condition
from .._core.evidence import Evidence
from .._solvers.quantum.queries import QUERY_MODELS, Matrices, QueryModel, Unit
from .assumptions import Assumptions
from .charge import Charge
from .classical import RIVALS, ClassicalHost, Prediction, Rival, predict
from .clock import Clock
from .problem import MatrixNumbers, Problem
from .solver import CountedSolver

ON_FACTOR = " on the square root"


@dataclasses.dataclass(frozen=True)
class Group:
    """Query models that are charged together: same unit, same matrix.

    Attributes:
        models: of the group.
        solver: all of them as one.
        suffix: of their names.
    """

    models: tuple[QueryModel, ...]
    solver: CountedSolver
    suffix: str = ""


class Charged(NamedTuple):
    """A group of query models under one set on one machine; the models are the charge's first axis.

    Attributes:
        group: of models, of which those answer that `counts_for` names.
        assumed: the set; its name and counts are those of the set that was asked.
        machine: its name.
        charge: of each model.
        clock: the machine's.
        by: the name of the set that charges so, if it is another one: below the least kappa of the set's own counts.
    """

    group: Group
    assumed: Assumptions
    machine: str
    charge: Charge
    clock: Clock
    by: str = ""


class Predicted(NamedTuple):
    """A classical rival on one host.

    Attributes:
        rival, host: who, and where.
        found: its prediction there.
    """

    rival: Rival
    host: ClassicalHost
    found: Prediction


def charged(
    problem: Problem,
    clocks: Sequence[tuple[str, Clock]],
    sets: Sequence[Assumptions],
    *,
    axes: int = 0,
    readout_precision: Any = None,
) -> Iterator[Charged]:
    """Every group of query models under every set on every machine.

    Args:
        problem: of numbers, or of arrays of a sweep.
        clocks: machines with their names.
        sets: what a quantum solve is charged for.
        axes: of the sweep.
        readout_precision: as of `AbstractAssumptions.charge`.
    """
    numbers, precision = lifted_numbers(problem.numbers, axes), lifted(problem.precision, axes)
    for group in groups_of(problem, axes):
        for asked, assumed, where in _charging(sets, problem, axes):
            on_each = [clock for _, clock in clocks]
            charges = assumed.charges(group.solver, numbers, precision, on_each, readout_precision=readout_precision)
            for (name, clock), charge in zip(clocks, charges, strict=True):
                if where is None:
                    yield Charged(group, assumed, name, charge, clock)
                else:
                    yield Charged(group, asked, name, charge.demanding(where), clock, assumed.name)


def _charging(
    sets: Sequence[Assumptions], problem: Problem, axes: int
) -> Iterator[tuple[Assumptions, Assumptions, Condition | None]]:
    """Each set as it names itself, as it charges, and where alone it may; `below` where any kappa is that small."""
    for one in sets:
        assumed = with_levels(one, problem)
        yield assumed, assumed, None
        kappa, epsilon = below_ends(one)
        small = (lifted(problem.condition_number, axes) < kappa) & (lifted(problem.precision, axes) <= epsilon)
        if one.below is not None and small.any():
            others = tuple(name for name in QUERY_MODELS if name not in (one.counts or ()))
            below = with_levels(one.below, problem)
            words = (
                f"kappa below {kappa:.3g} and epsilon to {epsilon:g}, where {one.name} raises kappa for its own count"
            )
            yield dataclasses.replace(below, label=one.name, counts=others), below, Condition(small, words)


def below_ends(assumed: Assumptions) -> tuple[float, float]:
    """The condition number and the precision below which other counts than the set's own answer as well; else zeros.

    There the set's own counts hold, and are charged at a larger condition number.
    """
    if assumed.below is None:
        return 0.0, 0.0
    own = [QUERY_MODELS[name] for name in assumed.counts or QUERY_MODELS]
    return min(model.smallest_kappa for model in own), max(model.largest_precision for model in own)


def predicted(problem: Problem, hosts: Sequence[ClassicalHost]) -> Iterator[Predicted]:
    """Every classical rival that takes such a matrix on every host."""
    for host in hosts:
        for rival in RIVALS:
            if rival.takes(problem):
                yield Predicted(rival, host, predict(rival, host, problem))


def takes(model: QueryModel, problem: Problem) -> bool:
    """Whether a query model is for such a matrix."""
    return model.matrices is not Matrices.DEFINITE or problem.definite


def counts_for(assumed: Assumptions, model: QueryModel) -> bool:
    """Whether a set answers by this query model."""
    return assumed.counts is None or model.name in assumed.counts


def is_count(evidence: str) -> bool:
    """Return whether a formula is a count.

    A growth rate without a published constant is none, and is never the fastest.
    """
    return evidence != Evidence.ASYMPTOTIC


def groups_of(problem: Problem, axes: int = 0) -> list[Group]:
    """The models that can be charged together; those that need a definite matrix are among them.

    Args:
        problem: of numbers, or of arrays of a sweep.
        axes: of the sweep.
    """
    made = []
    for sparse in (False, True):
        models = tuple(m for m in QUERY_MODELS.values() if (m.unit is Unit.SPARSE_ACCESS) == sparse)
        made.append(Group(models, CountedSolver.all_of(models, lifted(problem.solution_norm, axes))))
    if problem.factor is not None:
        models = tuple(m for m in QUERY_MODELS.values() if m.rectangular)
        made.append(Group(models, CountedSolver.all_of(models, factor=problem.factor), ON_FACTOR))
    return made


def lifted(value: Any, axes: int = 0) -> Any:
    """Return the value with an axis for the models before all others, of which there are at least `axes`.

    None stays None.
    """
    if value is None:
        return None
    _, array = floating(value)
    return array.reshape((1,) * (1 + max(axes - array.ndim, 0)) + array.shape)


def lifted_numbers(numbers: MatrixNumbers, axes: int = 0) -> MatrixNumbers:
    """Return all numbers with an axis for the models."""
    fields = {field.name: lifted(getattr(numbers, field.name), axes) for field in dataclasses.fields(numbers)}
    return MatrixNumbers(**{**fields, "definite": numbers.definite})


def with_levels(assumed: Assumptions, problem: Problem) -> Assumptions:
    """The set with the measured magnitudes of entries and diagonals among its encodings, where there are any.

    A set whose encodings were named has those.
    """
    if assumed.encodings != Assumptions(assumed.label).encodings:
        return assumed
    measured = tuple(one for one in (problem.levels, problem.diagonals) if one is not None)
    return dataclasses.replace(assumed, encodings=(*assumed.encodings, *measured)) if measured else assumed


def _telling(one: Charged) -> dict[int, tuple[str, ...]]:
    """What encodings assume, by their place; of a square root the group itself says it."""
    gated = one.assumed.subnormalisation or one.assumed.encoding_gates or one.assumed.preparation_gates
    own = one.assumed.encodings_for(one.group.solver) if gated and not one.group.suffix else ()
    return {place: encoding.assumed for place, encoding in enumerate(own) if encoding.assumed}


def where_chosen(one: Charged, of_model: Callable[[Any], np.ndarray]) -> list[np.ndarray]:
    """Return, for each encoding that assumes something, the points at which it is the cheapest that holds."""
    finite = np.isfinite(of_model(one.charge.seconds))
    return [finite & (of_model(one.charge.encoding) == place) for place in _telling(one)]


def said_of_encodings(one: Charged, which: Sequence[int]) -> tuple[str, ...]:
    """What the encodings assume that are chosen somewhere, by their place in `where_chosen`."""
    words = list(_telling(one).values())
    return tuple(said for place in which for said in words[place])
