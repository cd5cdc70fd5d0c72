"""Requirements of the scheduler on a candidate, and errors for a solver that lacks one."""

from collections.abc import Iterator
from typing import Any

from .._solvers import AbstractSolver
from .._solvers.refusals import check_solver
from .conditioned import Conditioned


def check_candidate(solver: Any) -> None:
    """Refuse a solver that is not a candidate, by its name.

    Raises:
        TypeError: says what the solver lacks, and what to use.
    """
    if type(solver).__name__ == "Hybrid":
        raise TypeError("Hybrid is no candidate of another Hybrid: name the inner one's candidates beside the others")
    check_solver(solver, "candidate of Hybrid", "which weighs candidates by the workload that they state")
    for inside in _inside(solver):
        if isinstance(inside, Conditioned):
            raise TypeError(
                f"{solver.name} is no candidate of Hybrid: conditioning inside of another solver is in no price. Put "
                f"Conditioned outermost, around {type(solver).__name__}"
            )
    quantum = solver.capabilities.quantum
    if (solver.execution is not None and not quantum) or (quantum and not hasattr(solver, "count")):
        raise TypeError(
            f"{solver.name} is no candidate of Hybrid: its execution is {solver.execution!r}, so it is quantum, and "
            "it states no count of queries: subclass qnewton.solvers.AbstractQuantumSolver and say "
            "Capabilities(quantum=True), or let execution be None"
        )


def _inside(solver: AbstractSolver) -> Iterator[AbstractSolver]:
    """The solvers inside of one, at any depth."""
    for name in ("inner", "stand_in"):
        inside = getattr(solver, name, None)
        if isinstance(inside, AbstractSolver):
            yield inside
            yield from _inside(inside)
