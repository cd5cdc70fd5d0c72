"""The command `qnewton report RUN`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from .answers import FigureFormat, page_files, print_files, print_json


@dataclass(frozen=True)
class ReportCommand:
    """Write the report of a run directory again, from its files, without training."""

    run: tyro.conf.Positional[Path]
    """Directory of the run."""
    figures: FigureFormat | None = None
    """Format in which each figure of the page is also written as a file, into figures/ beside it. None: it is not."""
    json: bool = False
    """Print where the files are as one JSON object, and nothing else."""


def report(arguments: Sequence[str]) -> int:
    """Parse, write `report.html` and print where it is."""
    from .._report import write_report

    command = tyro.cli(ReportCommand, prog="qnewton report", args=arguments)
    files = page_files("report", write_report(command.run, command.figures), command.figures)
    if command.json:
        print_json({"files": files})
    else:
        print_files(files)
    return 0
