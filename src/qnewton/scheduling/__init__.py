"""Where solvers meet hardware: predictions, the choice, and the solver that carries it out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calibration import calibrate as calibrate
    from .hybrid import Hybrid as Hybrid
    from .makespan import Machine as Machine
    from .makespan import StepSchedule as StepSchedule
    from .makespan import schedule_step as schedule_step
    from .plan import Executed as Executed
    from .plan import Plan as Plan
    from .policies import AbstractPolicy as AbstractPolicy
    from .policies import Assigned as Assigned
    from .policies import Budget as Budget
    from .policies import Choice as Choice
    from .policies import Fastest as Fastest
    from .policies import FixedCandidate as FixedCandidate
    from .policies import Hysteresis as Hysteresis
    from .policies import KappaThreshold as KappaThreshold
    from .policies import Offers as Offers
    from .policies import Turn as Turn
    from .replay import Recorded as Recorded
    from .replay import decide as decide
    from .replay import decide_makespan as decide_makespan
else:
    from ..core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
