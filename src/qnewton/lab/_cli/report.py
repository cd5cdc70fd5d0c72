"""The command `qnewton report RUN`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class ReportCommand:
    """Write the report of a run directory again, from its files, without training."""

    run: tyro.conf.Positional[Path]
    """Directory of the run."""


def report(arguments: Sequence[str]) -> int:
    """Parse, write `lab._report.html` and print where it is."""
    from .._report import write_report

    command = tyro.cli(ReportCommand, prog="qnewton report", args=arguments)
    print(f"report: {write_report(command.run)}")
    return 0
