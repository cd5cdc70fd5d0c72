"""From a curvature block to the system that is solved: pruned and damped, with what that did on record."""

from .base import AbstractConditioner as AbstractConditioner
from .base import condition as condition
from .damping import Damp as Damp
from .damping import Shift as Shift
from .indefinite import ShiftLowest as ShiftLowest
from .pruning import Prune as Prune
from .pruning import PruneRows as PruneRows
