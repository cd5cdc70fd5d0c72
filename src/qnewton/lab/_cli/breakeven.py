"""`qnewton breakeven`."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from .problem_options import HardwareOptions, ProblemOptions, Set, machines_of, problem_of, sets_of

if TYPE_CHECKING:
    from ..._pricing.breakeven import Pair, Single

SCHEMA_VERSION = 1
"""Of this command's JSON file; docs/run-files.md describes it."""


@dataclass(frozen=True)
class BreakevenCommand:
    """Which gate time, logical clock, kappa, d, read-out precision or N makes quantum equal to the best classical one.

    Each alone (a tornado chart) and in pairs (maps). Nothing is solved and nothing is measured.
    """

    problem: Annotated[ProblemOptions, tyro.conf.arg(name="")] = field(default_factory=ProblemOptions)
    machines: Annotated[HardwareOptions, tyro.conf.arg(name="")] = field(default_factory=HardwareOptions)
    assumptions: Set = "end_to_end"
    """What a quantum solve is charged for."""
    out: Path | None = None
    """Directory for breakeven.json, tornado.png and maps.png; must not exist or be empty. None: a new one under
    runs/."""


def breakeven(arguments: Sequence[str]) -> int:
    """Parse, sweep, write the files, print what each variable alone does, and say where everything is."""
    command = tyro.cli(BreakevenCommand, prog="qnewton breakeven", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    from ..._pricing.breakeven import Question, orders, pairs, present_of, single, variables
    from .._report import write_maps, write_tornado
    from .._runfile import RunDirectory, plain

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
    singles = [single(question, variable) for variable in variables(question)]
    both = pairs(question)
    title = (
        f"{chosen.name} on {name} against the fastest classical solver: n {problem.numbers.n:g}, "
        f"kappa {problem.condition_number:.4g}, d {problem.numbers.degree:g}, epsilon {problem.precision:g}"
    )
    record = plain(
        {
            "schema_version": SCHEMA_VERSION,
            "question": title,
            "assumptions": chosen.name,
            "hardware": name,
            "classical": [host.name for host in hosts],
            "assumed": list(assumed),
            "log10_quantum_over_classical": present,
            "singles": [_single(one) for one in singles],
            "pairs": [_pair(one) for one in both],
        }
    )
    directory = RunDirectory.create(command.out, "breakeven")
    directory.write("breakeven.json", record)
    write_tornado(record["singles"], present, title, directory.path / "tornado.png")
    values = {variable.name: present_of(question, variable) for variable in variables(question)}
    write_maps(record["pairs"], values, title, directory.path / "maps.png")
    loses = "loses" if present > 0 else "wins"
    print(f"{title}\nquantum {loses} by {abs(present):.1f} orders of magnitude; it would be equal at")
    for one in singles:
        print(f"  {one.sentence}")
    for words in assumed:
        print(f"assumed: {words}")
    for file in ("breakeven.json", "tornado.png", "maps.png"):
        print(f"{file.partition('.')[0]}: {directory.path / file}")
    return 0


def _single(one: "Single") -> dict[str, Any]:
    variable = dataclasses.asdict(one.variable)
    rest = {name: getattr(one, name) for name in ("present", "value", "least", "most", "sentence")}
    return {**variable, **rest}


def _pair(one: "Pair") -> dict[str, Any]:
    def label(variable: Any) -> str:
        return f"{variable.label}, {variable.unit}" if variable.unit else variable.label

    return {
        "first": one.first.name,
        "second": one.second.name,
        "first_label": label(one.first),
        "second_label": label(one.second),
        "x": one.x,
        "y": one.y,
        "orders": one.orders,
    }
