"""The command `qnewton explain RUN --step K`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .answers import print_json, print_notes

if TYPE_CHECKING:
    from .._report import Bought, Explanation

_MARKS = {"chosen": "->", "slower": "", "passed over": "-", "refused": "x", "open": "?"}


@dataclass(frozen=True)
class ExplainCommand:
    """Print each candidate's prediction for every system of a step, and the reason for the choice."""

    path: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Directory of a run."""
    step: int = 0
    """Which step; -1 is the last one."""
    block: str | None = None
    """Name or number of one block or group; None: all."""
    set: str | None = None
    """Assumption set; None: the one whose choices were carried out."""
    json: bool = False
    """Print one JSON object, and nothing else: the systems of the step."""


def explain(arguments: Sequence[str]) -> int:
    """Parse, read the run and print its decisions."""
    command = tyro.cli(ExplainCommand, prog="qnewton explain", args=arguments)
    from .._report import explain as found_in
    from .._runfile import read_run

    run = read_run(command.path)
    found = found_in(run, command.step, command.set, command.block)
    print_notes(run.notes, aside=command.json)
    if command.json:
        print_json({"systems": [one.record() for one in found]})
        return 0
    for one in found:
        _print(one)
    return 0


def _print(one: "Explanation") -> None:
    from ..._solvers.quantum.outcome import Outcome

    carried = "" if one.acting else ", not carried out"
    print(
        f"step {one.step}, {one.name}: n = {one.n}, condition number {one.condition_number}; {one.assumptions}{carried}"
    )
    nobody = "open" if any(candidate.outcome == "open" for candidate in one.candidates) else "nobody"
    print(f"  {one.choice or nobody}: {one.why}")
    if one.acting and one.execution == "modelled":
        print(f"  execution modelled: {one.ran} ran in its place, only the cost is quantum")
    elif one.acting and one.execution is not None:
        print(f"  execution {one.execution}: {one.ran} left the state that was read out")
    if one.acting and one.executed_outcome not in (None, "solved"):
        print(f"  {one.executed_outcome}: {Outcome[one.executed_outcome.upper()].remedy}")
    if one.acting and one.status not in ("ok", ""):
        print(f"  status {one.status}")
    width = max(len(candidate.name) for candidate in one.candidates)
    for candidate in one.candidates:
        seconds = "-" if candidate.predicted_seconds is None else f"{candidate.predicted_seconds:.3g} s"
        said = f"  {_MARKS[candidate.outcome]:<2} {candidate.name:<{width}}  {seconds:>10}  {candidate.evidence:<10}"
        print(f"{said}  {candidate.why}".rstrip())
    for bought in one.bought:
        _print_bought(bought)


def _print_bought(one: "Bought") -> None:
    """Print the effect of a candidate's own conditioning, before -> after."""

    def pair(values: "tuple[float | None, float | None]", form: str) -> str:
        return " -> ".join("-" if value is None else form.format(value) for value in values)

    paid = one.predicted_conditioning_seconds, one.predicted_estimation_seconds
    print(
        f"  {one.name}, by conditioning of its own: condition number {pair(one.log10_condition_number, '10^{:.2f}')}, "
        f"degree {pair(one.degree, '{}')}, queries {pair(one.queries, '{:.3g}')}"
    )
    print(f"    paid {paid[0]:.3g} s for conditioning and {paid[1]:.3g} s for the estimate, predicted, in its seconds")
    beside = "its solver alone" if one.bare is None else f"the candidate {one.bare}"
    print(f"    {beside} -> it: {pair(one.predicted_seconds, '{:.3g} s')}")
