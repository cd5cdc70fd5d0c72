"""Small pieces of HTML. Every argument called `text`, `title`, `cells`, ... is escaped here; `body` is HTML already."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .svg import inline_svg

Clock = Literal["measured", "predicted"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, and whether it holds words (set left) or numbers (set right)."""

    heading: str
    words: bool = False
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline number; `value` is the number itself, `shown` how it reads."""

    field: str
    label: str
    value: float | int | None
    shown: str
    note: str = ""


def escape(text: str) -> str:
    """Text from a file, harmless in content and attributes."""
    return html.escape(text, quote=True)


def tag(clock: Clock | None) -> str:
    """The mark in front of everything that is in seconds: which of the two clocks it is."""
    return f'<span class="tag {clock}">{clock.upper()}</span> ' if clock else ""


def section(identifier: str, title: str, body: str) -> str:
    """A question, and its answer below it."""
    return f'<section id="{identifier}"><h2>{escape(title)}</h2>{body}</section>\n'


def paragraph(text: str, css: str = "plain") -> str:
    """A paragraph of plain text."""
    return f'<p class="{css}">{escape(text)}</p>'


def figure(
    name: str,
    title: str,
    caption: str,
    height_inches: float,
    draw: Callable[..., None],
    *arguments: object,
    clock: Clock | None = None,
) -> str:
    """A titled figure; `draw(figure, *arguments)` fills it."""
    svg = inline_svg(name, f"Figure: {title}. {caption}", height_inches, lambda empty: draw(empty, *arguments))
    return (
        f'<figure id="{name}" data-clock="{clock or "none"}"><h3>{tag(clock)}{escape(title)}</h3>'
        f"{svg}<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def figures(body: str) -> str:
    """Figures side by side where there is room."""
    return f'<div class="figures">{body}</div>'


def table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], clock: Clock | None = None) -> str:
    """A table that scrolls inside its own container."""
    heads = "".join(f'<th scope="col"{_css(column)}><span>{escape(column.heading)}</span></th>' for column in columns)
    lines = "".join(
        f"<tr>{''.join(_cell(column, cell) for column, cell in zip(columns, row, strict=True))}</tr>" for row in rows
    )
    return (
        f'<div class="listing" data-clock="{clock or "none"}"><p class="caption">{tag(clock)}{escape(caption)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div></div>\n"
    )


def _cell(column: Column, text: str) -> str:
    return f"<td{_css(column)}>{escape(text)}</td>"


def _css(column: Column) -> str:
    if column.wraps:
        return ' class="text long"'
    return ' class="text"' if column.words else ""


def folded(title: str, body: str, rows: int, most: int = 12) -> str:
    """`body` as it is, or behind a line to open it where it has more than `most` rows."""
    if rows <= most:
        return body
    return f"<details><summary>{escape(title)} ({rows} rows)</summary>{body}</details>"


def tiles(title: str, entries: Sequence[Tile], clock: Clock | None = None) -> str:
    """A framed group of headline numbers."""
    body = "".join(
        f'<div class="tile"><span>{escape(tile.label)}</span>'
        f'<b><data data-field="{tile.field}" value="{"" if tile.value is None else repr(tile.value)}">'
        f"{escape(tile.shown)}</data></b><small>{escape(tile.note)}</small></div>"
        for tile in entries
    )
    return (
        f'<section class="group {clock or "plain"}" data-clock="{clock or "none"}">'
        f'<h2>{tag(clock)}{escape(title)}</h2><div class="tiles">{body}</div></section>'
    )


def definitions(entries: Sequence[tuple[str, str]]) -> str:
    """Names and what they stand for."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in entries) + "</dl>"
