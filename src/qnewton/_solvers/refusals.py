"""Checks that refuse, by name and in one sentence, an object given as a solver that is none."""

import lineax as lx

from .base import AbstractSolver

# What of ours does the work of a solver of lineax.
_INSTEAD = {
    "AutoLinearSolver": "Cholesky(fallback=True), LU()",
    "BiCGStab": "MINRES() or LU()",
    "CG": "CG()",
    "Cholesky": "Cholesky()",
    "GMRES": "MINRES() or LU()",
    "LSMR": "MINRES() or LU()",
    "LU": "LU()",
    "NormalCG": "CG()",
    "QR": "LU()",
    "SVD": "Eigh()",
}


def check_solver(solver: object, role: str, why: str) -> None:
    """Refuse an object that is not a qnewton solver.

    Args:
        solver: as it was handed over.
        role: that it was meant for, e.g. `candidate of Hybrid`.
        why: what that asks of a solver which one of lineax does not have.

    Raises:
        TypeError: says what the solver lacks, and what to use.
    """
    if isinstance(solver, AbstractSolver):
        return
    _refuse_class(solver, role)
    name = type(solver).__name__
    if name == "Hybrid":
        raise TypeError(f"Hybrid is no {role}, {why}: use one of its candidates, e.g. LU()")
    instead = f"use qnewton's {_INSTEAD[name]}" if name in _INSTEAD else "use one of qnewton's, e.g. LU()"
    raise TypeError(
        f"{_said(solver)} is no {role}, {why}: {instead}, or subclass qnewton.solvers.AbstractSolver; alone, any "
        "lineax solver serves"
    )


def check_linear_solver(solver: object, role: str) -> None:
    """Refuse an object that is not a lineax solver, of qnewton or another package.

    Raises:
        TypeError: says what to use.
    """
    if isinstance(solver, lx.AbstractLinearSolver):
        return
    _refuse_class(solver, role)
    raise TypeError(f"{_said(solver)} is no {role}: use one of qnewton's, e.g. LU() or Hybrid(), or of lineax's")


def _refuse_class(solver: object, role: str) -> None:
    if isinstance(solver, type):
        raise TypeError(f"{solver.__name__} is a class and no {role}: make one, {solver.__name__}()")


def _said(solver: object) -> str:
    if isinstance(solver, str | int | float | bool | None):
        return repr(solver)
    return f"{type(solver).__module__.partition('.')[0]}.{type(solver).__name__}"
