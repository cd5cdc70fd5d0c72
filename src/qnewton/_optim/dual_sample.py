"""Steps on a part of the batch, for as long as they gain more per cost than steps on all of it."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.arrays import filled
from .._curvature.examples import Examples

SMALLEST = 100
"""Residuals of a part below which a whole step costs too little to be spared."""
FADE = 0.5
"""Share of the past in what the parts have earned; one unlucky part does not end the sampling."""


class Sampling(NamedTuple):
    """State of the decision whether parts still pay, and the evidence for it.

    Attributes:
        active: whether the next step takes a part.
        earned: fading sums of the decrease of the log loss: that of the whole batch, and that of the part itself.
    """

    active: Bool[Array, ""]
    earned: Float[Array, "2"]

    @classmethod
    def start(cls, dtype: jnp.dtype) -> "Sampling":
        """Return the initial state, before the first step."""
        return cls(filled((), True, bool), filled((2,), 0, dtype))

    def after(
        self,
        whole: Float[Array, "2"],
        part: Float[Array, "2"],
        accepted: Bool[Array, ""],
        parts: int,
    ) -> "Sampling":
        """Update the decision with the outcome of a step.

        A step on everything would lower the whole loss about as much as a step on a part lowers the part's own, and
        costs at least `parts` times as much: parts pay while they earn a `parts`-th of that. Once they do not they are
        given up for good, as they are for losses without a logarithm.

        Args:
            whole: loss of the whole batch before and after the better trial.
            part: the same of the part that the trials were computed from.
            accepted: whether its step is taken.
            parts: into which the batch is divided.
        """
        # A trial that helps its part alone counts against the part; one that helps neither was too little damped.
        fall = jnp.where(accepted, jnp.log(whole[0] / whole[1]), 0)
        own = jnp.maximum(jnp.log(part[0] / part[1]), 0)
        earned = FADE * self.earned + jnp.stack([fall, own]).astype(self.earned.dtype)
        # False for NaN, too.
        return Sampling(self.active & (earned[1] <= parts * earned[0]), earned)


class SamplePart(NamedTuple):
    """Some examples of a batch.

    Attributes:
        chosen: their indices.
        examples: themselves, divided by their share of the whole weight, so that their mean loss is an unbiased
            estimate of the whole one.
    """

    chosen: Int[Array, " k"]
    examples: Examples


def part_of(examples: Examples, parts: int, step: Int[Array, ""]) -> SamplePart | None:
    """Return the examples of one step, in an order drawn once; None if a part would be too small."""
    count = -(-examples.count // parts)
    if parts == 1 or count * examples.width < SMALLEST:
        return None
    order = jnp.asarray(np.random.default_rng(0).permutation(examples.count))
    chosen = order[(step * count + jnp.arange(count)) % examples.count]
    batch = jax.tree.map(lambda leaf: leaf[chosen], examples.batch)
    share = replace(examples, count=count, batch=batch, total=examples.total * (count / examples.count))
    return SamplePart(chosen, share)
