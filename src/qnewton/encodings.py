"""Block encodings and state preparations, with their gate counts."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core.gates import GateCost as GateCost
    from ._solvers.quantum.encoding import FABLE as FABLE
    from ._solvers.quantum.encoding import AbstractEncoding as AbstractEncoding
    from ._solvers.quantum.encoding import AbstractPreparation as AbstractPreparation
    from ._solvers.quantum.encoding import CladerPreparation as CladerPreparation
    from ._solvers.quantum.encoding import Diagonals as Diagonals
    from ._solvers.quantum.encoding import DyadicLevels as DyadicLevels
    from ._solvers.quantum.encoding import Frobenius as Frobenius
    from ._solvers.quantum.encoding import FrobeniusShallow as FrobeniusShallow
    from ._solvers.quantum.encoding import Ideal as Ideal
    from ._solvers.quantum.encoding import IdealPreparation as IdealPreparation
    from ._solvers.quantum.encoding import Kronecker as Kronecker
    from ._solvers.quantum.encoding import LookupPreparation as LookupPreparation
    from ._solvers.quantum.encoding import Numbers as Numbers
    from ._solvers.quantum.encoding import Preconditioned as Preconditioned
    from ._solvers.quantum.encoding import SparseAccess as SparseAccess
    from ._solvers.quantum.encoding import SquareRoot as SquareRoot
    from ._solvers.quantum.encoding import factor_overlap as factor_overlap
    from ._solvers.quantum.encoding import factor_solution_norm as factor_solution_norm
    from ._solvers.quantum.encoding import sparse_approximate_inverse as sparse_approximate_inverse
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
