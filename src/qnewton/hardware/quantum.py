"""Quantum machines."""

from typing import TYPE_CHECKING

import equinox as eqx

from .positive import check_positive

if TYPE_CHECKING:
    from .quantum_profile import QuantumProfile


class QuantumMachine(eqx.Module):
    """A quantum computer at a clock of its own.

    Attributes:
        gate_time_s: seconds of one physical two-qubit operation; all that the assumption sets without error correction
            know of a machine. Q-Newton sweeps it down to attoseconds (1e-18), which no machine offers; superconducting
            gates take about 50e-9.
        profile: its error rates, its code and how its operations compare; at another `gate_time_s` than the profile's
            all physical operations scale with it. None: unknown, and then no set that corrects errors applies.
    """

    gate_time_s: float = eqx.field(static=True, default=50e-9)
    profile: "QuantumProfile | None" = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_positive("gate_time_s", self.gate_time_s, "of seconds, e.g. 1e-9")
