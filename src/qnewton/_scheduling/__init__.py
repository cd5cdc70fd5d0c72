"""Scheduling: predictions for solvers on hardware, the choice, and the solver that carries it out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .branches import Executed as Executed
    from .calibration import calibrate as calibrate
    from .hybrid import Hybrid as Hybrid
    from .makespan import Machine as Machine
    from .makespan import StepSchedule as StepSchedule
    from .makespan import schedule_step as schedule_step
    from .plan import Plan as Plan
    from .recognised import scheduler_in as scheduler_in
    from .replay import decide as decide
    from .replay import decide_makespan as decide_makespan
else:
    from .._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
