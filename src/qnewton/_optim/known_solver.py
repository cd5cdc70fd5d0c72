"""What the steps of `newton` need to know of their solver, found out once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import lineax as lx

from .. import _estimation
from .._scheduling import scheduler_in
from .._solvers import capabilities_of
from .._solvers.capabilities import Capabilities

if TYPE_CHECKING:
    from .._estimation import Reuse
    from .._scheduling import Hybrid


@dataclass(frozen=True)
class KnownSolver:
    """A solver of the blocks' systems, and what it is.

    Attributes:
        solver: any lineax solver.
        able: what it takes and needs.
        scheduler: the solver itself where it chooses among candidates; None where it does not.
    """

    solver: lx.AbstractLinearSolver
    able: Capabilities
    scheduler: "Hybrid | None"

    @classmethod
    def of(cls, solver: lx.AbstractLinearSolver) -> "KnownSolver":
        """Ask the solver."""
        return cls(solver, capabilities_of(solver), scheduler_in(solver))

    @property
    def reuse(self) -> "Reuse | None":
        """The scheduler's estimator, where it remembers a block's spectrum from step to step."""
        estimator = None if self.scheduler is None else self.scheduler.estimator
        return estimator if estimator is not None and isinstance(estimator, _estimation.Reuse) else None

    def never_forms(self, *, floor: bool) -> bool:
        """Whether no block is ever formed, so that blocks may be larger than memory.

        Args:
            floor: whether the blocks have an eigenvalue floor.
        """
        return self.able.matrix_free or (self.scheduler is not None and self.scheduler.never_forms(floor=floor))
