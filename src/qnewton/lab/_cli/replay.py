"""The command `qnewton replay RUN`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from .._experiments.older import present_arguments
from .._experiments.options import AssumptionSet
from .._experiments.parts import part
from .answers import ListedLater, print_json, print_notes

if TYPE_CHECKING:
    from .._experiments.replay_records import Decision, Replayed


@dataclass(frozen=True)
class ReplayCommand:
    """Decide a saved run anew, under other hardware, assumptions or policies, without training again.

    Options that are not given are those of the run; with none given, its decisions are reproduced exactly. All seconds
    are predicted.
    """

    path: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Directory of a run."""
    hardware: str | None = None
    """Quantum profile (`qnewton plan --help` lists them), at its own gate time."""
    gate_time_s: Annotated[float | None, tyro.conf.arg(aliases=["--gate-time"])] = None
    """Seconds of a physical gate of the quantum machine."""
    classical: str | None = None
    """Classical machine by its data sheet, e.g. nvidia-h100-sxm, in the place of the run's calibration."""
    assumptions: tuple[AssumptionSet, ...] | None = None
    """What a quantum solve is charged for; each set decides for itself."""
    policy: str | None = None
    """How predictions become a choice, as `qnewton train` has it: `qnewton parts policy`."""
    json: bool = False
    """Print one JSON object, and nothing else: every decision, by assumption set."""


def replay(arguments: Sequence[str]) -> int:
    """Parse, decide anew and print the result."""
    command = tyro.cli(ReplayCommand, prog="qnewton replay", args=present_arguments(arguments))
    if command.gate_time_s is not None and not 1e-30 <= command.gate_time_s <= 1:
        raise ValueError(f"--gate-time-s is {command.gate_time_s}: it must be a number of seconds from 1e-30 to 1")
    if command.assumptions is not None and len(set(command.assumptions)) < max(len(command.assumptions), 1):
        raise ValueError(f"--assumptions is {' '.join(command.assumptions) or 'empty'}: name each set once, e.g. paper")
    if command.policy is not None:
        part("policy", command.policy, "policy")
    # Only now: the modules behind these imports take a second.
    from .._experiments.replay import replay as decide
    from .._experiments.replay_records import Question
    from .._experiments.saved import train_options
    from .._runfile import read_config

    config = read_config(command.path)
    begun = train_options(command.path, config).scheduling.policy
    question = Question(
        hardware=command.hardware,
        gate_time_s=command.gate_time_s,
        assumptions=command.assumptions,
        classical=command.classical,
        policy=None if command.policy == begun else command.policy,
    )
    run, found = decide(command.path, question)
    print_notes(run.notes, aside=command.json)
    if command.json:
        lists = [ListedLater(_record_of(decision) for decision in one.decisions) for one in found]
        print_json({"sets": [_record(one, listed) for one, listed in zip(found, lists, strict=True)]}, lists)
        return 0
    for one in found:
        _print(one)
    return 0


def _record(one: "Replayed", decisions: ListedLater) -> dict[str, Any]:
    return {
        "assumptions": one.assumed,
        "predictions": "recorded" if one.recorded else "anew",
        "systems": one.total,
        "changed": one.count("changed") if one.compared else None,
        "open": one.count("open"),
        "quantum_share": one.quantum_share,
        "predicted_solve_seconds": one.solve_seconds,
        "predicted_solve_seconds_all_classical": one.classical_seconds,
        "decisions": decisions.mark,
    }


def _record_of(decision: "Decision") -> dict[str, Any]:
    return {
        "step": decision.line.step,
        "steps": decision.steps,
        "block": decision.line.block,
        "name": decision.line.name,
        "rows": decision.line.n,
        "count": decision.line.count,
        "outcome": decision.outcome,
        "before": None if decision.before is None else decision.before.choice,
        "choice": decision.choice,
        "open_among": decision.rivals,
        "predicted_seconds": decision.seconds,
    }


def _print(one: "Replayed") -> None:
    changed, still_open = one.count("changed"), one.count("open")
    if not one.compared:
        compared = "the run had no such set"
    elif changed:
        compared = f"{changed} of {one.total} decisions differ from the run's"
    elif still_open:
        compared = f"{one.total - still_open} of {one.total} decisions are the run's"
    else:
        compared = f"all {one.total} decisions are the run's"
    print(f"{one.assumed}: {compared}{f'; {still_open} are open' if still_open else ''}")
    taken = sorted(one.takers.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{name or 'nobody'} {count}" for name, count in taken)
    print(f"  takes      {shares} (quantum {one.quantum_share:.0%})")
    print(
        f"  predicted  {one.solve_seconds:.3g} s of solves{' that are not open' if still_open else ''}, "
        f"{one.classical_seconds:.3g} s with classical ones alone"
        f"{'' if one.recorded else ' (predictions made anew from what the run recorded)'}"
    )
    if one.of_groups:
        _print_groups(one.decisions)
    elif (first := one.first_changed) is not None:
        line, before = first.line, None if first.before is None else first.before.choice
        now = first.choice or "nobody"
        print(f"  first      step {line.step}, {line.name} (n = {line.n}): {before or 'nobody'} before, {now} now")


def _print_groups(decisions: Iterable["Decision"]) -> None:
    """Print what became of each group, in one entry for all steps in which the same did."""
    found: Counter[tuple[str, str, str]] = Counter()
    for decision in decisions:
        line, took, before = decision.line, decision.choice or "nobody", ""
        if decision.rivals:
            why = "" if line.estimated else ", and the run did not look at it"
            took = f"{' or '.join(decision.rivals)}: only a condition number would tell{why}"
        if decision.outcome == "changed" and decision.before is not None:
            before = f"\n    {decision.before.choice or 'nobody'} before"
        where = f"{line.name} (n = {line.n}, systems: {line.count})"
        found[where, f"{decision.outcome}, {took}", before] += decision.steps
    for (where, what, before), steps in found.items():
        print(f"  {where}, {steps} {'step' if steps == 1 else 'steps'}: {what}{before}")
