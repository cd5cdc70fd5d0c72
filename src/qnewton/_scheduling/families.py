"""Default scheduler of an optimizer's own systems."""

import functools
from collections.abc import Callable, Sequence

import lineax as lx

from .._core.kinds import check_kind
from .._hardware import QuantumMachine
from .._hardware.profile_files import load_profile
from .._hardware.quantum_profile import QuantumProfile
from .._pricing.assumptions import end_to_end, paper
from .._pricing.policies import Assigned
from .._solvers import CG, LU, QLSA, AbstractSolver, Cholesky, GaussJordan, Inverse, SaddleFree
from .._solvers.svd import SVD
from .conditioned import Conditioned
from .hybrid import Hybrid

PROFILE = "superconducting"
"""The quantum machine of a scheduler that nobody named another for."""


def scheduler_of(
    solver: lx.AbstractLinearSolver | None, user: str, default: Callable[[], Hybrid] | None = None
) -> Hybrid:
    """Return the given scheduler, or the default one; a single solver becomes the only candidate of one.

    Args:
        solver: a `Hybrid`, a solver of ours, or None.
        user: whose argument it is, for the message.
        default: makes the one that None stands for; None: `default_scheduler`.

    Raises:
        TypeError: for anything else, and for a candidate with conditioning of its own.
        ValueError: for what has no meaning for a group of equal systems: the policy `Assigned`, `solves`, and workers.
    """
    if solver is None:
        return (default or default_scheduler)()
    check_kind(solver, (Hybrid, AbstractSolver), f"{user}: solver", "Hybrid([Cholesky(), QLSA()])")
    if isinstance(solver, AbstractSolver):
        solver = Hybrid([solver], assumptions=[paper()])
    assert isinstance(solver, Hybrid)
    if isinstance(solver.policy, Assigned):
        raise ValueError(
            f"{user}: solver has the policy Assigned, which the host fills between two steps, block by block, and the "
            "systems here are chosen for in groups while the step runs: take another policy, or newton(family='blocks')"
        )
    if solver.solves != 1:
        raise ValueError(
            f"{user}: solver has solves={solver.solves}, and how many right-hand sides and steps one set-up serves is "
            "known of these systems and priced so: leave it out"
        )
    if solver.workers is not None:
        raise ValueError(
            f"{user}: solver has workers, and the step itself solves the systems here, in groups, so that no worker "
            "gets any: leave them out, or use newton(family='blocks')"
        )
    for candidate in solver.solvers:
        if isinstance(candidate, Conditioned):
            raise TypeError(
                f"{user}: solver has the candidate {candidate.name}, and groups of equal systems go to every candidate "
                f"as they are: give {candidate.inner.name} alone, or use newton(family='blocks')"
            )
    return solver


@functools.cache
def default_scheduler() -> Hybrid:
    """Return direct solvers and a quantum one at all its costs, which act; the paper's charges are only recorded.

    Conjugate gradients are no candidate unless they are named: whether they win depends on the condition number, and to
    find it takes longer than to solve systems of this size.
    """
    return _at_all_its_costs(Inverse(), Cholesky(), LU(), QLSA())


@functools.cache
def scheduler_of_many() -> Hybrid:
    """Return the same for systems in thousands, with a candidate that sets them up all at once."""
    return _at_all_its_costs(GaussJordan(), Inverse(), Cholesky(), LU(), QLSA())


@functools.cache
def scheduler_of_fits() -> Hybrid:
    """The same for fits, with a candidate that squares nothing where residuals outnumber parameters."""
    return _at_all_its_costs(Inverse(), Cholesky(), LU(), SVD(), QLSA())


@functools.cache
def scheduler_of_blocks() -> Hybrid:
    """The same for blocks that shapes choose, with the candidate that never forms them.

    All of them solve the damped Gauss-Newton system: a direct one exactly, conjugate gradients to a residual of 0.1.
    """
    return _at_all_its_costs(CG(rtol=0.1), Cholesky(fallback=True), LU(), QLSA())


@functools.cache
def scheduler_of_saddles() -> Hybrid:
    """Return a scheduler for exact Hessians, which may be indefinite: only candidates whose answer is `|H|^-1 g`."""
    return _at_all_its_costs(SaddleFree(), QLSA(stand_in=SaddleFree()))


def scheduler_with(candidates: Sequence[str]) -> Hybrid:
    """The one among these that has just those candidates: whose plans have such columns, where the user names none.

    Args:
        candidates: their names, in order.

    Raises:
        ValueError: where there is none.
    """
    every = (default_scheduler, scheduler_of_many, scheduler_of_fits, scheduler_of_blocks, scheduler_of_saddles)
    for known in every:
        if known().names == tuple(candidates):
            return known()
    raise ValueError(f"no family's own scheduler has the candidates {', '.join(candidates)}")


def _at_all_its_costs(*solvers: AbstractSolver) -> Hybrid:
    profile = load_profile(PROFILE)
    assert isinstance(profile, QuantumProfile)
    return Hybrid(
        solvers,
        quantum=QuantumMachine(profile.two_qubit_time_s, profile),
        assumptions=(end_to_end(), paper()),
    )
