"""The interface of a preconditioner, and the one that does nothing."""

import abc
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from ..._core.status import Refusal
from ..flat import mean_magnitude

if TYPE_CHECKING:
    # What pyright takes an abstract class attribute for, which a property may fill as well.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar


class AbstractPreconditioner(eqx.Module):
    """An approximate inverse of a symmetric operator; set-up and application are separate.

    `apply` must be a symmetric positive definite map, whatever the operator is: CG and MINRES measure lengths with it.

    Attributes:
        name: how records call it, e.g. `Jacobi`.
        prior: share of the iterations without a preconditioner, in (0, 1], that is expected before any was
            observed. Nothing in an estimate tells. Below 1 a scheduler gives the preconditioner a try where the
            system comes back, and goes by what it counts.
        needs_layers: whether it is built from the Kronecker factors of recognised layers.
    """

    name: AbstractClassVar[str]
    prior: ClassVar[float] = 1.0
    needs_layers: ClassVar[bool] = False

    def refuses(self, operator: lx.AbstractLinearOperator) -> Refusal:
        """Return what the preconditioner lacks in this operator, by its structure; `init` would raise then."""
        return Refusal.NONE

    @abc.abstractmethod
    def init(self, operator: lx.AbstractLinearOperator) -> Any:
        """Compute what can be computed once for an operator.

        Args:
            operator: real, symmetric; usually `_core.operators.Shifted`.

        Raises:
            ValueError: if the operator lacks what this preconditioner is built from.
        """

    @abc.abstractmethod
    def apply(self, state: PyTree[Array], vector: Float[Array, " n"]) -> Float[Array, " n"]:
        """The approximate inverse times a vector.

        Args:
            state: from `init`.
            vector: flat, in the order of the operator's raveled pytree.
        """

    @abc.abstractmethod
    def flops(self, n: int) -> tuple[float, float]:
        """Floating-point operations of one `init` and of one `apply` for an operator with `n` rows.

        Where they depend on more than `n`, what is assumed is in the class's docstring.
        """


class Identity(AbstractPreconditioner):
    """No preconditioner."""

    name: ClassVar[str] = "Identity"

    def init(self, operator: lx.AbstractLinearOperator) -> None:
        return None

    def apply(self, state: None, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return vector

    def flops(self, n: int) -> tuple[float, float]:
        return 0.0, 0.0


def usable(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return curvatures to divide by: those that are not positive are replaced by the mean magnitude of all.

    A diagonal entry of an indefinite block can have either sign and does not show the scale there; a negative one would
    make the preconditioner indefinite. Values that are not finite count as not positive.
    """
    floor = jnp.finfo(values.dtype).tiny
    return jnp.where((values > floor) & jnp.isfinite(values), values, mean_magnitude(values))
