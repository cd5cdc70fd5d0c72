"""The numbers of one inversion circuit: encoded matrix, polynomial and phases."""

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Float

from ..encoding import AbstractEncoding
from ..outcome import CannotBuildError, Outcome
from ..polynomials import InversePolynomial, inverse_degree
from ..precision import ErrorConvention, convert
from .dilation import data_qubits, dilate, padded
from .phases import HEADROOM, TOLERANCE, inversion_phases


@dataclasses.dataclass(frozen=True)
class HostNumbers:
    """Numbers of a matrix that encodings read (`encoding.Numbers`), on the host."""

    n: int
    degree: int
    max_entry: float
    frobenius_norm: float
    spectral_norm: float
    log_condition_number: float
    definite: bool


@dataclasses.dataclass(frozen=True, eq=False)
class CircuitInversion:
    """A circuit that applies `P(A / alpha)` to a state, before its expansion into gates.

    Attributes:
        matrix: A, float64.
        alpha: what it is divided by.
        norm: `||A||`, or the bound that was given.
        error: largest `|P(x) - 1/x|` that was asked for.
        polynomial: P, for the condition number `alpha / sigma_min` or its bound.
    """

    matrix: Float[np.ndarray, "n n"]
    alpha: float
    norm: float
    error: float
    polynomial: InversePolynomial

    @classmethod
    def of(
        cls,
        matrix: Float[np.ndarray, "n n"],
        *,
        encoding: AbstractEncoding,
        precision: float,
        kappa: float | None = None,
        norm: float | None = None,
        max_queries: int,
    ) -> "CircuitInversion":
        """Measure the matrix and choose the polynomial.

        Args:
            matrix: A.
            encoding: says alpha.
            precision: 2-norm error of the solution relative to its length.
            kappa: bound on `||A|| / sigma_min`; None: the matrix's own.
            norm: bound on `||A||`; None: the matrix's own.
            max_queries: longest polynomial allowed.

        Raises:
            CannotBuildError: the matrix is not finite, singular without a bound, or larger than its bound; the
                polynomial is too long.
        """
        matrix = np.asarray(matrix, np.float64)
        if not np.all(np.isfinite(matrix)):
            raise CannotBuildError(Outcome.NOT_FINITE)
        found = np.linalg.svd(matrix, compute_uv=False)
        largest, least = float(found[0]), float(found[-1])
        spectral = largest if norm is None else norm
        if kappa is None:
            kappa = max(spectral / least, 1.0) if least > 0 else math.inf
        if not (math.isfinite(kappa) and 0 < spectral < math.inf):
            raise CannotBuildError(Outcome.NO_BOUND)
        numbers = HostNumbers(
            n=len(matrix),
            degree=int(np.max(np.count_nonzero(matrix, axis=1))),
            max_entry=float(np.max(np.abs(matrix))),
            frobenius_norm=float(np.linalg.norm(matrix)) * spectral / largest if largest else spectral,
            spectral_norm=spectral,
            log_condition_number=math.log(kappa),
            definite=False,
        )
        said = encoding.encode(numbers)
        subnormalisation = float(said.subnormalisation)
        alpha = subnormalisation * spectral
        if not largest <= alpha * (1 + 1e-12):
            raise CannotBuildError(Outcome.TOO_LARGE)
        encoded = max(float(said.condition_number) * subnormalisation, 1.0)
        # A solution of the least length there can be turns the most for an absolute error.
        error = float(convert(precision, ErrorConvention.STATE, ErrorConvention.ABSOLUTE, subnormalisation))
        degree = inverse_degree(encoded, error)
        if degree > max_queries:
            raise CannotBuildError(Outcome.TOO_LONG)
        return cls(matrix, alpha, spectral, error, InversePolynomial(encoded, degree))

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.matrix.shape[0]

    @property
    def condition_number(self) -> float | None:
        """Condition number of the matrix itself, whatever the circuit was built for; None if singular."""
        values = np.linalg.svd(self.matrix, compute_uv=False)
        return float(values[0] / values[-1]) if values[-1] > 0 else None

    @property
    def data_qubits(self) -> int:
        """Qubits of the index of a row, padding included."""
        return data_qubits(self.n)

    @property
    def degree(self) -> int:
        """Queries of the block encoding in one run."""
        return self.polynomial.degree

    @property
    def scale(self) -> float:
        """Factor that converts the circuit's amplitudes to `P(A / alpha) b`."""
        return HEADROOM * self.polynomial.maximum

    @functools.cached_property
    def unitary(self) -> Float[np.ndarray, "2*N 2*N"]:
        """Padded block encoding of `A^T / alpha`, which an odd P's transformation transposes again."""
        return dilate(padded(self.matrix.T, self.alpha) / self.alpha)

    @functools.cached_property
    def phases(self) -> Float[np.ndarray, " d+1"]:
        """Phases in the projector convention.

        Raises:
            CannotBuildError: their certificate is above 1e-10.
        """
        found, certificate = inversion_phases(self.polynomial)
        if not certificate <= TOLERANCE:
            raise CannotBuildError(Outcome.NO_PHASES)
        return found

    @property
    def certificate(self) -> float:
        """Largest error of the polynomial that the phases give."""
        return inversion_phases(self.polynomial)[1]

    def success_probability(self, vector: Float[np.ndarray, " n"]) -> float:
        """Return the success probability of one run on a unit vector, by the polynomial."""
        left, values, _ = np.linalg.svd(self.matrix / self.alpha)
        kept = self.polynomial(np.minimum(values, 1)) * (left.T @ vector) / self.scale
        return float(kept @ kept)

    def allowed_residual(self, shots: int | None) -> float:
        """Largest `||A x - b|| / ||b||` that the polynomial, rounding and shots explain.

        An amplitude's magnitude has the variance 1 / (4 shots); small entries and wrong signs are as much again.
        """
        rounding = 8 * np.finfo(np.float64).eps * self.scale * self.degree
        noise = 0.0 if shots is None else 3 * self.scale * math.sqrt(self.n / (2 * shots))
        return (4 * self.error + rounding + noise) * self.norm / self.alpha
