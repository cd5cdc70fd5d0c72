"""Levels to which a circuit is decomposed: dense unitaries, or gates on one and two qubits."""

import abc
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .sdk import Operation, pennylane

if TYPE_CHECKING:
    # What pyright takes an abstract class attribute for, which a property may fill as well.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar

GATES = ("RX", "RY", "RZ", "PhaseShift", "Hadamard", "CNOT", "GlobalPhase")
"""Names, in PennyLane, of the gates that the elementary level is made of."""


class AbstractLevel(eqx.Module):
    """Conversion of the parts of a circuit to operations.

    Attributes:
        max_rows: largest matrix that is taken.
        name: as the command line calls it.
    """

    max_rows: eqx.AbstractVar[int]
    name: AbstractClassVar[str]
    _instead: AbstractClassVar[str]

    def __check_init__(self):
        if not (isinstance(self.max_rows, int) and self.max_rows >= 1):
            raise ValueError(f"max_rows is {self.max_rows}: an integer of at least 1")

    @abc.abstractmethod
    def unitary(self, matrix: Float[np.ndarray, "m m"], wires: Sequence[int]) -> list[Operation]:
        """Return the operations of a unitary, first wire most significant."""

    @abc.abstractmethod
    def prepare(self, vector: Float[np.ndarray, " m"], wires: Sequence[int]) -> list[Operation]:
        """Return the operations that prepare a real unit vector from the state 0."""

    @abc.abstractmethod
    def rotate(self, angle: float, wires: Sequence[int]) -> list[Operation]:
        """Return the operations of `e^{i angle Z Z ... Z}`."""

    @abc.abstractmethod
    def invert(self, operations: Sequence[Operation]) -> list[Operation]:
        """Return the inverse operations."""

    def check(self, n: int) -> None:
        """Refuse a system that is too large.

        Raises:
            ValueError: says the limit and how to move it.
        """
        if n > self.max_rows:
            raise ValueError(
                f"the circuit of a system with {n} rows is too large at the level {self.name}, whose max_rows is "
                f"{self.max_rows}: {self._instead}"
            )


class BlockUnitary(AbstractLevel):
    """Level with one dense unitary for each query.

    Attributes:
        max_rows: largest matrix that is taken.
    """

    max_rows: int = eqx.field(static=True, default=256)
    name: ClassVar[str] = "block-unitary"
    _instead: ClassVar[str] = (
        "raise it (time and memory grow as its square), or use EmulatedQSVT, which leaves what the circuit leaves"
    )

    def unitary(self, matrix: Float[np.ndarray, "m m"], wires: Sequence[int]) -> list[Operation]:
        # Complex, or a simulator would convert it at every call.
        return [pennylane().QubitUnitary(matrix.astype(np.complex128), wires=wires)]

    def prepare(self, vector: Float[np.ndarray, " m"], wires: Sequence[int]) -> list[Operation]:
        return [pennylane().StatePrep(vector, wires=wires)]

    def rotate(self, angle: float, wires: Sequence[int]) -> list[Operation]:
        return [pennylane().MultiRZ(-2 * angle, wires=wires)]

    def invert(self, operations: Sequence[Operation]) -> list[Operation]:
        (unitary,) = operations
        return [pennylane().QubitUnitary(np.ascontiguousarray(unitary.parameters[0].conj().T), wires=unitary.wires)]


class Elementary(AbstractLevel):
    """Level of gates on one and two qubits: rotations, Hadamard gates and CNOT.

    A query takes about `9/4 4^m` gates for `m` qubits of its unitary (PennyLane's quantum Shannon decomposition).

    Attributes:
        max_rows: largest matrix that is taken.
    """

    max_rows: int = eqx.field(static=True, default=16)
    name: ClassVar[str] = "elementary"
    _instead: ClassVar[str] = "take the level block-unitary, or raise it (a query takes about 9 n^2 gates)"

    def unitary(self, matrix: Float[np.ndarray, "m m"], wires: Sequence[int]) -> list[Operation]:
        return _decomposed([pennylane().QubitUnitary(matrix, wires=wires)])

    def prepare(self, vector: Float[np.ndarray, " m"], wires: Sequence[int]) -> list[Operation]:
        return _decomposed([pennylane().MottonenStatePreparation(vector, wires=wires)])

    def rotate(self, angle: float, wires: Sequence[int]) -> list[Operation]:
        qml = pennylane()
        chain = [qml.CNOT(wires=pair) for pair in itertools.pairwise(wires)]
        return [*chain, qml.RZ(-2 * angle, wires=wires[-1]), *chain[::-1]]

    def invert(self, operations: Sequence[Operation]) -> list[Operation]:
        adjoint = pennylane().adjoint
        return [adjoint(operation, lazy=False) for operation in reversed(operations)]


def _decomposed(operations: list[Operation]) -> list[Operation]:
    """Decompose operations into `GATES`, with one global phase at most."""
    qml = pennylane()
    (tape,), _ = qml.transforms.decompose(qml.tape.QuantumScript(operations, []), gate_set=set(GATES))
    turned = sum(float(gate.parameters[0]) for gate in tape.operations if gate.name == "GlobalPhase")
    kept = [gate for gate in tape.operations if gate.name != "GlobalPhase"]
    turned = (turned + np.pi) % (2 * np.pi) - np.pi
    return kept if abs(turned) < 1e-15 else [*kept, qml.GlobalPhase(turned)]
