"""The report of a run, written into its directory."""

from __future__ import annotations

from pathlib import Path

from .._runfile import read_run
from .page import run_page
from .render import write_page


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
        OSError: if the page cannot be written, with what to do.
    """
    target = Path(run_directory) / "report.html"
    page = run_page(read_run(target.parent).thinned())
    try:
        return write_page(page, target, figures)
    except OSError as error:
        raise OSError(
            f"{target} cannot be written ({error.strerror or error}): make room, or make the directory writable, or "
            "report a copy of the run"
        ) from error
