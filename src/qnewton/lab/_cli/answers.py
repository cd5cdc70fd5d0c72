"""How commands answer: one JSON object, or tables that keep every digit at any width."""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FigureFormat = Literal["svg", "pdf", "png"]
"""Endings of the files of figures."""
_PIPE_WIDTH = 140


def print_json(value: Any) -> None:
    """Print one JSON object; nothing else may be on standard output, so that programs can read it.

    Of files that were altered and read with `--unverified`, it says so in `not_verified`.
    """
    from .._runfile import encode_indented, found_altered, plain

    found = found_altered()
    print(encode_indented(plain(value) | {"not_verified": found} if found else value).decode(), end="")


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

    Where a narrow terminal has no room for the rest, its lines are longer than the terminal is wide.

    Args:
        table: with plain text in its cells.
        words: headings of the columns that hold words.
    """
    from rich.cells import cell_len
    from rich.console import Console

    for column in table.columns:
        cells = [str(cell) for cell in column.cells]
        if column.header in words:
            cells = [word for cell in cells for word in cell.split()]
        else:
            column.justify = "right"
        heads = str(column.header).split()
        column.min_width = max(cell_len(part) for part in (*heads, *cells))
    out = console()
    least = out.measure(table, options=out.options.update(width=10_000)).minimum
    Console(highlight=False, width=max(out.width, least)).print(table, crop=False)
