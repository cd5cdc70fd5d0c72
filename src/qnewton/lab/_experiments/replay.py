"""Replay of a saved run's decisions under other hardware, assumptions or policies, without training."""

import dataclasses
from collections import Counter
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from msgspec.structs import replace

from ..._core.status import Verdict
from ..._hardware import ClassicalMachine, ClassicalProfile, QuantumMachine, QuantumProfile, load_profile
from ..._pricing.fastest import fastest
from ..._pricing.offers import Offers
from ..._scheduling import Hybrid
from ..._scheduling.families import default_scheduler
from .._runfile import Run, SetDecision, SystemLine, read_run
from . import build
from .estimates import seconds_of
from .options import SchedulingOptions
from .parts import part
from .replay_prices import log_kappa, prices, quantum_bounds
from .saved import SavedRun, saved_run, train_options
from .workers import decisions, solve_seconds


@dataclasses.dataclass(frozen=True)
class Question:
    """Changes for a replay; None keeps the run's own setting.

    Attributes:
        hardware: quantum profile.
        gate_time_s: of the quantum machine; with another `hardware` and None, that profile's own.
        assumptions: sets.
        classical: classical data-sheet profile, in the place of the run's calibration.
        policy: as `--policy` names it.
    """

    hardware: str | None = None
    gate_time_s: float | None = None
    assumptions: tuple[str, ...] | None = None
    classical: str | None = None
    policy: str | None = None


@dataclasses.dataclass(frozen=True)
class Decision:
    """The decision of one assumption set on the systems of a line.

    Attributes:
        line: as recorded.
        steps: of the training that it holds for.
        seconds: of each candidate; infinite where it cannot take the systems, and of a group perhaps a bound.
        before: what the run says under the set; None where it had no such set.
        choice: now; None where nobody can take the systems, and where it is open.
        rivals: candidates among which bounds leave it open; otherwise empty.
    """

    line: SystemLine
    steps: int
    seconds: dict[str, float]
    before: SetDecision | None
    choice: str | None
    rivals: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """`unchanged`, `changed`, `open`, or `new` where there is nothing to compare with."""
        if self.rivals:
            return "open"
        if self.before is None or self.before.verdict == "open":
            return "new"
        return "unchanged" if self.before.choice == self.choice else "changed"


@dataclasses.dataclass(frozen=True)
class Replayed:
    """The decisions of one assumption set. All seconds are predicted.

    Attributes:
        assumed: the set.
        decisions: on every block of every step, in their order, or on every group once for all steps that it is valid
            for.
        recorded: whether the seconds are the run's own, to the last digit.
        solve_seconds: of all solves, or of their makespans; of open systems none.
        classical_seconds: the same, if everything had gone to the fastest classical candidate.
        quantum_share: fraction of the systems.
    """

    assumed: str
    decisions: tuple[Decision, ...]
    recorded: bool
    solve_seconds: float
    classical_seconds: float
    quantum_share: float

    @property
    def compared(self) -> bool:
        """Whether the run had the set."""
        return any(one.before is not None for one in self.decisions)

    def count(self, outcome: str) -> int:
        """Return the number of decisions, one for each line and step, with that outcome."""
        return sum(one.steps for one in self.decisions if one.outcome == outcome)

    @property
    def total(self) -> int:
        """Number of decisions."""
        return sum(one.steps for one in self.decisions)


def replay(path: Path, question: Question) -> tuple[Run, tuple[Replayed, ...]]:
    """Decide a run anew.

    The systems are the run's: what another choice would have changed about the training (the residual that an iterative
    solver leaves) is not in it. Predictions of an assumption set that the question leaves as it was are taken from the
    file, where they stand with all their digits, so that decisions are those of the run exactly; others are made from
    the estimates in the file. Of a group the file has no estimate, but the seconds of its classical candidates, which
    no quantum machine changes; the least of a quantum candidate follows from the sizes. Where that leaves one candidate
    the decision is known, and otherwise it is open.

    Args:
        path: of a run.
        question: what is to be different.

    Raises:
        ValueError, OSError: for a run that cannot be read, or a question that makes no sense, or that bounds cannot
            answer.
    """
    run = read_run(path)
    if not run.config.scheduled:
        return run, _of_groups(run, question)
    saved = saved_run(run)
    with jax.enable_x64(saved.options.training.dtype == "float64"):
        return run, _of_blocks(saved, question)


def _of_blocks(saved: SavedRun, question: Question) -> tuple[Replayed, ...]:
    own = saved.options.scheduling
    scheduling = _asked(own, question)
    classical = saved.classical if question.classical is None else _by_data_sheet(question.classical, saved)
    hybrid = build.make_hybrid(scheduling, classical)
    workers = build.make_workers(hybrid)
    same_machines = question.classical is None and (scheduling.hardware, scheduling.gate_time_s) == (
        own.hardware,
        own.gate_time_s,
    )
    quantum = np.asarray([solver.capabilities.quantum for solver in hybrid.solvers])
    dtype, blocks, names = saved.options.training.dtype, list(zip(*saved.steps, strict=True)), hybrid.names
    log_kappas = jnp.stack([log_kappa(lines, hybrid, dtype) for lines in blocks], axis=1)
    rows = sum(line.n for line in saved.steps[0])
    shares = jnp.asarray([line.n / rows for line in saved.steps[0]], dtype)
    found = []
    for assumed in hybrid.assumptions:
        recorded = assumed.name in own.assumptions and same_machines

        def recorded_seconds(lines: tuple[SystemLine, ...], name: str = assumed.name) -> np.ndarray:
            return np.stack([seconds_of(line.assumptions[name], names) for line in lines])

        anew = partial(prices, hybrid=hybrid, assumed=assumed, classical=classical, dtype=dtype)
        one_block = recorded_seconds if recorded else partial(anew, same=question.classical is None)
        seconds = np.stack([one_block(lines) for lines in blocks], axis=1)
        as_seen = jnp.asarray(seconds, dtype)
        offers = Offers(names, tuple(quantum.tolist()), as_seen, jnp.isfinite(as_seen), log_kappas)
        choices, verdicts = decisions(hybrid.policy, workers, offers, shares)
        solved = verdicts != Verdict.NOBODY
        best, able = fastest(seconds, np.isfinite(seconds) & ~quantum)
        alone = solve_seconds(workers, names, seconds, best, able) if np.all(able) else [np.inf]
        decided = tuple(
            Decision(
                line=line,
                steps=1,
                seconds=dict(zip(names, seconds[step, block].tolist(), strict=True)),
                before=line.assumptions.get(assumed.name),
                choice=names[choices[step, block]] if solved[step, block] else None,
            )
            for step, lines in enumerate(saved.steps)
            for block, line in enumerate(lines)
        )
        found.append(
            Replayed(
                assumed=assumed.name,
                decisions=decided,
                recorded=recorded,
                solve_seconds=float(np.sum(solve_seconds(workers, names, seconds, choices, solved))),
                classical_seconds=float(np.sum(alone)),
                quantum_share=float(np.mean(quantum[choices] & solved)),
            )
        )
    return tuple(found)


def _of_groups(run: Run, question: Question) -> tuple[Replayed, ...]:
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
    family = run.config.family
    recorded = scheduling.gate_time_s if family is None or family.gate_time_s is None else family.gate_time_s
    asked = _asked(dataclasses.replace(scheduling, gate_time_s=recorded), question)
    profile = load_profile(asked.hardware)
    assert isinstance(profile, QuantumProfile), "its options name quantum profiles only"
    bound = partial(
        quantum_bounds,
        scheduler=build.named_scheduler(scheduling) or default_scheduler(),
        machine=QuantumMachine(asked.gate_time_s, profile),
        dtype=options.training.dtype,
        dual=family is not None and family.name == "dual",
    )
    counted: Counter[_Key] = Counter()
    for step, held in zip(lines, run.held, strict=True):
        for line in step:
            counted[_Key(replace(line, step=0))] += held
    rows = max(sum(line.n * line.count for line in step) for step in lines)
    anew = any(one is not None for one in (question.hardware, question.gate_time_s, question.policy))
    found = []
    for name in question.assumptions or tuple(lines[0][0].assumptions):
        decided = []
        for key, steps in counted.items():
            line, before = key.line, key.line.assumptions.get(name)
            if before is not None and not anew:
                decided.append(Decision(line, steps, _known(before), before, before.choice, before.rivals))
                continue
            least, choice, rivals = _by_bounds(line, bound(line, name), bound.keywords["scheduler"], rows)
            decided.append(Decision(line, steps, least, before, choice, rivals))
        found.append(_summed(name, decided, recorded=not anew and name in lines[0][0].assumptions))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class _Key:
    """A line that may hold dictionaries, as a key."""

    line: SystemLine

    def __hash__(self) -> int:
        return hash((self.line.name, self.line.n, self.line.count))


def _by_bounds(
    line: SystemLine, least_quantum: dict[str, float], scheduler: Hybrid, rows: int
) -> tuple[dict[str, float], str | None, tuple[str, ...]]:
    """Return what each candidate asks at least, the choice, and the rivals where bounds leave it open."""
    # Classical seconds are the same under every set.
    recorded = line.assumptions[line.acting]
    least = {name: value for name, value in _known(recorded).items() if name not in recorded.queries} | least_quantum
    names, quantum = tuple(least), [name in recorded.queries for name in least]
    sure = [not modelled and name not in recorded.at_least for name, modelled in zip(names, quantum, strict=True)]
    seconds = np.asarray(list(least.values()))
    most = np.where(sure, seconds, np.inf)
    share = line.n * line.count / rows
    rivals = tuple(names[i] for i in scheduler.policy.contenders(names, seconds, most, quantum, share))
    return (least, rivals[0], ()) if len(rivals) == 1 else (least, None, rivals)


def _summed(name: str, decided: list[Decision], *, recorded: bool) -> Replayed:
    recorded_as = decided[0].line.assumptions[decided[0].line.acting]
    quantum = recorded_as.queries
    unsure = quantum.keys() | set(recorded_as.at_least)
    classical = [
        one.steps * min((value for solver, value in one.seconds.items() if solver not in unsure), default=np.inf)
        for one in decided
    ]
    systems = sum(one.steps * one.line.count for one in decided)
    to_quantum = sum(one.steps * one.line.count for one in decided if one.choice in quantum)
    return Replayed(
        assumed=name,
        decisions=tuple(decided),
        recorded=recorded,
        solve_seconds=sum(one.steps * one.seconds.get(one.choice, np.nan) for one in decided if one.choice is not None),
        classical_seconds=sum(classical),
        quantum_share=to_quantum / systems,
    )


def _known(entry: SetDecision) -> dict[str, float]:
    names = tuple(entry.predicted_seconds)
    return dict(zip(names, seconds_of(entry, names).tolist(), strict=True))


def _asked(own: SchedulingOptions, question: Question) -> SchedulingOptions:
    changes = {}
    if question.hardware is not None and question.hardware != own.hardware:
        changes["hardware"] = question.hardware
        profile = load_profile(question.hardware)
        if not isinstance(profile, QuantumProfile):
            raise ValueError(
                f"--hardware is {question.hardware}, a classical machine: give a quantum profile, or name it with "
                "--classical"
            )
        changes["gate_time_s"] = profile.two_qubit_time_s
    if question.gate_time_s is not None:
        changes["gate_time_s"] = question.gate_time_s
    if question.assumptions is not None:
        changes["assumptions"] = question.assumptions
    if question.policy is not None:
        changes["policy"] = question.policy
    return dataclasses.replace(own, **changes)


def _by_data_sheet(name: str, saved: SavedRun) -> ClassicalMachine:
    profile = load_profile(name)
    if not isinstance(profile, ClassicalProfile):
        raise ValueError(f"--classical is {name}, a quantum machine: name it with --hardware")
    return profile.machine([kernel for kernel, _ in saved.classical.kernels], saved.classical.dtype)
