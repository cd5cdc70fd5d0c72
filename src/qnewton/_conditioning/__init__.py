"""Conditioning: from a curvature block to the solved system, rotated, pruned, repaired and damped, with a record."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import AbstractConditioner as AbstractConditioner
    from .base import condition as condition
    from .basis import Rotate as Rotate
    from .basis import ScaleDiagonal as ScaleDiagonal
    from .basis import WhitenOutputs as WhitenOutputs
    from .damping import Damp as Damp
    from .damping import DampSpectral as DampSpectral
    from .damping import DampTo as DampTo
    from .damping import DampTrace as DampTrace
    from .damping import Shift as Shift
    from .guarantee import Conditioning as Conditioning
    from .guarantee import Definiteness as Definiteness
    from .guarantee import Guarantee as Guarantee
    from .indefinite import ShiftLowest as ShiftLowest
    from .matching import Cliques as Cliques
    from .matching import Matching as Matching
    from .matching import OutputBlocks as OutputBlocks
    from .metric import AbstractMetric as AbstractMetric
    from .metric import Levenberg as Levenberg
    from .metric import Marquardt as Marquardt
    from .metric import diagonal_of as diagonal_of
    from .metric import in_metric as in_metric
    from .presets import preset as preset
    from .pruning import Prune as Prune
    from .pruning import PruneRows as PruneRows
    from .pruning import Threshold as Threshold
    from .repair import Compensate as Compensate
    from .repair import ShiftTo as ShiftTo
else:
    from .._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
