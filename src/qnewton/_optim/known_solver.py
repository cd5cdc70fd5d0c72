"""Facts about a solver that the steps of `newton` need, determined once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax.numpy as jnp
import lineax as lx

from .. import _estimation
from .._core.records import System
from .._scheduling import scheduler_in
from .._solvers import capabilities_of
from .._solvers.capabilities import Capabilities

if TYPE_CHECKING:
    from .._estimation import Reuse
    from .._scheduling import Hybrid
    from .._scheduling.group_plan import PackedPlans


@dataclass(frozen=True)
class KnownSolver:
    """A solver of the blocks' systems, and its capabilities.

    Attributes:
        solver: any lineax solver.
        able: what it takes and needs.
        scheduler: the solver itself where it chooses among candidates; None where it does not.
        contest: candidates among which the shapes of a block choose, the solver being the first; None: it is alone.
    """

    solver: lx.AbstractLinearSolver
    able: Capabilities
    scheduler: "Hybrid | None"
    contest: "Hybrid | None" = None

    @classmethod
    def of(cls, solver: lx.AbstractLinearSolver, contest: "Hybrid | None" = None) -> "KnownSolver":
        """Determine the solver's capabilities."""
        return cls(solver, capabilities_of(solver), scheduler_in(solver), contest)

    def for_system(self, system: System) -> "tuple[lx.AbstractLinearSolver, PackedPlans | None]":
        """Return the solver of a system, and the record if shapes chose among several.

        Args:
            system: as curvature leaves it.
        """
        if self.contest is None:
            return self.solver, None
        from .._scheduling.by_shape import by_shape
        from .._scheduling.group_plan import PackedPlans

        chosen, plan = by_shape(self.contest, system)
        return chosen, PackedPlans.of(self.contest, [plan], system.like.dtype)

    def blank_plan(self, n: int, dtype: jnp.dtype) -> "PackedPlans | None":
        """The structure of such a record for a block of n parameters."""
        if self.contest is None:
            return None
        from .._scheduling.by_shape import block_name
        from .._scheduling.group_plan import PackedPlans

        return PackedPlans.blank(self.contest, [block_name(n)], dtype, [(1, 1)])

    @property
    def reuse(self) -> "Reuse | None":
        """The scheduler's estimator if it remembers a block's spectrum between steps, else None."""
        estimator = None if self.scheduler is None else self.scheduler.estimator
        return estimator if estimator is not None and isinstance(estimator, _estimation.Reuse) else None

    def never_forms(self, *, floor: bool) -> bool:
        """Whether no block is ever formed, so that blocks may be larger than memory.

        Args:
            floor: whether the blocks have an eigenvalue floor.
        """
        return self.able.matrix_free or (self.scheduler is not None and self.scheduler.never_forms(floor=floor))
