"""What the scheduler needs of a candidate, and who lacks it."""

from typing import Any

from .._solvers.refusals import check_solver


def check_candidate(solver: Any) -> None:
    """Refuse what is no candidate, by its name.

    Raises:
        TypeError: says what the solver lacks, and what to use.
    """
    if type(solver).__name__ == "Hybrid":
        raise TypeError("Hybrid is no candidate of another Hybrid: name the inner one's candidates beside the others")
    check_solver(solver, "candidate of Hybrid", "which weighs candidates by the workload that they state")
    quantum = solver.capabilities.quantum
    if (solver.fidelity is not None and not quantum) or (quantum and not hasattr(solver, "count")):
        raise TypeError(
            f"{solver.name} is no candidate of Hybrid: its fidelity is {solver.fidelity!r}, so it is quantum, and "
            "it states no count of queries: subclass qnewton.solvers.AbstractQuantumSolver and say "
            "Capabilities(quantum=True), or let fidelity be None"
        )
