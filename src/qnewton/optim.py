"""Optimizers: transformations, their arguments, and the diagnostics of a step."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._optim.adaptation import AbstractAdaptation as AbstractAdaptation
    from ._optim.adaptation import Fixed as Fixed
    from ._optim.adaptation import LevenbergMarquardt as LevenbergMarquardt
    from ._optim.assign import assign as assign
    from ._optim.correction import Correction as Correction
    from ._optim.dual import DualNewtonInfo as DualNewtonInfo
    from ._optim.dual import DualNewtonState as DualNewtonState
    from ._optim.dual import dual_newton as dual_newton
    from ._optim.fisher_newton import FisherNewtonInfo as FisherNewtonInfo
    from ._optim.fisher_newton import FisherNewtonState as FisherNewtonState
    from ._optim.fisher_newton import fisher_newton as fisher_newton
    from ._optim.inside_optax import with_all_params as with_all_params
    from ._optim.kfac import kfac as kfac
    from ._optim.kfac_state import KFACInfo as KFACInfo
    from ._optim.kfac_state import KFACState as KFACState
    from ._optim.line_search import LineSearch as LineSearch
    from ._optim.memory import BlockMemory as BlockMemory
    from ._optim.memory import MemoryEstimate as MemoryEstimate
    from ._optim.memory import memory_estimate as memory_estimate
    from ._optim.newton import newton as newton
    from ._optim.recipe import recipe as recipe
    from ._optim.spectra import spectrum as spectrum
    from ._optim.stages import BlockInfo as BlockInfo
    from ._optim.state import NewtonState as NewtonState
    from ._optim.state import StepInfo as StepInfo
    from ._optim.step_rules import AbstractStepRule as AbstractStepRule
    from ._optim.step_rules import KLClip as KLClip
    from ._optim.step_rules import QuadraticModel as QuadraticModel
    from ._optim.step_rules import Situation as Situation
    from ._optim.step_rules import StepOutcome as StepOutcome
    from ._optim.trust_region import TrustRegion as TrustRegion
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
