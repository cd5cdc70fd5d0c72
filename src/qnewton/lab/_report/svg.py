"""Draws a chart into an SVG element that takes its colours and its font from the page, or into a file."""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .chart import Chart
from .draw import Paint, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE: dict[str, tuple[str, str]] = {  # name of the CSS variable: (on light paper, on dark paper)
    "ink": ("#1a1d21", "#e8eaed"),
    "muted": ("#6a7178", "#9aa3ab"),
    "grid": ("#d9dde1", "#3a4147"),
    "paper": ("#ffffff", "#15181b"),
    # lines: neighbours differ in lightness too
    "line0": ("#0b3c6f", "#8ec5ff"),
    "line1": ("#d1570a", "#ff9d5c"),
    "line2": ("#0a7a5a", "#4fd3a7"),
    "line3": ("#b5488e", "#f4a3d4"),
    "line4": ("#3f9bd1", "#4f93c9"),
    "line5": ("#6b5200", "#d6bc5c"),
    "line6": ("#3d3d3d", "#c8c8c8"),
    "line7": ("#8a8f94", "#8a8f94"),
    # classical choices stay near the paper, quantum choices stand out: that survives greyscale
    "classical0": ("#cddbe8", "#31404e"),
    "classical1": ("#e9dfc3", "#4d4631"),
    "classical2": ("#c9dfc9", "#2f4a36"),
    "classical3": ("#e3d2e0", "#4a3848"),
    "quantum0": ("#5b2a9d", "#c9a2ff"),
    "quantum1": ("#9c1f5e", "#ff9cc8"),
    "quantum2": ("#23408e", "#9db8ff"),
    "quantum3": ("#7a3410", "#f2ab7d"),
    # classical stages around the solve
    "stage0": ("#f0f1f2", "#2a2f34"),
    "stage1": ("#b4bac0", "#5b646c"),
    "stage2": ("#dfe2e5", "#3c444a"),
    "stage3": ("#8d959c", "#7d8790"),
    # an ordered scale, far end furthest from the paper
    "scale0": ("#eef2d6", "#222a3a"),
    "scale1": ("#cbe3bb", "#27446b"),
    "scale2": ("#93c9b4", "#2a6b8f"),
    "scale3": ("#57a5b2", "#38949b"),
    "scale4": ("#2f7ba3", "#64ba9c"),
    "scale5": ("#27508a", "#aadca3"),
    "scale6": ("#1d2a5e", "#eff6c5"),
}
FORMATS = ("svg", "pdf", "png")
_SENTINELS = {name: f"#0000{index:02x}" for index, name in enumerate(PALETTE, start=1)}
_VARIABLES = {sentinel: f"var(--{name})" for name, sentinel in _SENTINELS.items()}
_LONG_DECIMAL = re.compile(r"-?\d+\.\d{3,}")
_FONT = re.compile(r"font: (?:\w+ )*?([\d.]+)px [^;]*")
_REFERENCE = re.compile(r"#([\w.-]+)")
_PATH_SPACE = re.compile(r"\s*([A-Za-z])\s*|\s+")
_KEPT = {"g", "defs", "path", "use", "text", "tspan", "clipPath", "rect", "pattern"}
_SVG_NAMESPACE = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"


def color(name: str) -> str:
    """Return the placeholder colour that `inline_svg` replaces by `var(--name)`."""
    return _SENTINELS[name]


def palette_css(column: int) -> str:
    """CSS declarations of the palette; column 0 for light paper, 1 for dark."""
    return "".join(f"--{name}:{pair[column]};" for name, pair in PALETTE.items())


def inline_svg(chart: Chart) -> str:
    """Draws a chart as an `<svg>` element: no fixed size, no namespace declaration, no metadata.

    Args:
        chart: as declared; its name, unique in the page, begins every id in the element.

    Returns:
        The element, the same text for the same chart.
    """
    target = io.StringIO()
    with _empty_figure(chart, color) as figure:
        draw(figure, chart, color)
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    return _page_element(target.getvalue(), chart.name, f"Figure: {chart.title}. {chart.caption}")


def save_figure(chart: Chart, path: Path) -> None:
    """Writes a chart into a file of its own, in the colours for light paper.

    Args:
        chart: as declared.
        path: ends in one of `FORMATS`.

    Raises:
        ValueError: for another ending.
    """
    form = path.suffix[1:]
    if form not in FORMATS:
        raise ValueError(f"{path}: a figure's file ends in .svg, .pdf or .png")
    # Nothing of when or by what, so that the same figure is the same file.
    metadata = {"svg": {"Date": None}, "png": {"Software": None}, "pdf": {"CreationDate": None}}[form]
    with _empty_figure(chart, light) as figure:
        draw(figure, chart, light)
        figure.savefig(path, format=form, dpi=140, metadata=metadata)


def light(name: str) -> str:
    """The colour on light paper."""
    return PALETTE[name][0]


@contextmanager
def _empty_figure(chart: Chart, paint: Paint) -> Iterator[Figure]:
    """A figure of the chart's size, with our settings of matplotlib while it is drawn and saved."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has the glyph
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_settings(chart.name, paint))
        layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03)
        yield Figure(figsize=(chart.width, chart.height), layout=layout)


def _settings(name: str, paint: Paint) -> dict[Any, Any]:
    ink, muted = paint("ink"), paint("muted")
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.labelsize": 9,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.fontsize": 8.5,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": muted,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.facecolor": "none",
        "grid.color": paint("grid"),
        "grid.linewidth": 0.6,
        "xtick.color": muted,
        "ytick.color": muted,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "legend.frameon": False,
        "legend.columnspacing": 1.2,
        "legend.borderaxespad": 0.2,
        "hatch.linewidth": 0.6,
        "lines.linewidth": 1.5,
        "path.simplify_threshold": 0.2,
    }


def _page_element(text: str, name: str, label: str) -> str:
    root = ElementTree.fromstring(text)  # our own output, not a file from outside
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.removeprefix(_SVG_NAMESPACE) not in _KEPT:
                parent.remove(child)
    referenced = set(
        _REFERENCE.findall(" ".join(value for element in root.iter() for value in element.attrib.values()))
    )
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG_NAMESPACE)
        if element.tag != "text" and not (element.text or "").strip():
            element.text = None
        element.tail = None
        if element.get("id") not in referenced:
            element.attrib.pop("id", None)
        attributes = {key: _attribute(key, value, name) for key, value in element.attrib.items()}
        element.attrib.clear()
        if fill := attributes.pop("fill", None):  # where var() may stand, whatever the browser
            attributes["style"] = f"fill:{fill}"
        element.attrib.update({key.replace(_LINK, "href"): value for key, value in attributes.items()})
    viewbox = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": viewbox, "role": "img", "aria-label": label})
    return ElementTree.tostring(root, encoding="unicode")


def _attribute(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == _LINK:
        return f"#{name}-{value.removeprefix('#')}"
    if key in ("d", "x", "y", "transform"):
        short = _LONG_DECIMAL.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), value)
        return _PATH_SPACE.sub(lambda match: match[1] or " ", short).strip() if key == "d" else short
    if key == "style":
        value = _FONT.sub(r"font-size: \1px", value).replace(": ", ":").replace("; ", ";")
    for sentinel, variable in _VARIABLES.items():
        value = value.replace(sentinel, variable)
    return value.replace("url(#", f"url(#{name}-")
