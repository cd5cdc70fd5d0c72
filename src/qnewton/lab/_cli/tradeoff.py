"""`qnewton tradeoff TASK`."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

SCHEMA_VERSION = 1
"""Of this command's JSON file; docs/run-files.md describes it."""


@dataclass(frozen=True)
class TradeoffCommand:
    """Step quality and training loss against sparsity, encoded condition number and queries, per conditioning."""

    task: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")]
    """What to train, at its default size; `qnewton train --help` names the tasks."""
    damping: float = 5e-3
    """r of the regularisation H + r max|H| I of the system that every step is judged by."""
    warmup: int = 5
    """Un-pruned steps before the blocks are taken."""
    steps: int = 10
    """Steps of each training from there; 0 compares the steps alone, which is quicker by far."""
    seed: int = 0
    """Seed of the initial parameters."""
    dtype: Literal["float32", "float64"] = "float64"
    """Floating-point type."""
    out: Path | None = None
    """Directory for tradeoff.json and tradeoff.svg; must not exist or be empty. None: a new one under runs/."""

    def __post_init__(self):
        for name in ("warmup", "steps", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} is {getattr(self, name)}: it cannot be negative")
        if not (self.damping > 0 and math.isfinite(self.damping)):
            raise ValueError(f"--damping is {self.damping}: it must be positive and finite, e.g. 5e-3")


def tradeoff(arguments: Sequence[str]) -> int:
    """Parse, compare, write both files, print a table and say where everything is."""
    command = tyro.cli(TradeoffCommand, prog="qnewton tradeoff", args=arguments)
    import jax

    from .._experiments.provenance import provenance
    from .._experiments.tasks import check_task, make_task
    from .._experiments.tradeoff import settings
    from .._experiments.tradeoff import tradeoff as compare
    from .._report import write_tradeoff_figure
    from .._runfile import RunDirectory, plain

    check_task(command.task)
    directory = RunDirectory.create(command.out, f"tradeoff-{command.task}")
    with jax.enable_x64(command.dtype == "float64"):
        records = compare(
            make_task(command.task, command.dtype),
            settings(command.damping),
            damping=command.damping,
            seed=command.seed,
            warmup=command.warmup,
            steps=command.steps,
            tell=lambda text: print(text, file=sys.stderr),
        )
    records = [plain(record) for record in records]
    options = {name: getattr(command, name) for name in ("task", "damping", "warmup", "steps", "seed", "dtype")}
    directory.write(
        "tradeoff.json", {"schema_version": SCHEMA_VERSION, "options": options, **provenance(), "settings": records}
    )
    figure = directory.path / "tradeoff.svg"
    write_tradeoff_figure(records, figure)
    _print_table(records)
    print(f"numbers: {directory.path / 'tradeoff.json'}\nfigure: {figure}")
    return 0


def _print_table(records: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "method", "setting", "d", "kappa", "queries", "decrease", "cosine", "residual", "indefinite", "training loss"
    )
    for record in records:
        numbers = ("encoded_condition_number", "queries", "model_decrease", "cosine", "relative_residual")
        table.add_row(
            record["method"],
            record["setting"],
            f"{record['degree']:.0f}",
            *("-" if record[name] is None else f"{record[name]:.3g}" for name in numbers),
            f"{record['indefinite']:.0%}",
            "-" if record["training_loss"] is None else f"{record['training_loss']:.4g}",
        )
    Console().print(table)
