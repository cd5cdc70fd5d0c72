"""Classical solvers that use what is known of a matrix's pattern, or of the Newton step that it comes from."""

import dataclasses
from typing import Any

import numpy as np

from .._core.arrays import floating
from .._core.records import ClassicalWorkload
from .methods import INDEX_BYTES, PANEL, Chain, Factorisation, Rows, Stored, dense_chain
from .problem import Problem


@dataclasses.dataclass(frozen=True)
class Banded(Factorisation):
    """A factorisation inside the band, of p entries on either side of the diagonal.

    Attributes:
        pivots: whether rows are exchanged, which widens the band of the factor to 2 p.
    """

    pivots: bool

    def known(self, problem: Problem) -> bool:
        return problem.structure.bandwidth is not None

    def notes(self, problem: Problem) -> tuple[str, ...]:
        band = problem.structure.bandwidth
        return (f"entries up to {float(band):g} from the diagonal",) if np.ndim(band) == 0 else ()

    def workload(self, problem: Problem, itemsize: int) -> ClassicalWorkload:
        _, n, band = _band(problem)
        # Golub and Van Loan, 4.3: n p^2 for a definite matrix, 2 n p q with q = 2 p above the diagonal for another.
        factoring = n * (4 * band**2 if self.pivots else band**2 + 3 * band)
        held = self.entries(problem)
        return ClassicalWorkload(self.kernel, flops=factoring + 4 * held, bytes=4 * held * itemsize)

    def entries(self, problem: Problem) -> Any:
        _, n, band = _band(problem)
        return n * ((3 if self.pivots else 1) * band + 1)

    def chain(self, problem: Problem, devices: float) -> Chain:
        """Panels as in a dense matrix."""
        xp, n, _ = _band(problem)
        return Chain(3 * xp.maximum(n / PANEL, 1.0), 0.0, 0.0)


def _band(problem: Problem) -> tuple[Any, Any, Any]:
    xp, n, band = floating(problem.numbers.n, problem.structure.bandwidth)
    return xp, n, xp.minimum(band, n - 1)


@dataclasses.dataclass(frozen=True)
class Sparse(Factorisation):
    """A sparse Cholesky factorisation, by the numbers of its factor: sums over the columns' counts c, and of `c^2`."""

    def known(self, problem: Problem) -> bool:
        return problem.structure.fill is not None

    def notes(self, problem: Problem) -> tuple[str, ...]:
        return (problem.structure.filled_by,)

    def workload(self, problem: Problem, itemsize: int) -> ClassicalWorkload:
        held, flops = problem.structure.fill, problem.structure.factor_flops
        # The factor is written once and read in both substitutions; fronts as large move in between.
        return ClassicalWorkload(self.kernel, flops=flops + 4 * held, bytes=4 * held * (itemsize + INDEX_BYTES))

    def entries(self, problem: Problem) -> Any:
        return problem.structure.fill

    def held_bytes(self, problem: Problem, itemsize: int) -> Any:
        return problem.structure.fill * (itemsize + INDEX_BYTES)

    def chain(self, problem: Problem, devices: float) -> Chain:
        """Panels of a last front as large as the whole factor, and one kernel for each level of the tree."""
        xp, n, fill = floating(problem.numbers.n, problem.structure.fill)
        front = xp.minimum(n, (2 * fill) ** 0.5)
        return Chain(3 * (xp.maximum(front / PANEL, 1.0) + xp.log2(xp.maximum(n, 2.0))), 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Dual(Stored):
    """A Newton block `R^T R + m I` by way of `R R^T + m I`: formed, factored, and a product with `R^T`."""

    def known(self, problem: Problem) -> bool:
        return problem.structure.root_rows is not None

    def workload(self, problem: Problem, itemsize: int) -> ClassicalWorkload:
        n, rows, gram = problem.numbers.n, problem.structure.root_rows, problem.structure.gram_flops
        flops = (n * rows**2 if gram is None else gram) + rows**3 / 3 + 2 * rows**2 + 4 * n * rows
        return ClassicalWorkload(self.kernel, flops=flops, bytes=(3 * n * rows + 3 * rows**2) * itemsize)

    def entries(self, problem: Problem) -> Any:
        rows = problem.structure.root_rows
        return problem.numbers.n * rows + rows**2

    def chain(self, problem: Problem, devices: float) -> Chain:
        return dense_chain(problem.structure.root_rows, devices, pivots=False)


@dataclasses.dataclass(frozen=True)
class Kronecker(Stored):
    """K-FAC: both factors of a layer factored, and the right-hand side, as a matrix, solved with either."""

    def known(self, problem: Problem) -> bool:
        return problem.structure.layer is not None

    def notes(self, problem: Problem) -> tuple[str, ...]:
        return ("Kronecker factors in place of the block: no verdict rests on it",)

    def workload(self, problem: Problem, itemsize: int) -> ClassicalWorkload:
        left, right = _layer(problem)
        flops = (left**3 + right**3) / 3 + 2 * (left**2 * right + left * right**2)
        return ClassicalWorkload(
            self.kernel, flops=flops, bytes=3 * (left**2 + right**2 + problem.numbers.n) * itemsize
        )

    def entries(self, problem: Problem) -> Any:
        left, right = _layer(problem)
        return left**2 + right**2

    def chain(self, problem: Problem, devices: float) -> Chain:
        xp, left, right = floating(*_layer(problem))
        return dense_chain(xp.maximum(left, right), devices, pivots=False)


def _layer(problem: Problem) -> tuple[Any, Any]:
    assert problem.structure.layer is not None, "a method that is known"
    return problem.structure.layer


@dataclasses.dataclass(frozen=True)
class QuantumInspired(Rows):
    """`kappa_F^4 kappa^2 / epsilon^2` operations on entries sampled by their squares, without the logarithms."""

    def notes(self, problem: Problem) -> tuple[str, ...]:
        return ("no constant is published, 1 is used: no verdict rests on it",)

    def workload(self, problem: Problem, itemsize: int) -> ClassicalWorkload:
        numbers = problem.numbers
        _, kappa, precision = floating(problem.condition_number, problem.precision)
        spread = numbers.frobenius_norm / numbers.spectral_norm * kappa
        return ClassicalWorkload(self.kernel, flops=spread**4 * kappa**2 / precision**2, bytes=0.0 * spread)

    def chain(self, problem: Problem, devices: float) -> Chain:
        return Chain(1.0, 0.0, 0.0)
