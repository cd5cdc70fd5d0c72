"""Capabilities and requirements of solvers, for code that chooses among them or prepares systems."""

import dataclasses
from collections.abc import Mapping

import lineax as lx


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """Capabilities of a solver, and its requirements on a system.

    Attributes:
        quantum: whether it is charged by its count of queries, on the quantum machine.
        iterative: whether its cost depends on iterations, so that observed counts correct predictions.
        matrix_free: whether it takes an operator as it is.
        needs_matrix: whether it has to be handed a formed matrix. Not `matrix_free`, and not this either, is a solver
            that forms what it needs of a single layer's block by itself.
        needs_root: whether it reads the square root of a block that is not formed.
        needs_layers: whether it reads the Kronecker factors of recognised layers, which a block in other units lacks.
        needs_symmetric: whether the matrix must equal its transpose.
        needs_definite: whether the matrix must be positive definite, and hence symmetric.
        notices_indefinite: whether it may be handed a matrix that only rounding can have made indefinite: it notices,
            and solves the system otherwise.
        warm_start: whether it takes a first guess, the linear-solve option `y0`.
        least_squares: whether it solves damped least squares from the rectangular root, without squaring that
            (`base.LeastSquares`).
    """

    quantum: bool = False
    iterative: bool = False
    matrix_free: bool = False
    needs_matrix: bool = True
    needs_root: bool = False
    needs_layers: bool = False
    needs_symmetric: bool = False
    needs_definite: bool = False
    notices_indefinite: bool = False
    warm_start: bool = False
    least_squares: bool = False

    @property
    def direct(self) -> bool:
        """Whether it is set up for a matrix, on this machine."""
        return not (self.quantum or self.matrix_free)

    def __post_init__(self):
        if self.needs_definite and not self.needs_symmetric:
            raise ValueError(
                "needs_definite is True and needs_symmetric False: a definite matrix is symmetric, so set both"
            )
        if self.matrix_free and self.needs_matrix:
            raise ValueError("matrix_free and needs_matrix are both True: a solver takes operators, or it does not")


_OF_LINEAX: Mapping[type, Capabilities] = {
    lx.CG: Capabilities(iterative=True, needs_symmetric=True, needs_definite=True, warm_start=True),
    lx.BiCGStab: Capabilities(iterative=True, warm_start=True),
    lx.GMRES: Capabilities(iterative=True, warm_start=True),
}


def capabilities_of(solver: lx.AbstractLinearSolver) -> Capabilities:
    """Return a solver's capabilities; for lineax's solvers, which receive formed matrices, the known ones.

    Args:
        solver: of ours, of lineax, or a third party's, which counts as a direct solver for any matrix where it says
            nothing of itself.
    """
    known = (found for kind in type(solver).__mro__ if (found := _OF_LINEAX.get(kind)) is not None)
    return getattr(solver, "capabilities", None) or next(known, Capabilities())
