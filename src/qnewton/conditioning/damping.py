"""Regularisation: a multiple of the identity on top of the block."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

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
        amount = scale.astype(system.matrix.dtype) * self.relative * (jnp.max(jnp.abs(system.matrix)) + self.offset)
        floor = system.eigenvalue_floor
        return System(
            matrix=system.matrix + amount * jnp.eye(system.matrix.shape[0], dtype=system.matrix.dtype),
            symmetric=system.symmetric,
            eigenvalue_floor=None if floor is None else floor + amount,
            damping=system.damping + amount,
            kept_fraction=system.kept_fraction,
            perturbation=system.perturbation,
        )
