"""Iterative solvers that use a matrix through its products only."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cg import CG as CG
    from .minres import MINRES as MINRES
else:
    from ..._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
