"""Puts a declared page into HTML by the templates beside this file, and writes it in one move."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from .._runfile import readable
from .chart import Chart
from .parts import Figures, Page, Part, Section
from .svg import inline_svg, palette_css, save_figure

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

FIGURES = "figures"
"""The folder beside a page for its figures as files."""
SECURITY = "default-src 'none'; style-src 'unsafe-inline'"


def html(page: Page) -> str:
    """The whole page as text; the same text for the same page. It fetches nothing and runs no script."""
    return _environment().get_template("page.html").render(page=page)


def write_page(page: Page, target: Path, figures: str | None = None) -> Path:
    """Writes a page, replacing an older one in one move.

    Args:
        page: as declared.
        target: of the file.
        figures: format (`svg.FORMATS`) in which each of its figures becomes a file, too, in `figures/` beside it; None:
            none does.

    Returns:
        The target.
    """
    scratch = target.with_name(f".{target.stem}.{os.getpid()}.html")
    try:
        scratch.write_text(readable(html(page)), encoding="utf-8")
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)
    if figures is not None:
        directory = target.parent / FIGURES
        directory.mkdir(exist_ok=True)
        for chart in charts_of(page.parts):
            alone = replace(chart, heading=chart.title, keys_below=True)
            save_figure(alone, directory / f"{chart.name}.{figures}")
    return target


def charts_of(parts: Sequence[Part | Section]) -> Iterator[Chart]:
    """The figures of a page, from the top."""
    for part in parts:
        if isinstance(part, Section):
            yield from charts_of(part.parts)
        elif isinstance(part, Figures):
            yield from (one for one in part.parts if isinstance(one, Chart))


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__ or "", "templates"),
        autoescape=True,  # names and texts come from files
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"svg": _svg, "prose": _prose}
    environment.globals |= {
        "security": SECURITY,
        "stylesheet": _stylesheet(),
        "pairs": functools.partial(zip, strict=True),
    }
    return environment


def _svg(chart: Chart) -> Markup:
    from markupsafe import Markup

    return Markup(inline_svg(chart))


def _prose(text: str) -> Markup:
    """Plain text in which `this` becomes code."""
    from markupsafe import Markup, escape

    pieces = [str(escape(piece)) for piece in text.split("`")]
    if len(pieces) % 2 == 0:  # a single one is no pair
        return escape(text)
    inside = [f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces)]
    return Markup("".join(inside))


def _stylesheet() -> Markup:
    from markupsafe import Markup

    rules = files(__package__ or "").joinpath("templates", "style.css").read_text("utf-8").replace("\n", "")
    colors = (
        f":root{{color-scheme:light dark;{palette_css(0)}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{palette_css(1)}}}}}"
    )
    return Markup(colors + rules)
