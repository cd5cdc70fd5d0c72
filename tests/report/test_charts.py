"""Declared figures: what stands on the axes is where it is, every mark is drawn, and text from files is only text."""

import math
import re
from collections.abc import Callable
from typing import Any, get_args

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from qnewton.lab._report.chart import (
    Cells,
    Chart,
    Fill,
    Key,
    Line,
    Mark,
    Note,
    Panel,
    Rule,
    Scale,
    Span,
    Style,
    Surface,
    rows,
)
from qnewton.lab._report.draw import draw
from qnewton.lab._report.marks import DRAWN
from qnewton.lab._report.parts import Page, Section, Text
from qnewton.lab._report.render import html
from qnewton.lab._report.svg import inline_svg, light

PREFIXES = {"a": -18, "f": -15, "p": -12, "n": -9, "µ": -6, "m": -3, "": 0}
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def drawn(panel: Panel, **more: Any) -> Figure:
    """The figure of one panel, drawn as for a file."""
    figure = Figure(layout="constrained")
    draw(figure, Chart("name", "title", "caption", [panel], 3.0, **more), light)
    figure.draw_without_rendering()
    return figure


def read(words: str) -> float:
    """A tick's words as a number, read as a reader would: `20 ms`, `2×10⁵`, `10⁻³ s`."""
    number, _, unit = words.partition(" ")
    power = PREFIXES[unit.removesuffix("s")] if unit else 0
    raised = re.fullmatch("(?:(.+)×)?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", number)
    if raised:
        return float(raised[1] or 1) * 10.0 ** (int(raised[2].translate(SUPERSCRIPTS)) + power)
    return float(number) * 10.0**power


@pytest.mark.parametrize("kind", ["log seconds", "seconds", "log", "log ticks"])
@settings(max_examples=12)
@given(low=st.floats(-17, 5), decades=st.floats(0, 12))
def test_the_words_at_a_tick_are_its_value(kind: Any, low: float, decades: float) -> None:
    low = max(low, -9.0) if kind == "log ticks" else low
    values = [10.0**low, 10.0 ** (low + decades)]
    figure = drawn(Panel(Scale(kind, values=values), Scale(), [Line([(value, 1.0) for value in values], Style())]))
    axis = figure.axes[0].xaxis
    left, right = sorted(figure.axes[0].get_xlim())
    shown = [(tick, label.get_text()) for tick, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)]
    shown = [(tick, words) for tick, words in shown if left <= tick <= right and words]
    assert left <= values[0] <= values[1] * (1 + 1e-12) <= right * (1 + 1e-12) or kind == "seconds"
    assert len(shown) >= 1
    for tick, words in shown:
        assert read(words) == pytest.approx(tick, rel=1e-2, abs=1e-30), (tick, words)


@settings(max_examples=20)
@given(st.lists(st.floats(-400, 400), min_size=1, max_size=5))
def test_an_axis_of_logarithms_holds_them_all_with_two_ticks(logs: list[float]) -> None:
    points = [(float(place), value) for place, value in enumerate(logs)]
    figure = drawn(Panel(Scale(), Scale("log10", values=logs), [Line(points, Style())]))
    low, high = figure.axes[0].get_ylim()
    assert low <= min(logs)
    assert max(logs) <= high
    assert sum(low <= tick <= high for tick in figure.axes[0].get_yticks()) >= 2


def test_every_mark_is_drawn_or_written() -> None:
    assert {*DRAWN, Note, Key} == set(get_args(Mark))


def test_a_line_of_many_points_is_the_median_and_the_range_of_groups() -> None:
    rng = np.random.default_rng(0)
    points = list(zip(np.arange(1000.0).tolist(), rng.normal(size=1000).tolist(), strict=True))
    axes = drawn(Panel(Scale(), Scale(), [Line(points, Style(marker="o"))])).axes[0]
    (line,), (band,) = axes.lines, axes.collections
    groups = np.array([y for _, y in points]).reshape(100, 10)
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), np.median(groups, axis=1))
    assert line.get_marker() == "None"
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == (groups.min(), groups.max())


def test_rectangles_that_touch_become_one() -> None:
    cells = Cells([(0, 0.0, 1.0), (0, 1.0, 2.0), (1, 1.0, 2.0)], Fill("ink"))
    (patch,) = drawn(Panel(Scale(), rows(["a", "b"]), [cells])).axes[0].patches
    assert len(np.asarray(patch.get_path().vertices)) == 2 * 5


def shades_of(heights: np.ndarray) -> tuple[dict[float, Any], Any]:
    """What the shades of a surface are called by the heights at which they begin, and its axes."""
    grid = np.linspace(1, 10, 20).tolist()
    surface = Surface(grid, grid, heights.tolist(), (5, 10, 15, 40), heavy=0.0)
    axes = drawn(Panel(Scale("log", values=grid), Scale("log", values=grid), [surface])).axes[0]
    filled: Any = [one for one in axes.collections if isinstance(one, ContourSet) and one.filled][-1]
    return dict(zip(filled.levels, map(tuple, filled.get_facecolor()), strict=False)), axes


GRID = np.linspace(1, 10, 20)


def test_shades_end_where_lines_are_and_are_the_same_in_every_panel() -> None:
    low, axes = shades_of(np.add.outer(GRID, 2 * GRID) - 8.0)
    found: list[Any] = [one for one in axes.collections if isinstance(one, ContourSet) and not one.filled]
    (lines,) = (one for one in found if len(one.levels) > 1)
    assert {*low} == {0, *lines.levels} == {0, 5, 10, 15}
    high, _ = shades_of(np.add.outer(GRID, 2 * GRID) + 9.0)
    # From 12 on: the lowest shade is that of ten to fifteen.
    assert {*high} == {10, 15}
    assert {height: low[height] for height in high} == high
    assert len({*low.values()}) == 4


def test_what_has_no_number_is_hatched_and_never_white() -> None:
    heights = np.add.outer(GRID, GRID)
    heights[:5, :5] = np.nan
    _, axes = shades_of(heights)
    (hatched,) = (one for one in axes.collections if one.get_hatch())
    # The cells at the edge of what is known included: everything without a shade.
    corners = np.asarray(hatched.get_paths()[0].vertices)
    assert (corners.min(), corners.max()) == (1, 10)
    assert not [one for one in shades_of(np.add.outer(GRID, GRID))[1].collections if one.get_hatch()]


def test_a_label_stands_once_in_the_legend_and_panels_share_one() -> None:
    x = Scale("log", values=[1.0, 100.0])
    lines = [Line([(1.0, 1.0), (100.0, 2.0)], Style(), "same"), Rule("y", 1.5, Style(), "rule")]
    chart = Chart("n", "t", "c", [Panel(x, Scale(), lines), Panel(x, Scale(), [*lines, Key("key", Fill("ink"))])], 3.0)
    figure = Figure(layout="constrained")
    draw(figure, chart, light)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["same", "rule", "key"]
    assert figure.axes[0].get_shared_x_axes().joined(*figure.axes)


HOSTILE = "<script>$x_1$`&\"'"


def test_text_from_files_is_only_text() -> None:
    marks = [Line([(0.0, 0.0), (1.0, 1.0)], Style(), HOSTILE, beside=HOSTILE), Note(0.5, HOSTILE, x=0.5)]
    marks += [Span("x", 0.1, 0.2, Fill("grid"), HOSTILE), Rule("x", 0.3, Style(), note=HOSTILE)]
    panel = Panel(Scale(), rows([HOSTILE, "b"]), marks, title=HOSTILE, corner=HOSTILE)
    svg = inline_svg(Chart("f", HOSTILE, HOSTILE, [panel], 3.0))
    assert "<script" not in svg
    assert svg.count("&lt;script&gt;$x_1$") >= 6
    page = html(Page(HOSTILE, HOSTILE, HOSTILE, [Section("s", HOSTILE, [Text(HOSTILE)])], [(HOSTILE, HOSTILE)]))
    assert "<script" not in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the set `paper`.", "the set <code>paper</code>."),
        ("one ` alone", "one ` alone"),
        ("`<b>`", "<code>&lt;b&gt;</code>"),
    ],
)
def test_code_in_prose(text: str, shown: str) -> None:
    assert f'<p class="plain">{shown}</p>' in html(Page("", "", "", [Text(text)], []))


def test_drawing_leaves_matplotlib_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(matplotlib.rcParams)
    failing: Callable[..., Any] = lambda *_: 1 / 0  # noqa: E731
    monkeypatch.setitem(DRAWN, Line, failing)
    with pytest.raises(ZeroDivisionError):
        inline_svg(Chart("f", "", "", [Panel(Scale(), Scale(), [Line([(0.0, math.nan)], Style())])], 3.0))
    assert dict(matplotlib.rcParams) == before
