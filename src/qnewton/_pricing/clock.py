"""Clock of a quantum machine."""

from typing import Any

import equinox as eqx

from .._core.arrays import floating
from .._core.conditions import Condition
from .._core.gates import GateCost
from .._hardware import AbstractLayout, OverheadStatus, QuantumMachine, QuantumProfile, physical_cost

_OVERHEAD = {
    OverheadStatus.BAD_INPUT: "finite gate counts",
    OverheadStatus.TOO_LONG: "physical costs inside the floating-point range",
    OverheadStatus.TOO_MANY_T_GATES: "T states with no smaller error than the machine's factories reach",
}


class Clock(eqx.Module):
    """A machine's clock, as numbers or arrays for a sweep.

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
        """Return the machine's own clock."""
        return cls(machine.gate_time_s, machine.profile)

    @property
    def time_scale(self) -> Any:
        """Factor by which the machine is slower than its profile."""
        assert self.profile is not None, "AbstractAssumptions.check comes first"
        return self.gate_time_s / self.profile.two_qubit_time_s

    def run(
        self, circuit: GateCost, layout: AbstractLayout | None, failure_probability: Any
    ) -> tuple[Any, Any, list[Condition], Any]:
        """Return seconds and qubits of one run of a circuit, the conditions of error correction, and its extrapolation.

        The last is whether code distance or T factories lie beyond what is listed (`PhysicalCost.extrapolated`).

        Without error correction a layer of T gates takes one physical operation. With error correction a run is never
        faster than that, whatever the profile states.

        Args:
            circuit: its gates.
            layout: of the error-corrected machine; None: gates are taken for perfect.
            failure_probability: of error correction.
        """
        xp, gate_time_s, layers = floating(self.gate_time_s, circuit.t_depth)
        cycle_s = self.logical_cycle_s
        bare_s = layers * (gate_time_s if cycle_s is None else cycle_s)
        if layout is None:
            return bare_s, circuit.qubits, [], xp.zeros_like(layers, bool)
        assert self.profile is not None, "AbstractAssumptions.check comes first"
        cost = physical_cost(
            self.profile,
            qubits=circuit.qubits,
            t_count=circuit.t_count,
            t_depth=layers,
            cycles=xp.maximum(circuit.t_count, layers),
            failure_probability=failure_probability,
            layout=layout,
            time_scale=self.time_scale,
        )
        seconds = xp.maximum(cost.seconds, bare_s) if cycle_s is None else cost.logical_cycles * cycle_s
        conditions = [Condition(cost.status != code, words) for code, words in _OVERHEAD.items()]
        return seconds, cost.qubits, conditions, cost.extrapolated
