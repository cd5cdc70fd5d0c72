"""The default estimator: the cheapest one that is right for the given system."""

import equinox as eqx

from .._core.records import System, SystemEstimate
from .base import AbstractEstimator
from .bracket import Bracket
from .exact import SMALL, by_decomposition
from .lanczos import InverseLanczos

# As many as tell how fast conjugate gradients will go; of a small matrix they cost next to nothing.
_STEPS = 16


class Automatic(AbstractEstimator):
    """Default estimator: all eigenvalues of small blocks (`Exact`), else `Bracket` with a floor, else `InverseLanczos`.

    The choice depends on static facts alone, so it costs nothing at run time and never recompiles. With an eigenvalue
    floor a system stays unformed for the solvers; a small one is formed here all the same, which takes fewer products
    than Lanczos would. `Lanczos` leaves systems unformed without a floor as well, and then cannot show them definite.

    Attributes:
        small: largest n for which all eigenvalues are cheap.
    """

    small: int = eqx.field(static=True, default=SMALL)

    def needs_matrix(self, *, floor: bool) -> bool:
        return not floor

    def __call__(self, system: System) -> SystemEstimate:
        """Delegate to an estimator; the estimate's `kind` records which."""
        floor = system.eigenvalue_floor is not None
        if system.like.shape[0] <= self.small:
            return by_decomposition(system if floor else system.formed(), _STEPS if floor and system.symmetric else 0)
        return Bracket()(system) if floor else InverseLanczos()(system)
