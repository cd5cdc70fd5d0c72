"""Linear solvers: each solves, and states its workload for a system's estimate. None of them uses a clock."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import AbstractQuantumSolver as AbstractQuantumSolver
    from .base import AbstractSolver as AbstractSolver
    from .capabilities import Capabilities as Capabilities
    from .capabilities import capabilities_of as capabilities_of
    from .cholesky import Cholesky as Cholesky
    from .direct import LU as LU
    from .dual import Dual as Dual
    from .eigh import Eigh as Eigh
    from .eigh import SaddleFree as SaddleFree
    from .gauss_jordan import GaussJordan as GaussJordan
    from .inverse import Inverse as Inverse
    from .krylov import CG as CG
    from .krylov import MINRES as MINRES
    from .preconditioners import EKFAC as EKFAC
    from .preconditioners import KFAC as KFAC
    from .preconditioners import AbstractPreconditioner as AbstractPreconditioner
    from .preconditioners import Identity as Identity
    from .preconditioners import Jacobi as Jacobi
    from .preconditioners import Nystrom as Nystrom
    from .quantum.circuit import BlockUnitary as BlockUnitary
    from .quantum.circuit import CircuitQSVT as CircuitQSVT
    from .quantum.circuit import Elementary as Elementary
    from .quantum.emulated import EmulatedQSVT as EmulatedQSVT
    from .quantum.emulated import EmulatedReflection as EmulatedReflection
    from .quantum.emulated import EmulatedWalk as EmulatedWalk
    from .quantum.qlsa import QLSA as QLSA
    from .refine import Refine as Refine
else:
    from .._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
