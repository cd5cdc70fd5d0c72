"""Choice of the damping metric of `newton` and `dual_newton`, and of the initial damping."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from .._conditioning import AbstractConditioner, AbstractMetric, Damp, Levenberg, Marquardt, diagonal_of, in_metric
from .._core.records import System
from .._core.trees import ravel
from .._curvature import Block
from .._scheduling import scheduler_in
from .._solvers import capabilities_of
from .assembly import joined

FEW = 100
"""Parameters up to which a problem counts as a fit, whose parameters have units, and not as a network."""


class Damping(NamedTuple):
    """Damping of the blocks of a step.

    Attributes:
        metric: what the damping is a multiple of.
        conditioning: in its units.
    """

    metric: AbstractMetric
    conditioning: Sequence[AbstractConditioner]


def is_fit(params: PyTree) -> bool:
    """Return whether the parameters are few enough for a fit."""
    return sum(math.prod(jnp.shape(leaf)) for leaf in jax.tree.leaves(params)) <= FEW


def needs_layers(solver: lx.AbstractLinearSolver) -> bool:
    """Return whether the solver is preconditioned through layers, which a block in other units does not have."""
    scheduler = scheduler_in(solver)
    if scheduler is not None:
        return any(candidate.capabilities.needs_layers for candidate in scheduler.solvers)
    return capabilities_of(solver).needs_layers


def damping_of(
    params: PyTree, metric: AbstractMetric | None, conditioning: Sequence[AbstractConditioner] | None, adapted: bool
) -> Damping:
    """Return the user's choices for `newton`, with defaults for the rest.

    Conditioners, step rules and constant damping that the user chose keep their meaning in the parameters' own units,
    unless a metric was chosen, too.

    Args:
        params: shapes are read.
        metric: None for the default.
        conditioning: None for the default.
        adapted: whether the damping follows the steps, and the solver takes a block without layers.
    """
    if metric is None:
        metric = Marquardt() if conditioning is None and adapted and is_fit(params) else Levenberg()
    if conditioning is None:
        # A fit's start may be far off, and a network's is not.
        conditioning = (Damp(0.5) if metric.fixed else Damp(2.0),)
    return Damping(metric, tuple(conditioning))


def measure(
    metric: AbstractMetric, memory: Float[Array, "k n"], system: System, params: Float[Array, " n"], shifted: bool
) -> tuple[Float[Array, "k n"], Float[Array, " n"], System]:
    """Return the metric's updated memory, the diagonal of its `D`, and the system in its units.

    Args:
        metric: not the identity.
        memory: of the steps before.
        system: as curvature leaves it.
        params: of the block.
        shifted: as of `in_metric`.
    """
    diagonal = diagonal_of(system)
    memory = metric.follow(memory, diagonal, params)
    roots = metric.roots(memory)
    return memory, roots, in_metric(system, roots, diagonal, shifted)


def roots_of(
    damping: Damping, params: PyTree, blocks: Sequence[Block], memories: Sequence[Float[Array, "k n"]]
) -> Float[Array, " n"] | None:
    """The diagonal of `D` for all parameters, raveled; None where it is the identity."""
    if damping.metric.fixed:
        return None
    return ravel(jax.tree.leaves(joined(params, blocks, [damping.metric.roots(memory) for memory in memories])))


def unless_lost(
    loss: Float[Array, ""], new: tuple[Float[Array, "k n"], ...], old: tuple[Float[Array, "k n"], ...]
) -> tuple[Float[Array, "k n"], ...]:
    """Return the metrics' new memory, or the old one if the batch's loss is not finite, since they never forget."""
    return tuple(jnp.where(jnp.isfinite(loss), n, o) for n, o in zip(new, old, strict=True))
