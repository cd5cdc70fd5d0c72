"""Which metric `newton` and `dual_newton` damp in, and what damping it begins with."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..conditioning import AbstractConditioner, AbstractMetric, Damp, Levenberg, Marquardt
from ..core.trees import ravel
from ..curvature import Block
from .assembly import joined

FEW = 100
"""Parameters up to which a problem counts as a fit, whose parameters have units, and not as a network."""


class Damping(NamedTuple):
    """How the blocks of a step are damped.

    Attributes:
        metric: what the damping is a multiple of.
        conditioning: in its units.
    """

    metric: AbstractMetric
    conditioning: Sequence[AbstractConditioner]


def is_fit(params: PyTree) -> bool:
    """Whether the parameters are few enough to be those of a fit."""
    return sum(math.prod(jnp.shape(leaf)) for leaf in jax.tree.leaves(params)) <= FEW


def damping_of(
    params: PyTree, metric: AbstractMetric | None, conditioning: Sequence[AbstractConditioner] | None, by_rule: bool
) -> Damping:
    """What `newton` was told, and the defaults for the rest.

    Conditioners and step rules that the user chose keep their meaning in the parameters' own units, unless a metric was
    chosen, too.

    Args:
        params: shapes are read.
        metric: None for the default.
        conditioning: None for the default.
        by_rule: whether a step rule says how far to go.
    """
    if metric is None:
        metric = Marquardt() if conditioning is None and not by_rule and is_fit(params) else Levenberg()
    if conditioning is None:
        # A fit's start may be far off, and a network's is not.
        conditioning = (Damp(0.5) if metric.fixed else Damp(2.0),)
    return Damping(metric, tuple(conditioning))


def roots_of(
    damping: Damping, params: PyTree, blocks: Sequence[Block], memories: Sequence[Float[Array, "k n"]]
) -> Float[Array, " n"] | None:
    """The diagonal of `D` for all parameters, raveled; None where it is the identity."""
    if damping.metric.fixed:
        return None
    return ravel(jax.tree.leaves(joined(params, blocks, [damping.metric.roots(memory) for memory in memories])))
