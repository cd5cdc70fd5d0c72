"""The command `qnewton replay RUN`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from .._experiments.older import present_arguments
from .._experiments.options import AssumptionSet
from .._experiments.parts import part
from .answers import print_json, print_notes

if TYPE_CHECKING:
    from .._experiments.replay import Question, Replayed
    from .._experiments.replay_groups import GroupAnswer
    from .._experiments.saved import SavedRun


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
    from .._experiments.replay import Question
    from .._experiments.replay import replay as decide
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
    if config.family is not None and config.family.acting is not None:
        return _of_groups(command, question)
    saved, found = decide(command.path, question)
    print_notes(saved.run.notes, aside=command.json)
    if command.json:
        print_json({"sets": [_record(saved, one) for one in found]})
        return 0
    for one in found:
        _print(saved, one)
    return 0


def _of_groups(command: ReplayCommand, question: "Question") -> int:
    """Replay a complete optimizer's decisions on its groups, as far as bounds determine them."""
    from .._experiments.replay_groups import replay_groups

    run, found = replay_groups(command.path, question)
    print_notes(run.notes, aside=command.json)
    if command.json:
        print_json({"groups": [_group_record(one) for one in found]})
        return 0
    for one in found:
        where = f"{one.assumed}: {one.group.name} (n = {one.group.rows}, systems: {one.group.count})"
        took = one.choice or "nobody"
        if one.rivals:
            why = "" if one.group.estimated else ", and the run did not look at it"
            took = f"{' or '.join(one.rivals)}: only a condition number would tell{why}"
        print(f"{where}, {one.steps} {'step' if one.steps == 1 else 'steps'}: {one.outcome}, {took}")
        if one.outcome == "changed" and one.before is not None:
            print(f"  {one.before.choice or 'nobody'} before")
    return 0


def _group_record(one: "GroupAnswer") -> dict[str, Any]:
    return {
        "assumptions": one.assumed,
        "name": one.group.name,
        "rows": one.group.rows,
        "count": one.group.count,
        "steps": one.steps,
        "outcome": one.outcome,
        "before": None if one.before is None else one.before.choice,
        "choice": one.choice,
        "open_among": one.rivals,
    }


def _record(saved: "SavedRun", one: "Replayed") -> dict[str, Any]:
    def name(index: int) -> str | None:
        return None if index < 0 else one.names[index]

    rows = []
    for step, lines in enumerate(saved.steps):
        for block, line in enumerate(lines):
            rows.append(
                {
                    "step": line.step,
                    "block": line.block,
                    "name": line.name,
                    "before": None if one.before is None else name(int(one.before[step, block])),
                    "choice": name(int(one.choices[step, block])),
                    "predicted_seconds": dict(zip(one.names, one.seconds[step, block].tolist(), strict=True)),
                }
            )
    return {
        "assumptions": one.assumed,
        "predictions": "recorded" if one.recorded else "anew",
        "systems": one.choices.size,
        "changed": one.changed,
        "quantum_share": one.quantum_share,
        "predicted_solve_seconds": one.solve_seconds,
        "predicted_solve_seconds_all_classical": one.classical_seconds,
        "decisions": rows,
    }


def _print(saved: "SavedRun", one: "Replayed") -> None:
    total = one.choices.size
    if one.changed is None:
        compared = "the run had no such set"
    elif one.changed:
        compared = f"{one.changed} of {total} decisions differ from the run's"
    else:
        compared = f"all {total} decisions are the run's"
    print(f"{one.assumed}: {compared}")
    counts = Counter("nobody" if index < 0 else one.names[index] for index in one.choices.ravel())
    shares = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    print(f"  takes      {shares} (quantum {one.quantum_share:.0%})")
    print(
        f"  predicted  {one.solve_seconds:.3g} s of solves, {one.classical_seconds:.3g} s with classical ones alone"
        f"{'' if one.recorded else ' (predictions made anew from the estimates in the run)'}"
    )
    if one.before is None or not one.changed:
        return
    step, block = (int(axis[0]) for axis in (one.before != one.choices).nonzero())
    was, now = (
        "nobody" if index < 0 else one.names[index] for index in (one.before[step, block], one.choices[step, block])
    )
    line = saved.steps[step][block]
    print(f"  first      step {line.step}, {line.name} (n = {line.n}): {was} before, {now} now")
