"""`qnewton spectrum RUN|FILE`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..._core.limits import EXACT_UP_TO

SCHEMA_VERSION = 1
"""Of this command's JSON file; docs/run-files.md describes it."""


@dataclass(frozen=True)
class SpectrumCommand:
    """Eigenvalues, condition number, effective rank and degree of each block: of a run's first step, or of a file."""

    path: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|FILE")]
    """Directory of a run, whose blocks are computed again at its initial parameters; or a symmetric matrix in a .npy,
    .npz or .mtx file."""
    out: Path | None = None
    """Directory for spectrum.json and spectrum.svg; must not exist or be empty. None: a new one under runs/."""
    raw: bool = False
    """Leave pruning and damping away."""
    exact_up_to: int = EXACT_UP_TO
    """Rows up to which all eigenvalues are computed; above, stochastic Lanczos quadrature draws the density."""


def spectrum(arguments: Sequence[str]) -> int:
    """Parse, compute, write both files, print a table and say where everything is."""
    command = tyro.cli(SpectrumCommand, prog="qnewton spectrum", args=arguments)
    if command.exact_up_to < 0:
        raise ValueError(f"--exact-up-to is {command.exact_up_to}: it counts rows and cannot be negative")
    from .._experiments.provenance import provenance
    from .._experiments.spectrum import spectra
    from .._report import write_spectrum_figure
    from .._runfile import RunDirectory, plain

    found = spectra(command.path, conditioned=not command.raw, exact_up_to=command.exact_up_to)
    records = [plain(block.record()) for block in found]
    directory = RunDirectory.create(command.out, f"spectrum-{command.path.resolve().stem}")
    source = {"path": command.path, "raw": command.raw}
    directory.write(
        "spectrum.json", {"schema_version": SCHEMA_VERSION, "source": source, **provenance(), "blocks": records}
    )
    figure = directory.path / "spectrum.svg"
    write_spectrum_figure(records, figure)
    _print_table(records)
    print(f"numbers: {directory.path / 'spectrum.json'}\nfigure: {figure}")
    return 0


def _print_table(records: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("block", "n", "spectrum", "kappa", "kind", "effective rank", "rank", "negative")
    thresholds = records[0]["thresholds"]
    for part in thresholds:
        table.add_column("d" if part == 0 else f"d > {part:g}", justify="right")
    for record in records:
        degrees = record["degrees"] or [None] * len(thresholds)
        table.add_row(
            Text(record["name"]),
            str(record["n"]),
            record["kind"],
            "singular" if record["condition_number"] is None else f"{record['condition_number']:.3g}",
            record["condition_number_kind"],
            f"{record['effective_rank']:.1f}",
            _counted(record["numerical_rank"], record["numerical_rank_error"]),
            _counted(record["negative"], record["negative_error"]),
            *("-" if degree is None else str(degree) for degree in degrees),
        )
    Console().print(table)


def _counted(value: float, error: float | None) -> str:
    return f"{value:.0f}" if not error else f"{value:.0f} ± {max(1, math.ceil(error))}"
