"""The command `qnewton compare TASK`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .._experiments.limits import COUNT, DISTINCT, SEED, SOME, Limit, Limited, positive
from .._experiments.options import TaskOptions
from .._experiments.task_options import kind_of
from .answers import FigureFormat, console, page_files, print_files, print_json, print_table

if TYPE_CHECKING:
    from .._runfile import ComparisonFile

BUDGETS = {"digits-mlp": 1.0, "digits28": 2.0}
"""Measured seconds of every training, where neither seconds nor steps are asked for; of any other task 5."""

_FRACTION = Limit(lambda value: 0 < value <= 1, "an accuracy is a fraction in (0, 1], e.g. 0.95")


@dataclass(frozen=True)
class CompareOptions(Limited):
    """Compare optimizers at equal tuning effort: loss and accuracy against measured and against modelled seconds."""

    methods: Annotated[tuple[str, ...], DISTINCT] = (
        "sgd",
        "momentum",
        "adam",
        "adamw",
        "muon",
        "lbfgs",
        "newton-lu",
        "newton-classical",
        "hybrid",
        "recipe",
    )
    """Who takes part. hybrid: Newton with classical solvers and a quantum one, under paper and under end_to_end.
    newton-classical: with the classical ones. newton-lu: with LU alone; predicted where a step would take minutes."""
    seeds: Annotated[tuple[int, ...], SOME, DISTINCT, SEED] = (0, 1, 2)
    """Seeds that are reported; everyone is tuned on another one."""
    seconds: Annotated[float | None, positive("it must be positive and finite")] = None
    """Measured seconds of the steps of every training, in tuning too (by default 1 to 5 for the task's size); everyone
    takes 12 steps at least."""
    steps: Annotated[int | None, COUNT] = None
    """Steps of every training, in the place of seconds."""
    trials: Annotated[int, COUNT] = 5
    """Trainings of each method in tuning, before grids with their best value on the edge are extended."""
    batch_size: Annotated[int, COUNT] = 2048
    """Examples per step; at most the whole training set is used."""
    target_accuracies: Annotated[tuple[float, ...], DISTINCT, _FRACTION] = ()
    """Held-out accuracies to be reached. Without any target: what tuned SGD reaches."""
    target_losses: Annotated[tuple[float, ...], DISTINCT, positive("a loss to be reached is positive and finite")] = ()
    """Held-out losses to be reached."""
    gate_time_s: float = 50e-9
    """Seconds of a physical gate of the quantum machine; under paper that is what a query takes."""
    dtype: Literal["float32", "float64"] = "float32"
    """Floating-point type of everything."""
    out: Path | None = None
    """Directory of the comparison, new or of this very one, which goes on where it was stopped; None: a new one under
    runs/."""
    task: TaskOptions = TaskOptions()  # noqa: RUF009

    def __post_init__(self):
        super().__post_init__()
        if self.seconds is not None and self.steps is not None:
            raise ValueError(f"--seconds is {self.seconds:g} and --steps {self.steps}: one of them is the budget")


@dataclass(frozen=True)
class CompareCommand:
    """Compare optimizers at equal tuning effort: loss and accuracy against measured and against modelled seconds.

    Every method is tuned by one number, with the same number of trials and the same budget, on a seed that is not
    reported, and judged by the lowest held-out loss; where a best value lies on the edge of its grid, everyone gets
    another trial. Every training is a run directory of its own, written when it is done: the same command with the
    same --out goes on where it was stopped. `qnewton compare --replot DIR` makes page and table from the files again.
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")]
    """What to train, as `qnewton train` has it; with a task, --help shows its own options too."""
    options: Annotated[CompareOptions, tyro.conf.arg(name="")]
    figures: FigureFormat | None = None
    """Format in which each figure of the page is also written as a file, into figures/ beside it. None: it is not."""
    json: bool = False
    """Print one JSON object, and nothing else: where the files are, and what compare.json holds."""


def compare(arguments: Sequence[str]) -> int:
    """Parse, train what is missing, write numbers and page, print the tables and where everything is."""
    if arguments and arguments[0].partition("=")[0] == "--replot":
        return _replot(arguments)
    command = parse(arguments)
    from .._experiments.compare import check_methods, compare_records, open_comparison, run_comparison
    from .._experiments.tasks import check_task

    check_task(command.name)
    options = command.options
    check_methods(options.methods)
    seconds = options.seconds
    if seconds is None and options.steps is None:
        seconds = BUDGETS.get(command.name, 5.0)
    comparison = open_comparison(
        options.out,
        {
            "task": command.name,
            "methods": options.methods,
            "seeds": options.seeds,
            "seconds": seconds,
            "steps": options.steps,
            "trials": options.trials,
            "batch_size": min(options.batch_size, kind_of(command.name).batch_size),
            "dtype": options.dtype,
            "gate_time_s": options.gate_time_s,
        },
        options.task,
    )
    directory = comparison.directory
    print(f"{command.name} -> {directory.path}", file=sys.stderr)
    try:
        tuned = run_comparison(comparison, lambda text: print(text, file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        print(f"what is done stays: the same command with --out {directory.path} goes on", file=sys.stderr)
        raise
    found = compare_records(comparison, tuned, options.target_accuracies, options.target_losses)
    directory.write("compare.json", found)
    return _show(found, directory.path, command.figures, as_json=command.json)


def parse(arguments: Sequence[str]) -> CompareCommand:
    """The command, with the options of its task.

    Raises:
        ValueError: for an option out of its range.
        SystemExit: for an unknown option, after printing the nearest valid one.
    """
    kind = kind_of(next(iter(arguments), ""))
    default = CompareCommand(name=tyro.MISSING, options=replace(CompareOptions(), task=kind()))
    return tyro.cli(
        CompareCommand, prog="qnewton compare", args=arguments, default=default, config=(tyro.conf.OmitArgPrefixes,)
    )


@dataclass(frozen=True)
class ReplotCommand:
    """Make page and table of a comparison from its files again."""

    replot: Path
    """Directory of a finished comparison."""
    figures: FigureFormat | None = None
    """As without --replot."""
    json: bool = False
    """As without --replot."""


def _replot(arguments: Sequence[str]) -> int:
    from .._runfile import COMPARE_VERSION, ComparisonFile, read_version

    given = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
    if given - {"--replot", "--figures", "--json", "--help"}:
        raise ValueError(
            "--replot takes the directory of a comparison, and beside it only --figures and --json: qnewton compare "
            "--replot DIR"
        )
    command = tyro.cli(ReplotCommand, prog="qnewton compare", args=arguments)
    directory = command.replot
    file = directory / "compare.json"
    if not file.exists():
        raise FileNotFoundError(
            f"{file} is not there: {directory} holds no finished comparison. A stopped one goes on by the command that "
            "started it"
        )
    found = read_version(file, ComparisonFile, COMPARE_VERSION)
    return _show(found, directory, command.figures, as_json=command.json)


def _show(found: "ComparisonFile", directory: Path, figures: FigureFormat | None, *, as_json: bool) -> int:
    from .._report import write_comparison

    page = write_comparison(found, directory, figures)
    files = {"numbers": directory / "compare.json", **page_files("page", page, figures)}
    if as_json:
        print_json({"files": files, "found": found})
        return 0
    _print_tables(found)
    print_files(files)
    return 0


def _print_tables(found: "ComparisonFile") -> None:
    from rich.table import Table

    from .._report import comparison_notes, comparison_tables

    for told in comparison_tables(found):
        table = Table(*(column.heading for column in told.columns), title=told.caption, title_justify="left")
        for row in told.rows:
            table.add_row(*row)
        print_table(table, [column.heading for column in told.columns if column.words])
    for note in comparison_notes(found):
        console().print(note, markup=False)
