"""The command `qnewton breakeven`."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .answers import FigureFormat, print_files, print_json
from .problem_options import (
    AssumptionSet,
    HardwareOptions,
    ProblemOptions,
    hardware_of,
    numbers_of,
    sentence_of,
    sets_of,
)

if TYPE_CHECKING:
    from ..._pricing.breakeven import Question, Variable
    from ..._pricing.equal import BreakevenResult
    from .._runfile import BreakevenFile


@dataclass(frozen=True)
class BreakevenCommand:
    """Find the gate time, logical clock, kappa, d, read-out precision or N that makes quantum equal the best classical.

    Each is varied alone (a tornado chart) and in pairs (maps). Nothing is solved and nothing is measured.
    """

    problem: Annotated[ProblemOptions, tyro.conf.arg(name="")] = field(default_factory=ProblemOptions)
    machines: Annotated[HardwareOptions, tyro.conf.arg(name="")] = field(default_factory=HardwareOptions)
    assumptions: AssumptionSet = "end_to_end"
    """What a quantum solve is charged for."""
    out: Path | None = None
    """Directory for breakeven.json, the tornado and the maps; must not exist or be empty. None: a new one under
    runs/."""
    figures: FigureFormat = "png"
    """Format of the two figures."""
    json: bool = False
    """Print one JSON object, and nothing else: where the files are, and what breakeven.json holds."""


def breakeven(arguments: Sequence[str]) -> int:
    """Parse, sweep, write the files, print the effect of each variable, and print where everything is."""
    command = tyro.cli(BreakevenCommand, prog="qnewton breakeven", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    from ..._pricing.equal import breakeven as solved
    from .._report import write_maps, write_tornado
    from .._runfile import RunDirectory

    numbers, notes = numbers_of(command.problem)
    (chosen,) = sets_of(command.machines, (command.assumptions,))
    result = solved(**numbers, hardware=hardware_of(command.machines), assumptions=chosen)
    assumed, present = (*notes, *result.assumed), result.orders.item()
    if math.isnan(present):
        raise ValueError(f"no formula has a number for this system under {command.assumptions}: see qnewton plan --all")
    (name,) = result.hardware
    title = f"{chosen.name} on {name} against the fastest classical solver: {sentence_of(result.points)}"
    directory = RunDirectory.create(command.out, "breakeven")
    # What is not finite is null in the file, and so it is in the figures.
    record = directory.add("breakeven.json", _record(title, result, assumed))
    files = {"breakeven": directory.path / "breakeven.json"}
    for what, write in (("tornado", write_tornado), ("maps", write_maps)):
        files[what] = directory.path / f"{what}.{command.figures}"
        write(record, files[what])
    if command.json:
        print_json({"files": files, "found": record})
        return 0
    print(title)
    for line in _verdict(record, result.questions[0]):
        print(line)
    for words in assumed:
        print(f"assumed: {words}")
    print_files(files)
    return 0


def _verdict(record: "BreakevenFile", question: "Question") -> Iterator[str]:
    """Print who wins, whether any algorithm helps, and which numbers would make both equal or would not."""
    from ..._pricing.breakeven import bound_orders

    present = record.log10_quantum_over_classical
    yield f"quantum {'loses' if present > 0 else 'wins'} by {abs(present):.1f} orders of magnitude"
    for any_encoding, by in ((True, "whatever the block encoding"), (False, "with any of the set's block encodings")):
        least = float(bound_orders(question, {}, any_encoding=any_encoding))
        if least > 0:
            yield (
                f"no algorithm helps as it is: {by} of the matrix, the queries that any solver needs (block_queries) "
                f"take {10**least:.3g} times the classical seconds"
            )
            break
    equal = [one.sentence for one in record.singles if one.value is not None]
    others = [one.sentence for one in record.singles if one.value is None]
    if equal:
        yield "it would be equal at"
        yield from (f"  {sentence}" for sentence in equal)
    if others:
        yield "nothing else alone makes it equal" if equal else "no single number makes it equal"
        yield from (f"  {sentence}" for sentence in others)


def _record(title: str, result: "BreakevenResult", assumed: Sequence[str]) -> "BreakevenFile":
    from .._runfile import BREAKEVEN_VERSION, BreakevenFile, BreakevenPair, BreakevenSingle

    (question,) = result.questions
    # Copies, since what is popped of `vars` is gone from the object too.
    singles = [dict(vars(one)) for one in result.singles[0]]
    return BreakevenFile(
        schema_version=BREAKEVEN_VERSION,
        question=title,
        assumptions=question.assumed.name,
        hardware=result.hardware[0],
        classical=tuple(host.name for host in question.hosts),
        assumed=tuple(assumed),
        log10_quantum_over_classical=result.orders.item(),
        singles=tuple(BreakevenSingle(**vars(one.pop("variable")), **one) for one in singles),
        pairs=tuple(
            BreakevenPair(
                first=one.first.name,
                second=one.second.name,
                first_label=_axis(one.first),
                second_label=_axis(one.second),
                x=tuple(one.x.tolist()),
                y=tuple(one.y.tolist()),
                orders=tuple(map(tuple, one.orders.tolist())),
            )
            for one in result.maps()
        ),
    )


def _axis(variable: "Variable") -> str:
    return f"{variable.label}, {variable.unit}" if variable.unit else variable.label
