"""The command `qnewton explore [RUN|FILE]`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .problem_options import ProblemOptions, problem_of

if TYPE_CHECKING:
    from .._explore.write import Start


@dataclass(frozen=True)
class ExploreCommand:
    """Write a page on which anyone can move the numbers of a system and see who wins, by how much and why.

    It is one file with every formula in it, opens in any browser and fetches nothing. Without a system it opens with
    defaults of its own.
    """

    problem: Annotated[ProblemOptions, tyro.conf.arg(name="")] = field(default_factory=ProblemOptions)
    out: Path = Path("explore.html")
    """File to write; must not exist."""


def explore(arguments: Sequence[str]) -> int:
    """Parse, write the page, and print where it is."""
    command = tyro.cli(ExploreCommand, prog="qnewton explore", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    if command.out.exists():
        raise FileExistsError(f"{command.out} exists, and nothing is ever overwritten: name another file with --out")
    from .._explore.write import write_explorer

    print(f"page: {write_explorer(command.out, _start(command.problem))}")
    return 0


def _start(options: ProblemOptions) -> "Start | None":
    """Return the numbers that the page opens with; None where none was given."""
    if options == ProblemOptions():
        return None
    from .._explore.write import Start

    problem, assumed = problem_of(options)
    given = {
        "n": problem.n,
        "kappa": problem.condition_number,
        "d": problem.degree,
        "epsilon": problem.precision,
        "max_entry": problem.max_entry,
        "frobenius_norm": problem.frobenius_norm,
        "spectral_norm": problem.spectral_norm,
        "solution_norm": problem.solution_norm,
    }
    numbers = {name: float(value) for name, value in given.items() if value is not None}
    settings = {**numbers, "definite": "yes" if problem.definite else "no"}
    return Start(settings, "" if options.source is None else str(options.source), assumed)
