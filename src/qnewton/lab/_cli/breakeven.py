"""The command `qnewton breakeven`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .problem_options import AssumptionSet, HardwareOptions, ProblemOptions, machines_of, problem_of, sets_of

if TYPE_CHECKING:
    from ..._pricing.breakeven import Question, Variable
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
    """Directory for breakeven.json, tornado.png and maps.png; must not exist or be empty. None: a new one under
    runs/."""


def breakeven(arguments: Sequence[str]) -> int:
    """Parse, sweep, write the files, print the effect of each variable, and print where everything is."""
    command = tyro.cli(BreakevenCommand, prog="qnewton breakeven", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    from ..._pricing.breakeven import Question, bound_orders, orders
    from .._report import write_maps, write_tornado
    from .._runfile import RunDirectory

    problem, assumed = problem_of(command.problem)
    machines, hosts = machines_of(command.machines)
    if not hosts:
        raise ValueError("--hardware names no classical profile: add one to compare with, e.g. nvidia-h100-sxm")
    (chosen,) = sets_of(command.machines, (command.assumptions,))
    # The machine with the fewest seconds; the hypothetical ones of --gate-time-s come among them.
    questions = [(name, Question(problem, chosen, machine, hosts)) for name, machine in machines]
    found = [float(orders(question, {})) for _, question in questions]
    best = min(range(len(found)), key=lambda i: found[i] if found[i] == found[i] else float("inf"))
    (name, question), present = questions[best], found[best]
    if present != present:
        raise ValueError(f"no formula has a number for this system under {command.assumptions}: see qnewton plan --all")
    title = (
        f"{chosen.name} on {name} against the fastest classical solver: n {problem.numbers.n:g}, "
        f"kappa {problem.condition_number:.4g}, d {problem.numbers.degree:g}, epsilon {problem.precision:g}"
    )
    directory = RunDirectory.create(command.out, "breakeven")
    # What is not finite is null in the file, and so it is in the figures.
    record = directory.add("breakeven.json", _record(title, name, question, present, assumed))
    write_tornado(record, directory.path / "tornado.png")
    write_maps(record, directory.path / "maps.png")
    least = float(bound_orders(question, {}))
    loses = "loses" if present > 0 else "wins"
    print(f"{title}\nquantum {loses} by {abs(present):.1f} orders of magnitude; it would be equal at")
    for one in record.singles:
        print(f"  {one.sentence}")
    if least > 0:
        print(
            "no algorithm helps: whatever the block encoding of the matrix, the queries that any solver needs "
            f"(block_queries) take {10**least:.3g} times the classical seconds"
        )
    for words in assumed:
        print(f"assumed: {words}")
    for file in ("breakeven.json", "tornado.png", "maps.png"):
        print(f"{file.partition('.')[0]}: {directory.path / file}")
    return 0


def _record(title: str, hardware: str, question: "Question", present: float, assumed: Sequence[str]) -> "BreakevenFile":
    from ..._pricing.breakeven import pairs, single, variables
    from .._runfile import BREAKEVEN_VERSION, BreakevenFile, BreakevenPair, BreakevenSingle

    # Copies, since what is popped of `vars` is gone from the object too.
    singles = [dict(vars(single(question, variable))) for variable in variables(question)]
    return BreakevenFile(
        schema_version=BREAKEVEN_VERSION,
        question=title,
        assumptions=question.assumed.name,
        hardware=hardware,
        classical=tuple(host.name for host in question.hosts),
        assumed=tuple(assumed),
        log10_quantum_over_classical=present,
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
            for one in pairs(question)
        ),
    )


def _axis(variable: "Variable") -> str:
    return f"{variable.label}, {variable.unit}" if variable.unit else variable.label
