"""Common parts of K-FAC and EKFAC: the layers of a block, and the part that belongs to none."""

import lineax as lx
from jaxtyping import Array, Float

from ..._core.operators import AbstractCurvatureOperator, KroneckerFactors, block_of
from ..._core.status import Refusal
from ..flat import split_shift


def layered(
    operator: lx.AbstractLinearOperator, name: str
) -> tuple[AbstractCurvatureOperator, KroneckerFactors, Float[Array, ""]]:
    """Return the block inside the operator, its Kronecker factors, and the shift of its diagonal.

    Raises:
        ValueError: if the block has no Kronecker factors.
    """
    base, shift = split_shift(operator)
    factors = base.kronecker() if isinstance(base, AbstractCurvatureOperator) else None
    if factors is None:
        raise ValueError(
            f"{name} needs Kronecker factors, and this operator has none: {type(base).__name__} is "
            + (
                "a block without a recognised layer. "
                if isinstance(base, AbstractCurvatureOperator)
                else "no curvature block, alone or inside Shifted. "
            )
            + "Use Nystrom, Jacobi or Identity"
        )
    return base, factors, shift  # pyright: ignore[reportReturnType]


def without_layers(operator: lx.AbstractLinearOperator) -> Refusal:
    """Whether `layered` would raise, and why."""
    block = block_of(operator)
    return Refusal.NO_LAYERS if block is None or not block.has_layers else Refusal.NONE
