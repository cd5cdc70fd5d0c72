"""The command `qnewton noise TASK`."""

import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .._experiments.limits import COUNT, DISTINCT, SEED, SOME, STATE_ERROR, Limit, Limited, positive
from .answers import FigureFormat, print_files, print_json, print_table

_SHOTS = Limit(
    lambda value: value >= 1 and (math.isinf(value) or value == int(value)),
    "measure a whole number of copies, at least 1, or inf",
)


@dataclass(frozen=True)
class NoiseCommand(Limited):
    """Measure the precision that Newton training needs, by emulated quantum solves over a grid of errors and shots.

    Every cell of the grid is a training, compared with that by exact classical solves. A cell is written when it is
    done: the same command with the same --out goes on where it was stopped.
    """

    task: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")]
    """What to train: digits-mlp."""
    epsilons: Annotated[tuple[float, ...], SOME, DISTINCT, STATE_ERROR] = (0.5, 0.1, 0.01)
    """Errors of the normalised solution state that the circuits are built for."""
    shots: Annotated[tuple[float, ...], SOME, DISTINCT, _SHOTS] = (100, 1000, 10_000, math.inf)
    """Copies of a state that are measured for the magnitudes, and as many for the signs; inf: no read-out noise."""
    seeds: Annotated[tuple[int, ...], SOME, DISTINCT, SEED] = (0,)
    """Seeds of the initial parameters and of the order of the batches; the table shows means over them."""
    steps: Annotated[int, COUNT] = 8
    """Newton steps of each training."""
    batch_size: Annotated[int, COUNT] = 2048
    """Examples per step; at most the whole training set is used."""
    partition: Literal["whole", "per-layer", "per-tensor"] = "whole"
    """Parameters that share a system."""
    damping: Annotated[float, positive("it must be positive and finite, e.g. 0.5")] = 0.5
    """r of the regularisation H + r max|H| I, from which Levenberg-Marquardt's rule starts."""
    dtype: Literal["float32", "float64"] = "float32"
    """Floating-point type of parameters, data and systems."""
    out: Path | None = None
    """Directory of the grid, new or of this very grid; None: a new one under runs/."""
    figures: FigureFormat = "png"
    """Format of the figure."""
    json: bool = False
    """Print one JSON object, and nothing else: where the files are, and what noise.json holds."""


def noise(arguments: Sequence[str]) -> int:
    """Parse, train what is missing, write numbers and figure, print a table and where everything is."""
    command = tyro.cli(NoiseCommand, prog="qnewton noise", args=arguments)
    from .._experiments.noise import answer, finish, open_grid, run_grid
    from .._experiments.tasks import check_task
    from .._report import write_noise_figure
    from .._runfile import read_result

    check_task(command.task)
    # None stands for infinity, as in JSON.
    shots = [None if math.isinf(number) else int(number) for number in command.shots]
    options = dataclasses.asdict(command) | {"shots": shots}
    for answer_only in ("out", "figures", "json"):
        del options[answer_only]
    directory = open_grid(command.out, options)
    print(f"{command.task} -> {directory.path}", file=sys.stderr)
    records = run_grid(options, directory, lambda text: print(text, file=sys.stderr, flush=True))
    found = answer(records)
    finish(directory, records, found)
    files = {"numbers": directory.path / "noise.json", "figure": directory.path / f"noise.{command.figures}"}
    if not files["figure"].exists():
        scratch = files["figure"].with_name(f"partial.{command.figures}")
        write_noise_figure(records, found, scratch)
        scratch.replace(files["figure"])
    if command.json:
        print_json({"files": files, "found": read_result(files["numbers"])})
        return 0
    _print_table(found)
    print_files(files)
    return 0


def _print_table(found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("epsilon", *(f"{_shown(number)} shots" for number in found["shots"]), "enough shots")
    for row in found["by_epsilon"]:
        cells = [f"{cell['test_accuracy']:.3f}{'*' if cell['reached'] else ''}" for cell in row["cells"]]
        table.add_row(f"{row['epsilon']:g}", *cells, _shown(row["smallest_shots"]) if row["reached"] else "none here")
    largest = [_epsilon(row["largest_epsilon"]) for row in found["by_shots"]]
    table.add_row("small enough", *largest, "")
    print_table(table, ())
    print(
        f"test accuracy after the last step; exact classical solves: {found['exact_accuracy']:.3f}; *: within "
        f"{found['tolerance']:g} of it"
    )
    if found["reached"]:
        print(
            f"smallest number of shots that reaches it: {_shown(found['smallest_shots'])} (epsilon "
            f"{found['at_epsilon']:g}); largest epsilon: {found['largest_epsilon']:g}"
        )
    else:
        print("nothing in this grid reaches it: try more --shots, inf among them, or smaller --epsilons")


def _epsilon(value: float | None) -> str:
    return "none here" if value is None else f"{value:g}"


def _shown(shots: int | None) -> str:
    return "inf" if shots is None else f"{shots:,}"
