"""Read-outs: the number of runs of a quantum linear solver needed for its solution."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .amplitude import AmplitudeEstimation as AmplitudeEstimation
    from .amplitude import EntryEstimation as EntryEstimation
    from .base import AbstractReadout as AbstractReadout
    from .base import ReadoutCost as ReadoutCost
    from .free import FreeReadout as FreeReadout
    from .norm import AbstractNorm as AbstractNorm
    from .norm import FittedNorm as FittedNorm
    from .norm import SuccessAmplitude as SuccessAmplitude
    from .refinement import Refined as Refined
    from .tomography import HadamardForest as HadamardForest
    from .tomography import InteriorPoint as InteriorPoint
    from .tomography import KerenidisPrakash as KerenidisPrakash
else:
    from ...._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
