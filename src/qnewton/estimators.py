"""Estimators of condition numbers and norms, their results, and spectral sums."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core.records import Kind as Kind
    from ._core.records import Kinds as Kinds
    from ._core.records import SystemEstimate as SystemEstimate
    from ._estimation import AbstractEstimator as AbstractEstimator
    from ._estimation import Automatic as Automatic
    from ._estimation import BlockSpectrum as BlockSpectrum
    from ._estimation import Bracket as Bracket
    from ._estimation import Certified as Certified
    from ._estimation import DefiniteDeterminantNorm as DefiniteDeterminantNorm
    from ._estimation import Density as Density
    from ._estimation import DeterminantNorm as DeterminantNorm
    from ._estimation import Exact as Exact
    from ._estimation import HagerHigham as HagerHigham
    from ._estimation import InverseLanczos as InverseLanczos
    from ._estimation import Lanczos as Lanczos
    from ._estimation import NegativeCurvature as NegativeCurvature
    from ._estimation import ProbabilisticLanczos as ProbabilisticLanczos
    from ._estimation import Remembered as Remembered
    from ._estimation import Reuse as Reuse
    from ._estimation import Stochastic as Stochastic
    from ._estimation import block_spectrum as block_spectrum
    from ._estimation import density as density
    from ._estimation import negative_curvature as negative_curvature
    from ._estimation import rank as rank
    from ._estimation import trace as trace
    from ._estimation import trace_plus_plus as trace_plus_plus
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
