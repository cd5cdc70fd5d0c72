"""Conditioners: damping, sparsity, basis and repair of a block, and the metric of its damping."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._conditioning import AbstractConditioner as AbstractConditioner
    from ._conditioning import AbstractMetric as AbstractMetric
    from ._conditioning import Cliques as Cliques
    from ._conditioning import Compensate as Compensate
    from ._conditioning import Conditioning as Conditioning
    from ._conditioning import Damp as Damp
    from ._conditioning import DampSpectral as DampSpectral
    from ._conditioning import DampTo as DampTo
    from ._conditioning import DampTrace as DampTrace
    from ._conditioning import Definiteness as Definiteness
    from ._conditioning import Guarantee as Guarantee
    from ._conditioning import Levenberg as Levenberg
    from ._conditioning import Marquardt as Marquardt
    from ._conditioning import Matching as Matching
    from ._conditioning import OutputBlocks as OutputBlocks
    from ._conditioning import Prune as Prune
    from ._conditioning import PruneRows as PruneRows
    from ._conditioning import Rotate as Rotate
    from ._conditioning import ScaleDiagonal as ScaleDiagonal
    from ._conditioning import Shift as Shift
    from ._conditioning import ShiftLowest as ShiftLowest
    from ._conditioning import ShiftTo as ShiftTo
    from ._conditioning import Threshold as Threshold
    from ._conditioning import WhitenOutputs as WhitenOutputs
    from ._conditioning import preset as preset
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
