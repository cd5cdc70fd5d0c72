"""Where solvers meet hardware: predictions, the choice, and the solver that carries it out."""

from .calibration import calibrate as calibrate
from .hybrid import Hybrid as Hybrid
from .plan import Plan as Plan
from .policy import AbstractPolicy as AbstractPolicy
from .policy import Fastest as Fastest
