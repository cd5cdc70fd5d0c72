"""Quantum machines, as published and at other clocks."""

from dataclasses import replace

import equinox as eqx

from .._core.suggest import unknown
from .codes import CODES, ErrorCorrectionCode
from .positive import check_positive

FACTORIES = {"beverland": ("rounds",), "qre": ("rounds", "litinski", "cultivation")}
"""The T factories that each model of physical costs knows."""


class QuantumProfile(eqx.Module):
    """Physical operations of a quantum machine, in seconds and failures per operation.

    Attributes:
        name: of the profile.
        description: what it stands for.
        code: name of the error-correcting code, a key of `CODES`.
        two_qubit_time_s: a two-qubit gate, or a joint measurement where the machine has no gates.
        measurement_time_s: of one qubit.
        t_gate_time_s: of a physical, noisy T gate.
        clifford_error_rate: the largest of one-qubit, two-qubit and idle errors.
        readout_error_rate: of a measurement.
        t_gate_error_rate: of the physical T gate.
        reaction_time_s: from a measurement, through the decoder, to the operation that depends on it.
        one_qubit_time_s: of a one-qubit gate; 0 where the code has none in its rounds.
        check_time_s: of all gates and moves of one check, where the code moves an ancilla from check to check; else 0.
        power_w: of the machine, whatever its size.
        qubit_power_w: of each physical qubit, in addition, control and read-out; None: not known, and no energy either.
        model: how logical counts become physical ones. `beverland`: half of the failure probability each for logical
            qubits and T states, and rounds of distillation that share qubits (arXiv 2211.07629, as `qdk.estimator` has
            it). `qre`: the least code distance that any factory leaves room for, then the fewest qubits (`qdk.qre`).
        factories: of T states, joined by `+`: `rounds` of 15-to-1; with the model `qre` also `litinski` (arXiv
            1905.06903, Tables 1 and 2) and `cultivation` (arXiv 2409.17595). The best of all of them is taken.
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
    one_qubit_time_s: float = eqx.field(static=True, default=0.0)
    check_time_s: float = eqx.field(static=True, default=0.0)
    power_w: float = eqx.field(static=True, default=0.0)
    qubit_power_w: float | None = eqx.field(static=True, default=None)
    model: str = eqx.field(static=True, default="beverland")
    factories: str = eqx.field(static=True, default="rounds")

    def __check_init__(self):
        if self.code not in CODES:
            raise ValueError(f"code: {unknown('error-correcting code', self.code, CODES)}")
        for field in ("two_qubit_time_s", "measurement_time_s", "t_gate_time_s", "reaction_time_s"):
            check_positive(field, getattr(self, field), "of seconds")
        code = self.error_correction
        for field, steps in (("one_qubit_time_s", code.one_qubit_steps), ("check_time_s", code.moving)):
            if steps or getattr(self, field) != 0:
                check_positive(field, getattr(self, field), "of seconds")
        for field in ("power_w", "qubit_power_w"):
            if getattr(self, field):
                check_positive(field, getattr(self, field), "of watts")
        if self.model not in FACTORIES:
            raise ValueError(f"model: {unknown('model of physical costs', self.model, FACTORIES)}")
        for factory in self.factories.split("+"):
            if factory not in FACTORIES[self.model]:
                raise ValueError(f"factories: {unknown('T factory', factory, FACTORIES[self.model])}")
        for field in ("clifford_error_rate", "readout_error_rate", "t_gate_error_rate"):
            if not 0 < getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}: it must be a probability in (0, 1)")
        threshold = code.threshold
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
        """Seconds of one round of syndrome extraction, at the least distance where they depend on it."""
        return self.round_time_s(1)

    def round_time_s(self, distance):
        """Return the seconds of one round of syndrome extraction of a patch of some distance."""
        code = self.error_correction
        steady = code.two_qubit_steps * self.two_qubit_time_s + code.measurement_steps * self.measurement_time_s
        steady += code.one_qubit_steps * self.one_qubit_time_s
        return steady + (distance + 1) * self.check_time_s if code.moving else steady

    def cycle_time_s(self, distance):
        """Return the seconds of a logical cycle, `distance` rounds."""
        extra = self.error_correction.extra_measurements * self.measurement_time_s
        return distance * self.round_time_s(distance) + extra

    def watts(self, qubits):
        """Return the electrical power with so many qubits, a number or an array; None where it is not known."""
        return None if self.qubit_power_w is None else self.power_w + self.qubit_power_w * qubits

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
            one_qubit_time_s=self.one_qubit_time_s * factor,
            check_time_s=self.check_time_s * factor,
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
