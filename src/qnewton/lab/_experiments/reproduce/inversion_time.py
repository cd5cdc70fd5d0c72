"""Inversion time against the number of rows: LU measured and extrapolated, the quantum solver modelled."""

import math
from typing import Any

import numpy as np

from ...._pricing.classical import rival_named
from ...._pricing.problem import Problem
from .base import Evaluation, Finished
from .decisions import SETS, charged, lu_off_by
from .options import Reproduction

_POINTS = 6
"""Sizes per factor of ten."""
# The paper's other complexity, in which alone the sparsity counts, stands for `paper` where that varies.
_SPARSE_SETS = ("paper-sparse", "end_to_end")


def derive(found: Finished) -> dict[str, Any]:
    """Seconds of LU and of the quantum solver over the rows, per condition number and per sparsity."""
    options, chosen = found.options, found.options.inversion
    low = min(chosen.measured)
    count = max(2, round(_POINTS * math.log10(chosen.largest / low)))
    rows = np.unique(np.round(np.geomspace(low, chosen.largest, count)))
    lu = rival_named("LU")
    itemsize = np.dtype("float32").itemsize
    lu_s = np.asarray(
        [float(found.machine.seconds(lu.method.workload(Problem(n, chosen.kappa), itemsize))) for n in rows]
    )
    samples = dict(found.machine.kernels)["lu"].samples
    off = lu_off_by(found.machine)
    by_kappa = [
        {"set": name, "kappa": kappa, **_against(rows, lu_s, off, kappa, None, name, options)}
        for name in SETS
        for kappa in chosen.kappas
    ]
    by_sparsity = [
        {"set": name, "sparsity": degree, **_against(rows, lu_s, off, chosen.kappa, degree, name, options)}
        for name in _SPARSE_SETS
        for degree in (*chosen.sparsities, None)
    ]
    return {
        "gate_time_s": options.gate_time_s,
        "precision": options.precision,
        "rows": rows.tolist(),
        "lu_predicted_seconds": lu_s.tolist(),
        "lu_off_by": off,
        "lu_measured": [{"rows": n, "measured_seconds": seconds} for n, seconds, _ in samples],
        "kappa": chosen.kappa,
        "by_kappa": by_kappa,
        "by_sparsity": by_sparsity,
    }


def _against(
    rows: np.ndarray, lu_s: np.ndarray, off: float, kappa: float, degree: int | None, name: str, options: Reproduction
) -> dict[str, Any]:
    """Return modelled seconds over the rows, and the size from which the quantum solver stays faster than LU.

    The size is given for LU as predicted, and for an LU that is `off` times slower and faster.
    """
    sparse = None if degree is None else np.minimum(degree, rows)
    problem = Problem(rows, np.full(rows.shape, kappa), options.precision, degree=sparse)
    seconds, _ = charged(problem.numbers, name, options)
    return {
        "modelled_seconds": seconds.tolist(),
        "faster_from_rows": _from(rows, seconds < lu_s),
        "faster_from_rows_within": [_from(rows, seconds < lu_s * factor) for factor in (off, 1 / off)],
        "least_quantum_over_lu": float(np.min(seconds / lu_s)),
    }


def _from(rows: np.ndarray, faster: np.ndarray) -> float | None:
    """Return the size from which on it stays so: the first after the last that is not."""
    slower = np.flatnonzero(~faster)
    first = 0 if len(slower) == 0 else int(slower[-1]) + 1
    return float(rows[first]) if first < len(rows) else None


EVALUATION = Evaluation(
    name="inversion-time",
    question="How long does one inversion take?",
    reads=("inversion",),
    trainings=lambda options: [],
    derive=derive,
)
