"""Where solvers meet hardware: predictions, the choice, and the solver that carries it out."""

from ..pricing.policies import AbstractPolicy as AbstractPolicy
from ..pricing.policies import Assigned as Assigned
from ..pricing.policies import Budget as Budget
from ..pricing.policies import Choice as Choice
from ..pricing.policies import Fastest as Fastest
from ..pricing.policies import FixedCandidate as FixedCandidate
from ..pricing.policies import Hysteresis as Hysteresis
from ..pricing.policies import KappaThreshold as KappaThreshold
from ..pricing.policies import Offers as Offers
from ..pricing.policies import Turn as Turn
from .calibration import calibrate as calibrate
from .hybrid import Hybrid as Hybrid
from .makespan import Machine as Machine
from .makespan import StepSchedule as StepSchedule
from .makespan import schedule_step as schedule_step
from .plan import Executed as Executed
from .plan import Plan as Plan
from .replay import Recorded as Recorded
from .replay import decide as decide
from .replay import decide_makespan as decide_makespan
