"""Policies: the choice from predictions, with one small class per policy."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .assigned import Assigned as Assigned
    from .base import AbstractPolicy as AbstractPolicy
    from .base import Choice as Choice
    from .base import Turn as Turn
    from .budget import Budget as Budget
    from .fastest import Fastest as Fastest
    from .fixed import FixedCandidate as FixedCandidate
    from .hysteresis import Hysteresis as Hysteresis
    from .kappa_threshold import KappaThreshold as KappaThreshold
else:
    from ..._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
