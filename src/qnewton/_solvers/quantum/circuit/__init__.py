"""Inversion as a circuit of gates, without hidden scales, for any device of PennyLane."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..outcome import Outcome as Outcome
    from .build import GateSequence as GateSequence
    from .build import Purpose as Purpose
    from .build import comparison_circuit as comparison_circuit
    from .build import inversion_circuit as inversion_circuit
    from .dilation import dilate as dilate
    from .dilation import padded as padded
    from .inversion import CircuitInversion as CircuitInversion
    from .levels import AbstractLevel as AbstractLevel
    from .levels import BlockUnitary as BlockUnitary
    from .levels import Elementary as Elementary
    from .solver import CircuitQSVT as CircuitQSVT
else:
    from ...._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
