"""The operations of an inversion circuit, part by part."""

import collections
import dataclasses
import enum
import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from .inversion import CircuitInversion
from .levels import AbstractLevel
from .sdk import Operation, pennylane


class Purpose(enum.Enum):
    """Purpose of a part of the operations."""

    PREPARE = "prepare"
    SUPERPOSE = "superpose"
    PHASE = "phase"
    ENCODE = "encode"
    DECODE = "decode"


QUERIES = (Purpose.ENCODE, Purpose.DECODE)


@dataclasses.dataclass(frozen=True)
class Wires:
    """Assignment of wires.

    Attributes:
        real: superposes the phases and their negatives, which leaves the real part.
        flag: of the block encoding.
        data: the index of a row, most significant first.
        control: of the comparison with a reference; None where there is none.
    """

    real: int
    flag: int
    data: tuple[int, ...]
    control: int | None = None

    @classmethod
    def of(cls, data: int, *, controlled: bool = False) -> "Wires":
        """Return wires with the ancillas first, the control last."""
        return cls(0, 1, tuple(range(2, 2 + data)), 2 + data if controlled else None)

    @property
    def count(self) -> int:
        """Number of wires."""
        return 2 + len(self.data) + (self.control is not None)


@dataclasses.dataclass(frozen=True, eq=False)
class GateSequence:
    """Parts of a circuit in the order in which they run.

    Attributes:
        wires: which is what.
        stretches: each with what it is for. Stretches of one part that do the same share their operations.
    """

    wires: Wires
    stretches: tuple[tuple[Purpose, tuple[Operation, ...]], ...]

    @property
    def operations(self) -> Iterator[Operation]:
        """Yield all operations in sequence."""
        return itertools.chain.from_iterable(operations for _, operations in self.stretches)

    @property
    def queries(self) -> int:
        """Calls of the block encoding or its inverse, controlled or not."""
        return sum(part in QUERIES for part, _ in self.stretches)

    def gates(self) -> dict[str, int]:
        """Return the number of gates of each type, most frequent first."""
        found: collections.Counter[str] = collections.Counter()
        for operations, times in self._repeated():
            for name, number in collections.Counter(operation.name for operation in operations).items():
                found[name] += times * number
        return dict(found.most_common())

    def depth(self) -> int:
        """Layers of operations that touch different wires; a global phase is none."""
        level = [0] * self.wires.count
        touched = {
            id(operations): [operation.wires.tolist() for operation in operations if operation.name != "GlobalPhase"]
            for operations, _ in self._repeated()
        }
        for _, operations in self.stretches:
            for wires in touched[id(operations)]:
                layer = 1 + max([level[wire] for wire in wires])
                for wire in wires:
                    level[wire] = layer
        return max(level)

    def _repeated(self) -> list[tuple[tuple[Operation, ...], int]]:
        """Return each part of the operations once, with the number of its occurrences."""
        times = collections.Counter(id(operations) for _, operations in self.stretches)
        return [(operations, times[key]) for key, operations in {id(o): o for _, o in self.stretches}.items()]


def inversion_circuit(
    inversion: CircuitInversion, vector: Float[np.ndarray, " n"], level: AbstractLevel
) -> GateSequence:
    """The circuit that leaves `P(A / alpha) b / scale` where both ancillas are 0.

    Singular value transformation (arXiv 1806.01838, Theorem 17): `U` and its inverse take turns between rotations about
    the projector onto `flag = 0`, which with one flag is `Z`. It leaves P in the real part alone. So the qubit `real`,
    from |+> to |+>, turns the rotations one way and the other at once, `e^{i phi Z Z}`, and the imaginary parts cancel
    (Corollary 18): no query more.

    Args:
        inversion: the numbers.
        vector: unit right-hand side.
        level: of the operations.
    """
    wires = Wires.of(inversion.data_qubits)
    start = level.prepare(_lengthened(vector, wires), wires.data)
    encode = level.unitary(inversion.unitary, [wires.flag, *wires.data])
    return _assemble(inversion, level, wires, start, encode)


def comparison_circuit(
    inversion: CircuitInversion,
    vector: Float[np.ndarray, " n"],
    reference: Float[np.ndarray, " n"],
    amplitude: float,
    level: AbstractLevel,
) -> GateSequence:
    """Return the circuit that interferes the solution x with a reference r, which reveals the entries' signs.

    Where `control` is 0 the circuit of `inversion_circuit` runs, and where it is 1 nothing does; both right-hand
    side and reference are prepared at once. The reference is as long as what is left of the other branch, so that,
    where both ancillas are 0, `control` is found at c together with row i with a probability proportional to
    `(x_i + (-1)^c r_i)^2` (Kerenidis and Prakash, arXiv 1808.09266, section 4).

    Args:
        inversion: the numbers.
        vector: unit right-hand side.
        reference: unit vector, no entry negative.
        amplitude: root of the success probability of `inversion_circuit`.
        level: of the operations.
    """
    wires = Wires.of(inversion.data_qubits, controlled=True)
    assert wires.control is not None
    length = np.hypot(1, amplitude)
    both = np.concatenate([_lengthened(vector, wires), amplitude * _lengthened(reference, wires)]) / length
    start = level.prepare(both, [wires.control, *wires.data])
    size = len(inversion.unitary)
    controlled = np.eye(2 * size)
    controlled[:size, :size] = inversion.unitary
    encode = level.unitary(controlled, [wires.control, wires.flag, *wires.data])
    return _assemble(inversion, level, wires, start, encode)


def _assemble(
    inversion: CircuitInversion, level: AbstractLevel, wires: Wires, start: list[Operation], encode: list[Operation]
) -> GateSequence:
    forward, backward = (Purpose.ENCODE, tuple(encode)), (Purpose.DECODE, tuple(level.invert(encode)))
    ends = [wires.real] if wires.control is None else [wires.real, wires.control]
    hadamard = _hadamards(ends)
    stretches = [(Purpose.PREPARE, tuple(start)), (Purpose.SUPERPOSE, hadamard[:1])]
    # The last phase stands first, and with d + 1 of them so does the forward call.
    for place, phase in enumerate(inversion.phases[:0:-1]):
        stretches += [_phase(level, float(phase), wires), backward if place % 2 else forward]
    stretches += [_phase(level, float(inversion.phases[0]), wires), (Purpose.SUPERPOSE, hadamard)]
    return GateSequence(wires, tuple(stretches))


def _phase(level: AbstractLevel, phase: float, wires: Wires) -> tuple[Purpose, tuple[Operation, ...]]:
    pair = [wires.real, wires.flag]
    if wires.control is None:
        return Purpose.PHASE, tuple(level.rotate(phase, pair))
    # Where the control is 1 the halves cancel.
    return Purpose.PHASE, (*level.rotate(phase / 2, pair), *level.rotate(phase / 2, [wires.control, *pair]))


def _hadamards(wires: list[int]) -> tuple[Operation, ...]:
    return tuple(pennylane().Hadamard(wires=wire) for wire in wires)


def _lengthened(vector: Float[np.ndarray, " n"], wires: Wires) -> Float[np.ndarray, " N"]:
    whole = np.zeros(2 ** len(wires.data))
    whole[: len(vector)] = vector
    return whole
