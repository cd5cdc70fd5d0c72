"""Quantum machines, as published and at other clocks."""

from dataclasses import replace

import equinox as eqx

from .._core.suggest import unknown
from .codes import CODES, ErrorCorrectionCode
from .positive import check_positive


class QuantumProfile(eqx.Module):
    """Physical operations of a quantum machine, in seconds and failures per operation.

    Attributes:
        name: of the profile.
        description: what it stands for.
        code: name of the error-correcting code: `surface`, `surface-by-measurement` or `floquet`.
        two_qubit_time_s: a two-qubit gate, or a joint measurement where the machine has no gates.
        measurement_time_s: of one qubit.
        t_gate_time_s: of a physical, noisy T gate.
        clifford_error_rate: the largest of one-qubit, two-qubit and idle errors.
        readout_error_rate: of a measurement.
        t_gate_error_rate: of the physical T gate.
        reaction_time_s: from a measurement, through the decoder, to the operation that depends on it.
    """

    name: str = eqx.field(static=True)
    description: str = eqx.field(static=True)
    code: str = eqx.field(static=True)
    two_qubit_time_s: float = eqx.field(static=True)
    measurement_time_s: float = eqx.field(static=True)
    t_gate_time_s: float = eqx.field(static=True)
    clifford_error_rate: float = eqx.field(static=True)
    readout_error_rate: float = eqx.field(static=True)
    t_gate_error_rate: float = eqx.field(static=True)
    reaction_time_s: float = eqx.field(static=True)

    def __check_init__(self):
        if self.code not in CODES:
            raise ValueError(f"code: {unknown('error-correcting code', self.code, CODES)}")
        for field in ("two_qubit_time_s", "measurement_time_s", "t_gate_time_s", "reaction_time_s"):
            check_positive(field, getattr(self, field), "of seconds")
        for field in ("clifford_error_rate", "readout_error_rate", "t_gate_error_rate"):
            if not 0 < getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}: it must be a probability in (0, 1)")
        threshold = self.error_correction.threshold
        if self.physical_error_rate >= threshold:
            raise ValueError(
                f"the error rate is {self.physical_error_rate}: the {self.code} code only helps below its threshold, "
                f"{threshold}"
            )

    @property
    def error_correction(self) -> ErrorCorrectionCode:
        """The code that `code` names."""
        return CODES[self.code]

    @property
    def physical_error_rate(self) -> float:
        """Rate that error correction starts from, the larger of Clifford and read-out errors."""
        return max(self.clifford_error_rate, self.readout_error_rate)

    @property
    def syndrome_time_s(self) -> float:
        """Seconds of one round of syndrome extraction; a logical cycle takes `distance` of them."""
        code = self.error_correction
        return code.two_qubit_steps * self.two_qubit_time_s + code.measurement_steps * self.measurement_time_s

    @property
    def machine(self) -> "QuantumMachine":
        """The machine at its own gate time."""
        return QuantumMachine(gate_time_s=self.two_qubit_time_s, profile=self)

    def at_gate_time(self, gate_time_s: float) -> "QuantumProfile":
        """Return a hypothetical machine with every physical operation scaled by one factor.

        Error rates stay, and so does the reaction time, which is a classical computer's. Q-Newton goes down to 1e-18 s,
        which no machine offers.

        Args:
            gate_time_s: what a two-qubit operation takes.
        """
        check_positive("gate_time_s", gate_time_s, "of seconds, e.g. 1e-18")
        factor = gate_time_s / self.two_qubit_time_s
        return replace(
            self,
            name=f"{self.name}@{gate_time_s:g}s",
            description=f"hypothetical: {self.description}, every physical operation {factor:g} times as long",
            two_qubit_time_s=gate_time_s,
            measurement_time_s=self.measurement_time_s * factor,
            t_gate_time_s=self.t_gate_time_s * factor,
        )


class QuantumMachine(eqx.Module):
    """A quantum computer at a given clock.

    Attributes:
        gate_time_s: seconds of one physical two-qubit operation; all that the assumption sets without error correction
            know of a machine. Q-Newton sweeps it down to attoseconds (1e-18), which no machine offers; superconducting
            gates take about 50e-9.
        profile: its error rates, its code and how its operations compare; at another `gate_time_s` than the profile's
            all physical operations scale with it. None: unknown, and then no set that corrects errors applies.
    """

    gate_time_s: float = eqx.field(static=True, default=50e-9)
    profile: QuantumProfile | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_positive("gate_time_s", self.gate_time_s, "of seconds, e.g. 1e-9")
