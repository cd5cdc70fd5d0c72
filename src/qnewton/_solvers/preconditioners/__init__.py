"""Preconditioners of the iterative solvers: `init` once per operator, `apply` once per iteration."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import AbstractPreconditioner as AbstractPreconditioner
    from .base import Identity as Identity
    from .ekfac import EKFAC as EKFAC
    from .jacobi import Jacobi as Jacobi
    from .kfac import KFAC as KFAC
    from .nystrom import Nystrom as Nystrom
else:
    from ..._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
