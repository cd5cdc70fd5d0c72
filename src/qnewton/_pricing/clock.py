"""At what pace a quantum machine works."""

from typing import Any

import equinox as eqx

from .._hardware import QuantumMachine, QuantumProfile


class Clock(eqx.Module):
    """A machine's pace, as numbers or arrays that a sweep runs over.

    Attributes:
        gate_time_s: of one physical two-qubit operation.
        profile: error rates and code; None where they are not known.
        logical_cycle_s: seconds of a logical cycle, in place of what the profile and the code distance give; None:
            those.
    """

    gate_time_s: Any
    profile: QuantumProfile | None = eqx.field(static=True, default=None)
    logical_cycle_s: Any = None

    @classmethod
    def of(cls, machine: QuantumMachine) -> "Clock":
        """The machine's own."""
        return cls(machine.gate_time_s, machine.profile)

    @property
    def time_scale(self) -> Any:
        """How many times slower than its profile the machine is."""
        assert self.profile is not None
        return self.gate_time_s / self.profile.two_qubit_time_s
