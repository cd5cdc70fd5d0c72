"""Regularisation: a multiple of the identity on top of the block."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from .._core.kinds import check_scalars, known, plain, typed, varies
from .._core.operators import Shifted, max_entry
from .._core.records import ExactSystem, System
from .._core.renamed import renamed
from .._core.ritz import ritz_values
from .base import AbstractConditioner
from .guarantee import Conditioning, Definiteness, Guarantee
from .spectrum import lowest_eigenvalue


class Damp(AbstractConditioner):
    """`H + r (max|H| + offset) I`, Q-Newton's regularisation (arXiv 2405.00252; `offset` is 1e-6 in its code).

    Raises the eigenvalue floor by what it adds. The entries are compared in the matrix as it arrives, so a `Damp`
    after pruning sees the pruned one.

    Attributes:
        relative: r, dimensionless, at least 0.
        offset: in units of the matrix, at least 0.
    """

    relative: float = varies(default=5e-3)
    offset: float = varies(default=0.0)

    def __check_init__(self):
        check_scalars(self)
        for name in ("relative", "offset"):
            value = getattr(self, name)
            if known(value) and not 0 <= value < float("inf"):
                raise ValueError(
                    f"{name} damping is {value}: it must be a finite number of at least 0 (Q-Newton's usual value for "
                    "relative is 5e-3). Negative damping would make a definite block indefinite"
                )

    @property
    def guarantee(self) -> Guarantee:
        return _damped("r (max|H| + offset)")

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Add `scale` times the damping to the diagonal."""
        largest = max_entry(system.operator)
        relative, offset = typed(self.relative, largest.dtype), typed(self.offset, largest.dtype)
        return raised(system, scale.astype(largest.dtype) * relative * (largest + offset))


@renamed(amount="offset")
class Shift(AbstractConditioner):
    """`H + offset I`, in units of the matrix (Levenberg 1944); `scale` multiplies it.

    Attributes:
        offset: at least 0.
    """

    offset: float = varies()

    def __check_init__(self):
        check_scalars(self)
        if known(self.offset) and not 0 <= self.offset < float("inf"):
            raise ValueError(f"the shift is {self.offset}: it must be a finite number of at least 0")

    @property
    def guarantee(self) -> Guarantee:
        return _damped("the offset")

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Add `scale` times the offset to the diagonal."""
        dtype = system.damping.dtype
        return raised(system, scale.astype(dtype) * typed(self.offset, dtype))


class DampSpectral(AbstractConditioner):
    """`H + relative ||H||_2 I`, the norm as the largest Ritz value of a few Lanczos steps, a few per cent low at most.

    Attributes:
        relative: at least 0; the condition number of a semidefinite block becomes `1 + 1 / relative`.
        steps: products with the block.
    """

    relative: float = varies(default=1e-3)
    steps: int = eqx.field(static=True, converter=plain, default=16)

    def __check_init__(self):
        check_scalars(self)
        _check_relative(self.relative)
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}: it must be at least 1")

    @property
    def guarantee(self) -> Guarantee:
        return _damped("relative ||H||_2, at most")

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Add `scale` times the damping to the diagonal.

        Raises:
            ValueError: if the system is not symmetric.
        """
        _check_symmetric(system, "DampSpectral")
        norm = jnp.max(jnp.abs(_ritz(system, self.steps)))
        return raised(system, scale.astype(norm.dtype) * typed(self.relative, norm.dtype) * norm)


class DampTrace(AbstractConditioner):
    """`H + relative (tr H / n) I`: relative to the mean eigenvalue.

    Attributes:
        relative: at least 0.
    """

    relative: float = varies(default=1e-1)

    def __check_init__(self):
        check_scalars(self)
        _check_relative(self.relative)

    @property
    def guarantee(self) -> Guarantee:
        return _damped("relative |tr H| / n")

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Add `scale` times the damping to the diagonal."""
        mean = jnp.abs(jnp.mean(lx.diagonal(system.operator)))
        return raised(system, scale.astype(mean.dtype) * typed(self.relative, mean.dtype) * mean)


class DampTo(AbstractConditioner):
    """The least multiple of the identity that brings the condition number of a symmetric matrix down to a target.

    Both ends of the spectrum are bounds, confirmed by Cholesky factorisations of the formed matrix, so the target holds
    and the shift is a per cent or so larger than it would have to be. An indefinite matrix becomes definite.

    Attributes:
        condition_number: target, above 1.
    """

    condition_number: float = eqx.field(static=True, converter=plain)

    def __check_init__(self):
        check_scalars(self)
        if not 1 < self.condition_number < float("inf"):
            raise ValueError(
                f"the target condition number is {self.condition_number}: it must be above 1, which only a multiple of "
                "the identity has, and finite"
            )

    @property
    def guarantee(self) -> Guarantee:
        return Guarantee(
            "the shift (lambda_max - kappa lambda_min) / (kappa - 1), where that is positive",
            Definiteness.MADE,
            Conditioning.BOUNDED,
            f"kappa <= {self.condition_number:g} with a damping scale of at least 1; both ends of the spectrum are "
            "confirmed by a factorisation",
        )

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Add `scale` times the shift to the diagonal.

        Raises:
            ValueError: if the system is not symmetric.
        """
        _check_symmetric(system, "DampTo")
        system = system.formed()
        matrix, target = system.matrix, self.condition_number
        largest = jnp.max(jnp.abs(matrix))
        unit = jnp.where(largest > 0, largest, 1)
        low, high = lowest_eigenvalue(matrix / unit), -lowest_eigenvalue(-matrix / unit)
        shift = jnp.maximum(0, (high - target * low) / (target - 1)) * unit
        shifted = raised(system, scale.astype(shift.dtype) * shift)
        if shifted.eigenvalue_floor is None:
            return shifted
        floor = jnp.maximum(shifted.eigenvalue_floor, low * unit + scale.astype(shift.dtype) * shift)
        return dataclasses.replace(shifted, eigenvalue_floor=floor)


def _check_relative(relative: float) -> None:
    if known(relative) and not 0 <= relative < float("inf"):
        raise ValueError(f"relative damping is {relative}: it must be a finite number of at least 0")


def _check_symmetric(system: System, name: str) -> None:
    if not system.symmetric:
        raise ValueError(f"{name} needs a symmetric matrix, and this system was pruned row by row: use Damp or Prune")


def _ritz(system: System, steps: int) -> Float[Array, " k"]:
    like = system.operator.in_structure()
    start = jax.random.normal(jax.random.key(0), like.shape, like.dtype)
    return ritz_values(system.operator.mv, start, steps)


def _damped(amount: str) -> Guarantee:
    return Guarantee(
        f"the multiple of the identity added: {amount}",
        Definiteness.KEPT,
        Conditioning.NOT_RAISED,
        "every eigenvalue, and the eigenvalue floor, rises by the shift",
    )


def raised(system: System, amount: Float[Array, ""], *, repair: bool = False) -> System:
    """Add `amount` to the diagonal, and bring the record up to date.

    Args:
        system: any.
        amount: of the shift.
        repair: whether the shift mends what was left out of the system, and what it approximates stays without.
    """
    exact = system.unrepaired if repair else system.exact
    if exact is not None and not repair:
        exact = ExactSystem(_shifted(exact.operator, amount), _plus(exact.eigenvalue_floor, amount))
    return dataclasses.replace(
        system,
        operator=_shifted(system.operator, amount),
        eigenvalue_floor=_plus(system.eigenvalue_floor, amount),
        damping=system.damping + amount,
        exact=exact,
    )


def _plus(floor: Float[Array, ""] | None, amount: Float[Array, ""]) -> Float[Array, ""] | None:
    return None if floor is None else floor + amount


def _shifted(operator: lx.AbstractLinearOperator, amount: Float[Array, ""]) -> lx.AbstractLinearOperator:
    if isinstance(operator, lx.MatrixLinearOperator):
        matrix = operator.matrix + amount * jnp.eye(operator.in_size(), dtype=operator.matrix.dtype)
        return lx.MatrixLinearOperator(matrix, operator.tags)
    if isinstance(operator, Shifted):
        return Shifted(operator.base, operator.shift + amount, operator.definite)
    return Shifted(operator, amount)
