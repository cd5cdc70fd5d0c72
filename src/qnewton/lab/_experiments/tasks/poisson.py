"""Task `poisson-pinn`: a physics-informed network for -Laplacian u = f on the unit square, u = 0 on its boundary."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...._curvature import Objective
from ..task_options import PoissonOptions
from .base import Data, Task
from .network import half_square, network

_DEFAULT = PoissonOptions()
# The points are part of the task, like a split.
_POINTS_SEED = 0
_BOUNDARY_WEIGHT = 100.0


class Residual(eqx.Module):
    """The residual of the equation for the network `u`.

    Attributes:
        u: point to value.
    """

    u: Callable[[Float[Array, " 2"]], Float[Array, ""]]

    def __call__(self, example: Float[Array, " 3"]) -> Float[Array, ""]:
        """Return one weighted residual per point: of the equation inside, of the value on the boundary.

        Its factor is the root of the weight.

        The source is f = 2 pi^2 sin(pi x) sin(pi y), whose solution is u = sin(pi x) sin(pi y).

        Args:
            example: x, y, and 1 on the boundary or 0 inside.
        """
        point, on_boundary = example[:2], example[2]
        source = 2 * jnp.pi**2 * jnp.prod(jnp.sin(jnp.pi * point))
        along = jnp.eye(2, dtype=point.dtype)
        return jnp.where(
            on_boundary > 0,
            _BOUNDARY_WEIGHT**0.5 * self.u(point),
            _second_derivative(self.u, point, along[0]) + _second_derivative(self.u, point, along[1]) + source,
        )


def _second_derivative(u: Callable, point: Float[Array, " 2"], direction: Float[Array, " 2"]) -> Float[Array, ""]:
    def slope(p: Array) -> Array:
        return jax.jvp(u, (p,), (direction,))[1]

    return jax.jvp(slope, (point,), (direction,))[1]


def poisson_pinn(dtype: str, options: PoissonOptions = _DEFAULT) -> Task:
    """Return the task of half the mean squared residual at inner and boundary points, the latter weighted 100 times.

    The loss of the held-out points is that of the same equation elsewhere.
    """

    def make(key):
        return Residual(eqx.nn.MLP(2, "scalar", options.width, options.depth, jnp.tanh, key=key))

    init, predict = network(make, dtype)
    rng = np.random.default_rng(_POINTS_SEED)
    train, test = (
        _points(rng, interior, boundary).astype(dtype)
        for interior, boundary in (
            (options.interior, options.boundary),
            (options.interior // 2, options.boundary // 2),
        )
    )
    widths = "-".join(map(str, (2, *(options.width,) * options.depth, 1)))
    return Task(
        name="poisson-pinn",
        model=f"MLP {widths}, tanh, physics-informed",
        source=f"{options.interior} points inside and {options.boundary} on the boundary of the unit square",
        init=init,
        objective=Objective(predict, half_square),
        accuracy=None,
        train=Data(train, np.zeros(len(train), dtype)),
        test=Data(test, np.zeros(len(test), dtype)),
    )


def _points(rng: np.random.Generator, interior: int, boundary: int) -> Float[np.ndarray, "points 3"]:
    inside = np.concatenate([rng.uniform(size=(interior, 2)), np.zeros((interior, 1))], axis=1)
    along, side = rng.uniform(size=boundary), np.arange(boundary) % 4
    edge = np.stack([np.where(side < 2, side, along), np.where(side < 2, along, side - 2), np.ones(boundary)], axis=1)
    return np.concatenate([inside, edge])
