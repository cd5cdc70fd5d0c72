"""`qnewton train TASK`."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import tyro

from ..core.suggest import unknown
from ..experiments.options import TaskOptions, TrainOptions
from ..experiments.presets import PRESETS
from ..experiments.task_options import TASK_OPTIONS

FAILED, INTERRUPTED = 1, 130


@dataclass(frozen=True)
class TrainCommand:
    """Train a task with Newton's method; every Newton system goes to the solver predicted to finish it soonest."""

    task: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")]
    """What to train: digits-mlp, digits28, mnist-mlp, autoencoder, cnn, bert-tiny, gpt-tiny, poisson-pinn. With a task,
    --help shows its own options too."""
    options: Annotated[TrainOptions, tyro.conf.arg(name="")]


def train(arguments: Sequence[str]) -> int:
    """Parse, train, write the report, and say where everything is."""
    command = parse(arguments)
    # Only now: the modules behind these imports take a second, which `--help` and a misspelt option should not.
    from ..experiments.build import check
    from ..experiments.rundir import RunDirectory
    from ..experiments.runner import TrainingFailed
    from ..experiments.runner import train as run
    from ..experiments.tasks import check_task
    from ..report import write_report
    from .progress import Progress

    check_task(command.task)
    options = command.options
    check(options)  # before there is a directory
    _check_place(command)
    directory = RunDirectory.create(options.out, f"{command.task}-{options.preset}")
    try:
        with Progress(command.task, options.training.steps, directory.path) as progress:
            summary = run(command.task, options, directory, progress)
    except TrainingFailed as error:
        print(f"qnewton: {error}\nreport: {write_report(directory.path)}", file=sys.stderr)
        return FAILED
    except (ValueError, OSError, MemoryError):
        directory.discard()
        raise
    _print_summary(summary)
    print(f"report: {write_report(directory.path)}")
    return INTERRUPTED if summary["status"] == "interrupted" else 0


def parse(arguments: Sequence[str]) -> TrainCommand:
    """The command, its options starting from the preset that the arguments name and from the task's own.

    Raises:
        ValueError: for an unknown preset or an option out of its range.
        SystemExit: for an unknown option, after printing the nearest valid one.
    """
    kind = TASK_OPTIONS.get(_task(arguments), TaskOptions)
    preset = _preset(arguments, kind.preset)
    options = replace(PRESETS[preset], preset=preset, task=kind())
    training = replace(options.training, batch_size=min(options.training.batch_size, kind.batch_size))
    default = TrainCommand(task=tyro.MISSING, options=replace(options, training=training))
    return tyro.cli(
        TrainCommand, prog="qnewton train", args=arguments, default=default, config=(tyro.conf.OmitArgPrefixes,)
    )


def _task(arguments: Sequence[str]) -> str:
    # The task says which options there are, so it is needed before them: the first such name that is no option's value.
    for before, argument in zip(("", *arguments), arguments, strict=False):
        if argument in TASK_OPTIONS and not before.startswith("-"):
            return argument
    return ""


def _check_place(command: TrainCommand) -> None:
    if not isinstance(command.options.task, TASK_OPTIONS.get(command.task, TaskOptions)):
        raise ValueError(
            f"the task {command.task} stands behind an option: name it first, qnewton train {command.task} ..."
        )


def _preset(arguments: Sequence[str], name: str) -> str:
    # The preset supplies the defaults that the other options are parsed against, so it is needed before them.
    for position, argument in enumerate(arguments):
        if argument == "--preset" and position + 1 < len(arguments):
            name = arguments[position + 1]
        elif argument.startswith("--preset="):
            name = argument.partition("=")[2]
    if name not in PRESETS:
        raise ValueError(unknown("preset", name, PRESETS))
    return name


def _print_summary(summary: dict[str, Any]) -> None:
    accuracy = summary["test_accuracy"]
    held_out = f"test loss {summary['test_loss']:.4g}" if accuracy is None else f"test accuracy {accuracy:.4f}"
    print(
        f"{summary['status']}: {summary['steps']} steps of {summary['optimizer']}, training loss "
        f"{summary['final_loss']:.4g}, {held_out}\n"
        f"measured  {summary['measured_seconds']:.2f} s wall clock, compilation and calibration aside"
    )
    acting, classical = summary["acting"], summary["predicted_seconds_all_classical"]
    if acting is None:
        print("predicted nothing: a complete optimizer has no systems to schedule")
        return
    alone = (
        f"{classical:.2f} s with classical solves alone"
        if math.isfinite(classical)
        else "some had no classical candidate"
    )
    meaning = {
        "model": " (fidelity model: a classical solve stood in for the state, only the cost is quantum)",
        "emulated": " (fidelity emulated: the circuits' exact states, with the read-out noise that was asked for)",
    }
    print(
        f"predicted {summary['predicted_seconds'][acting]:.2f} s under `{acting}` at {summary['gate_time_s']:g} s per "
        f"gate; {alone}\n"
        f"quantum   {summary['quantum_share']:.0%} of the systems{meaning.get(summary['fidelity'], '')}"
    )
