"""Block encodings and state preparations: the cost of a matrix and a right-hand side in a circuit."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import AbstractEncoding as AbstractEncoding
    from .base import Numbers as Numbers
    from .diagonals import Diagonals as Diagonals
    from .fable import FABLE as FABLE
    from .frobenius import Frobenius as Frobenius
    from .frobenius import FrobeniusShallow as FrobeniusShallow
    from .ideal import Ideal as Ideal
    from .kronecker import Kronecker as Kronecker
    from .levels import DyadicLevels as DyadicLevels
    from .preconditioned import Preconditioned as Preconditioned
    from .preconditioned import sparse_approximate_inverse as sparse_approximate_inverse
    from .preparation import AbstractPreparation as AbstractPreparation
    from .preparation import CladerPreparation as CladerPreparation
    from .preparation import IdealPreparation as IdealPreparation
    from .preparation import LookupPreparation as LookupPreparation
    from .sparse import SparseAccess as SparseAccess
    from .square_root import SquareRoot as SquareRoot
    from .square_root import factor_overlap as factor_overlap
    from .square_root import factor_solution_norm as factor_solution_norm
else:
    from ...._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
