"""The command `qnewton train TASK`."""

import dataclasses
import math
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..._core.suggest import unknown
from .._experiments.cluster import Place, check_processes, joined, leave
from .._experiments.exits import FAILED, exit_status
from .._experiments.interrupts import stopped_by
from .._experiments.older import present_arguments, present_parts
from .._experiments.options import TrainOptions
from .._experiments.own_task import located, short
from .._experiments.presets import PRESETS, preset_for
from .._experiments.task_options import TASKS, kind_of
from .._runfile import LostDirectory, RunDirectory, RunFileError
from .answers import FigureFormat, page_files, print_files, print_json
from .help import HELP, show_help
from .launch import launch

if TYPE_CHECKING:
    from .._runfile import Summary

_ABOUT = (
    "Train a task with Newton's method; every Newton system goes to the solver predicted to finish it soonest. TASK is "
    f"{', '.join(TASKS)}, or a function of your own, my_task.py:task. `qnewton train --resume RUN` goes on with "
    "a run that was stopped. --out DIR names the directory. --json prints one JSON object, --figures pdf writes the "
    "report's figures as files, too."
)


@dataclass(frozen=True)
class TrainCommand:
    """Train a task with Newton's method; every Newton system goes to the solver predicted to finish it soonest."""

    task: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")]
    """What to train: the name of a task, or a function of your own, my_task.py:task. With a task, --help shows its own
    options too."""
    options: Annotated[TrainOptions, tyro.conf.arg(name="")]
    resume: Path | None = None
    """Directory of a run that was stopped: go on with it from its newest checkpoint, exactly as if it had not been. Its
    task and options are its own and need not be given again."""
    anyway: bool = False
    """With --resume: go on also with other versions, cores or on another machine. The numbers are then not those of a
    run that was not stopped, and `resumes.jsonl` and the report say so."""
    resubmit: bool = False
    """For scripts of batch systems, which are run again: with the run that was stopped in --out go on, and after one
    that is finished do nothing. If a signal stops the run, the last line of the output is the command that goes on."""
    figures: FigureFormat | None = None
    """Format in which each figure of the report is also written as a file, into figures/ beside it. None: it is not."""
    json: bool = False
    """Print one JSON object, and nothing else: where the files are, and what summary.json holds."""


def train(arguments: Sequence[str]) -> int:
    """Parse, train, write the report, and print where everything is."""
    if _is_done(arguments):
        return 0
    with joined() as place:
        command = _of_all(parse(arguments), place)
        if place is None and command.options.training.processes > 1:
            check_processes(command.options)
            return launch(arguments, command.options.training.processes)
        return _train(command, talks=place is None or place.index == 0)


def _train(command: TrainCommand, *, talks: bool) -> int:
    """Train, write the report, and say where everything is; of several processes one talks."""
    if talks:
        print("starting ...", file=sys.stderr, flush=True)
    # Only now: the modules behind these imports take seconds, which `--help` and a misspelt option should not.
    from .._experiments.loggers import Logged
    from .._experiments.runner import NotWritten, TrainingFailed
    from .._experiments.runner import resume as go_on
    from .._experiments.runner import train as run
    from .._experiments.together import several
    from .._report import write_report
    from .progress import Progress, Quiet

    options = command.options
    directory = _directory(command)
    shown = Progress(command.task, options.training.steps, directory.path) if talks else Quiet()
    try:
        with shown, Logged(options.training.log if talks else (), directory.path, shown) as watcher:
            if command.resume is None:
                summary = run(command.task, options, directory, watcher)
            else:
                summary = go_on(directory.path, watcher, anyway=command.anyway)
            watcher.over(summary)
    except TrainingFailed as error:
        if talks:
            print(f"qnewton: {error}\nreport: {write_report(directory.path)}", file=sys.stderr)
        return FAILED
    except NotWritten as error:
        if several():
            leave(FAILED, str(error))
        print(f"qnewton: {error}", file=sys.stderr)
        return FAILED
    except Exception:
        directory.discard()
        raise
    except KeyboardInterrupt:
        # Before the first step or after the last one.
        if (directory.path / "config.json").exists():
            print(f"go on: {_command_that_goes_on(directory.path)}", file=sys.stderr)
        raise
    if talks:
        try:
            page = write_report(directory.path, command.figures)
        except RunFileError as error:  # which it was not when it was written
            raise LostDirectory(f"{error}. It was so after the training, and before its report") from error
        except OSError as error:
            print(f"qnewton: {_without_report(directory.path, error)}", file=sys.stderr)
            return FAILED
        files = page_files("report", page, command.figures)
        if command.json:
            print_json({"directory": directory.path, "files": files, "found": summary})
        else:
            _print_summary(summary)
            print_files(files)
        if not command.json and summary.status == "interrupted":
            print(("" if command.resubmit else "go on: ") + _command_that_goes_on(directory.path))
    return exit_status(stopped_by(summary)) if summary.status == "interrupted" else 0


def _without_report(path: Path, error: OSError) -> str:
    """Say what to do about a report that could not be written.

    Raises:
        LostDirectory: if the run is no longer there.
    """
    if not (path / "summary.json").is_file():
        raise LostDirectory(f"{path} was removed after the training, and before its report") from error
    reason = getattr(error.__cause__, "strerror", None) or error.strerror or error
    return (
        f"the report could not be written ({reason}). The training is over, and its files are whole: "
        f"make room, then write it with: qnewton report {shlex.quote(str(path))}"
    )


def _directory(command: TrainCommand) -> "RunDirectory":
    """Return the run's directory; options that cannot work are refused before it is created."""
    from ..._devices.processes import of_first
    from .._experiments.checks import check
    from .._experiments.loggers import check_loggers
    from .._experiments.tasks import check_task
    from .._experiments.together import directory_at
    from .._runfile import RunDirectory

    if command.resume is not None:
        return directory_at(command.resume)
    check_task(command.task)
    check(command.options)
    check_processes(command.options)
    check_loggers(command.options.training.log)
    _check_place(command)
    prefix = f"{short(command.task)}-{command.options.preset}"
    made = of_first("the directory of the run", lambda: RunDirectory.create(command.options.out, prefix).path)
    return directory_at(made)


def _of_all(command: TrainCommand, place: Place | None) -> TrainCommand:
    """The command, its number of processes that of those which were started."""
    own = command.options.training.processes
    if place is None or own == place.count:
        return command
    if command.resume is not None:
        raise ValueError(
            f"--resume {command.resume}: the run was begun by {own} process{'es' * (own > 1)}, and this is one of "
            f"{place.count}: one that goes on keeps their number, since other parts of a batch sum up to other digits. "
            f"Start {own}, or train anew"
        )
    if own != 1:
        raise ValueError(f"--processes is {own}, and this is one of {place.count} that were started: omit the option")
    training = replace(command.options.training, processes=place.count)
    return replace(command, options=replace(command.options, training=training))


def _command_that_goes_on(path: Path) -> str:
    return f"qnewton train --resume {shlex.quote(str(path))}"


def _resubmitted(arguments: Sequence[str]) -> Path | None:
    """The directory of the run with which a script that is run again goes on, if it has begun."""
    if "--resubmit" not in arguments:
        return None
    out = _value(arguments, "--out", "")
    if not out:
        raise ValueError("--resubmit: add --out DIR, by which the script finds its run again")
    return Path(out) if (Path(out) / "config.json").is_file() else None


def _is_done(arguments: Sequence[str]) -> bool:
    """Say that a run which is to be submitted again is finished, if it is."""
    path = _resubmitted(arguments)
    if path is None:
        return False
    from .._experiments.resume import finished

    if finished(path):
        print(f"{path} is finished: nothing is left to do")
    return finished(path)


def parse(arguments: Sequence[str]) -> TrainCommand:
    """Return the command, with defaults from the preset named in the arguments and from the task.

    Raises:
        ValueError: for an unknown preset, an option out of its range, or one that contradicts the run that is resumed.
        OSError: if there is no such run.
        SystemExit: for an unknown option, after printing the nearest valid one.
    """
    arguments = present_arguments(arguments)
    path = _value(arguments, "--resume", "") or _resubmitted(arguments)
    if path:
        return _parse_resume(arguments, Path(path))
    kind = kind_of(_task(arguments))
    preset = _preset(arguments, kind.preset)
    options = replace(preset_for(preset, kind), preset=preset)
    if not isinstance(options.task, kind):
        options = replace(options, task=kind())
    training = replace(options.training, batch_size=min(options.training.batch_size, kind.batch_size))
    options = replace(options, training=training)
    arguments = _present(arguments, options)
    if HELP.intersection(arguments) and show_help("qnewton train TASK", _ABOUT, arguments, options):
        raise SystemExit(0)
    return _parse(arguments, TrainCommand(task=tyro.MISSING, options=options))


def _present(arguments: Sequence[str], options: TrainOptions) -> list[str]:
    """The arguments without older options, which are relative to the values they start from."""
    return present_parts(arguments, options.conditioning.conditioners, options.scheduling.solvers)


def _parse(arguments: Sequence[str], default: TrainCommand) -> TrainCommand:
    return tyro.cli(
        TrainCommand, prog="qnewton train", args=arguments, default=default, config=(tyro.conf.OmitArgPrefixes,)
    )


def _parse_resume(arguments: Sequence[str], path: Path) -> TrainCommand:
    """Return the command with which the run began; other given options must agree with it."""
    from .._experiments.resume import resumable

    config, options, _ = resumable(path, anyway="--anyway" in arguments)
    begun = TrainCommand(task=config.task, options=options, resume=path)
    command = _parse(_present(arguments, options), begun)
    if located(command.task) != begun.task:
        raise ValueError(f"--resume {path}: the task is {command.task}, and the run's is {begun.task}: omit it")
    for (name, asked), (_, own) in zip(_options(command.options), _options(options), strict=True):
        if asked != own:
            shown = [" ".join(map(str, value)) if isinstance(value, tuple) else value for value in (asked, own)]
            raise ValueError(
                f"--{name.replace('_', '-')} is {shown[0]}, and the run in {path} has {shown[1]}: one that goes on "
                "keeps its options. Omit it, or train anew"
            )
    return command


def _options(group: Any) -> Iterator[tuple[str, object]]:
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if dataclasses.is_dataclass(value):
            yield from _options(value)
        else:
            yield field.name, value


def _task(arguments: Sequence[str]) -> str:
    # The task says which options there are, so it is needed before them: the first such name that is no option's value.
    for before, argument in zip(("", *arguments), arguments, strict=False):
        if argument in TASKS and not before.startswith("-"):
            return argument
    return ""


def _check_place(command: TrainCommand) -> None:
    if not isinstance(command.options.task, kind_of(command.task)):
        raise ValueError(
            f"the task {command.task} stands behind an option: name it first, qnewton train {command.task} ..."
        )


def _preset(arguments: Sequence[str], default: str) -> str:
    # The preset supplies the defaults that the other options are parsed against, so it is needed before them.
    name = _value(arguments, "--preset", default)
    if name not in PRESETS:
        raise ValueError(unknown("preset", name, PRESETS))
    return name


def _value(arguments: Sequence[str], option: str, value: str) -> str:
    """Return the value of an option that is needed before the others can be parsed."""
    for position, argument in enumerate(arguments):
        if argument == option and position + 1 < len(arguments):
            value = arguments[position + 1]
        elif argument.startswith(f"{option}="):
            value = argument.partition("=")[2]
    return value


def _print_summary(summary: "Summary") -> None:
    accuracy = summary.test_accuracy
    held_out = f"test loss {summary.test_loss:.4g}" if accuracy is None else f"test accuracy {accuracy:.4f}"
    print(
        f"{summary.status}: {summary.steps} steps of {summary.optimizer}, training loss "
        f"{summary.final_loss:.4g}, {held_out}\n"
        f"measured  {summary.measured_seconds:.2f} s wall clock, compilation and calibration aside"
    )
    acting, classical = summary.acting, summary.predicted_seconds_all_classical
    if acting is None or not summary.predicted_seconds:
        _print_systems(summary)
        return
    alone = (
        f"{classical:.2f} s with classical solves alone"
        if classical is not None and math.isfinite(classical)
        else "some had no classical candidate"
    )
    meaning = {
        "modelled": " (execution modelled: a classical solve stood in for the state, only the cost is quantum)",
        "emulated": " (execution emulated: the circuits' exact states, with the read-out noise that was asked for)",
    }
    print(
        f"predicted {summary.predicted_seconds[acting]:.2f} s under `{acting}` at {summary.gate_time_s:g} s per "
        f"gate; {alone}\n"
        f"quantum   {summary.quantum_share:.0%} of the systems{meaning.get(summary.execution or '', '')}"
    )


def _print_systems(summary: "Summary") -> None:
    """Print the solvers of a complete optimizer's systems, one line per assumption set."""
    if not summary.systems:
        print("predicted nothing: none of its systems is priced")
    for place, (name, own) in enumerate(summary.systems.items()):
        solved = ", ".join(f"{solver} {systems}" for solver, systems in own.solved_by.items()) or "none"
        left = f", {own.open} open" if own.open else ""
        taken = f"; predicted {own.predicted_seconds:.3g} s, modelled {own.modelled_seconds:.3g} s"
        print(
            f"{'systems   ' if place == 0 else '          '}under `{name}`: {solved}{left}"
            f"{taken if own.solved_by else ''}"
        )
