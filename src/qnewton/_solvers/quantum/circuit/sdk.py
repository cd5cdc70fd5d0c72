"""PennyLane, imported when a circuit is built and not before, since that takes seconds."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from ...._core.extras import optional

# An operation, a tape, a device of PennyLane: it ships no types.
Operation = Any


def pennylane() -> ModuleType:
    """The module.

    Raises:
        MissingExtraError: it is not installed; names the extra that brings it.
    """
    return optional("pennylane", "circuits", "circuits need PennyLane")


def device(name: str, qubits: int, wires: int | None = None, seed: int | None = None) -> Any:
    """A device by its name.

    Args:
        name: as PennyLane knows it, e.g. `default.qubit`; plug-ins add theirs.
        qubits: that the circuit needs.
        wires: that the device has; None: as many as needed.
        seed: of its samples; left away where the device takes none.

    Raises:
        ValueError: there is no such device, or it has too few wires.
    """
    qml = pennylane()
    wires = qubits if wires is None else wires
    try:
        try:
            found = qml.device(name, wires=wires, **({} if seed is None else {"seed": seed}))
        except TypeError:
            found = qml.device(name, wires=wires)
    except qml.exceptions.DeviceError as error:
        raise ValueError(
            f"PennyLane has no device {name!r} ({error}): choose one of {', '.join(sorted(qml.plugin_devices))}, or "
            "install the plug-in that brings it"
        ) from error
    if found.wires is not None and len(found.wires) < qubits:
        raise ValueError(
            f"the circuit needs {qubits} qubits, and the device {name} has {len(found.wires)} wires: take a larger "
            "device, or a smaller block"
        )
    return found


def check_state(found: Any, name: str) -> None:
    """Refuse a device that does not give its state vector.

    Raises:
        ValueError: says that shots are the way.
    """
    qml = pennylane()
    try:
        (state,) = qml.execute([qml.tape.QuantumScript([qml.Hadamard(0)], [qml.state()])], found, diff_method=None)
        reason = None if np.ndim(state) == 1 else "it is a density matrix"
    except Exception as error:  # plug-ins raise what they like
        reason = f"{type(error).__name__}: {error}"
    if reason is not None:
        raise ValueError(
            f"the device {name} gives no state vector ({reason}): say how many runs to sample, shots=..., or take a "
            "simulator of qubits"
        )


def execute(found: Any, operations: Sequence[Operation], qubits: int) -> Float[np.ndarray, " states"]:
    """Return the real parts of the final state's amplitudes, first wire most significant."""
    qml = pennylane()
    tape = qml.tape.QuantumScript(operations, [qml.state()])
    (state,) = qml.execute([tape], found, diff_method=None)
    # A simulator that was given more wires returns them too; they stay 0.
    state = np.asarray(state).reshape(2**qubits, -1)[:, 0]
    return np.real(state).astype(np.float64)


def sample(found: Any, operations: Sequence[Operation], qubits: int, shots: int) -> Float[np.ndarray, " states"]:
    """Return the number of times that each basis state was found, first wire most significant."""
    qml = pennylane()
    tape = qml.tape.QuantumScript(operations, [qml.probs(wires=range(qubits))], shots=shots)
    (frequencies,) = qml.execute([tape], found, diff_method=None)
    return np.rint(np.asarray(frequencies, np.float64) * shots)
