"""The command `qnewton spectrum RUN|FILE`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..._core.limits import EXACT_UP_TO
from .answers import FigureFormat, print_files, print_json, print_table

if TYPE_CHECKING:
    from .._runfile import SpectrumBlock


@dataclass(frozen=True)
class SpectrumCommand:
    """Compute each block's eigenvalues, condition number, effective rank and degree.

    The source is a run's first step, or a file.
    """

    path: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|FILE")]
    """Directory of a run, whose blocks are computed again at its initial parameters; or a symmetric matrix in a .npy,
    .npz, .mtx or .mtx.gz file."""
    out: Path | None = None
    """Directory for spectrum.json and the figure; must not exist or be empty. None: a new one under runs/."""
    raw: bool = False
    """Omit pruning and damping."""
    exact_up_to: int = EXACT_UP_TO
    """Rows up to which all eigenvalues are computed; above, stochastic Lanczos quadrature draws the density."""
    figures: FigureFormat = "svg"
    """Format of the figure."""
    json: bool = False
    """Print one JSON object, and nothing else: where the files are, and what spectrum.json holds."""


def spectrum(arguments: Sequence[str]) -> int:
    """Parse, compute, write both files, print a table and where everything is."""
    command = tyro.cli(SpectrumCommand, prog="qnewton spectrum", args=arguments)
    if command.exact_up_to < 0:
        raise ValueError(f"--exact-up-to is {command.exact_up_to}: it counts rows and cannot be negative")
    from .._experiments.provenance import provenance
    from .._experiments.spectrum import spectra
    from .._report import write_spectrum_figure
    from .._runfile import SPECTRUM_VERSION, RunDirectory, SpectrumBlock, SpectrumFile, SpectrumSource, plain, typed

    found = spectra(command.path, conditioned=not command.raw, exact_up_to=command.exact_up_to)
    directory = RunDirectory.create(command.out, f"spectrum-{command.path.resolve().stem}")
    record = SpectrumFile(
        schema_version=SPECTRUM_VERSION,
        source=SpectrumSource(path=str(command.path), raw=command.raw),
        **provenance(),
        blocks=tuple(typed(plain(block), SpectrumBlock, str(command.path)) for block in found),
    )
    directory.write("spectrum.json", record)
    files = {"numbers": directory.path / "spectrum.json", "figure": directory.path / f"spectrum.{command.figures}"}
    write_spectrum_figure(record.blocks, files["figure"])
    if command.json:
        print_json({"files": files, "found": record})
        return 0
    _print_table(record.blocks)
    print_files(files)
    return 0


def _print_table(blocks: Sequence["SpectrumBlock"]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("block", "n", "spectrum", "kappa", "kind", "effective rank", "rank", "negative")
    thresholds = blocks[0].thresholds
    for part in thresholds:
        table.add_column("d" if part == 0 else f"d > {part:g}", justify="right")
    for block in blocks:
        degrees = block.degrees or [None] * len(thresholds)
        table.add_row(
            Text(block.name),
            str(block.n),
            block.kind,
            "singular" if block.condition_number is None else f"{block.condition_number:.3g}",
            block.condition_number_kind,
            f"{block.effective_rank:.1f}",
            _counted(block.numerical_rank, block.numerical_rank_error),
            _counted(block.negative, block.negative_error),
            *("-" if degree is None else str(degree) for degree in degrees),
        )
    print_table(table, ("block", "spectrum", "kind"))


def _counted(value: float, error: float) -> str:
    return f"{value:.0f}" if not error else f"{value:.0f} ± {max(1, math.ceil(error))}"
