"""The looks that several figures share: of stages, choices, assumption sets, and lines with markers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .chart import LINE_STYLES, MARKERS, Fill, Style, line_style
from .derive import Choice

_CLASSICAL_HATCHES = ("", "---", "|||", "++")  # lines only: a pattern of dots takes 180 kB of SVG
_QUANTUM_HATCHES = ("////", "xxxx", "\\\\\\\\", "++++")
_SETS = {None: 6, "paper": 1, "end_to_end": 0, "paper-sparse": 2}
_SET_DASHES = {None: 0, "paper": 1, "end_to_end": 2, "paper-sparse": 3}


def dotted(index: int, marker: str = "", size: float = 3.0, every: tuple[int, int] | None = None) -> Style:
    """Line `index` with markers; without a letter the marker, too, tells the lines apart."""
    return replace(line_style(index), marker=marker or MARKERS[index % len(MARKERS)], size=size, every=every)


def of_set(name: str | None) -> Style:
    """A line that belongs to an assumption set; None: to classical solves alone."""
    return replace(line_style(_SETS.get(name, 3)), dashes=LINE_STYLES[_SET_DASHES.get(name, 4)])


def of_choices(choices: Sequence[Choice]) -> dict[Choice, Fill]:
    """Fill and hatch per choice: quantum dark and hatched, classical light."""
    fills: dict[Choice, Fill] = {}
    for machine, hatches, edge in (
        ("classical", _CLASSICAL_HATCHES, "muted"),
        ("quantum", _QUANTUM_HATCHES, "paper"),
    ):
        for index, choice in enumerate(choice for choice in choices if choice.machine == machine):
            hatch = hatches[(index + index // 4) % 4]
            fills[choice] = Fill(f"{machine}{index % 4}", hatch, edge)
    return fills


STAGES: dict[str, Fill] = {
    "gradient": Fill("stage0", "", "muted", 0.3),
    "curvature": Fill("stage1", "", "muted", 0.3),
    "conditioning": Fill("stage2", "\\\\\\\\", "muted", 0.3),
    "estimation": Fill("stage3", "", "muted", 0.3),
    "solve_classical": Fill("classical0", "---", "muted", 0.3),
    "solve_quantum": Fill("quantum0", "////", "paper", 0.3),
}
"""How each stage of a step is filled."""
