"""What a quantum solve is charged for: named, switchable sets of assumptions."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.records import Encoding, QuantumWorkload, SystemEstimate
from .quantum import QuantumMachine


class AbstractAssumptions(eqx.Module):
    """How a system is encoded, and how a quantum workload becomes seconds."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The key under which records hold this set's numbers."""

    @abc.abstractmethod
    def encode(self, estimate: SystemEstimate) -> Encoding:
        """The block encoding's condition number and subnormalisation."""

    @abc.abstractmethod
    def seconds(self, workload: QuantumWorkload, machine: QuantumMachine) -> Float[Array, ""]:
        """Modelled seconds of one solve; infinite where the workload is invalid."""


class Paper(AbstractAssumptions):
    """Q-Newton's model (arXiv 2405.00252): queries times a gate time, and nothing else.

    Subnormalisation 1, free loading of the matrix and the right-hand side, free read-out, no error correction. A lower
    bound on what any machine would need by many orders of magnitude; read-out alone repeats the whole solve.
    """

    @property
    def name(self) -> str:
        return "paper"

    def encode(self, estimate: SystemEstimate) -> Encoding:
        """The matrix's own condition number, `alpha = ||A||`."""
        kappa = estimate.condition_number
        return Encoding(condition_number=kappa, subnormalisation=jnp.ones_like(kappa))

    def seconds(self, workload: QuantumWorkload, machine: QuantumMachine) -> Float[Array, ""]:
        """Expected queries times the gate time."""
        return jnp.where(workload.valid, workload.queries * machine.gate_time_s, jnp.inf)
