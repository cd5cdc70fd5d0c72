"""Drawing of a circuit: the calls in their order, with the middle left out.

`b` prepares the right-hand side, `U` is the block encoding, `ZZ(angle)` is `e^{i angle Z Z}`, and `⟨0|` what is
post-selected.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from ...._core.extras import optional
from .build import QUERIES, GateSequence, Purpose
from .sdk import Operation, pennylane

_LABELS = {Purpose.PREPARE: "b", Purpose.ENCODE: "U", Purpose.DECODE: "U†"}


def draw_text(circuit: GateSequence, shown: int = 3) -> str:
    """Lines of text.

    Args:
        circuit: of `inversion_circuit`.
        shown: queries that are drawn at either end; what is between them is one box.
    """
    qml = pennylane()
    tape = qml.map_wires(_tape(circuit, shown), dict(enumerate(_names(circuit))))[0][0]
    return qml.drawer.tape_text(tape, wire_order=_names(circuit), max_length=118)


def draw_figure(circuit: GateSequence, path: Path, title: str, shown: int = 3) -> None:
    """Draw the circuit into a file that does not exist yet, as its ending says: `.svg`, `.pdf` or `.png`."""
    plt = optional("matplotlib.pyplot", "lab", "a figure needs matplotlib")
    qml = pennylane()
    figure, axes = qml.drawer.tape_mpl(_tape(circuit, shown), wire_order=range(circuit.wires.count), decimals=2)
    for label, name in zip(axes.texts, _names(circuit), strict=False):
        label.set_text(name)
    axes.set_title(title, loc="left", fontsize=16)
    with path.open("xb") as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110, bbox_inches="tight")
    plt.close(figure)


def _names(circuit: GateSequence) -> list[str]:
    rows = [f"x[{place}]" for place in range(len(circuit.wires.data))]
    return ["real", "flag", *rows, *(["control"] if circuit.wires.control is not None else [])]


def _tape(circuit: GateSequence, shown: int) -> Operation:
    qml = pennylane()

    class Box(qml.operation.Operation):
        """A part of the operations under a name."""

        num_params = 0

        def __init__(self, name: str, wires: Sequence[int]):
            self.text = name
            super().__init__(wires=wires)

        def label(self, decimals: object = None, base_label: object = None, cache: object = None) -> str:
            return self.text

    everything = list(range(circuit.wires.count))
    first, last = _cut(circuit, shown)
    left_out = sum(part in QUERIES for part, _ in circuit.stretches[first:last])
    operations: list[Operation] = []
    for place, (part, stretch) in enumerate(circuit.stretches):
        if place == first and left_out:
            operations.append(Box(f"… {left_out} queries …", everything))
        if first <= place < last:
            continue
        if part in _LABELS:
            wires = list(dict.fromkeys(wire for operation in stretch for wire in operation.wires.tolist()))
            operations.append(Box(_LABELS[part], sorted(wires)))
        elif part is Purpose.PHASE:
            (angle,) = {operation.parameters[0] for operation in stretch[:3] if operation.parameters}
            operations.append(
                Box(f"ZZ({math.remainder(-angle / 2, 2 * math.pi):.3f})", [circuit.wires.real, circuit.wires.flag])
            )
        else:
            operations += stretch
    operations += [Box("⟨0|", [circuit.wires.real]), Box("⟨0|", [circuit.wires.flag])]
    return qml.tape.QuantumScript(operations, [qml.probs(wires=list(circuit.wires.data))])


def _cut(circuit: GateSequence, shown: int) -> tuple[int, int]:
    """Return the range of parts that is not drawn."""
    places = [place for place, (part, _) in enumerate(circuit.stretches) if part in QUERIES]
    if len(places) <= 2 * shown:
        return len(circuit.stretches), len(circuit.stretches)
    return places[shown], places[-shown]
