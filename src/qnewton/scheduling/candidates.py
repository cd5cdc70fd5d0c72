"""What the scheduler needs of a candidate, and who lacks it."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from ..core.records import Encoding, QuantumWorkload, SystemEstimate
from ..pricing.solver import CountedSolver
from ..solvers import AbstractQuantumSolver, AbstractSolver, Refine
from ..solvers.quantum.emulated.base import AbstractEmulated
from ..solvers.quantum.executed import AbstractExecuted
from ..solvers.refusals import check_solver


def check_candidate(solver: Any) -> None:
    """Refuse what is no candidate, by its name.

    Raises:
        TypeError: says what the solver lacks, and what to use.
    """
    if type(solver).__name__ == "Hybrid":
        raise TypeError("Hybrid is no candidate of another Hybrid: name the inner one's candidates beside the others")
    check_solver(solver, "candidate of Hybrid", "which weighs candidates by the workload that they state")
    if solver.fidelity is not None and quantum_part(solver) is None:
        raise TypeError(
            f"{solver.name} is no candidate of Hybrid: its fidelity is {solver.fidelity!r}, so it is quantum, and "
            "it states no count of queries: subclass qnewton.AbstractQuantumSolver, or let fidelity be None"
        )


def quantum_part(solver: AbstractSolver) -> tuple[CountedSolver, float] | None:
    """What an assumption set charges a candidate for, and the precision asked of it; None for a classical one.

    `Refine` around a quantum solver is charged for as many solves as it may take.
    """
    if isinstance(solver, AbstractQuantumSolver):
        return CountedSolver(solver.count, solver.counts_sparse_access, solver.known_norm), solver.asked_precision
    if not isinstance(solver, Refine):
        return None
    inner = quantum_part(solver.inner)
    if inner is None:
        return None
    once, precision = inner

    def count(encoding: Encoding, precision: Any) -> QuantumWorkload:
        workload = once.count(encoding, precision)
        queries, preparations = solver.rounds * workload.queries, solver.rounds * workload.state_preparations
        return eqx.tree_at(lambda w: (w.queries, w.state_preparations), workload, (queries, preparations))

    return CountedSolver(count, once.sparse_access, once.solution_norm), precision


def charged_for(solver: AbstractSolver, estimate: SystemEstimate) -> Any:
    """The numbers that a quantum candidate is charged at: those that its circuit is built for, if it has one."""
    solver = measured_as(solver)
    if isinstance(solver, AbstractEmulated):
        return solver.built_for(estimate)
    if isinstance(solver, AbstractExecuted) and solver.kappa is not None:
        log = jnp.full_like(estimate.log_condition_number, math.log(solver.kappa))
        return dataclasses.replace(estimate, log_condition_number=log)
    return estimate


def measured_as(solver: AbstractSolver) -> AbstractSolver:
    """Who is measured for a candidate's kernel: of a refinement the solver inside, whose kernel it is."""
    while isinstance(solver, Refine):
        solver = solver.inner
    return solver
