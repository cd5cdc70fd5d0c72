"""Metrics: the matrix that damping is a multiple of, the identity or a diagonal that follows the curvature's.

A metric is the square of a diagonal `D`. The damped system is `A + m D^2`, solved in the units in which `D` is the
identity: `(D^-1 A D^-1 + m I) y = D^-1 g`, `x = D^-1 y`. So all that comes after, every estimate, tolerance and largest
entry, is in these units, and none of it depends on those of the parameters.
"""

import abc
import dataclasses
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from .._core.arrays import filled
from .._core.coordinates import Composed, Scaled
from .._core.kinds import check_scalars, plain
from .._core.one_kernel import paired
from .._core.records import System
from .._core.scaled import scaled_block
from .basis import rebased


class AbstractMetric(eqx.Module):
    """A diagonal metric `D` of a block, from its diagonals and parameters in this step and earlier ones.

    Attributes:
        fixed: whether it is the identity, for which nothing is computed or kept.
    """

    fixed: eqx.AbstractClassVar[bool]

    @abc.abstractmethod
    def init(self, n: int, dtype: jnp.dtype) -> Float[Array, "k n"]:
        """Return the initial memory, before the first step."""

    @abc.abstractmethod
    def follow(
        self, memory: Float[Array, "k n"], diagonal: Float[Array, " n"], params: Float[Array, " n"]
    ) -> Float[Array, "k n"]:
        """Update the memory with a step's curvature; numbers that are not finite leave no trace.

        Args:
            memory: of the steps before.
            diagonal: of the undamped block, the l2 term included.
            params: of the block.
        """

    @abc.abstractmethod
    def roots(self, memory: Float[Array, "k n"]) -> Float[Array, " n"]:
        """The diagonal of `D`, positive and finite."""


class Levenberg(AbstractMetric):
    """The identity: damping shortens the step in the parameters' own units (Levenberg 1944).

    For networks, whose initialisation has chosen the units.
    """

    fixed: ClassVar[bool] = True

    def init(self, n: int, dtype: jnp.dtype) -> Float[Array, "k n"]:
        return filled((0, n), 0, dtype)

    def follow(
        self, memory: Float[Array, "k n"], diagonal: Float[Array, " n"], params: Float[Array, " n"]
    ) -> Float[Array, "k n"]:
        return memory

    def roots(self, memory: Float[Array, "k n"]) -> Float[Array, " n"]:
        return jnp.ones(memory.shape[1], memory.dtype)


class Marquardt(AbstractMetric):
    """The curvature's largest diagonal so far (Marquardt 1963; More 1978), with a floor from the parameters' sizes.

    `D_i^2 = max(a_i, sizes * max_j(a_j s_j^2) / s_i^2)`, with `a_i` the largest `|A_ii|` and `s_i` the largest
    `|params_i|` so far. A fit then does not depend on the units of its parameters: where they are powers of two apart,
    all numbers are the same to the last bit. The diagonal includes the objective's l2 term, which moves with the units
    if all parameters share one: parameters c times as large, l2 by c^-2.

    With `sizes=0` it is More's. The floor is for starts where the data say next to nothing about a parameter, so that
    its diagonal would let it go anywhere: it is held where it would move by far more than its own size with less than
    `sqrt(sizes)` of the largest influence. A parameter that was always zero counts with the least influence
    `sqrt(a_j) s_j` that another one has.

    A parameter without influence, whose diagonal is zero, has a gradient of zero: it stays, whatever `D_i` is (1 where
    there is no size either), and takes part once it has some.

    Attributes:
        sizes: square of the influence, relative to the largest, below which a parameter's size counts; in [0, 1).
    """

    fixed: ClassVar[bool] = False
    sizes: float = eqx.field(static=True, converter=plain, default=1e-4)

    def __check_init__(self):
        check_scalars(self)
        if not 0 <= self.sizes < 1:
            raise ValueError(
                f"sizes is {self.sizes}: the share of the largest influence, squared, must lie in [0, 1); 0 leaves the "
                "sizes of the parameters out"
            )

    def init(self, n: int, dtype: jnp.dtype) -> Float[Array, "k n"]:
        return filled((2, n), 0, dtype)

    def follow(
        self, memory: Float[Array, "k n"], diagonal: Float[Array, " n"], params: Float[Array, " n"]
    ) -> Float[Array, "k n"]:
        seen = jnp.abs(paired(diagonal, params)).astype(memory.dtype)
        return jnp.maximum(memory, jnp.where(jnp.isfinite(seen), seen, 0))

    def roots(self, memory: Float[Array, "k n"]) -> Float[Array, " n"]:
        root, size = jnp.sqrt(memory[0]), memory[1]
        if self.sizes:
            influence = root * size
            some = influence > 0
            # By one reduction: each is compiled on its own.
            top, least = jax.lax.reduce(
                (influence, jnp.where(some, influence, jnp.inf)),
                (jnp.zeros((), influence.dtype), jnp.full((), jnp.inf, influence.dtype)),
                lambda one, other: (jnp.maximum(one[0], other[0]), jnp.minimum(one[1], other[1])),
                (0,),
            )
            # Of a parameter that was always zero, the size with which its influence would be the least.
            size = jnp.where((size == 0) & (root > 0), least / jnp.where(root > 0, root, 1), size)
            floor = math.sqrt(self.sizes) * top / jnp.where(size > 0, size, jnp.inf)
            root = jnp.where(top > 0, jnp.maximum(root, floor), root)
        usable = (root > 0) & jnp.isfinite(root)
        return jnp.where(usable, root, 1)


def in_metric(system: System, roots: Float[Array, " n"], diagonal: Float[Array, " n"], shifted: bool) -> System:
    """Return the system in the units in which the metric is the identity, formed only if it was formed before.

    Args:
        system: as curvature leaves it.
        roots: diagonal of `D` `[n]`.
        diagonal: of the system's operator `[n]`.
        shifted: whether the system may have a shift (l2, or a curvature's own) that is not zero.
    """
    factors = 1 / roots
    least, most = jnp.min(factors) ** 2, jnp.max(factors) ** 2
    if system.is_formed:
        return rebased(system, Scaled(factors), least, most)
    floor = system.eigenvalue_floor
    return dataclasses.replace(
        system,
        operator=scaled_block(system.operator, factors, diagonal, shifted),
        eigenvalue_floor=None if floor is None else floor * jnp.where(floor > 0, least, most),
        coordinates=Composed(system.coordinates, Scaled(factors)),
        user_floor=floor,
    )


def diagonal_of(system: System) -> Float[Array, " n"]:
    """Return the diagonal of the system's operator, from the matrix if it is formed."""
    return jnp.diagonal(system.matrix) if system.is_formed else lx.diagonal(system.operator)
