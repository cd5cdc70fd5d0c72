"""The diagonal as a preconditioner."""

from typing import ClassVar

import lineax as lx
from jaxtyping import Array, Float

from ..flat import without_tags
from .base import AbstractPreconditioner, usable


class Jacobi(AbstractPreconditioner):
    """Division by the operator's diagonal (Jacobi); entries that are not positive become the mean magnitude.

    On damped blocks of the networks that we measured it costs iterations instead of saving them; it helps where
    parameters have very different scales.
    """

    name: ClassVar[str] = "Jacobi"

    def init(self, operator: lx.AbstractLinearOperator) -> Float[Array, " n"]:
        """Reciprocals of the diagonal `[n]`.

        Raises:
            ValueError: if the diagonal can only be had by forming the matrix.
        """
        bare = without_tags(operator)
        is_function = isinstance(bare, lx.FunctionLinearOperator | lx.JacobianLinearOperator)
        if is_function and not lx.is_diagonal(operator):
            raise ValueError(
                f"Jacobi needs a diagonal, and a {type(bare).__name__} has none short of forming its matrix: use "
                "Nystrom or Identity, or an operator that knows its diagonal"
            )
        # Of a Hermitian operator real.
        return 1 / usable(lx.diagonal(operator).real)

    def apply(self, state: Float[Array, " n"], vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return state * vector

    def flops(self, n: int) -> tuple[float, float]:
        return float(n), float(n)
