"""The command `qnewton reproduce NAME`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..._core.suggest import unknown
from .._experiments.reproduce.options import SIZES, Reproduction
from .answers import FigureFormat, print_files, print_json
from .help import HELP, show_help

if TYPE_CHECKING:
    from .._experiments.reproduce.base import Evaluation
    from .._experiments.reproduce.directory import ReproductionDirectory
    from .._report.parts import Answered
    from .._runfile import StepLine, SystemLine

PAGE = "report.html"
_ABOUT = """Reproduce an evaluation of the Q-Newton paper, under its assumptions and end to end, side by side. NAME is
inversion-time, training-time-mlp, training-time-bert, training-time-gpt, kappa-share, gate-times, keep-ratio,
regularisation, or all. --out DIR names the directory, and goes on there; --replot DIR draws its figures again.
--figures pdf writes them as files, too, and --json prints one JSON object."""


@dataclass(frozen=True)
class ReproduceCommand:
    """Reproduce an evaluation of the Q-Newton paper, under its assumptions and end to end, side by side.

    Trainings are ordinary run directories. The same command with the same --out goes on where it was stopped, inside a
    training from its newest checkpoint; what is finished is never done again. `all` makes one page of them all.
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """inversion-time, training-time-mlp, training-time-bert, training-time-gpt, kappa-share, gate-times, keep-ratio,
    regularisation, or all."""
    options: Annotated[Reproduction, tyro.conf.arg(name="")]
    out: Path | None = None
    """Directory of the reproduction, new or of this very one; None: a new one under runs/."""
    replot: Path | None = None
    """Directory of a reproduction: derive its numbers and draw its figures again, and train nothing."""
    figures: FigureFormat | None = None
    """Format in which each figure of the page is also written as a file, into figures/ beside it. None: it is not."""
    json: bool = False
    """Print one JSON object, and nothing else: where the files are, and each question with its answers."""


def reproduce(arguments: Sequence[str]) -> int:
    """Parse, train what is missing, write numbers and page, and print the results."""
    command = _parse(arguments)
    # Only now: `--help` should not wait for jax.
    from .._experiments.reproduce.carry_out import carry_out, check
    from .._experiments.reproduce.directory import ReproductionDirectory
    from .._experiments.reproduce.registry import check_read, chosen_by

    chosen = chosen_by(command.name)
    check_read(command.name, command.options)
    if command.replot is not None:
        return _replot(command, chosen)
    there = command.out is not None and (command.out / "reproduction.json").exists()
    if not there:
        check(chosen, command.options)  # before there is a directory
    directory = ReproductionDirectory.open(command.out, command.name, command.options)
    print(f"{command.name} -> {directory.path}", file=sys.stderr)
    try:
        carry_out(chosen, directory, PieceProgress())
    except KeyboardInterrupt:
        print(
            f"what is finished stays: qnewton reproduce {command.name} ... --out {directory.path} goes on, with the "
            "same options",
            file=sys.stderr,
        )
        raise
    _write(chosen, directory, command)
    return 0


def _parse(arguments: Sequence[str]) -> ReproduceCommand:
    size = "default"
    # The size supplies the defaults that the other options are parsed against, so it is needed before them.
    for position, argument in enumerate(arguments):
        if argument == "--size" and position + 1 < len(arguments):
            size = arguments[position + 1]
        elif argument.startswith("--size="):
            size = argument.partition("=")[2]
    if size not in SIZES:
        raise ValueError(unknown("size", size, SIZES))
    if HELP.intersection(arguments) and show_help(
        "qnewton reproduce NAME", _ABOUT, arguments, SIZES[size], prefixed=True
    ):
        raise SystemExit(0)
    default = ReproduceCommand(name=tyro.MISSING, options=SIZES[size])
    return tyro.cli(ReproduceCommand, prog="qnewton reproduce", args=arguments, default=default)


def _replot(command: ReproduceCommand, chosen: "list[Evaluation]") -> int:
    from .._experiments.reproduce.base import NotThere
    from .._experiments.reproduce.directory import ReproductionDirectory
    from .._experiments.reproduce.registry import ALL

    assert command.replot is not None, "the caller checks"
    if command.out is not None:
        raise ValueError("--out and --replot exclude each other: what is drawn again stays where it is")
    if command.options != SIZES[command.options.size]:
        raise ValueError("--replot takes the options of the directory: omit the others")
    directory = ReproductionDirectory.read(command.replot)
    if directory.name not in (ALL, command.name):
        raise ValueError(
            f"{command.replot} is a reproduction of {directory.name}, not of {command.name}: name that, or another "
            "directory"
        )
    try:
        _write(chosen, directory, command)
    except NotThere as error:
        raise ValueError(
            f"{command.replot}: {error}. qnewton reproduce {directory.name} ... --out {command.replot} goes on"
        ) from None
    return 0


def _write(chosen: "list[Evaluation]", directory: "ReproductionDirectory", command: ReproduceCommand) -> None:
    from .._experiments.reproduce.carry_out import write_numbers
    from .._report import write_reproduction

    files = [file for _, file in write_numbers(chosen, directory)]
    # The page of one figure does not take the place of that of all.
    name = PAGE if len(chosen) > 1 or chosen[0].name == directory.name else f"{chosen[0].name}.html"
    written = write_reproduction(files, directory.path / name, command.figures)
    where = {"numbers": directory.path / "figures", "report": written.page}
    if command.json:
        answers = {"claims": ("claim", written.claims), "found": ("question", written.answers)}
        found = {
            field: [
                {of: asked, "paper": answer.paper, "end_to_end": answer.end_to_end, "besides": answer.besides}
                for asked, answer in entries
            ]
            for field, (of, entries) in answers.items()
        }
        print_json({"files": where, **found})
        return
    if written.claims:
        print("What the paper claims")
        _print_answers(written.claims)
        print()
    _print_answers(written.answers)
    print_files(where)


def _print_answers(entries: "Sequence[tuple[str, Answered]]") -> None:
    for asked, answer in entries:
        print(f"{asked}\n  under paper: {answer.paper}\n  end to end:  {answer.end_to_end}")
        if answer.besides:
            print(f"  {answer.besides}")


class PieceProgress:
    """Progress by piece, one line each; on a terminal its stages and steps meanwhile."""

    @contextmanager
    def piece(self, number: int, total: int, name: str, steps: int) -> Iterator["_Piece"]:
        """Show a piece while it runs."""
        from rich.console import Console

        console = Console(stderr=True)
        head = f"[{number}/{total}] {name}"
        if not console.is_terminal:
            print(f"{head} ...", file=sys.stderr, flush=True)
            yield _Piece(lambda text: None, steps)
            return
        with console.status(head) as status:
            yield _Piece(lambda text: status.update(f"{head}: {text}"), steps)

    def note(self, number: int, total: int, name: str, what: str) -> None:
        """Print a note about a piece."""
        print(f"[{number}/{total}] {name}: {what}", file=sys.stderr, flush=True)

    def done(self, number: int, total: int, name: str, how: str) -> None:
        """Print the end of a piece."""
        print(f"[{number}/{total}] {name}: {how}", file=sys.stderr, flush=True)


class _Piece:
    """Watcher of one training."""

    def __init__(self, show: Callable[[str], None], steps: int):
        self._show, self._steps = show, steps

    def stage(self, what: str) -> None:
        """Print a stage of the preparation."""
        self._show(what)

    def step(self, step: "StepLine", blocks: "Sequence[SystemLine]") -> None:
        """Record a finished step."""
        self._show(f"step {step.step + 1} of {self._steps}, loss {step.loss:.3g}")
