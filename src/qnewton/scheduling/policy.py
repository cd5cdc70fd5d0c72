"""How predictions become a choice."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class AbstractPolicy(eqx.Module):
    """Chooses among the candidates of one system."""

    @abc.abstractmethod
    def choose(self, seconds: Float[Array, " candidates"], feasible: Bool[Array, " candidates"]) -> Int[Array, ""]:
        """Index of the chosen candidate; 0 where none is feasible (the plan records that nothing was)."""


class Fastest(AbstractPolicy):
    """The candidate with the least predicted seconds, the first of them on a tie: Q-Newton's scheduler."""

    def choose(self, seconds: Float[Array, " candidates"], feasible: Bool[Array, " candidates"]) -> Int[Array, ""]:
        """Argmin over the feasible candidates; a prediction that is NaN never wins."""
        return jnp.argmin(jnp.where(feasible & ~jnp.isnan(seconds), seconds, jnp.inf))
