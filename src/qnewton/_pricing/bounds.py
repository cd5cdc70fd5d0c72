"""Lower bounds of any algorithm: the least queries that a solver takes, at the price of the cheapest query."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .._core.records import Encoding, QuantumWorkload
from .._solvers.quantum.encoding import Ideal
from .._solvers.quantum.queries import QueryBound, block_queries
from .assumptions import Assumptions
from .charge import Charge
from .clock import Clock
from .paper import lifted, lifted_numbers, with_levels
from .problem import Problem
from .solver import CountedSolver


class Least(NamedTuple):
    """What a bound comes to under one set on one machine.

    Attributes:
        bound: on the queries.
        assumed: the set, with what no solver needs left out: read-out, load and preparations.
        machine: its name.
        any_encoding: whether a query is one layer at no subnormalisation, which no encoding undercuts; else the
            cheapest encoding of the set is taken.
        solver: what is charged.
        charge: of one run; its first axis has length 1.
    """

    bound: QueryBound
    assumed: Assumptions
    machine: str
    any_encoding: bool
    solver: CountedSolver
    charge: Charge


def least_charges(
    problem: Problem,
    clocks: Sequence[tuple[str, Clock]],
    sets: Sequence[Assumptions],
    *,
    axes: int = 0,
    bound: QueryBound = block_queries,
) -> Iterator[Least]:
    """A sure bound under every set on every machine, by any encoding and by those of the set.

    One run is charged, with the whole error for the solver, whatever is read out of it. A square root that is at hand
    is one more matrix to encode.

    Args:
        problem: of numbers, or of arrays of a sweep.
        clocks: machines with their names.
        sets: what a quantum solve is charged for.
        axes: of the sweep.
        bound: on the calls of a block encoding.
    """
    numbers, precision = lifted_numbers(problem.numbers, axes), lifted(problem.precision, axes)

    def count(encoding: Encoding, _: Any) -> QuantumWorkload:
        return bound(encoding, precision, numbers.n, numbers.degree)

    solvers = [CountedSolver(count)]
    if problem.factor is not None:
        solvers.append(CountedSolver(count, factor=problem.factor))
    for assumed in (with_levels(one, problem) for one in sets):
        bare = dataclasses.replace(
            assumed, readout=None, norm=None, loading=False, preparation_gates=False, sparsity=False, counts=None
        )
        free = dataclasses.replace(bare, subnormalisation=False, encoding_gates=False, encodings=(Ideal(),))
        kinds = ((free, True), (bare, False)) if assumed.subnormalisation or assumed.encoding_gates else ((free, True),)
        for (made, any_encoding), solver in itertools.product(kinds, solvers):
            charges = made.charges(solver, numbers, precision, [clock for _, clock in clocks])
            for (name, _), charge in zip(clocks, charges, strict=True):
                yield Least(bound, made, name, any_encoding, solver, charge)
