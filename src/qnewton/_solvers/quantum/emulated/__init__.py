"""Emulated quantum linear solvers: the exact state of an ideal circuit, and its read-out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..outcome import Outcome as Outcome
    from .amplification import KnownAmplitude as KnownAmplitude
    from .amplification import Repeated as Repeated
    from .amplification import UnknownAmplitude as UnknownAmplitude
    from .length import FromSuccess as FromSuccess
    from .length import LineFit as LineFit
    from .measurement import Infinite as Infinite
    from .measurement import Shots as Shots
    from .measurement import Tomography as Tomography
    from .qsvt import EmulatedQSVT as EmulatedQSVT
    from .reflection import EmulatedReflection as EmulatedReflection
    from .walk import EmulatedWalk as EmulatedWalk
else:
    from ...._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
