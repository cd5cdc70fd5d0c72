"""The scheduler, its policies, and schedules of blocks that run at once."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core.status import Refusal as Refusal
    from ._core.status import Verdict as Verdict
    from ._optim.assign import assign as assign
    from ._pricing.offers import Offers as Offers
    from ._pricing.policies import AbstractPolicy as AbstractPolicy
    from ._pricing.policies import Assigned as Assigned
    from ._pricing.policies import Budget as Budget
    from ._pricing.policies import Choice as Choice
    from ._pricing.policies import Fastest as Fastest
    from ._pricing.policies import FixedCandidate as FixedCandidate
    from ._pricing.policies import Hysteresis as Hysteresis
    from ._pricing.policies import KappaThreshold as KappaThreshold
    from ._pricing.policies import Turn as Turn
    from ._scheduling import Executed as Executed
    from ._scheduling import Hybrid as Hybrid
    from ._scheduling import Machine as Machine
    from ._scheduling import Plan as Plan
    from ._scheduling import StepSchedule as StepSchedule
    from ._scheduling import calibrate as calibrate
    from ._scheduling import schedule_step as schedule_step
    from ._workers import Attempt as Attempt
    from ._workers import Colleague as Colleague
    from ._workers import QuantumService as QuantumService
    from ._workers import Trace as Trace
    from ._workers import TraceModel as TraceModel
    from ._workers import read_trace as read_trace
    from ._workers import write_trace as write_trace
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
