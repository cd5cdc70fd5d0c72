"""Report: one self-contained HTML page from the files of a run, without any solver."""

from __future__ import annotations

from pathlib import Path

from .._runfile import read_run
from .breakeven_figure import write_maps, write_tornado
from .comparison import comparison_notes, comparison_sections, comparison_tables, write_comparison
from .explain import explain
from .explanation import Bought, Candidate, Explanation
from .noise_figure import write_noise_figure
from .reproduce_page import write_reproduction
from .spectrum_figure import write_spectrum_figure
from .tradeoff_figure import write_tradeoff_figure

__all__ = [
    "Bought",
    "Candidate",
    "Explanation",
    "comparison_notes",
    "comparison_sections",
    "comparison_tables",
    "explain",
    "write_comparison",
    "write_maps",
    "write_noise_figure",
    "write_report",
    "write_reproduction",
    "write_spectrum_figure",
    "write_tornado",
    "write_tradeoff_figure",
]


def write_report(run_directory: Path, figures: str | None = None) -> Path:
    """Write `report.html` into a run directory, replacing an older one in one move.

    Args:
        run_directory: what `qnewton train` wrote (`docs/run-files.md`). A run that was killed is reported as far as
            it came, and the page says what is missing.
        figures: `svg`, `pdf` or `png`: each figure becomes a file, too, in `figures/`; None: none does.

    Returns:
        The path of the page. It fetches nothing and runs no script.

    Raises:
        RunFileError: a file is not what the schema says; the message names the file, the line and the field.
    """
    from .page import run_page
    from .render import write_page

    run_directory = Path(run_directory)
    return write_page(run_page(read_run(run_directory).thinned()), run_directory / "report.html", figures)
