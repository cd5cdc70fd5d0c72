"""Execution of a circuit, and the solution derived from its outcomes."""

import dataclasses

import numpy as np
from jaxtyping import Float

from .build import GateSequence, comparison_circuit, inversion_circuit
from .inversion import CircuitInversion
from .levels import AbstractLevel
from .sdk import device, execute, sample


@dataclasses.dataclass(frozen=True)
class Backend:
    """Device that circuits run on.

    Attributes:
        name: of the device.
        wires: that it has; None: as many as needed.
        shots: runs of each circuit, failures included; None: the exact state of a simulator.
        level: of the operations.
    """

    name: str
    wires: int | None
    shots: int | None
    level: AbstractLevel


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """Result of running a circuit.

    Attributes:
        amplitudes: of the rows where both ancillas are 0, with their signs; estimates where there were shots.
        runs: of any circuit.
        queries: of the block encoding, counted in the circuits that ran.
    """

    amplitudes: Float[np.ndarray, " n"]
    runs: int
    queries: int

    @property
    def success_probability(self) -> float:
        """Success probability of one run of the inversion, as it was found."""
        return float(self.amplitudes @ self.amplitudes)


def qubits_of(data: int, shots: int | None) -> int:
    """Qubits of the largest circuit that `read` runs."""
    return 2 + data + (shots is not None)


def read(machine: Backend, inversion: CircuitInversion, vector: Float[np.ndarray, " n"], seed: int) -> Reading:
    """Run the inversion of a unit vector and read the amplitudes out.

    Without shots the state is read in one run. With shots the frequencies of the rows give the magnitudes,
    post-selected on both ancillas. A second circuit compares them with their own state, which gives the signs, the
    common one included.
    """
    found = device(machine.name, qubits_of(inversion.data_qubits, machine.shots), machine.wires, seed)
    circuit = inversion_circuit(inversion, vector, machine.level)
    n, size = inversion.n, 2**inversion.data_qubits
    if machine.shots is None:
        state = execute(found, list(circuit.operations), circuit.wires.count)
        return Reading(state[:n], 1, circuit.queries)
    counts = sample(found, list(circuit.operations), circuit.wires.count, machine.shots)[:n]
    magnitudes = np.sqrt(counts / machine.shots)
    amplitude = float(np.linalg.norm(magnitudes))
    if amplitude == 0:
        return Reading(magnitudes, machine.shots, machine.shots * circuit.queries)
    second: GateSequence = comparison_circuit(inversion, vector, magnitudes / amplitude, amplitude, machine.level)
    # Wires: both ancillas, the row, the control.
    counts = sample(found, list(second.operations), second.wires.count, machine.shots)[: 2 * size].reshape(size, 2)
    plus, minus = counts[:n].T
    return Reading(
        amplitudes=np.where(plus >= minus, magnitudes, -magnitudes),
        runs=2 * machine.shots,
        queries=machine.shots * (circuit.queries + second.queries),
    )
