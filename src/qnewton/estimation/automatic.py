"""The default: the cheapest estimator that is right for the system at hand."""

import equinox as eqx

from ..core.records import System, SystemEstimate
from .base import AbstractEstimator
from .bracket import Bracket
from .exact import Exact
from .lanczos import InverseLanczos


class Automatic(AbstractEstimator):
    """`Bracket` where an eigenvalue floor is proven, `Exact` for small blocks, `InverseLanczos` for the rest.

    The choice depends on static facts alone, so it costs nothing at run time and never recompiles. Only `Bracket`
    leaves a system unformed; `Lanczos` does so without a floor as well, and then cannot show the system definite.

    Attributes:
        small: largest n for which all eigenvalues are cheap.
    """

    small: int = eqx.field(static=True, default=64)

    def needs_matrix(self, *, floor: bool) -> bool:
        return not floor

    def __call__(self, system: System) -> SystemEstimate:
        """Delegate; the estimate's `kind` says what was used."""
        if system.eigenvalue_floor is not None:
            return Bracket()(system)
        if system.like.shape[0] <= self.small:
            return Exact()(system)
        return InverseLanczos()(system)
