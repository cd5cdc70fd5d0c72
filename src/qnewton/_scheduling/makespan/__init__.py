"""Blocks as jobs on parallel machines: the shortest schedule, or one with a proven gap to it."""

from .machines import Machine as Machine
from .machines import StepSchedule as StepSchedule
from .machines import problem_of as problem_of
from .machines import schedule_step as schedule_step
from .problem import Jobs as Jobs
from .schedule import Schedule as Schedule
from .schedule import schedule as schedule
