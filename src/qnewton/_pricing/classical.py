"""What a system takes on a classical machine: the rivals of every quantum row."""

import dataclasses
from typing import Any

import numpy as np

from .._core.arrays import quiet
from .._core.costs import Cost
from .._core.records import ClassicalWorkload
from .._core.suggest import unknown
from .._hardware import ClassicalMachine, ClassicalProfile
from .._solvers.cholesky import cholesky_workload
from .._solvers.direct import lu_workload
from .._solvers.krylov.steps import cg_steps, krylov_workload, minres_steps
from .problem import Problem

ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}
_INDEX_BYTES = 4


@dataclasses.dataclass(frozen=True)
class ClassicalHost:
    """A classical machine in a table.

    Attributes:
        name: of the machine.
        basis: `calibrated` where its times were measured, `data sheet` where they are published peaks.
        machine: per number type; a type that was not calibrated is missing.
        memory_bytes: that a system can lie in.
        largest_measured: rows of the largest system behind a calibration; None for a data sheet.
    """

    name: str
    basis: str
    machine: dict[str, ClassicalMachine]
    memory_bytes: float
    largest_measured: int | None = None

    @classmethod
    def of(cls, profile: ClassicalProfile) -> "ClassicalHost":
        """By its data sheet."""
        kernels = {rival.kernel for rival in RIVALS}
        return cls(
            profile.name,
            "data sheet",
            {dtype: profile.machine(kernels, dtype) for dtype in ROUNDOFF},
            profile.memory_bytes,
        )


@dataclasses.dataclass(frozen=True)
class Rival:
    """A classical solver.

    Attributes:
        name: in tables.
        kernel: whose calibration it is predicted with.
        source: of its operation count.
        guarantee: what its count promises.
        dense: whether it holds the whole matrix.
        definite: whether it needs a definite matrix (True), serves for another (False), or takes either (None).
    """

    name: str
    kernel: str
    source: str
    guarantee: str
    dense: bool
    definite: bool | None

    def workload(self, problem: Problem, itemsize: int) -> ClassicalWorkload:
        """Operations and traffic; arrays where the problem's numbers are."""
        return _WORKLOADS[self.name](problem, itemsize)

    def memory_bytes(self, problem: Problem, itemsize: int) -> Any:
        """Of the matrix."""
        n, degree = problem.numbers.n, problem.numbers.degree
        return n**2 * itemsize if self.dense else _matrix_bytes(n, degree, itemsize) + 6 * n * itemsize


SAMPLING = "sampling (Kaczmarz)"
_BOUND = "upper bound on the steps, proven but for rounding"

RIVALS = (
    Rival("LU", "lu", "Golub and Van Loan, 3.2", "exact but for rounding", True, None),
    Rival("Cholesky", "cholesky", "Golub and Van Loan, 4.2", "exact but for rounding", True, True),
    Rival("CG", "cg", "Chebyshev bound (Saad, 6.11); rounding: Greenbaum 1989", _BOUND, False, True),
    Rival("MINRES", "cg", "Chebyshev bound (Greenbaum 1997, 3.1); rounding: Greenbaum 1989", _BOUND, False, False),
    Rival(
        SAMPLING,
        "cg",
        "Strohmer and Vershynin, arXiv math/0702226; as a dequantised solver: Shao and Montanaro, arXiv 2103.10309",
        "in expectation, proven",
        False,
        None,
    ),
)


@quiet
def predict(rival: Rival, host: ClassicalHost, problem: Problem) -> tuple[Any, Any, list[tuple[Any, str]]]:
    """Predicted seconds on a machine, whether it can be, and what it demands; arrays where the problem's numbers are.

    The narrower number type is taken whose rounding error, `kappa` times its unit, stays below the precision.

    Returns:
        Seconds as if the memory were large enough; whether all demands are met; the demands, met where True.
    """
    kappa, precision = np.asarray(problem.condition_number, float), np.asarray(problem.precision, float)
    seconds, fits, resolved, known = np.inf, True, False, True
    definite = rival.definite is None or rival.definite == problem.definite
    for dtype in ("float64", "float32"):
        enough = kappa * ROUNDOFF[dtype] <= precision
        resolved = resolved | enough
        itemsize = np.dtype(dtype).itemsize
        machine = host.machine.get(dtype)
        measured = machine is not None and rival.kernel in dict(machine.kernels)
        here = machine.seconds(rival.workload(problem, itemsize)) if machine is not None and measured else np.inf
        seconds = np.where(enough, here, seconds)
        known = np.where(enough, measured, known)
        fits = np.where(enough, rival.memory_bytes(problem, itemsize) <= host.memory_bytes, fits)
    demands = [
        (definite, "a positive definite matrix" if rival.definite else "a matrix that is not definite: CG is better"),
        (resolved, "a condition number that double precision resolves to epsilon"),
        (known, f"a calibration of {rival.kernel} in that precision: qnewton calibrate"),
        (fits, f"memory for the {'dense' if rival.dense else 'sparse'} matrix (has {host.memory_bytes:.2g} bytes)"),
    ]
    valid = np.asarray(definite) & resolved & known & fits
    return seconds, valid, demands


def rival_named(name: str) -> Rival:
    """One of `RIVALS`.

    Raises:
        KeyError: for another name.
    """
    found = {rival.name: rival for rival in RIVALS}
    if name not in found:
        raise KeyError(unknown("classical solver", name, found))
    return found[name]


def _matrix_bytes(n: Any, degree: Any, itemsize: int) -> Any:
    """As a dense array or by rows of values and column numbers, whichever is smaller."""
    return np.minimum(n**2 * itemsize, n * degree * (itemsize + _INDEX_BYTES))


def _lu(problem: Problem, itemsize: int) -> ClassicalWorkload:
    return lu_workload(problem.numbers.n, itemsize)


def _cholesky(problem: Problem, itemsize: int) -> ClassicalWorkload:
    return cholesky_workload(problem.numbers.n, itemsize)


def _iterations(problem: Problem, itemsize: int, steps: Any) -> ClassicalWorkload:
    """With the sparse matrix. No fewer steps for few rows: rounding takes the iteration beyond n."""
    n, degree = problem.numbers.n, problem.numbers.degree
    product = Cost(2 * n * degree, _matrix_bytes(n, degree, itemsize))
    return krylov_workload("cg", n, itemsize, product, np.maximum(np.ceil(steps), 1.0))


def _cg(problem: Problem, itemsize: int) -> ClassicalWorkload:
    # The bound is the same for the residual and for the error, which is what is asked for here.
    return _iterations(problem, itemsize, cg_steps(problem.condition_number, problem.precision))


def _minres(problem: Problem, itemsize: int) -> ClassicalWorkload:
    # ||e|| / ||x|| <= kappa ||r|| / ||b||.
    kappa = np.asarray(problem.condition_number, float)
    return _iterations(problem, itemsize, minres_steps(kappa, problem.precision / kappa))


def _kaczmarz(problem: Problem, itemsize: int) -> ClassicalWorkload:
    """`2 kappa_F^2 ln(1 / epsilon)` projections on one row each, drawn by its norm: `kappa_F = ||A||_F ||A^-1||`."""
    numbers = problem.numbers
    spread = numbers.frobenius_norm / numbers.spectral_norm * np.asarray(problem.condition_number, float)
    return ClassicalWorkload(
        kernel="cg",
        flops=0.0,
        bytes=numbers.n * itemsize,
        steps=np.maximum(np.ceil(-2 * spread**2 * np.log(problem.precision)), 1.0),
        step_flops=4 * numbers.degree,
        step_bytes=numbers.degree * (3 * itemsize + _INDEX_BYTES),
    )


_WORKLOADS = {"LU": _lu, "Cholesky": _cholesky, "CG": _cg, "MINRES": _minres, SAMPLING: _kaczmarz}
