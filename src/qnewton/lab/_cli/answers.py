"""How commands answer: one JSON object, or tables that keep every digit at any width."""

import functools
import os
import re
import sys
import textwrap
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .streams import OBEYED

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

FigureFormat = Literal["svg", "pdf", "png"]
"""Endings of the files of figures."""
_PIPE_WIDTH = 140
_UNSEEN = re.compile(f"[{OBEYED}]")


class ListedLater:
    """A list in a JSON object, of any length: its items are made when they are printed, one after the other.

    Attributes:
        mark: what stands in its place until then.
    """

    def __init__(self, items: Iterable[Any]):
        """Take what makes the items."""
        self.items, self.mark = items, f"listed-{uuid.uuid4().hex}"


def print_json(value: Any, lists: Sequence[ListedLater] = ()) -> None:
    """Print one JSON object; nothing else may be on standard output, so that programs can read it.

    Of files that were altered and read with `--unverified`, it says so in `not_verified`.

    Args:
        value: to print.
        lists: whose marks stand in it, in this order.
    """
    from .._runfile import encode_indented, found_altered, plain

    found = found_altered()
    text = encode_indented(plain(value) | {"not_verified": found} if found else value).decode()
    for listed in lists:
        before, _, text = text.partition(f'"{listed.mark}"')
        _print_text(f"{before}[")
        margin = " " * (len(line := before.rpartition("\n")[2]) - len(line.lstrip()))
        parts = (encode_indented(item).decode().rstrip().replace("\n", f"\n{margin}  ") for item in listed.items)
        empty = True
        for part in parts:
            _print_text(f"{'' if empty else ','}\n{margin}  {part}")
            empty = False
        _print_text("]" if empty else f"\n{margin}]")
    _print_text(text)


def _print_text(text: str) -> None:
    # As JSON writes them, so that programs read what a terminal does not obey.
    print(_UNSEEN.sub(lambda one: f"\\u{ord(one[0]):04x}", text), end="")


def print_notes(notes: Sequence[str], *, aside: bool) -> None:
    """Print what was found about a run, a line each; aside, on standard error, where programs read the output."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr if aside else sys.stdout)


def print_files(files: Mapping[str, Path]) -> None:
    """Print what was written where, a line each."""
    for what, path in files.items():
        print(f"{what}: {path}")


def page_files(what: str, page: Path, figures: str | None) -> dict[str, Path]:
    """A page, and the folder of its figures if they were asked for."""
    return {what: page} if figures is None else {what: page, "figures": page.parent / "figures"}


def console() -> "Console":
    """Standard output; a pipe has no width of its own."""
    from rich.console import Console

    made = Console(highlight=False)
    return made if made.is_terminal or "COLUMNS" in os.environ else Console(highlight=False, width=_PIPE_WIDTH)


def print_table(table: "Table", words: Collection[str]) -> None:
    """Print a table in which only words are broken over lines, and those between words.

    A terminal that is too narrow for that gets one row below the other, with a line or more for each of its cells.

    Args:
        table: with plain text in its cells; no word of it is markup.
        words: headings of the columns that hold words.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    for column in table.columns:
        column.header, column._cells = Text(str(column.header)), [_unmarked(cell) for cell in column.cells]
        cells = [str(cell) for cell in column.cells]
        if str(column.header) in words:
            cells = [word for cell in cells for word in cell.split()]
        else:
            column.justify = "right"
        heads = str(column.header).split()
        column.min_width = max(cell_len(part) for part in (*heads, *cells))
    if table.title is not None:
        table.title = Text(str(table.title))
    out = console()
    least = out.measure(table, options=out.options.update(width=10_000)).minimum
    if least <= out.width or not (out.is_terminal or "COLUMNS" in os.environ):
        Console(highlight=False, width=max(out.width, least)).print(table, crop=False)
        return
    print("\n".join(_one_below_the_other(table, out.width)))


def _unmarked(cell: Any) -> "Text":
    from rich.text import Text

    return cell if isinstance(cell, Text) else Text(str(cell))


def _one_below_the_other(table: "Table", width: int) -> Iterator[str]:
    """The rows of a table in lines that are no longer than a word of them makes necessary."""
    wrap = functools.partial(textwrap.wrap, width=width, break_long_words=False, break_on_hyphens=False)
    if table.title is not None:
        yield from (line for part in str(table.title).splitlines() for line in wrap(part))
    heads = [str(column.header) for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        yield ""
        alone = not any(map(str, row[1:]))  # the heading of a section
        for place, (head, cell) in enumerate(zip(heads, row, strict=True)):
            if str(cell):
                said = str(cell) if alone or not head else f"{head}: {cell}"
                yield from wrap(said, initial_indent="  " if place else "", subsequent_indent="    ")
    yield ""
