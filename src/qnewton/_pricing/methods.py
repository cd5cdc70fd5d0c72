"""What classical solvers do: operations, traffic, memory, and what they do one thing after the other."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._core.arrays import floating
from .._core.costs import Cost
from .._core.records import ClassicalWorkload
from .._solvers.krylov.steps import krylov_workload
from .problem import Problem

INDEX_BYTES = 4
PANEL = 128
"""Columns that a blocked factorisation takes at once, as HPL does."""
_VECTORS = 6
_DOUBLED = 20.0
"""Operations of a multiplication with an addition in twice the precision, for one (Hida, Li, Bailey 2001)."""


class Chain(NamedTuple):
    """Latencies, which no rate of a machine shortens.

    Attributes:
        launches: of kernels that wait for each other.
        messages: of next to nothing between devices, that wait for each other.
        numbers: that each device receives from the others.
    """

    launches: Any
    messages: Any
    numbers: Any


@dataclasses.dataclass(frozen=True)
class Method(abc.ABC):
    """Method of a classical rival.

    Attributes:
        kernel: whose calibration it is predicted with.
        spread: whether it works on all devices of a machine; else on one of them.
    """

    kernel: str
    spread: bool = dataclasses.field(default=True, kw_only=True)

    def known(self, problem: Problem) -> bool:
        """Whether what it needs to know of the matrix is known."""
        return True

    def notes(self, problem: Problem) -> tuple[str, ...]:
        """What its numbers rest on, beyond those of the matrix."""
        return ()

    @abc.abstractmethod
    def workload(self, problem: Problem, itemsize: int) -> ClassicalWorkload:
        """Operations and traffic; arrays where the problem's numbers are."""

    @abc.abstractmethod
    def held_bytes(self, problem: Problem, itemsize: int) -> Any:
        """Bytes of the matrix, or of the factor."""

    @abc.abstractmethod
    def chain(self, problem: Problem, devices: float) -> Chain:
        """What it does one after the other on so many devices."""

    def memory_bytes(self, problem: Problem, itemsize: int) -> Any:
        """Bytes of the matrix or the factor, and of the vectors."""
        return self.held_bytes(problem, itemsize) + _VECTORS * problem.numbers.n * itemsize

    def streamed_bytes(self, problem: Problem, itemsize: int, memory_bytes: float) -> Any:
        """What moves between a memory of that size and what lies beyond it: only the part that does not fit.

        There is hence no step where a system begins not to fit. Of an iteration that is its whole traffic.
        """
        xp, needed = floating(self.memory_bytes(problem, itemsize))
        beyond = xp.maximum(1 - memory_bytes / needed, 0.0)
        return beyond * self.workload(problem, itemsize).total_bytes

    def refinement(self, problem: Problem) -> ClassicalWorkload:
        """One round in double precision: a residual in twice that.

        The steps of an iteration are those of a single run, shared out among the rounds.
        """
        n, degree = problem.numbers.n, problem.numbers.degree
        return ClassicalWorkload(self.kernel, flops=2 * _DOUBLED * n * degree, bytes=row_bytes(n, degree, 8))


class Stored(Method):
    """Holds numbers without a pattern."""

    @abc.abstractmethod
    def entries(self, problem: Problem) -> Any:
        """Numbers of the matrix, or of the factor, that are held."""

    def held_bytes(self, problem: Problem, itemsize: int) -> Any:
        return self.entries(problem) * itemsize


class Rows(Method):
    """Holds the rows of the matrix, sparse where that is less."""

    def held_bytes(self, problem: Problem, itemsize: int) -> Any:
        return row_bytes(problem.numbers.n, problem.numbers.degree, itemsize)


class Factorisation(Stored):
    """A direct solver, whose factor is at hand in each round of refinement."""

    def refinement(self, problem: Problem) -> ClassicalWorkload:
        once, solves = super().refinement(problem), self.entries(problem)
        return dataclasses.replace(once, flops=once.flops + 2 * solves, bytes=once.bytes + 8 * solves)


@dataclasses.dataclass(frozen=True)
class Dense(Factorisation):
    """A factorisation of the whole matrix, in panels.

    Attributes:
        work: of so many rows and bytes of a number.
        pivots: whether it looks for the largest entry of each column.
    """

    work: Callable[[Any, int], ClassicalWorkload]
    pivots: bool

    def workload(self, problem: Problem, itemsize: int) -> ClassicalWorkload:
        return self.work(problem.numbers.n, itemsize)

    def entries(self, problem: Problem) -> Any:
        return problem.numbers.n**2

    def streamed_bytes(self, problem: Problem, itemsize: int, memory_bytes: float) -> Any:
        """`n^3 / sqrt(M)` numbers move through a memory of M (Hong and Kung 1981; Irony, Toledo, Tiskin 2004)."""
        xp, n, needed = floating(problem.numbers.n, self.memory_bytes(problem, itemsize))
        beyond = xp.maximum(1 - memory_bytes / needed, 0.0)
        return beyond * itemsize * n**2 * xp.maximum(n / (memory_bytes / itemsize) ** 0.5, 1.0)

    def chain(self, problem: Problem, devices: float) -> Chain:
        return dense_chain(problem.numbers.n, devices, pivots=self.pivots)


def dense_chain(n: Any, devices: float, *, pivots: bool) -> Chain:
    """Three kernels for each panel, and what HPL exchanges on a square grid of devices.

    HPL's model (netlib, *HPL Scalability Analysis*, from memory; its panel's `N0 log2 P` messages read in the manual of
    `HPL_pdrpanllT`): `2 n^2 / sqrt(P)` numbers and `n ((b + 1) log2 sqrt(P) + sqrt(P)) / b` messages, in panels of b
    columns. A definite matrix has half of the numbers, and messages for each panel only.
    """
    xp, n = floating(n)
    panels, root = xp.maximum(n / PANEL, 1.0), devices**0.5
    hops = xp.log2(root)
    messages = (n + panels) * hops + panels * root if pivots else panels * (2 * hops + root)
    return Chain(3 * panels, messages, (2.0 if pivots else 1.0) * n**2 / root)


@dataclasses.dataclass(frozen=True)
class Krylov(Rows):
    """An iteration with the sparse matrix. Few rows do not limit its steps: rounding takes it beyond n.

    Attributes:
        steps: at most, of a problem.
        preconditioned: whether by the preconditioner whose gain is known.
    """

    steps: Callable[[Problem], Any]
    preconditioned: bool = False

    def known(self, problem: Problem) -> bool:
        return not self.preconditioned or problem.structure.preconditioned_kappa is not None

    def notes(self, problem: Problem) -> tuple[str, ...]:
        structure = problem.structure
        if not self.preconditioned:
            return ()
        kappa = structure.preconditioned_kappa
        return (structure.preconditioner + (f": condition number {float(kappa):.4g}" if np.ndim(kappa) == 0 else ""),)

    def workload(self, problem: Problem, itemsize: int) -> ClassicalWorkload:
        n, degree = problem.numbers.n, problem.numbers.degree
        product = Cost(2 * n * degree, row_bytes(n, degree, itemsize) + (n * itemsize if self.preconditioned else 0.0))
        scaling = (0.0, n if self.preconditioned else 0.0)
        return krylov_workload(self.kernel, n, itemsize, product, self.taken(problem), scaling)

    def taken(self, problem: Problem) -> Any:
        """Whole steps, at least 1."""
        xp, steps = floating(self.steps(problem))
        return xp.maximum(xp.ceil(steps), 1.0)

    def chain(self, problem: Problem, devices: float) -> Chain:
        """Three kernels in a step, two sums over all devices, and what a device's rows need of the vector.

        That is the surface of a cube of its rows, `3 d^(1/3) (n / P)^(2/3)` (ours), as of a mesh in three dimensions
        like HPCG's; at least what one row needs, and no more than all columns of its rows. A pattern that cannot be cut
        like that, such as an expander's, needs more.
        """
        xp, n, degree, steps = floating(problem.numbers.n, problem.numbers.degree, self.taken(problem))
        rows = n / devices
        surface = xp.maximum(3 * degree ** (1 / 3) * rows ** (2 / 3), degree)
        needed = xp.minimum(surface, xp.minimum(n, rows * degree)) * (1 - 1 / devices)
        return Chain(3 * steps, 2 * xp.log2(xp.asarray(devices, n.dtype)) * steps, steps * needed)


@dataclasses.dataclass(frozen=True)
class Projections(Rows):
    """Randomised Kaczmarz: `2 kappa_F^2 ln(1 / epsilon)` projections on single rows, one after the other.

    Rows are drawn by their norms, and `kappa_F = ||A||_F ||A^-1||`.
    """

    def workload(self, problem: Problem, itemsize: int) -> ClassicalWorkload:
        numbers = problem.numbers
        xp, spread, precision = floating(numbers.frobenius_norm / numbers.spectral_norm, problem.precision)
        spread = spread * problem.condition_number
        return ClassicalWorkload(
            kernel=self.kernel,
            flops=0.0,
            bytes=numbers.n * itemsize,
            steps=xp.maximum(xp.ceil(-2 * spread**2 * xp.log(precision)), 1.0),
            step_flops=4 * numbers.degree,
            step_bytes=numbers.degree * (3 * itemsize + INDEX_BYTES),
        )

    def chain(self, problem: Problem, devices: float) -> Chain:
        return Chain(1.0, 0.0, 0.0)


def row_bytes(n: Any, degree: Any, itemsize: int) -> Any:
    """Return the bytes of a dense array or of sparse rows with column numbers, whichever is smaller."""
    xp, n, degree = floating(n, degree)
    return xp.minimum(n**2 * itemsize, n * degree * (itemsize + INDEX_BYTES))
