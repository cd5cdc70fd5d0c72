"""A block's spectrum and quantities derived from it, for inspection rather than for the scheduler."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._core.limits import EXACT_UP_TO
from .._core.records import Kind, System
from .automatic import Automatic
from .base import ESTIMATED, EXACT
from .counting import counts
from .lanczos import Lanczos
from .stochastic import Density, density

THRESHOLDS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
"""Of the largest entry; `degrees` counts the entries of a row above each."""
_FORMED_UP_TO = 8192
_OFF = 16
"""Units of rounding of the largest by which an eigenvalue next to zero comes out off: 11 were seen, to 1,600 rows."""


@dataclasses.dataclass(frozen=True)
class BlockSpectrum:
    """The spectrum of one symmetric block, on the host.

    Attributes:
        name: of the block.
        n: rows.
        kind: `exact` where all eigenvalues were computed, in double precision; `estimate` where atoms of Lanczos
            quadrature stand for them.
        eigenvalues: ascending; all of them, or the atoms.
        weights: how many eigenvalues each stands for, n in total.
        damping: what conditioning added to the diagonal.
        condition_number: infinite where the matrix is singular to rounding.
        condition_number_kind: how sure that is.
        effective_rank: `exp` of the entropy of `|lambda| / sum |lambda|` (Roy and Vetterli 2007).
        rounding: `eps sqrt(n) ||A||_F`, the allowance of all estimators, and at least twice what a decomposition in
            double precision is off: eigenvalues below it in magnitude cannot be told from zero.
        numerical_rank: eigenvalues above that in magnitude.
        negative: eigenvalues below minus that.
        numerical_rank_error, negative_error: the truth is no further off with a confidence of 95 %, what the quadrature
            did not resolve included; where all eigenvalues were computed, those that rounding may have put on the
            other side.
        degrees: for each of `thresholds`, the largest number of entries in a row whose magnitude exceeds that part of
            the largest entry's; None for a block too large to be formed.
        thresholds: of `degrees`.
    """

    name: str
    n: int
    kind: Kind
    eigenvalues: np.ndarray
    weights: np.ndarray
    damping: float
    condition_number: float
    condition_number_kind: Kind
    effective_rank: float
    rounding: float
    numerical_rank: float
    numerical_rank_error: float
    negative: float
    negative_error: float
    degrees: tuple[int, ...] | None
    thresholds: tuple[float, ...] = THRESHOLDS


def block_spectrum(
    system: System,
    name: str = "block",
    *,
    exact_up_to: int = EXACT_UP_TO,
    formed_up_to: int = _FORMED_UP_TO,
    probes: int = 8,
    steps: int = 96,
    thresholds: Sequence[float] = THRESHOLDS,
    seed: int = 0,
) -> BlockSpectrum:
    """The spectrum of a symmetric system. Not for use inside a transformation: it computes on the host.

    Args:
        system: symmetric; formed or not.
        name: for the record.
        exact_up_to: rows up to which all eigenvalues are computed; Lanczos quadrature serves above.
        formed_up_to: rows up to which the block is formed to count its entries.
        probes: random starts of the quadrature.
        steps: products of each.
        thresholds: of `degrees`, relative to the largest entry.
        seed: of the starts.

    Raises:
        ValueError: for a block that is not symmetric or not finite.
    """
    n = system.like.shape[0]
    if not system.symmetric:
        raise ValueError(f"block {name} is not symmetric: a spectrum of real eigenvalues is asked for")
    degrees, matrix = None, None
    if n <= max(exact_up_to, formed_up_to):
        matrix = _finite(system, name)
        degrees = _degrees(matrix, thresholds)
    # Whatever is computed in double precision, the entries are as good as the dtype that they came in.
    eps = float(jnp.finfo(system.like.dtype).eps)
    if matrix is not None and n <= exact_up_to:
        found = _all_eigenvalues(matrix, eps)
    else:
        found = _by_quadrature(system, name, eps, probes, steps, seed)
    values = np.concatenate([values for values, _ in found.rows])
    weights = np.concatenate([weights for _, weights in found.rows]) / len(found.rows)
    order = np.argsort(values)
    return BlockSpectrum(
        name=name,
        n=n,
        kind=found.kind,
        eigenvalues=values[order],
        weights=weights[order],
        damping=float(system.damping),
        condition_number=found.condition_number,
        condition_number_kind=found.condition_number_kind,
        effective_rank=_effective_rank(values, weights),
        rounding=found.negligible,
        numerical_rank=found.rank[0],
        numerical_rank_error=found.rank[1],
        negative=found.negative[0],
        negative_error=found.negative[1],
        degrees=degrees,
        thresholds=tuple(thresholds),
    )


def _finite(system: System, name: str) -> np.ndarray:
    matrix = np.asarray(system.matrix, np.float64)
    if not np.all(np.isfinite(matrix)):
        raise ValueError(f"block {name} holds NaN or infinity, at {_where(matrix)}: it has no spectrum")
    return matrix


class _Found(NamedTuple):
    """Eigenvalues and quantities derived from them, by either method.

    Attributes:
        kind: of the eigenvalues.
        rows: nodes and weights of each start; of all eigenvalues a single row.
        negligible: magnitude below which an eigenvalue may be rounding.
        condition_number, condition_number_kind: of the system.
        rank, negative: counts of eigenvalues, with their errors.
    """

    kind: Kind
    rows: list[tuple[np.ndarray, np.ndarray]]
    negligible: float
    condition_number: float
    condition_number_kind: Kind
    rank: tuple[float, float]
    negative: tuple[float, float]


def _all_eigenvalues(matrix: np.ndarray, eps: float) -> _Found:
    n = len(matrix)
    values = np.linalg.eigvalsh(matrix)
    negligible = max(eps * n**0.5 * float(np.linalg.norm(values)), 2 * _off(values))
    kappa, kappa_kind = _condition_number(np.abs(values), negligible)
    rank, negative = (_sharply(values, where, negligible) for where in (np.abs(values), -values))
    return _Found(Kind.EXACT, [(values, np.ones(n))], negligible, float(kappa), kappa_kind, rank, negative)


def _by_quadrature(system: System, name: str, eps: float, probes: int, steps: int, seed: int) -> _Found:
    n = system.like.shape[0]
    key = jax.random.key(seed)
    # Closed over: an operator of functions cannot be an argument.
    found = jax.jit(lambda: density(system.operator.mv, system.like, probes=probes, steps=steps, key=key))()
    if not bool(jnp.all(jnp.isfinite(found.nodes))):
        raise ValueError(f"products with block {name} give NaN or infinity: it has no spectrum")
    rows = list(zip(*(np.asarray(a, np.float64) for a in (found.nodes, found.weights)), strict=True))
    negligible = eps * n**0.5 * float(np.sqrt(np.mean([np.sum(weights * values**2) for values, weights in rows])))
    estimator = Automatic() if system.eigenvalue_floor is not None or system.is_formed else Lanczos(steps)
    estimate = jax.jit(lambda: estimator(system))()
    null, error = _counted(found, -negligible, negligible)
    negative = _counted(found, -np.inf, -negligible)
    kappa = float(estimate.condition_number)
    return _Found(Kind.ESTIMATE, rows, negligible, kappa, estimate.kind, (n - null, error), negative)


def _effective_rank(values: np.ndarray, weights: np.ndarray) -> float:
    total = np.sum(weights * np.abs(values))
    if total == 0:
        return 0.0
    shares = np.abs(values) / total
    some = shares > 0
    return float(np.exp(-np.sum(weights[some] * shares[some] * np.log(shares[some]))))


def _degrees(matrix: np.ndarray, thresholds: Sequence[float]) -> tuple[int, ...]:
    magnitude = np.abs(matrix)
    largest = magnitude.max()
    return tuple(int(np.count_nonzero(magnitude > part * largest, axis=1).max()) for part in thresholds)


def _condition_number(singular: np.ndarray, negligible: float) -> tuple[float, Kind]:
    """Return the condition number from all singular values, and its kind; infinite if the smallest is rounding."""
    if singular.min() <= negligible:
        return np.inf, Kind.CERTIFIED
    largest, smallest = float(singular.max()), float(singular.min())
    error = _off(singular)
    if error <= ESTIMATED * smallest:
        return largest / smallest, Kind.EXACT if error <= EXACT * smallest else Kind.ESTIMATE
    return (largest + error) / (smallest - error), Kind.CERTIFIED


def _off(values: np.ndarray) -> float:
    """Return the possible error of a computed eigenvalue next to zero."""
    return _OFF * float(np.finfo(np.float64).eps * np.abs(values).max())


def _sharply(values: np.ndarray, signed: np.ndarray, threshold: float) -> tuple[float, float]:
    """Return how many eigenvalues exceed the threshold, and how many are so near it that rounding decides."""
    near = np.abs(signed - threshold) <= _off(values) if threshold > 0 else np.zeros_like(signed)
    return float(np.sum(signed > threshold)), float(np.sum(near))


def _counted(found: Density, low: float, high: float) -> tuple[float, float]:
    """Return the number of eigenvalues in `[low, high]`, and its largest error at the stated confidence."""
    probes = found.nodes.shape[0]
    least, most = (float(np.mean(np.asarray(share, np.float64))) for share in found.shares(low, high))
    middle = found.n * (least + most) / 2
    first, last = counts(least, most, found.n, probes)
    return middle, max(middle - first, last - middle, 0.0)


def _where(matrix: np.ndarray) -> str:
    row, column = np.argwhere(~np.isfinite(matrix))[0]
    return f"row {row}, column {column}"
