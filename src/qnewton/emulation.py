"""Emulated quantum solves: measurement, estimation of lengths, amplification, outcomes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._solvers.quantum.emulated import FromSuccess as FromSuccess
    from ._solvers.quantum.emulated import Infinite as Infinite
    from ._solvers.quantum.emulated import KnownAmplitude as KnownAmplitude
    from ._solvers.quantum.emulated import LineFit as LineFit
    from ._solvers.quantum.emulated import Repeated as Repeated
    from ._solvers.quantum.emulated import Shots as Shots
    from ._solvers.quantum.emulated import Tomography as Tomography
    from ._solvers.quantum.emulated import UnknownAmplitude as UnknownAmplitude
    from ._solvers.quantum.emulated.amplification import AbstractAmplification as AbstractAmplification
    from ._solvers.quantum.emulated.length import AbstractLength as AbstractLength
    from ._solvers.quantum.emulated.measurement import AbstractMeasurement as AbstractMeasurement
    from ._solvers.quantum.outcome import Outcome as Outcome
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
