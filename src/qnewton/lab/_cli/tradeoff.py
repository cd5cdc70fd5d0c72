"""The command `qnewton tradeoff TASK`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .._experiments.limits import Limited, at_least, positive
from .answers import FigureFormat, print_files, print_json, print_table

if TYPE_CHECKING:
    from .._runfile import TradeoffSetting

_NOT_NEGATIVE = at_least(0, "it cannot be negative")


@dataclass(frozen=True)
class TradeoffCommand(Limited):
    """Compare conditionings: step quality and training loss against sparsity, encoded condition number and queries."""

    task: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")]
    """What to train, at its default size; `qnewton train --help` names the tasks."""
    damping: Annotated[float, positive("it must be positive and finite, e.g. 5e-3")] = 5e-3
    """r of the regularisation H + r max|H| I of the system that every step is judged by."""
    warmup: Annotated[int, _NOT_NEGATIVE] = 5
    """Un-pruned steps before the blocks are taken."""
    steps: Annotated[int, _NOT_NEGATIVE] = 10
    """Steps of each training from there; 0 compares the steps alone, which is quicker by far."""
    seed: Annotated[int, _NOT_NEGATIVE] = 0
    """Seed of the initial parameters."""
    dtype: Literal["float32", "float64"] = "float64"
    """Floating-point type."""
    out: Path | None = None
    """Directory for tradeoff.json and the figure; must not exist or be empty. None: a new one under runs/."""
    figures: FigureFormat = "svg"
    """Format of the figure."""
    json: bool = False
    """Print one JSON object, and nothing else: where the files are, and what tradeoff.json holds."""


def tradeoff(arguments: Sequence[str]) -> int:
    """Parse, compare, write both files, print a table and where everything is."""
    command = tyro.cli(TradeoffCommand, prog="qnewton tradeoff", args=arguments)
    import jax

    from .._experiments.own_task import short
    from .._experiments.provenance import provenance
    from .._experiments.tasks import check_task, make_task
    from .._experiments.tradeoff import settings
    from .._experiments.tradeoff import tradeoff as compare
    from .._report import write_tradeoff_figure
    from .._runfile import TRADEOFF_VERSION, RunDirectory, TradeoffFile

    check_task(command.task)
    directory = RunDirectory.create(command.out, f"tradeoff-{short(command.task)}")
    with jax.enable_x64(command.dtype == "float64"):
        found = compare(
            make_task(command.task, command.dtype),
            settings(command.damping),
            damping=command.damping,
            seed=command.seed,
            warmup=command.warmup,
            steps=command.steps,
            tell=lambda text: print(text, file=sys.stderr),
        )
    options = {name: getattr(command, name) for name in ("task", "damping", "warmup", "steps", "seed", "dtype")}
    record = TradeoffFile(schema_version=TRADEOFF_VERSION, options=options, **provenance(), settings=found)
    # What is not finite is null in the file, and so it is in figure and table.
    record = directory.add("tradeoff.json", record)
    files = {"numbers": directory.path / "tradeoff.json", "figure": directory.path / f"tradeoff.{command.figures}"}
    write_tradeoff_figure(record.settings, files["figure"])
    if command.json:
        print_json({"files": files, "found": record})
        return 0
    _print_table(record.settings)
    print_files(files)
    return 0


def _print_table(settings: Sequence["TradeoffSetting"]) -> None:
    from rich.table import Table

    table = Table(
        "method", "setting", "d", "kappa", "queries", "decrease", "cosine", "residual", "indefinite", "training loss"
    )
    for one in settings:
        numbers = one.encoded_condition_number, one.queries, one.model_decrease, one.cosine, one.relative_residual
        table.add_row(
            one.method,
            one.setting,
            f"{one.degree:.0f}",
            *("-" if number is None else f"{number:.3g}" for number in numbers),
            f"{one.indefinite:.0%}",
            "-" if one.training_loss is None else f"{one.training_loss:.4g}",
        )
    print_table(table, ("method", "setting"))
