"""Classical and quantum linear solvers, preconditioners, and the workloads that solvers state."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core.records import ClassicalWorkload as ClassicalWorkload
    from ._core.records import Encoding as Encoding
    from ._core.records import QuantumWorkload as QuantumWorkload
    from ._core.status import Refusal as Refusal
    from ._scheduling.conditioned import Conditioned as Conditioned
    from ._solvers import CG as CG
    from ._solvers import EKFAC as EKFAC
    from ._solvers import KFAC as KFAC
    from ._solvers import LU as LU
    from ._solvers import MINRES as MINRES
    from ._solvers import QLSA as QLSA
    from ._solvers import AbstractPreconditioner as AbstractPreconditioner
    from ._solvers import AbstractQuantumSolver as AbstractQuantumSolver
    from ._solvers import AbstractSolver as AbstractSolver
    from ._solvers import BlockUnitary as BlockUnitary
    from ._solvers import Capabilities as Capabilities
    from ._solvers import Cholesky as Cholesky
    from ._solvers import CircuitQSVT as CircuitQSVT
    from ._solvers import Dual as Dual
    from ._solvers import Eigh as Eigh
    from ._solvers import Elementary as Elementary
    from ._solvers import EmulatedQSVT as EmulatedQSVT
    from ._solvers import EmulatedReflection as EmulatedReflection
    from ._solvers import EmulatedWalk as EmulatedWalk
    from ._solvers import GaussJordan as GaussJordan
    from ._solvers import Identity as Identity
    from ._solvers import Inverse as Inverse
    from ._solvers import Jacobi as Jacobi
    from ._solvers import Nystrom as Nystrom
    from ._solvers import Refine as Refine
    from ._solvers import SaddleFree as SaddleFree
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
