"""Strategies for runs that fail."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from ...._core.arrays import NumberArray, floating
from ..queries.amplification import amplify_known, amplify_unknown, postselect

# At which the worst case is looked for.
_AMPLITUDES = 129


class Attempts(eqx.Module):
    """Cost of one success.

    Attributes:
        applications: of the circuit or its inverse, expected, failures included.
        coherent: applications that follow each other without a measurement, in the attempt that succeeds.
    """

    applications: Float[NumberArray, ""]
    coherent: Float[NumberArray, ""]


class AbstractAmplification(eqx.Module):
    """Amplification: a method to reach success from a small amplitude of success."""

    @abc.abstractmethod
    def attempts(self, amplitude: NumberArray, least: NumberArray) -> Attempts:
        """Return the cost of one success.

        Args:
            amplitude: root of the success probability of one application.
            least: lower bound on it that is known beforehand.
        """

    def worst(self, least: NumberArray) -> NumberArray:
        """Most applications that any amplitude from `least` to 1 takes."""
        return self.attempts(least, least).applications


class Repeated(AbstractAmplification):
    """Repetition and post-selection, `1 / p` times."""

    def attempts(self, amplitude: NumberArray, least: NumberArray) -> Attempts:
        return Attempts(postselect(amplitude**2), jnp.ones_like(amplitude))

    def worst(self, least: NumberArray) -> NumberArray:
        return postselect(least**2)


class KnownAmplitude(AbstractAmplification):
    """Amplitude amplification tuned to the amplitude, as if known (`queries.amplification.amplify_known`)."""

    def attempts(self, amplitude: NumberArray, least: NumberArray) -> Attempts:
        applications, chance = amplify_known(amplitude)
        return Attempts(applications, jnp.round(applications * chance))

    def worst(self, least: NumberArray) -> NumberArray:
        # More steps for every amplitude that is smaller.
        return amplify_known(least)[0]


class UnknownAmplitude(AbstractAmplification):
    """Amplification by the schedule for an unknown amplitude (`queries.amplification.amplify_unknown`).

    The attempt that succeeds is one of many lengths; for noise it counts as long as all of them together.
    """

    def attempts(self, amplitude: NumberArray, least: NumberArray) -> Attempts:
        applications = jnp.maximum(amplify_unknown(amplitude, least), 1)
        return Attempts(applications, applications)

    def worst(self, least: NumberArray) -> NumberArray:
        # The schedule is as long for a large amplitude, which it turns too far, and may take more than for the least.
        xp, least = floating(least)
        amplitudes = least[..., None] ** xp.linspace(1.0, 0.0, _AMPLITUDES)
        return xp.maximum(xp.max(amplify_unknown(amplitudes, least[..., None]), axis=-1), 1.0)
