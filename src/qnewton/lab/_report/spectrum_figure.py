"""The figure of `qnewton spectrum`: the number of eigenvalues per magnitude, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .._runfile import SpectrumBlock
from .chart import Bars, Chart, Fill, Mark, Note, Panel, Rule, Scale, Span, Style
from .svg import save_figure

_MOST_BLOCKS = 12
_BINS_PER_DECADE = 4
_DECADES = 12
_PANEL_INCHES = 1.7


def write_spectrum_figure(blocks: Sequence[SpectrumBlock], path: Path) -> None:
    """Write a figure with one panel per block: counts over magnitudes, both logarithmic, negative ones apart.

    All panels share the range of magnitudes, so that blocks can be compared; what lies more than 12 decades below the
    largest eigenvalue of all is drawn in the leftmost bin. Magnitudes that rounding can have made are shaded.

    Args:
        blocks: of `spectrum.json`; after the first 12 the rest is left out, and said.
        path: of the figure.
    """
    shown = blocks[:_MOST_BLOCKS]
    edges = _edges(shown)
    left_out = f" (the first {len(shown)} of {len(blocks)} blocks)" if len(blocks) > len(shown) else ""
    x = Scale("log", f"magnitude of the eigenvalue{left_out}", limits=(10 ** edges[0], 10 ** edges[-1]))
    panels = [
        # A count below one is an atom of the quadrature that stands for less than one eigenvalue.
        Panel(x, Scale("log", "eigenvalues", limits=(0.3, 2 * block.n)), _marks(block, edges), title=_caption(block))
        for block in shown
    ]
    height = 0.8 + _PANEL_INCHES * len(shown)
    save_figure(Chart("spectrum", "", "", panels, height, keys=4, width=7.0), path)


def _edges(blocks: Sequence[SpectrumBlock]) -> np.ndarray:
    """Return the edges of the bins, in decimal logarithms."""
    magnitudes = np.abs(np.concatenate([block.eigenvalues for block in blocks]))
    largest = magnitudes.max()
    if largest == 0:
        return np.array([-1.0, 0.0])
    low = np.log10(np.maximum(magnitudes, largest * 10.0**-_DECADES).min())
    # Where a bar ends, and not at the next decade: half-empty panels hide what there is.
    first, last = np.floor(low * _BINS_PER_DECADE), np.floor(np.log10(largest) * _BINS_PER_DECADE) + 1
    return np.arange(first, last + 1) / _BINS_PER_DECADE


def _marks(block: SpectrumBlock, edges: np.ndarray) -> list[Mark]:
    values, weights = np.asarray(block.eigenvalues), np.asarray(block.weights)
    if not values.any():
        middle = float(10 ** edges.mean())
        return [Note(1.0, "all eigenvalues are zero", x=middle, side="center")]
    marks: list[Mark] = []
    if block.rounding > 10 ** edges[0]:
        marks.append(Span("x", float(10 ** edges[0]), block.rounding, Fill("grid"), "may be rounding"))
    magnitudes = np.log10(np.clip(np.abs(values), 10 ** edges[0], None))
    signs = [(values >= 0, "positive or zero", "line0"), (values < 0, "negative", "line1")]
    signs = [sign for sign in signs if sign[0].any()]
    # Side by side in a bin: neither sign may hide the other.
    width = np.diff(edges) * 0.9 / len(signs)
    for place, (chosen, label, color) in enumerate(signs):
        counts, _ = np.histogram(magnitudes[chosen], edges, weights=weights[chosen])
        left, right = edges[:-1] + place * width, edges[:-1] + (place + 1) * width
        bars = list(zip((10**left).tolist(), (10**right).tolist(), counts.tolist(), strict=True))
        marks.append(Bars(bars, Fill(color), label))
    if block.damping > 0:
        marks.append(Rule("x", block.damping, Style("muted", "--", 1.2), "damping"))
    return marks


def _caption(block: SpectrumBlock) -> str:
    kappa = block.condition_number
    known = "singular to rounding" if kappa is None else f"κ {kappa:.3g}"
    return f"{block.name}: n {block.n}, {known}, effective rank {block.effective_rank:.3g} ({block.kind})"
