"""The stages wired into an `optax.GradientTransformationExtraArgs`."""

from .adaptation import AbstractAdaptation as AbstractAdaptation
from .adaptation import Fixed as Fixed
from .adaptation import LevenbergMarquardt as LevenbergMarquardt
from .newton import NewtonState as NewtonState
from .newton import StepInfo as StepInfo
from .newton import newton as newton
from .stages import BlockInfo as BlockInfo
