"""A circuit of elementary gates as OpenQASM 3 text: PennyLane 0.45 writes OpenQASM 2 and only reads 3."""

from collections.abc import Callable, Mapping, Sequence

from .build import GateSequence, Purpose
from .sdk import Operation

# PennyLane's name to that of stdgates.inc.
_NAMES = {"RX": "rx", "RY": "ry", "RZ": "rz", "PhaseShift": "p", "Hadamard": "h", "CNOT": "cx"}


def open_qasm(circuit: GateSequence, comments: Sequence[str] = ()) -> str:
    """The program of `inversion_circuit`.

    Preparation and block encoding are gates that are defined once; the program calls them, the inverse by `inv @`. At
    the end both ancillas are measured, which have to be 0, and the row.

    Args:
        circuit: at the level `Elementary`, without a control.
        comments: lines for the head of the file.

    Raises:
        ValueError: the circuit has operations that OpenQASM's standard gates lack.
    """
    if circuit.wires.control is not None:
        raise ValueError("the circuit compares signs: the one to export is that of `inversion_circuit`")
    wires, rows = circuit.wires, len(circuit.wires.data)
    inside = {wires.flag: "f"} | {wire: f"x{place}" for place, wire in enumerate(wires.data)}
    outside = {wires.real: "real", wires.flag: "flag"} | {wire: f"x[{place}]" for place, wire in enumerate(wires.data)}
    data = [inside[wire] for wire in wires.data]
    parts = dict(circuit.stretches)
    lines = ["OPENQASM 3.0;", *(f"// {comment}" for comment in comments), 'include "stdgates.inc";', ""]
    lines += _definition("prepare", data, parts[Purpose.PREPARE], inside)
    lines += _definition("block_encoding", ["f", *data], parts[Purpose.ENCODE], inside)
    lines += ["qubit real;", "qubit flag;", f"qubit[{rows}] x;", "bit[2] failed;", f"bit[{rows}] row;", ""]
    prepared, encoded = (f"x[{place}]" for place in range(rows)), ["flag", *(f"x[{place}]" for place in range(rows))]
    called: Mapping[Purpose, Callable[[], str]] = {
        Purpose.PREPARE: lambda: f"prepare {', '.join(prepared)};",
        Purpose.ENCODE: lambda: f"block_encoding {', '.join(encoded)};",
        Purpose.DECODE: lambda: f"inv @ block_encoding {', '.join(encoded)};",
    }
    for part, operations in circuit.stretches:
        lines += [called[part]()] if part in called else [_line(operation, outside) for operation in operations]
    lines += ["", "failed[0] = measure real;", "failed[1] = measure flag;", "row = measure x;"]
    return "\n".join(lines) + "\n"


def _definition(name: str, arguments: Sequence[str], operations: Sequence[Operation], wires: Mapping[int, str]) -> list:
    body = [f"  {_line(operation, wires)}" for operation in operations]
    return [f"gate {name} {', '.join(arguments)} {{", *body, "}", ""]


def _line(operation: Operation, wires: Mapping[int, str]) -> str:
    angles = [float(parameter) for parameter in operation.parameters] if operation.name in _NAMES else []
    if operation.name == "GlobalPhase":
        # PennyLane's is e^{-i angle}.
        return f"gphase({-float(operation.parameters[0])!r});"
    if operation.name not in _NAMES:
        raise ValueError(
            f"OpenQASM's standard gates have no {operation.name}: export the circuit at the level elementary"
        )
    said = f"({', '.join(repr(angle) for angle in angles)})" if angles else ""
    return f"{_NAMES[operation.name]}{said} {', '.join(wires[wire] for wire in operation.wires.tolist())};"
