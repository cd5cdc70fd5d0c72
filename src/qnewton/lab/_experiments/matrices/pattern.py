"""The structure of a file's matrix for a plan: its factor's fill, its band, and what scaling by its diagonal gains."""

import numpy as np
import scipy.sparse

from ...._pricing.structure import Structure
from .files import shape_of
from .lanczos import Ends, both_ends
from .symbolic import MOST_ENTRIES, Fill, fill_of

_FULL = 0.5
"""Part of a matrix that is not zero beyond which nothing is gained by its pattern."""
_EVEN = 1.01
"""Ratio of the largest to the smallest number on a diagonal up to which scaling by it changes nothing."""
_TOLERANCE = 0.01
_MOST_PRODUCTS = 1000


def fill_if_analysed(matrix: scipy.sparse.csr_array) -> Fill | None:
    """The fill of a factor, where the pattern is worth an analysis and small enough for one."""
    return fill_of(matrix) if analysed(shape_of(matrix)[0], matrix.nnz) else None


def structure_of(
    matrix: scipy.sparse.csr_array, definite: bool, fill: Fill | None
) -> tuple[Structure, tuple[str, ...]]:
    """The structure of a Hermitian matrix, and notes on what was found or was not.

    Args:
        matrix: of which only numbers that are not zero are stored.
        definite: whether all of its eigenvalues are positive.
        fill: of its factor; None where it was not analysed.
    """
    found: dict[str, object] = {}
    notes: tuple[str, ...] = ()
    if fill is not None:
        found |= {"bandwidth": fill.bandwidth, "fill": fill.entries, "factor_flops": fill.flops}
        found["filled_by"] = (
            f"symbolic analysis of the pattern: the factor has {fill.entries:.3g} numbers and takes {fill.flops:.3g} "
            "operations, in METIS's order or in a band"
        )
        if fill.blocks > 1:
            notes = (f"the pattern falls into {fill.blocks} blocks, the largest of {fill.largest_block} rows",)
    elif matrix.nnz > MOST_ENTRIES:
        notes = (f"the fill of a factor is not known: patterns of up to {MOST_ENTRIES:g} entries are analysed",)
    kappa = _scaled_kappa(matrix) if definite else None
    if kappa is not None:
        found |= {"preconditioned_kappa": kappa, "preconditioner": "scaled by its diagonal"}
    return Structure(**found), notes  # pyright: ignore[reportArgumentType]


def analysed(rows: int, entries: int) -> bool:
    """Whether the pattern of a matrix is worth an analysis, and small enough for one."""
    return entries <= min(_FULL * rows**2, MOST_ENTRIES)


def analysis_bytes(rows: int, entries: int) -> float:
    """What the analysis takes: lists of Python, ten a row and two an entry of a triangle."""
    return 400.0 * rows + 80.0 * entries if analysed(rows, entries) else 0.0


def _scaled_kappa(matrix: scipy.sparse.csr_array) -> float | None:
    """The condition number when scaled by its diagonal, within a few per cent; None: nothing is gained."""
    diagonal = np.real(matrix.diagonal())
    if diagonal.min() <= 0 or diagonal.max() <= _EVEN * diagonal.min():
        return None
    root = 1 / np.sqrt(diagonal)

    def settled(ends: Ends) -> bool:
        return ends.least_error <= _TOLERANCE * ends.least and ends.greatest_error <= _TOLERANCE * ends.greatest

    def product(vector: np.ndarray) -> np.ndarray:
        return root * (matrix @ (root * vector))

    ends = both_ends(product, shape_of(matrix)[0], matrix.dtype, settled, _MOST_PRODUCTS)
    # An upper bound as far as the residuals go, as the count that it enters is one.
    return (ends.greatest + ends.greatest_error) / (ends.least - ends.least_error) if settled(ends) else None
