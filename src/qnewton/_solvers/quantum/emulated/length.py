"""The length of the solution, which a normalised state does not hold."""

import abc
import math
from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...._core.arrays import NumberArray
from ...._core.kinds import check_scalars, plain
from ..readout import SuccessAmplitude

if TYPE_CHECKING:
    # What pyright takes an abstract class attribute for, which a property may fill as well.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar

# Outcomes on either side of the true phase that are told apart; all others have 1 % of the probability together.
_NEIGHBOURS = 16


class Measured(eqx.Module):
    """Data from which a length is found.

    Attributes:
        direction: what was read out, a unit vector.
        image: its product with the matrix.
        vector: right-hand side.
        definite: whether the matrix is tagged as definite.
        amplitude: root of the probability with which one application flags success, noise included.
        scale: the solution's length over that amplitude, without noise; NaN where the one does not tell the other.
    """

    direction: Float[Array, " n"]
    image: Float[Array, " n"]
    vector: Float[Array, " n"]
    definite: bool = eqx.field(static=True)
    amplitude: Float[Array, ""]
    scale: NumberArray


class Found(eqx.Module):
    """A length, its cost, and whether it is meaningful."""

    length: Float[Array, ""]
    applications: Float[Array, ""]
    sound: Bool[Array, ""]


class AbstractLength(eqx.Module):
    """A method to find the length.

    Attributes:
        needs_success: whether it reads the length off the success probability.
        error: relative error of the length that the method itself makes.
    """

    needs_success: AbstractClassVar[bool]
    error: AbstractClassVar[float]

    @abc.abstractmethod
    def find(self, key: Key[Array, ""], measured: Measured) -> Found:
        """The signed length along the direction."""


class LineFit(AbstractLength):
    """Length that fits the exact matrix best along the read-out direction, by one classical product.

    For a matrix that is tagged as definite it is `b.y / y.Ay`, the least of the quadratic model, and there is no length
    if `y.Ay <= 0`. For any other matrix it is `b.Ay / ||Ay||^2`, the least residual. Both inherit the error of the
    direction, amplified by up to the condition number.
    """

    needs_success: ClassVar[bool] = False
    error: ClassVar[float] = 0.0

    def find(self, key: Key[Array, ""], measured: Measured) -> Found:
        y, image, b = measured.direction, measured.image, measured.vector
        top, bottom = (jnp.vdot(y, b), jnp.vdot(y, image)) if measured.definite else (image @ b, image @ image)
        something = jnp.any(y != 0)
        sound = (bottom > 0) | ~something
        zero = jnp.zeros_like(bottom)
        return Found(jnp.where(something, top / jnp.where(sound, bottom, 1), zero), zero, sound)


class FromSuccess(AbstractLength):
    """The length from the success probability, exactly or by amplitude estimation.

    The solution's norm is the success amplitude times what is known beforehand. Estimation makes M Grover iterates and
    finds the angle of the amplitude over pi on a grid of M, with the probabilities of phase estimation (Brassard,
    Hoyer, Mosca and Tapp, quant-ph/0005055); M, and the repetitions whose median is taken, are those that
    `readout.SuccessAmplitude` charges for.

    Attributes:
        precision: relative error of the length, in (0, 1); None: it is known exactly, and free.
        failure_probability: that the error is larger.
    """

    precision: float | None = eqx.field(static=True, converter=plain, default=None)
    failure_probability: float = eqx.field(static=True, converter=plain, default=0.01)
    needs_success: ClassVar[bool] = True

    def __check_init__(self):
        check_scalars(self)
        for name in ("precision", "failure_probability"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{name} is {value}: it must lie in (0, 1)")

    @property
    def error(self) -> float:
        return 0.0 if self.precision is None else self.precision

    def find(self, key: Key[Array, ""], measured: Measured) -> Found:
        amplitude, scale = measured.amplitude, measured.scale
        sound = jnp.ones((), bool)
        if self.precision is None:
            return Found(amplitude * scale, jnp.zeros_like(amplitude), sound)
        possible = jnp.maximum(amplitude, jnp.finfo(amplitude.dtype).tiny)
        cost = SuccessAmplitude().copies(possible**2, self.precision, self.failure_probability).applications
        repetitions = max(-math.log(self.failure_probability) / (2 * (8 / math.pi**2 - 0.5) ** 2), 1.0)
        grid = jnp.ceil((cost / repetitions - 1) / 2)
        keys = jax.random.split(key, math.ceil(repetitions) | 1)
        angle = jnp.arcsin(jnp.clip(possible, 0, 1))
        estimates = jax.vmap(lambda k: _estimate(k, angle, grid))(keys)
        found = jnp.where(amplitude > 0, jnp.sin(jnp.median(estimates)), 0)
        return Found(found * scale, jnp.where(amplitude > 0, cost, 0), sound)


def _estimate(key: Key[Array, ""], angle: Float[Array, ""], grid: Float[Array, ""]) -> Float[Array, ""]:
    """One outcome of phase estimation of `angle` on the grid `pi y / M`."""
    place = angle / math.pi * grid
    below = jnp.floor(place)
    offsets = jnp.arange(-_NEIGHBOURS, _NEIGHBOURS + 2)
    # sin^2(pi M d) / (M^2 sin^2(pi d)) at the distance d of a grid point, for a large M.
    chances = jnp.sinc(place - below - offsets) ** 2
    outcome = below + jax.random.choice(key, offsets, p=chances / jnp.sum(chances))
    return jnp.pi * jnp.abs(outcome) / grid
