"""A block's spectrum and what follows from it, for people rather than for the scheduler."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.records import Kind, System
from .automatic import Automatic
from .lanczos import Lanczos
from .stochastic import density

THRESHOLDS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
"""Of the largest entry; `degrees` counts the entries of a row above each."""
_EXACT_UP_TO = 1500
_FORMED_UP_TO = 8192


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
        rounding: `eps sqrt(n) ||A||_F`, the allowance of all estimators: eigenvalues below it in magnitude cannot be
            told from zero.
        numerical_rank: eigenvalues above that in magnitude.
        negative: eigenvalues below minus that.
        numerical_rank_error, negative_error: standard errors; 0 where exact.
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

    def record(self) -> dict[str, Any]:
        """As JSON's types, but for numbers that are not finite."""
        record = dataclasses.asdict(self)
        for field in ("eigenvalues", "weights"):
            record[field] = record[field].tolist()
        return {**record, "kind": self.kind.value, "condition_number_kind": self.condition_number_kind.value}


def block_spectrum(
    system: System,
    name: str = "block",
    *,
    exact_up_to: int = _EXACT_UP_TO,
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
        matrix = np.asarray(system.matrix, np.float64)
        if not np.all(np.isfinite(matrix)):
            raise ValueError(f"block {name} holds NaN or infinity, at {_where(matrix)}: it has no spectrum")
        degrees = _degrees(matrix, thresholds)
    # Whatever is computed in double precision, the entries are as good as the dtype that they came in.
    eps = float(jnp.finfo(system.like.dtype).eps)
    if matrix is not None and n <= exact_up_to:
        values = np.linalg.eigvalsh(matrix)
        kind, rows = Kind.EXACT, [(values, np.ones(n))]
        kappa, kappa_kind = None, Kind.EXACT
    else:
        key = jax.random.key(seed)
        # Closed over: an operator of functions cannot be an argument.
        found = jax.jit(lambda: density(system.operator.mv, system.like, probes=probes, steps=steps, key=key))()
        if not bool(jnp.all(jnp.isfinite(found.nodes))):
            raise ValueError(f"products with block {name} give NaN or infinity: it has no spectrum")
        kind, rows = (
            Kind.ESTIMATE,
            list(zip(*(np.asarray(a, np.float64) for a in (found.nodes, found.weights)), strict=True)),
        )
        estimator = Automatic() if system.eigenvalue_floor is not None or system.is_formed else Lanczos(steps)
        estimate = jax.jit(lambda: estimator(system))()
        kappa, kappa_kind = float(estimate.condition_number), estimate.kind
    negligible = eps * n**0.5 * float(np.sqrt(np.mean([np.sum(weights * values**2) for values, weights in rows])))
    if kappa is None:
        singular = np.abs(rows[0][0])
        kappa = singular.max() / singular.min() if singular.min() > negligible else np.inf
    ranks = [weights[np.abs(values) > negligible].sum() for values, weights in rows]
    negatives = [weights[values < -negligible].sum() for values, weights in rows]
    values = np.concatenate([values for values, _ in rows])
    weights = np.concatenate([weights for _, weights in rows]) / len(rows)
    order = np.argsort(values)
    return BlockSpectrum(
        name=name,
        n=n,
        kind=kind,
        eigenvalues=values[order],
        weights=weights[order],
        damping=float(system.damping),
        condition_number=float(kappa),
        condition_number_kind=kappa_kind,
        effective_rank=_effective_rank(values, weights),
        rounding=negligible,
        numerical_rank=float(np.mean(ranks)),
        numerical_rank_error=_standard_error(ranks),
        negative=float(np.mean(negatives)),
        negative_error=_standard_error(negatives),
        degrees=degrees,
        thresholds=tuple(thresholds),
    )


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


def _standard_error(samples: Sequence[float]) -> float:
    return float(np.std(samples, ddof=1) / np.sqrt(len(samples))) if len(samples) > 1 else 0.0


def _where(matrix: np.ndarray) -> str:
    row, column = np.argwhere(~np.isfinite(matrix))[0]
    return f"row {row}, column {column}"
