"""The figure of `qnewton spectrum`: how many eigenvalues there are of each magnitude, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._runfile import SpectrumBlock
from .svg import PALETTE

MOST_BLOCKS = 12
_BINS_PER_DECADE = 4
_DECADES = 12
_PANEL_INCHES = 1.7


def write_spectrum_figure(blocks: Sequence[SpectrumBlock], path: Path) -> None:
    """Write an SVG with one panel per block: counts over magnitudes, both logarithmic, negative ones apart.

    All panels share the range of magnitudes, so that blocks can be compared; what lies more than 12 decades below the
    largest eigenvalue of all is drawn in the leftmost bin. Magnitudes that rounding can have made are shaded.

    Args:
        blocks: of `spectrum.json`; after the first 12 the rest is left out, and said.
        path: of the figure.
    """
    import matplotlib
    from matplotlib.figure import Figure

    shown = blocks[:MOST_BLOCKS]
    edges = _edges(shown)
    with matplotlib.rc_context({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "spectrum"}):
        figure = Figure(figsize=(7.0, 0.8 + _PANEL_INCHES * len(shown)), layout="constrained")
        panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        handles: dict[str, Any] = {}
        for axes, block in zip(panels, shown, strict=True):
            _panel(axes, block, edges)
            handles.update(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        left_out = f" (the first {len(shown)} of {len(blocks)} blocks)" if len(blocks) > len(shown) else ""
        panels[-1].set_xlabel(f"magnitude of the eigenvalue{left_out}")
        if handles:
            figure.legend(handles.values(), handles.keys(), frameon=False, loc="outside upper left", ncols=len(handles))
        figure.savefig(path, format="svg", metadata={"Date": None})


def _edges(blocks: Sequence[SpectrumBlock]) -> np.ndarray:
    """Of the bins, in decimal logarithms."""
    magnitudes = np.abs(np.concatenate([block.eigenvalues for block in blocks]))
    largest = magnitudes.max()
    if largest == 0:
        return np.array([-1.0, 0.0])
    low = np.log10(np.maximum(magnitudes, largest * 10.0**-_DECADES).min())
    # Where a bar ends, and not at the next decade: half-empty panels hide what there is.
    first, last = np.floor(low * _BINS_PER_DECADE), np.floor(np.log10(largest) * _BINS_PER_DECADE) + 1
    return np.arange(first, last + 1) / _BINS_PER_DECADE


def _panel(axes: Any, block: SpectrumBlock, edges: np.ndarray) -> None:
    values, weights = np.asarray(block.eigenvalues), np.asarray(block.weights)
    axes.set_title(_caption(block), fontsize=9, loc="left", parse_math=False)
    axes.set_ylabel("eigenvalues")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(10 ** edges[0], 10 ** edges[-1])
    # A count below one is an atom of the quadrature that stands for less than one eigenvalue.
    axes.set_ylim(0.3, 2 * block.n)
    if not values.any():
        axes.text(0.5, 0.5, "all eigenvalues are zero", ha="center", transform=axes.transAxes)
        return
    if block.rounding > 10 ** edges[0]:
        axes.axvspan(10 ** edges[0], block.rounding, color=PALETTE["grid"][0], label="may be rounding")
    magnitudes = np.log10(np.clip(np.abs(values), 10 ** edges[0], None))
    signs = [(values >= 0, "positive or zero", "line0"), (values < 0, "negative", "line1")]
    signs = [sign for sign in signs if sign[0].any()]
    # Side by side in a bin: neither sign may hide the other.
    width = np.diff(edges) * 0.9 / len(signs)
    for place, (chosen, label, colour) in enumerate(signs):
        counts, _ = np.histogram(magnitudes[chosen], edges, weights=weights[chosen])
        left, right = edges[:-1] + place * width, edges[:-1] + (place + 1) * width
        axes.bar(10**left, counts, 10**right - 10**left, align="edge", color=PALETTE[colour][0], label=label)
    if block.damping > 0:
        axes.axvline(block.damping, color=PALETTE["muted"][0], linewidth=1.2, linestyle="--", label="damping")


def _caption(block: SpectrumBlock) -> str:
    kappa = block.condition_number
    known = "singular to rounding" if kappa is None else f"κ {kappa:.3g}"
    return f"{block.name}: n {block.n}, {known}, effective rank {block.effective_rank:.3g} ({block.kind})"
