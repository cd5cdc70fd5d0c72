"""Assumption sets: the costs charged for a quantum solve, and what `plan` and `breakeven` return."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._pricing.assumptions import AbstractAssumptions as AbstractAssumptions
    from ._pricing.assumptions import Assumptions as Assumptions
    from ._pricing.assumptions import end_to_end as end_to_end
    from ._pricing.assumptions import logical as logical
    from ._pricing.assumptions import paper as paper
    from ._pricing.assumptions import paper_best as paper_best
    from ._pricing.assumptions import paper_sparse as paper_sparse
    from ._pricing.charge import Charge as Charge
    from ._pricing.clock import Clock as Clock
    from ._pricing.equal import BreakevenResult as BreakevenResult
    from ._pricing.frame import Columns as Columns
    from ._pricing.plan import PlanResult as PlanResult
    from ._pricing.plan import SystemNumbers as SystemNumbers
    from ._pricing.solver import CountedSolver as CountedSolver
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
