"""Hybrid quantum-classical Newton training.

Every Newton system of a training step is a task that a scheduler gives to the solver that is predicted to finish it
soonest: a classical one (calibrated seconds) or a quantum linear solver algorithm (modelled seconds).
"""

from importlib.metadata import version

from .conditioning import AbstractConditioner as AbstractConditioner
from .conditioning import Damp as Damp
from .conditioning import Prune as Prune
from .conditioning import PruneRows as PruneRows
from .conditioning import Shift as Shift
from .conditioning import ShiftLowest as ShiftLowest
from .core.records import ClassicalWorkload as ClassicalWorkload
from .core.records import Encoding as Encoding
from .core.records import Kind as Kind
from .core.records import QuantumWorkload as QuantumWorkload
from .core.records import System as System
from .core.records import SystemEstimate as SystemEstimate
from .core.status import Status as Status
from .core.trees import freeze as freeze
from .curvature import AbstractCurvature as AbstractCurvature
from .curvature import Block as Block
from .curvature import EmpiricalFisher as EmpiricalFisher
from .curvature import GaussNewton as GaussNewton
from .curvature import Hessian as Hessian
from .curvature import Microbatched as Microbatched
from .curvature import Objective as Objective
from .curvature import per_layer as per_layer
from .curvature import per_tensor as per_tensor
from .curvature import whole as whole
from .estimation import AbstractEstimator as AbstractEstimator
from .estimation import Automatic as Automatic
from .estimation import Certified as Certified
from .estimation import DefiniteDeterminantNorm as DefiniteDeterminantNorm
from .estimation import DeterminantNorm as DeterminantNorm
from .estimation import Exact as Exact
from .estimation import InverseLanczos as InverseLanczos
from .estimation import Lanczos as Lanczos
from .hardware import AbstractAssumptions as AbstractAssumptions
from .hardware import ClassicalMachine as ClassicalMachine
from .hardware import Paper as Paper
from .hardware import QuantumMachine as QuantumMachine
from .optim import AbstractAdaptation as AbstractAdaptation
from .optim import AbstractStepRule as AbstractStepRule
from .optim import BlockInfo as BlockInfo
from .optim import BlockMemory as BlockMemory
from .optim import DualNewtonInfo as DualNewtonInfo
from .optim import DualNewtonState as DualNewtonState
from .optim import Fixed as Fixed
from .optim import KFACInfo as KFACInfo
from .optim import KFACState as KFACState
from .optim import KLClip as KLClip
from .optim import LevenbergMarquardt as LevenbergMarquardt
from .optim import LineSearch as LineSearch
from .optim import MemoryEstimate as MemoryEstimate
from .optim import NewtonState as NewtonState
from .optim import QuadraticModel as QuadraticModel
from .optim import StepInfo as StepInfo
from .optim import TrustRegion as TrustRegion
from .optim import dual_newton as dual_newton
from .optim import kfac as kfac
from .optim import memory_estimate as memory_estimate
from .optim import newton as newton
from .optim import recipe as recipe
from .scheduling import AbstractPolicy as AbstractPolicy
from .scheduling import Fastest as Fastest
from .scheduling import Hybrid as Hybrid
from .scheduling import Plan as Plan
from .scheduling import calibrate as calibrate
from .solvers import CG as CG
from .solvers import EKFAC as EKFAC
from .solvers import KFAC as KFAC
from .solvers import LU as LU
from .solvers import MINRES as MINRES
from .solvers import QLSA as QLSA
from .solvers import AbstractPreconditioner as AbstractPreconditioner
from .solvers import AbstractSolver as AbstractSolver
from .solvers import Cholesky as Cholesky
from .solvers import Dual as Dual
from .solvers import Eigh as Eigh
from .solvers import Identity as Identity
from .solvers import Jacobi as Jacobi
from .solvers import Nystrom as Nystrom
from .solvers import SaddleFree as SaddleFree
from .solvers.quantum.queries import jennings2023v1 as jennings2023v1

__version__ = version("qnewton")
