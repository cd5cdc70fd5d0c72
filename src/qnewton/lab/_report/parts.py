"""What a page consists of: declared parts, which the templates know how to show. All text in them is plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from .chart import Chart, Clock


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, and whether it holds words (set left) or numbers (set right)."""

    heading: str
    words: bool = False
    wraps: bool = False

    @property
    def css(self) -> str:
        """Classes of its cells."""
        return "text long" if self.wraps else "text" if self.words else ""


def columns(*headings: str, words: int = 1) -> list[Column]:
    """Columns of which the first `words` hold words."""
    return [Column(heading, words=place < words) for place, heading in enumerate(headings)]


@dataclass(frozen=True, slots=True)
class Table:
    """A table that scrolls inside its own container; with more than `most` rows it is folded behind `folded`."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    clock: Clock | None = None
    folded: str = ""
    most: int = 12
    kind: Literal["table"] = field(default="table", init=False)


@dataclass(frozen=True, slots=True)
class Tile:
    """Headline number: `value` is the number itself, `shown` its text."""

    field: str
    label: str
    value: float | int | None
    shown: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tiles:
    """A framed group of headline numbers."""

    title: str
    tiles: Sequence[Tile]
    clock: Clock | None = None


@dataclass(frozen=True, slots=True)
class Groups:
    """Framed groups side by side."""

    groups: Sequence[Tiles]
    kind: Literal["groups"] = field(default="groups", init=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; `code` in backticks."""

    text: str
    css: str = "plain"
    kind: Literal["text"] = field(default="text", init=False)


@dataclass(frozen=True, slots=True)
class Listing:
    """Lines of prose under each other, each behind the mark of its clock; `role` makes a box of them."""

    lines: Sequence[tuple[Clock | None, str]]
    css: str = "reading"
    kind: Literal["listing"] = field(default="listing", init=False)


@dataclass(frozen=True, slots=True)
class Warnings:
    """What the reader must know first, in a box."""

    lines: Sequence[str]
    kind: Literal["warnings"] = field(default="warnings", init=False)


@dataclass(frozen=True, slots=True)
class Figures:
    """Charts, and tables among them, side by side where there is room."""

    parts: Sequence[Chart | Table]
    kind: Literal["figures"] = field(default="figures", init=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """What an evaluation says: under the paper's assumptions, end to end, and besides."""

    paper: str
    end_to_end: str
    besides: str = ""
    kind: Literal["answered"] = field(default="answered", init=False)


@dataclass(frozen=True, slots=True)
class Glance:
    """Questions or claims at the top of a page, each with the identifier of its section and its answer."""

    identifier: str
    title: str
    entries: Sequence[tuple[str, str, Answered]]
    about: str = ""
    kind: Literal["glance"] = field(default="glance", init=False)


Part = Table | Groups | Text | Listing | Warnings | Figures | Answered | Glance


@dataclass(frozen=True, slots=True)
class Section:
    """A question, and its answer below it."""

    identifier: str
    title: str
    parts: Sequence[Part]
    kind: Literal["section"] = field(default="section", init=False)


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page.

    Attributes:
        tab: its name in the browser.
        title, about: at its top.
        parts: from the top.
        facts: where the numbers come from: names and what they stand for, in the footer.
        options: a table below them.
    """

    tab: str
    title: str
    about: str
    parts: Sequence[Part | Section]
    facts: Sequence[tuple[str, str]]
    options: Table | None = None
