"""Replay of a complete optimizer's decisions on its groups under other hardware or assumptions, as far as bounds allow.

A group's line has its sizes and the seconds of its classical candidates, which no quantum machine changes; the least of
a quantum candidate follows from the sizes. Where that leaves one candidate the decision is known. Elsewhere a condition
number would have to be, and the run did not look at it.
"""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np

from ..._hardware import ClassicalMachine, QuantumMachine, QuantumProfile, load_profile
from ..._pricing.assumptions import ASSUMPTION_SETS
from ..._pricing.group import Group, bounds
from ..._pricing.need import DUAL_NEED, NEED
from ..._scheduling import Hybrid
from ..._scheduling.families import default_scheduler
from .._runfile import GroupDecision, GroupLine, Run, RunFileError, read_run
from . import build
from .options import SchedulingOptions
from .parts import part
from .replay import Question
from .saved import train_options


@dataclasses.dataclass(frozen=True)
class GroupAnswer:
    """The decision on one group under one assumption set.

    Attributes:
        assumed: the set.
        group: as recorded.
        steps: of the training that it holds for.
        before: what the run says of it under the set; None where it had no such set.
        choice: now; None where nobody can take the systems, and where it is open.
        rivals: candidates among which it is open; otherwise empty.
    """

    assumed: str
    group: GroupLine
    steps: int
    before: GroupDecision | None
    choice: str | None
    rivals: tuple[str, ...]

    @property
    def outcome(self) -> str:
        """`unchanged`, `changed`, `open`, or `new` where there is nothing to compare with."""
        if self.rivals:
            return "open"
        if self.before is None or self.before.verdict == "open":
            return "new"
        return "unchanged" if self.before.choice == self.choice else "changed"


def replay_groups(path: Path, question: Question) -> tuple[Run, tuple[GroupAnswer, ...]]:
    """Decide anew on every group of a run, once for all steps that it is valid for.

    Args:
        path: of a run that has groups.
        question: what is to be different: quantum hardware, its gate time, assumption sets.

    Raises:
        ValueError, OSError: for a run that cannot be read, or a question that bounds cannot answer.
    """
    run = read_run(path)
    if not any(run.groups):
        raise RunFileError(f"{path / 'steps.jsonl'} holds no systems: no step of the run has any that is priced")
    if question.classical is not None:
        raise ValueError(
            f"--classical is {question.classical}: the run recorded what its systems take here, and not what their "
            "factors are, so that no other classical machine can be asked"
        )
    options = train_options(run.path, run.config)
    scheduling = options.scheduling
    if question.policy is not None:
        scheduling = dataclasses.replace(scheduling, policy=question.policy)
    if part("policy", scheduling.policy, "policy").word == "makespan":
        raise ValueError("--policy is makespan, which deals out blocks: the run's systems are chosen for in groups")
    anew = any(one is not None for one in (question.hardware, question.gate_time_s, question.policy))
    counted = Counter(group for groups in run.groups for group in map(_Key, groups))
    sets = question.assumptions or tuple(next(iter(counted)).group.assumptions)
    dtype, machine = options.training.dtype, _machine(question, run, scheduling)
    scheduler = build.named_scheduler(scheduling) or default_scheduler()
    rows = max(sum(group.rows * group.count for group in groups) for groups in run.groups)
    return run, tuple(
        _answer(key.group, steps, name, scheduler, machine, dtype, rows, anew=anew, dual=_dual(run))
        for name in sets
        for key, steps in counted.items()
    )


@dataclasses.dataclass(frozen=True)
class _Key:
    """A line that may hold dictionaries, as a key."""

    group: GroupLine

    def __hash__(self) -> int:
        return hash((self.group.name, self.group.rows, self.group.count))


def _dual(run: Run) -> bool:
    return run.config.family is not None and run.config.family.name == "dual"


def _machine(question: Question, run: Run, scheduling: SchedulingOptions) -> QuantumMachine:
    profile, family = load_profile(scheduling.hardware), run.config.family
    assert isinstance(profile, QuantumProfile), "its options name quantum profiles only"
    recorded = scheduling.gate_time_s if family is None or family.gate_time_s is None else family.gate_time_s
    if question.hardware is not None:
        found = load_profile(question.hardware)
        if not isinstance(found, QuantumProfile):
            raise ValueError(f"--hardware is {question.hardware}, a classical machine: give a quantum profile")
        profile, recorded = found, found.two_qubit_time_s
    return QuantumMachine(recorded if question.gate_time_s is None else question.gate_time_s, profile)


def _answer(
    group: GroupLine,
    steps: int,
    name: str,
    scheduler: Hybrid,
    machine: QuantumMachine,
    dtype: str,
    rows: int,
    *,
    anew: bool,
    dual: bool,
) -> GroupAnswer:
    before = group.assumptions.get(name)
    if before is not None and not anew:
        return GroupAnswer(name, group, steps, before, before.choice, _open(before))
    # Classical seconds are the same under every set.
    recorded = next(iter(group.assumptions.values()))
    least = dict(recorded.predicted_seconds) | quantum_bounds(group, name, scheduler, machine, dtype, dual=dual)
    sure = [one for one in recorded.predicted_seconds if one not in recorded.at_least]
    names = tuple(least)
    seconds = np.asarray([np.inf if value is None else value for value in least.values()])
    most = np.where([one in sure for one in names], seconds, np.inf)
    quantum = [one in recorded.modelled_seconds for one in names]
    share = group.rows * group.count / rows
    rivals = tuple(names[i] for i in scheduler.policy.contenders(names, seconds, most, quantum, share))
    alone = len(rivals) == 1
    return GroupAnswer(name, group, steps, before, rivals[0] if alone else None, () if alone else rivals)


def quantum_bounds(
    group: GroupLine, name: str, scheduler: Hybrid, machine: QuantumMachine, dtype: str, *, dual: bool
) -> dict[str, float | None]:
    """The least modelled seconds of the quantum candidates, over all condition numbers.

    Args:
        group: as recorded.
        name: of the assumption set.
        scheduler: whose candidates they are.
        machine: the modelled one.
        dtype: of the systems.
        dual: whether they are dual systems, which bear another error.
    """
    wanted = next(iter(group.assumptions.values())).modelled_seconds
    solvers = [one for one in scheduler.solvers if one.name in wanted]
    if len(solvers) < len(wanted):
        raise RunFileError(f"{', '.join(wanted)}: not the candidates of the run's own --solvers in config.json")
    power, need = (2, DUAL_NEED) if dual else (1, NEED)
    shape = Group(group.name, (group.rows,), group.count, group.vectors, group.serves, dtype, need, power)
    nowhere = ClassicalMachine("no classical candidate is asked", dtype, ())
    ((least, _),) = bounds([shape], solvers, [ASSUMPTION_SETS[name]], nowhere, machine)
    return {one: float(value) for one, value in zip(least.names, least.seconds[0], strict=True)}


def _open(decision: GroupDecision) -> tuple[str, ...]:
    if decision.verdict != "open":
        return ()
    known = {name: value for name, value in decision.seconds.items() if value is not None}
    sure = min((value for name, value in known.items() if name not in decision.at_least), default=np.inf)
    return tuple(name for name, value in known.items() if value <= sure)
