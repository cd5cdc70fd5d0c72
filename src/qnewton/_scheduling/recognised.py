"""Test of whether a solver is the scheduler, without loading it."""

import sys
from typing import TYPE_CHECKING, Any

import lineax as lx

if TYPE_CHECKING:
    from .hybrid import Hybrid


def scheduler_in(solver: lx.AbstractLinearSolver) -> "Hybrid | None":
    """Return the solver if it is a scheduler, which needs a system's position in the training; else None."""
    # Nobody has made one as long as its module was not loaded, and loading that takes a tenth of `import qnewton`.
    module: Any = sys.modules.get(f"{__package__}.hybrid")
    found: Any = solver if module is not None and isinstance(solver, module.Hybrid) else None
    return found
