"""Estimation: from a system to the numbers that its cost depends on, with the certainty of each."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .automatic import Automatic as Automatic
    from .base import AbstractEstimator as AbstractEstimator
    from .bracket import Bracket as Bracket
    from .certified import Certified as Certified
    from .determinant import DefiniteDeterminantNorm as DefiniteDeterminantNorm
    from .determinant import DeterminantNorm as DeterminantNorm
    from .exact import Exact as Exact
    from .hager_higham import HagerHigham as HagerHigham
    from .lanczos import InverseLanczos as InverseLanczos
    from .lanczos import Lanczos as Lanczos
    from .probabilistic import ProbabilisticLanczos as ProbabilisticLanczos
    from .reuse import Remembered as Remembered
    from .reuse import Reuse as Reuse
    from .spectrum import BlockSpectrum as BlockSpectrum
    from .spectrum import block_spectrum as block_spectrum
    from .stochastic import Density as Density
    from .stochastic import NegativeCurvature as NegativeCurvature
    from .stochastic import Stochastic as Stochastic
    from .stochastic import density as density
    from .stochastic import negative_curvature as negative_curvature
    from .stochastic import rank as rank
    from .stochastic import trace as trace
    from .stochastic import trace_plus_plus as trace_plus_plus
else:
    from .._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
