"""The shortcut of Dalzell, arXiv 2406.12086: kernel reflection on the matrix augmented by a guess of the norm.

Every query of the augmented matrix costs one call of the block encoding and two preparations of the right-hand side.
Errors are trace distances.
"""

import dataclasses
import math
from types import ModuleType

from ...._core.arrays import Number, NumberArray, ceil
from ...._core.records import QuantumWorkload
from ..precision import ErrorConvention
from .model import CountInputs, Evidence, QueryModel

_MU = 0.25
# Where ln(2 / eta) ((1 + eta) / (1 - eta))^2 is least: 4 eta ln(2 / eta) = 1 - eta^2.
_BEST_FILTER_ERROR = 0.07601002854290594


def _degree(xp: ModuleType, kappa: Number, error: Number) -> NumberArray:
    # An error of 1 asks for nothing that is not there already.
    return 2 * ceil(xp, kappa * xp.log(2 / xp.minimum(error, 1.0)) / 2)


@dataclasses.dataclass(frozen=True)
class KernelReflection:
    """Count of one reflection for a known norm.

    With `eta = epsilon cos(theta)`, `theta = arctan(||x|| / t)` (Equations 7 and 20), the filter of Equations 6 and 51
    has degree `2 ceil(kappa ln(2 / eta) / 2)`, and an attempt succeeds with probability at least
    `sin^2(2 theta) ((1 - eta) / (1 + eta))^2` (Equation 17, one transcription). A filter coarser than `eta = 0.076`
    fails so often that a finer one is cheaper: that one is taken then.

    Attributes:
        guess: `t / ||x||`, how far off the norm is; 1 where it is known exactly.
    """

    guess: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.guess < math.inf:
            raise ValueError(f"guess is {self.guess}: it is the assumed norm over the true one, a positive number")

    def __call__(self, problem: CountInputs) -> QuantumWorkload:
        """The count."""
        xp = problem.xp
        angle = math.atan(1 / self.guess)
        degree = _degree(xp, problem.encoded, xp.minimum(problem.precision * math.cos(angle), _BEST_FILTER_ERROR))
        # What the degree attains, rounded up as it is.
        eta = 2 * xp.exp(-degree / problem.encoded)
        success = math.sin(2 * angle) ** 2 * ((1 - eta) / (1 + eta)) ** 2
        queries = degree / success
        return QuantumWorkload(queries, 2 * queries, success)


dalzell2024_known_norm = QueryModel(
    name="dalzell2024_known_norm",
    source="Dalzell, arXiv 2406.12086, Equations 6, 17 and 51",
    version="v2",
    evidence=Evidence.PROVEN,
    known_from="abstract, (1 + O(epsilon)) kappa ln(2 sqrt2 / epsilon), and three transcriptions of the degree; the "
    "success probability from one. The norm is taken as known exactly",
    count=KernelReflection(),
    convention=ErrorConvention.TRACE,
    uses_norm=True,
    needs_norm=True,
)
"""Expected queries where the solution's norm is known: `kappa ln(2 sqrt2 / epsilon)` over a success close to 1."""


def _random_guesses(problem: CountInputs) -> QuantumWorkload:
    """Return the count of Algorithm 3 with mu = 1/4: Equation 118."""
    xp, kappa, epsilon = problem.xp, problem.encoded, problem.precision
    # 3 + 2 ln((K^2 + 1) / 2) without overflow of the square.
    spread = 3 + 2 * (2 * xp.log(kappa) + xp.log1p(kappa**-2.0) - math.log(2))
    eta = _MU / (xp.sqrt(spread) + _MU)
    projection_error = epsilon * math.sqrt(1 - _MU**2) / (_MU * xp.sqrt(1 - epsilon**2))
    success = ((1 - eta) / (1 + eta)) ** 2 / (xp.log(kappa) + 1)
    queries = _degree(xp, kappa, eta) / success + _degree(xp, kappa, projection_error) / (1 - _MU**2)
    return QuantumWorkload(queries, 2 * queries, success)


def _binary_search(problem: CountInputs) -> QuantumWorkload:
    """The optimal bound, Equation 48: linear in kappa, with the larger constant."""
    xp, kappa, epsilon = problem.xp, problem.encoded, problem.precision
    log_error = xp.maximum(xp.log(xp.sqrt(1 - epsilon**2) / epsilon), 0.0)
    queries = 56.0 * kappa + 1.05 * kappa * log_error + 2.78 * xp.log(kappa) ** 3 + 3.17
    return QuantumWorkload(queries, 2 * queries, xp.ones_like(queries))


dalzell2024_eq118 = QueryModel(
    name="dalzell2024_eq118",
    source="Dalzell, arXiv 2406.12086, Equation 118 (Algorithm 3)",
    version="v2",
    evidence=Evidence.PROVEN,
    known_from="one project's documentation and code, which agree",
    count=_random_guesses,
    convention=ErrorConvention.TRACE,
)
"""Expected queries with random guesses of an unknown norm, `O(kappa ln kappa)`."""

dalzell2024_eq48 = QueryModel(
    name="dalzell2024_eq48",
    source="Dalzell, arXiv 2406.12086, Equation 48",
    version="v2",
    evidence=Evidence.PROVEN,
    known_from="the abstract, 56 kappa + 1.05 kappa ln(1/epsilon) + o(kappa), which was read; the lower-order terms "
    "from one transcription, the range of their validity unseen. Retries are in the count, a run's success is not told",
    count=_binary_search,
    convention=ErrorConvention.TRACE,
)
"""Expected queries with a binary search for an unknown norm, `O(kappa)`; cheaper from kappa of about 7e4 on."""


def _better(problem: CountInputs) -> QuantumWorkload:
    first, second = _random_guesses(problem), _binary_search(problem)
    fewer = first.queries <= second.queries
    pairs = (
        (first.queries, second.queries),
        (first.state_preparations, second.state_preparations),
        (first.success_probability, second.success_probability),
    )
    return QuantumWorkload(*(problem.xp.where(fewer, a, b) for a, b in pairs))


dalzell2024 = QueryModel(
    name="dalzell2024",
    source="Dalzell, arXiv 2406.12086, the lesser of Equations 48 and 118",
    version="v2",
    evidence=Evidence.PROVEN,
    known_from="abstract, and one transcription of each equation",
    count=_better,
    convention=ErrorConvention.TRACE,
)
"""Expected queries where the solution's norm is unknown: the better of the paper's two bounds."""
