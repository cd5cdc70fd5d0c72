"""Read-outs of a quantum state, with the number of runs that each takes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._solvers.quantum.readout import AbstractNorm as AbstractNorm
    from ._solvers.quantum.readout import AbstractReadout as AbstractReadout
    from ._solvers.quantum.readout import AmplitudeEstimation as AmplitudeEstimation
    from ._solvers.quantum.readout import EntryEstimation as EntryEstimation
    from ._solvers.quantum.readout import FittedNorm as FittedNorm
    from ._solvers.quantum.readout import FreeReadout as FreeReadout
    from ._solvers.quantum.readout import HadamardForest as HadamardForest
    from ._solvers.quantum.readout import InteriorPoint as InteriorPoint
    from ._solvers.quantum.readout import KerenidisPrakash as KerenidisPrakash
    from ._solvers.quantum.readout import ReadoutCost as ReadoutCost
    from ._solvers.quantum.readout import Refined as Refined
    from ._solvers.quantum.readout import SuccessAmplitude as SuccessAmplitude
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
