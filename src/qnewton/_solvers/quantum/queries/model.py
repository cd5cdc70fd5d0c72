"""A published query count as a record: the formula, and facts that plans and reports state about it."""

import dataclasses
import enum
import math
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ...._core.arrays import Number, NumberArray, floating, namespace, quiet
from ...._core.conditions import Condition, Demand, met
from ...._core.evidence import Evidence
from ...._core.records import Encoding, QuantumWorkload
from ..precision import ErrorConvention, convert

# A condition number, a subnormalisation and a norm may fall below 1 by what single precision rounds.
_ROUNDING = 1e-4


class Unit(enum.StrEnum):
    """Unit of a query count. Counts in different units cannot be compared without a circuit for each."""

    BLOCK_ENCODING = "block encoding"
    """One call of the block encoding, its inverse or a controlled version."""
    WALK_STEP = "walk step"
    """One step of the adiabatic walk; how many calls it takes could not be verified."""
    SPARSE_ACCESS = "sparse access"
    """One call of the pair of oracles that name a row's nonzeros and their values."""


class Matrices(enum.StrEnum):
    """Class of matrices that a formula is for."""

    GENERAL = "general"
    HERMITIAN = "hermitian"
    """Others by the dilation `[[0, A], [A^T, 0]]`: the same condition number, one more qubit."""
    DEFINITE = "positive definite"


class CountInputs(NamedTuple):
    """Inputs of a count: arrays of one namespace `xp`, with everything inside the formula's range.

    Attributes:
        xp: numpy or `jax.numpy`.
        kappa: condition number of the matrix.
        alpha: subnormalisation of its encoding.
        encoded: condition number of the encoded matrix, `kappa alpha`; where a formula has no alpha it takes this one.
        precision: in the formula's own convention.
        norm: `||x||` for `||A|| = ||b|| = 1`; its least value where `known` is False.
        known: whether the norm was given.
    """

    xp: ModuleType
    kappa: NumberArray
    alpha: NumberArray
    encoded: NumberArray
    precision: NumberArray
    norm: NumberArray
    known: bool

    @property
    def encoded_norm(self) -> NumberArray:
        """Length of the solution of `(A / alpha) x = b`."""
        return self.alpha * self.norm


@dataclasses.dataclass(frozen=True)
class QueryModel:
    """A published query count with known facts about it. Calling it gives the workload of a system.

    Attributes:
        name: after paper and version, e.g. `dalzell2024`; solvers and records use it.
        source: paper, and theorem or equation.
        version: of the paper, e.g. `v1`.
        evidence: what stands behind the formula.
        known_from: how its text came to us, and what is open about it.
        count: the formula; of the workload that it gives all but the numbers and its own demands is left open.
        convention: in what it counts the error. A precision given in another one is converted.
        unit: what a query is.
        matrices: which matrices it is for.
        takes_subnormalisation: whether kappa and the subnormalisation enter apart; otherwise as their product.
        smallest_kappa: lower end of the theorem's condition numbers (of the encoded matrix, unless
            `takes_subnormalisation`); smaller ones are raised to it, and `clamped` says so.
        largest_kappa: upper end; beyond it the formula is invalid.
        smallest_precision: lower end of its precisions.
        largest_precision: upper end.
        measured_kappa: condition numbers at which an empirical constant was measured.
        measured_rows: rows of those systems.
        ends: the same formula at the least and the greatest constant that anyone measured, where it is empirical.
        uses_norm: whether success depends on the solution's norm, whose least value is assumed where it is not given.
        needs_norm: whether it cannot run without the norm.
        rectangular: whether it applies the pseudo-inverse, so that a rectangular factor may stand for the matrix.
    """

    name: str
    source: str
    version: str
    evidence: Evidence
    known_from: str
    count: Callable[[CountInputs], QuantumWorkload]
    convention: ErrorConvention = ErrorConvention.STATE
    unit: Unit = Unit.BLOCK_ENCODING
    matrices: Matrices = Matrices.GENERAL
    takes_subnormalisation: bool = False
    smallest_kappa: float = 1.0
    largest_kappa: float = math.inf
    smallest_precision: float = 0.0
    largest_precision: float = 1.0
    measured_kappa: tuple[float, float] | None = None
    measured_rows: tuple[float, float] | None = None
    ends: tuple[Callable[[CountInputs], QuantumWorkload], Callable[[CountInputs], QuantumWorkload]] | None = None
    uses_norm: bool = False
    needs_norm: bool = False
    rectangular: bool = False

    @quiet
    def __call__(
        self,
        encoding: Encoding,
        precision: Number,
        solution_norm: Number | None = None,
        *,
        convention: ErrorConvention = ErrorConvention.STATE,
    ) -> QuantumWorkload:
        """The workload of one solve.

        Args:
            encoding: condition number and subnormalisation; scalars or arrays that broadcast.
            precision: error that the solver may make, in (0, 1) unless it is absolute.
            solution_norm: `||x||` for `||A|| = ||b|| = 1`, between the encoding's least one (1 for a square matrix) and
                the condition number; None where it is not known: where the count depends on it the least is taken,
                the worst case, and `assumed` says so.
            convention: what `precision` is.

        Returns:
            The workload, in double precision unless a JAX array came in. Never a number where a demand of the formula
            is not met: infinite there, with the reason.
        """
        known = solution_norm is not None
        xp, kappa, alpha, error, least, norm = floating(
            encoding.condition_number,
            encoding.subnormalisation,
            precision,
            encoding.smallest_solution_norm,
            solution_norm if known else encoding.smallest_solution_norm,
        )
        shape = np.broadcast_shapes(*(v.shape for v in (kappa, alpha, error, least, norm)))
        own = convert(error, convention, self.convention, alpha * norm)
        ranged = kappa if self.takes_subnormalisation else kappa * alpha
        demands = [
            (xp.isfinite(kappa) & (kappa >= 1 - _ROUNDING), "a finite condition number that is at least 1"),
            (xp.isfinite(alpha) & (alpha >= 1 - _ROUNDING), "a finite subnormalisation that is at least 1"),
            self._demand_precision(xp, error, own, convention),
        ]
        problem = self._problem(xp, kappa, alpha, own, norm, known, demands)
        demands += self._demand_range(encoding, kappa, least, norm if known else None, ranged)
        count = self.count(problem)
        demands += [(one.holds, one.words) for one in count.conditions]
        demands.append((xp.isfinite(count.queries), "a count inside the floating-point range"))
        conditions = tuple(Condition(xp.broadcast_to(xp.asarray(holds), shape), words) for holds, words in demands)
        valid = met(conditions)
        low, high = self.measured_kappa or (0.0, math.inf)
        missing = self.uses_norm and not known
        return QuantumWorkload(
            # Who asks nothing solves nothing, however coarse the precision.
            queries=xp.where(valid, xp.maximum(count.queries, 1.0), math.inf),
            state_preparations=xp.where(valid, xp.maximum(count.state_preparations, 1.0), math.inf),
            success_probability=xp.where(valid, count.success_probability, 0.0),
            clamped=xp.broadcast_to(ranged < self.smallest_kappa, shape),
            extrapolated=xp.broadcast_to((ranged < low) | (ranged > high), shape),
            conditions=conditions,
            assumed=("the solution's norm, at its least value ||b|| / ||A||",) if missing else (),
        )

    def _demand_range(
        self, encoding: Encoding, kappa: NumberArray, least: NumberArray, norm: NumberArray | None, ranged: NumberArray
    ) -> list[Demand]:
        """Return the formula's conditions on the system's norm (None: not given) and on its condition number."""
        demands: list[Demand] = []
        if encoding.other is not False:
            own = namespace(encoding.other).logical_not(encoding.other)
            if self.matrices is Matrices.DEFINITE:
                demands.append((own, "a definite matrix: a preconditioned one need not be"))
            if norm is not None:
                demands.append((own, "the solution's norm of the matrix itself, not of a preconditioned one"))
        if encoding.rectangular:
            demands.append((self.rectangular, "a square matrix: it does not apply the pseudo-inverse of a factor"))
            demands.append(((least > 0) & (least <= 1), "a least solution norm in (0, 1]"))
        if norm is not None:
            inside = (norm >= least * (1 - _ROUNDING)) & (norm <= kappa * (1 + _ROUNDING))
            words = "the encoding's least one" if encoding.rectangular else "1"
            demands.append((inside, f"a solution norm between {words} and the condition number"))
        elif self.needs_norm:
            demands.append((False, "the solution's norm, which is not given"))
        if self.largest_kappa < math.inf:
            of = "" if self.takes_subnormalisation else " of the encoded matrix"
            demands.append((ranged <= self.largest_kappa, f"a condition number{of} <= {self.largest_kappa:g}"))
        return demands

    def _demand_precision(
        self, xp: ModuleType, precision: NumberArray, own: NumberArray, convention: ErrorConvention
    ) -> tuple[NumberArray, str]:
        # An absolute error may exceed 1 where the solution is long.
        inside = (precision > 0) & xp.isfinite(precision) & ((convention is ErrorConvention.ABSOLUTE) | (precision < 1))
        if self.largest_precision < 1:
            inside = inside & (own <= self.largest_precision)
        if self.smallest_precision > 0:
            inside = inside & (own >= self.smallest_precision)
            return inside, f"{self.smallest_precision:g} <= precision < 1"
        if self.largest_precision < 1:
            return inside, f"0 < precision <= {self.largest_precision:g}"
        return inside, "0 < precision < 1"

    def _problem(
        self,
        xp: ModuleType,
        kappa: NumberArray,
        alpha: NumberArray,
        own: NumberArray,
        norm: NumberArray,
        known: bool,
        demands: list[tuple[NumberArray, str]],
    ) -> CountInputs:
        # Numbers in range stand in for those that are not, so that no derivative comes from outside.
        kappa_in, alpha_in, precision_in = (holds for holds, _ in demands)
        kappa = xp.where(kappa_in, xp.maximum(kappa, 1.0), 10.0)
        alpha = xp.where(alpha_in, xp.maximum(alpha, 1.0), 1.0)
        encoded = kappa * alpha
        if self.takes_subnormalisation:
            kappa = xp.maximum(kappa, self.smallest_kappa)
        else:
            encoded = xp.maximum(encoded, self.smallest_kappa)
        return CountInputs(
            xp=xp,
            kappa=kappa,
            alpha=alpha,
            encoded=encoded,
            precision=xp.where(precision_in, own, 0.1),
            norm=xp.where(norm > 0, norm, 1.0),
            known=known,
        )
