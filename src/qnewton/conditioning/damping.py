"""Regularisation: a multiple of the identity on top of the block."""

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from ..core.operators import Shifted, max_entry
from ..core.records import System
from .base import AbstractConditioner


class Damp(AbstractConditioner):
    """`H + r (max|H| + offset) I`, Q-Newton's regularisation (arXiv 2405.00252; `offset` is 1e-6 in its code).

    Raises the eigenvalue floor by what it adds. The entries are compared in the matrix as it arrives, so a `Damp`
    after pruning sees the pruned one.

    Attributes:
        relative: r, dimensionless, at least 0.
        offset: in units of the matrix, at least 0.
    """

    relative: float = eqx.field(static=True, converter=float, default=5e-3)
    offset: float = eqx.field(static=True, converter=float, default=0.0)

    def __check_init__(self):
        for name in ("relative", "offset"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(
                    f"{name} damping is {value}: it must be a finite number of at least 0 (Q-Newton's usual value for "
                    "relative is 5e-3). Negative damping would make a definite block indefinite"
                )

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Add `scale` times the damping to the diagonal."""
        largest = max_entry(system.operator)
        return raised(system, scale.astype(largest.dtype) * self.relative * (largest + self.offset))


class Shift(AbstractConditioner):
    """`H + amount I`, in units of the matrix (Levenberg 1944); `scale` multiplies it.

    Attributes:
        amount: at least 0.
    """

    amount: float = eqx.field(static=True, converter=float)

    def __check_init__(self):
        if not 0 <= self.amount < float("inf"):
            raise ValueError(f"the shift is {self.amount}: it must be a finite number of at least 0")

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Add `scale` times the amount to the diagonal."""
        return raised(system, scale.astype(system.damping.dtype) * self.amount)


def raised(system: System, amount: Float[Array, ""]) -> System:
    """`amount` on the diagonal, with the record brought up to date."""
    operator, floor = system.operator, system.eigenvalue_floor
    if isinstance(operator, lx.MatrixLinearOperator):
        matrix = operator.matrix + amount * jnp.eye(operator.in_size(), dtype=operator.matrix.dtype)
        operator = lx.MatrixLinearOperator(matrix, operator.tags)
    elif isinstance(operator, Shifted):
        operator = Shifted(operator.base, operator.shift + amount, operator.definite)
    else:
        operator = Shifted(operator, amount)
    return System(
        operator=operator,
        symmetric=system.symmetric,
        eigenvalue_floor=None if floor is None else floor + amount,
        damping=system.damping + amount,
        kept_fraction=system.kept_fraction,
        perturbation=system.perturbation,
    )
