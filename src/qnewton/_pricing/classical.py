"""Cost of a system on a classical machine: the rivals of every quantum row."""

import dataclasses
import functools
import operator
from typing import Any

import numpy as np

from .._core.arrays import floating, namespace, quiet
from .._core.costs import Cost
from .._core.records import ClassicalWorkload
from .._core.suggest import unknown
from .._hardware import ClassicalMachine, ClassicalProfile
from .._solvers.cholesky import cholesky_workload
from .._solvers.direct import lu_workload
from .._solvers.krylov.steps import cg_steps, krylov_workload, minres_steps
from .problem import Problem

ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}
DISK_BYTES_PER_S = 3.5e9
"""Of a solid-state disk on four lanes of PCI Express 3.0, for a machine whose own nobody measured."""
_INDEX_BYTES = 4
_VECTORS = 6
_RESOLVES = 0.1
"""Largest `kappa x unit roundoff` at which refinement gains a digit in each round."""
_DOUBLED = 20.0
"""Operations of a multiplication with an addition in twice the precision, for one (Hida, Li, Bailey 2001)."""


@dataclasses.dataclass(frozen=True)
class ClassicalHost:
    """A classical machine in a table.

    Attributes:
        name: of the machine.
        basis: `calibrated` where its times were measured, `data sheet` where they are published peaks.
        machine: per number type; a type that was not calibrated is missing.
        memory_bytes: of the fastest memory that a whole system can lie in.
        link_bytes_per_s: at which what lies beyond it is streamed: over the bus from host memory or a disk.
        largest_measured: rows of the largest system behind a calibration; None for a data sheet.
    """

    name: str
    basis: str
    machine: dict[str, ClassicalMachine]
    memory_bytes: float
    link_bytes_per_s: float
    largest_measured: int | None = None

    @classmethod
    def of(cls, profile: ClassicalProfile) -> "ClassicalHost":
        """Return the host by its data sheet."""
        kernels = {rival.kernel for rival in RIVALS}
        return cls(
            profile.name,
            "data sheet",
            {dtype: profile.machine(kernels, dtype) for dtype in ROUNDOFF},
            profile.memory_bytes,
            profile.efficiency * profile.link_bytes_per_s,
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
        """Of the matrix and the vectors."""
        n, degree = problem.numbers.n, problem.numbers.degree
        matrix = n**2 * itemsize if self.dense else _matrix_bytes(n, degree, itemsize)
        return matrix + _VECTORS * n * itemsize

    def streamed_bytes(self, problem: Problem, itemsize: int, memory_bytes: float) -> Any:
        """What moves between a memory of that size and what lies beyond it.

        A direct solver moves `n^3 / sqrt(M)` numbers through a memory of M (Hong and Kung 1981; Irony, Toledo, Tiskin
        2004), an iteration the matrix in every step; either only the part that does not fit, so that there is no step
        where it begins not to.
        """
        xp, n, needed = floating(problem.numbers.n, self.memory_bytes(problem, itemsize))
        beyond = xp.maximum(1 - memory_bytes / needed, 0.0)
        if self.dense:
            return beyond * itemsize * n**2 * xp.maximum(n / (memory_bytes / itemsize) ** 0.5, 1.0)
        return beyond * self.workload(problem, itemsize).total_bytes


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


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A rival on a host; arrays where the problem's numbers are.

    Attributes:
        seconds: predicted.
        valid: whether all demands are met.
        demands: met where True, in words.
        rounds: of refinement that the precision asks for; 0: none.
        beyond_bytes: of the system that do not fit into the memory.
    """

    seconds: Any
    valid: Any
    demands: list[tuple[Any, str]]
    rounds: Any
    beyond_bytes: Any


@quiet
def predict(rival: Rival, host: ClassicalHost, problem: Problem) -> Prediction:
    """Predicted seconds on a machine, and what they rest on.

    The narrower number type is taken whose rounding error, `kappa` times its unit, stays below the precision. Where
    double precision does not resolve that, the solution is refined: residuals in twice the precision, which every round
    makes `kappa x unit roundoff` times smaller (Higham, Accuracy and Stability, 12.1).
    """
    xp, kappa, precision, _ = floating(problem.condition_number, problem.precision, problem.numbers.n)
    seconds, known, rounds, beyond = np.inf, True, 0.0, 0.0
    wide = kappa * ROUNDOFF["float64"]
    definite = rival.definite is None or rival.definite == problem.definite
    for dtype in ("float64", "float32"):
        taken = True if dtype == "float64" else kappa * ROUNDOFF[dtype] <= precision
        itemsize = np.dtype(dtype).itemsize
        machine = host.machine.get(dtype)
        measured = machine is not None and rival.kernel in dict(machine.kernels)
        here, more = np.inf, 0.0
        if machine is not None and measured:
            here = machine.seconds(rival.workload(problem, itemsize))
            if dtype == "float64":
                more = xp.maximum(xp.ceil(xp.log(precision) / xp.log(xp.minimum(wide, _RESOLVES))) - 1, 0.0)
                more = xp.where(wide <= precision, 0.0, more)
                here = here + more * machine.seconds(_refinement(rival, problem))
        link = rival.streamed_bytes(problem, itemsize, host.memory_bytes) / host.link_bytes_per_s
        seconds = xp.where(taken, here + link, seconds)
        known = xp.where(taken, measured, known)
        rounds = xp.where(taken, more, rounds)
        beyond = xp.where(taken, xp.maximum(rival.memory_bytes(problem, itemsize) - host.memory_bytes, 0.0), beyond)
    demands = [
        (definite, "a positive definite matrix" if rival.definite else "a matrix that is not definite: CG is better"),
        (
            wide <= _RESOLVES,
            f"a condition number up to {_RESOLVES / ROUNDOFF['float64']:.2g}: double precision resolves none beyond it",
        ),
        (known, f"a calibration of {rival.kernel} in that precision: qnewton calibrate"),
    ]
    valid = functools.reduce(operator.and_, (holds for holds, _ in demands))
    return Prediction(seconds, valid, demands, rounds, beyond)


def _refinement(rival: Rival, problem: Problem) -> ClassicalWorkload:
    """One round in double precision: a residual in twice that, and of a direct solver a solve with its factors.

    The steps of an iteration are those of a single run, shared out among the rounds.
    """
    n, degree = problem.numbers.n, problem.numbers.degree
    entries = n**2 if rival.dense else n * degree
    solves = 2 * entries if rival.dense else 0.0
    traffic = n**2 * 8 * 2 if rival.dense else _matrix_bytes(n, degree, 8)
    return ClassicalWorkload(rival.kernel, flops=2 * _DOUBLED * entries + solves, bytes=traffic)


def rival_named(name: str) -> Rival:
    """Return the rival of `RIVALS` with the given name.

    Raises:
        KeyError: for another name.
    """
    found = {rival.name: rival for rival in RIVALS}
    if name not in found:
        raise KeyError(unknown("classical solver", name, found))
    return found[name]


def _matrix_bytes(n: Any, degree: Any, itemsize: int) -> Any:
    """Return the bytes of a dense array or of sparse rows with column numbers, whichever is smaller."""
    return namespace(n, degree).minimum(n**2 * itemsize, n * degree * (itemsize + _INDEX_BYTES))


def _lu(problem: Problem, itemsize: int) -> ClassicalWorkload:
    return lu_workload(problem.numbers.n, itemsize)


def _cholesky(problem: Problem, itemsize: int) -> ClassicalWorkload:
    return cholesky_workload(problem.numbers.n, itemsize)


def _iterations(problem: Problem, itemsize: int, steps: Any) -> ClassicalWorkload:
    """Return the workload of iterations with the sparse matrix.

    Few rows do not limit the steps: rounding takes the iteration beyond n.
    """
    n, degree = problem.numbers.n, problem.numbers.degree
    product = Cost(2 * n * degree, _matrix_bytes(n, degree, itemsize))
    return krylov_workload("cg", n, itemsize, product, namespace(steps).maximum(namespace(steps).ceil(steps), 1.0))


def _cg(problem: Problem, itemsize: int) -> ClassicalWorkload:
    # The bound is the same for the residual and for the error, which is what is asked for here.
    return _iterations(problem, itemsize, cg_steps(problem.condition_number, problem.precision))


def _minres(problem: Problem, itemsize: int) -> ClassicalWorkload:
    # ||e|| / ||x|| <= kappa ||r|| / ||b||.
    _, kappa = floating(problem.condition_number)
    return _iterations(problem, itemsize, minres_steps(kappa, problem.precision / kappa))


def _kaczmarz(problem: Problem, itemsize: int) -> ClassicalWorkload:
    """Return the workload of `2 kappa_F^2 ln(1 / epsilon)` projections on single rows.

    Rows are drawn by their norms, and `kappa_F = ||A||_F ||A^-1||`.
    """
    numbers = problem.numbers
    xp, kappa, precision = floating(problem.condition_number, problem.precision)
    spread = numbers.frobenius_norm / numbers.spectral_norm * kappa
    return ClassicalWorkload(
        kernel="cg",
        flops=0.0,
        bytes=numbers.n * itemsize,
        steps=xp.maximum(xp.ceil(-2 * spread**2 * xp.log(precision)), 1.0),
        step_flops=4 * numbers.degree,
        step_bytes=numbers.degree * (3 * itemsize + _INDEX_BYTES),
    )


_WORKLOADS = {"LU": _lu, "Cholesky": _cholesky, "CG": _cg, "MINRES": _minres, SAMPLING: _kaczmarz}
