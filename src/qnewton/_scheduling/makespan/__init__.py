"""Blocks as jobs on machines that work at once: the shortest schedule, or one that is proven to be near it."""

from .machines import Machine as Machine
from .machines import StepSchedule as StepSchedule
from .machines import problem_of as problem_of
from .machines import schedule_step as schedule_step
from .problem import Jobs as Jobs
from .schedule import Schedule as Schedule
from .schedule import schedule as schedule
