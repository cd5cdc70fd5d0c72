"""Replay of the decisions on the groups of equal systems of a complete optimizer."""

import dataclasses
from collections import Counter
from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from ..._hardware import QuantumMachine, QuantumProfile, load_profile
from ..._scheduling import Hybrid
from ..._scheduling.families import default_scheduler
from .._runfile import Run, SetDecision, SystemLine
from . import build
from .estimates import seconds_of
from .options import SchedulingOptions
from .parts import part
from .replay_prices import quantum_bounds
from .replay_records import PIECE, Decision, Piece, Question, Replayed, asked, replayed
from .saved import train_options


def of_groups(run: Run, question: Question) -> tuple[Replayed, ...]:
    """Decide the groups of a run anew.

    Args:
        run: of a complete optimizer.
        question: what is to be different.

    Raises:
        ValueError: for a question that makes no sense, or that bounds cannot answer.
    """
    lines = run.decided
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
    bounds = _bounds(run, scheduling, options.training.dtype, question)
    first = lines[0]
    quantum = {name for line in first for name in line.assumptions[line.acting].queries}
    return tuple(
        replayed(
            name,
            _Groups(run, name, bounds, anew).pieces,
            recorded=not anew and name in first[0].assumptions,
            quantum=quantum,
        )
        for name in question.assumptions or tuple(first[0].assumptions)
    )


@dataclasses.dataclass(frozen=True)
class _Bounds:
    """What a quantum candidate asks at least, and who chooses by it."""

    scheduler: Hybrid
    machine: QuantumMachine
    dtype: str
    dual: bool
    rows: int

    def decided(self, line: SystemLine, name: str, steps: int) -> Decision:
        """The decision of a set on a group, or that it is open."""
        # Classical seconds are the same under every set.
        recorded = line.assumptions[line.acting]
        machine = {"machine": self.machine, "dtype": self.dtype, "dual": self.dual}
        least = {name: value for name, value in _known(recorded).items() if name not in recorded.queries}
        least |= quantum_bounds(line, name, self.scheduler, **machine)
        names, quantum = tuple(least), [one in recorded.queries for one in least]
        sure = [not modelled and one not in recorded.at_least for one, modelled in zip(names, quantum, strict=True)]
        seconds = np.asarray(list(least.values()))
        most = np.where(sure, seconds, np.inf)
        share = line.n * line.count / self.rows
        rivals = tuple(names[i] for i in self.scheduler.policy.contenders(names, seconds, most, quantum, share))
        choice, left = (rivals[0], ()) if len(rivals) == 1 else (None, rivals)
        return Decision(line, steps, least, line.assumptions.get(name), choice, left)


def _bounds(run: Run, scheduling: SchedulingOptions, dtype: str, question: Question) -> _Bounds:
    family = run.config.family
    recorded = scheduling.gate_time_s if family is None or family.gate_time_s is None else family.gate_time_s
    wanted = asked(dataclasses.replace(scheduling, gate_time_s=recorded), question)
    profile = load_profile(wanted.hardware)
    assert isinstance(profile, QuantumProfile), "its options name quantum profiles only"
    return _Bounds(
        scheduler=build.named_scheduler(scheduling) or default_scheduler(),
        machine=QuantumMachine(wanted.gate_time_s, profile),
        dtype=dtype,
        dual=family is not None and family.name == "dual",
        rows=max(sum(line.n * line.count for line in step) for step in run.decided),
    )


@dataclasses.dataclass(frozen=True)
class _Groups:
    """The decisions of one assumption set on the groups of a run, each once for all steps that it is valid for."""

    run: Run
    name: str
    bounds: _Bounds
    anew: bool

    def pieces(self) -> Iterator[Piece]:
        """Return them, those of a thousand different lines at a time."""
        counted: Counter[_Key] = Counter()
        for step, held in zip(self.run.decided, self.run.held, strict=True):
            for line in step:
                counted[_Key(replace(line, step=0))] += held
            if len(counted) >= PIECE:
                yield self._decided(counted)
                counted.clear()
        if counted:
            yield self._decided(counted)

    def _decided(self, counted: "Counter[_Key]") -> Piece:
        decisions = tuple(self._one(key.line, steps) for key, steps in counted.items())
        taken = (one.steps * one.seconds.get(one.choice, np.nan) for one in decisions if one.choice is not None)
        return Piece(decisions, sum(taken), sum(one.steps * _classical(one) for one in decisions))

    def _one(self, line: SystemLine, steps: int) -> Decision:
        before = line.assumptions.get(self.name)
        if before is not None and not self.anew:
            return Decision(line, steps, _known(before), before, before.choice, before.rivals)
        return self.bounds.decided(line, self.name, steps)


@dataclasses.dataclass(frozen=True)
class _Key:
    """A line that may hold dictionaries, as a key."""

    line: SystemLine

    def __hash__(self) -> int:
        return hash((self.line.name, self.line.n, self.line.count))


def _classical(one: Decision) -> float:
    """The seconds of the fastest classical candidate, of those whose seconds are no bounds."""
    entry = one.line.assumptions[one.line.acting]
    unsure = entry.queries.keys() | set(entry.at_least)
    return min((value for solver, value in one.seconds.items() if solver not in unsure), default=np.inf)


def _known(entry: SetDecision) -> dict[str, float]:
    names = tuple(entry.predicted_seconds)
    return dict(zip(names, seconds_of(entry, names).tolist(), strict=True))
