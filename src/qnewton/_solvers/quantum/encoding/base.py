"""The interface of a block encoding: the cost of a call, and the subnormalisation of the matrix."""

import abc
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import equinox as eqx
from jaxtyping import Bool

from ...._core.arrays import Number, NumberArray, floating, quiet
from ...._core.conditions import Demand
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from ...._core.records import Encoding

if TYPE_CHECKING:
    # What pyright takes an abstract class attribute for, which a property may fill as well.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar


class Numbers(Protocol):
    """Numbers of a matrix that an encoding reads: a `SystemEstimate`, or arrays that broadcast, n among them."""

    @property
    def n(self) -> Number: ...
    @property
    def degree(self) -> Number: ...
    @property
    def max_entry(self) -> Number: ...
    @property
    def frobenius_norm(self) -> Number: ...
    @property
    def spectral_norm(self) -> Number: ...
    @property
    def log_condition_number(self) -> Number: ...
    @property
    def definite(self) -> bool | Bool[NumberArray, "..."]: ...


class OwnNumbers(NamedTuple):
    """Numbers of a matrix that is encoded in place of the system's, or as a part of it."""

    n: Number
    degree: Number
    max_entry: Number
    frobenius_norm: Number
    spectral_norm: Number
    log_condition_number: Number
    definite: bool | Bool[NumberArray, "..."]


class AbstractEncoding(eqx.Module):
    """Block encoding of a matrix A as the corner `A / alpha` of a unitary.

    Attributes:
        name: the key under which tables hold this encoding's numbers.
        source: where the formulas stand.
        evidence: how sure the gate counts are.
        rectangular: whether a rectangular factor is encoded: only methods that apply a pseudo-inverse (QSVT,
            LCU) hold then.
        smallest_solution_norm: least norm of the solution for `||A|| = ||b|| = 1`; the worst case of a method
            that amplifies it.
        assumed: what was not given and is replaced by a worst case or a measurement, in words.
    """

    name: AbstractClassVar[str]
    source: AbstractClassVar[str]
    evidence: AbstractClassVar[Evidence]
    rectangular: ClassVar[bool] = False
    smallest_solution_norm: ClassVar[Number] = 1.0
    assumed: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def encode(self, estimate: Numbers) -> Encoding:
        """The encoded matrix's condition number, and its subnormalisation `alpha / ||A||`.

        Scale-free, and never below 1: where `spectral_norm` is an upper bound that exceeds alpha, the product of
        both still bounds `alpha / sigma_min`.
        """

    @abc.abstractmethod
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """Gates of one query.

        Args:
            estimate: the matrix.
            precision: error of the encoded `A / alpha` in the operator norm, in (0, 1). Errors of queries add up, so
                Q queries that may spoil a state by epsilon need epsilon / Q.
        """

    @abc.abstractmethod
    def entries(self, estimate: Numbers) -> NumberArray:
        """Return the classical numbers to load before the first query."""

    def amplitudes(self, estimate: Numbers) -> NumberArray:
        """Return the entries of the right-hand side that is prepared as a state."""
        _, n = floating(estimate.n)
        return n


@quiet
def encoded(estimate: Numbers, alpha: Number) -> Encoding:
    """A square matrix with its own condition number, divided by `alpha`."""
    # Not `estimate.condition_number`, which JAX computes: in single precision it ends at 3e38.
    xp, alpha, norm, log_kappa = floating(alpha, estimate.spectral_norm, estimate.log_condition_number)
    return Encoding(condition_number=xp.exp(log_kappa), subnormalisation=xp.maximum(alpha / norm, 1.0))


def demands(n: Number, precision: Number) -> list[Demand]:
    """Return the conditions of every cost."""
    return [(n >= 1, "n >= 1"), ((precision > 0) & (precision < 1), "a precision in (0, 1)")]


def degree_demand(n: Number, degree: Number) -> Demand:
    """Return the condition that the degree fits an `[n, n]` matrix."""
    return (degree >= 1) & (degree <= n), "a degree in [1, n]"
