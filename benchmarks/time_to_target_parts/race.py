"""Tuning on one seed, then the measured runs on fresh seeds, contestants interleaved."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .contestants import Configuration, Contestant, Program
from .problems import Problem, Target

TUNING_SEED = 0


@dataclass
class Trace:
    """What one run came to.

    Attributes:
        hits: target name to (seconds, steps) at the first evaluation that met it.
        ended: `targets met`, `time-out`, `cannot win`, `diverged` or `stopped`.
        last: the last loss.
    """

    hits: dict[str, tuple[float, int]] = field(default_factory=dict)
    ended: str = "time-out"
    seconds: float = 0.0
    steps: int = 0
    last: float = math.inf


@dataclass
class Entry:
    """A contestant on one problem: its programs, its tuning runs and what was chosen.

    Attributes:
        errors: configurations that could not be run, with the reason.
        tuning: the trace of each configuration that could.
        chosen: target name to the index of the configuration measured for it.
        measured: configuration index to the traces of the measured seeds.
    """

    contestant: Contestant
    configurations: Sequence[Configuration]
    programs: dict[str, Program] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    tuning: dict[int, Trace] = field(default_factory=dict)
    chosen: dict[str, int] = field(default_factory=dict)
    measured: dict[int, list[Trace]] = field(default_factory=dict)

    def program(self, problem: Problem, configuration: Configuration) -> Program:
        """The compiled program of a configuration; those with equal static settings share it."""
        key = repr(configuration.static)
        if key not in self.programs:
            self.programs[key] = self.contestant.build(problem, configuration.static)
        return self.programs[key]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def train(
    problem: Problem,
    program: Program,
    configuration: Configuration,
    seed: int,
    targets: Sequence[Target],
    limit: Callable[[Target], float] | None = None,
) -> Trace:
    """One run until every target is met, the time-out, or until no remaining target is worth it.

    Args:
        limit: seconds after which meeting a target is of no interest; by default the time-out.
    """
    limits = {t.name: min(problem.timeout_seconds, limit(t) if limit else math.inf) for t in targets}
    training, trace = program.begin(seed, configuration, max(limits.values())), Trace()
    while True:
        training.advance()
        for params in training.candidates():
            measured = {name: float(value) for name, value in problem.evaluate(params).items()}
            trace.last = measured["loss"]
            for target in targets:
                if target.name not in trace.hits and training.seconds <= limits[target.name] and target.met(measured):
                    trace.hits[target.name] = (training.seconds, training.steps)
        trace.seconds, trace.steps = training.seconds, training.steps
        remaining = [limits[t.name] for t in targets if t.name not in trace.hits]
        if not remaining:
            trace.ended = "targets met"
        elif not np.isfinite(trace.last):
            trace.ended = "diverged"
        elif training.over:
            trace.ended = "stopped"
        elif training.seconds >= problem.timeout_seconds:
            trace.ended = "time-out"
        elif training.seconds >= max(remaining):
            trace.ended = "cannot win"
        else:
            continue
        return trace


def tune(problem: Problem, entry: Entry) -> None:
    """Run every configuration on the tuning seed and choose, for each target, the one that met it first.

    A run ends once it can no longer be the fastest to any target it has not met; that saves time and changes no
    choice. Where no configuration met a target, the one with the lowest last loss is measured for it. Targets for
    information are not tuned for: they get what was chosen for the hardest of the others.
    """
    best: dict[str, float] = {}
    judged = [target for target in problem.targets if target.judged]
    began = time.perf_counter()
    for i, configuration in enumerate(entry.configurations):
        try:
            program = entry.program(problem, configuration)
            trace = train(
                problem,
                program,
                configuration,
                TUNING_SEED,
                judged,
                lambda target: best.get(target.name, math.inf),
            )
        except Exception as error:  # A rival that breaks is recorded, and the race goes on.
            entry.errors[i] = f"{type(error).__name__}: {str(error).strip()[:300]}"
            say(f"  {entry.contestant.name} {configuration.label}: {entry.errors[i]}")
            continue
        entry.tuning[i] = trace
        for name, (seconds, _) in trace.hits.items():
            if seconds < best.get(name, math.inf):
                best[name], entry.chosen[name] = seconds, i
    finite = {i: trace.last if math.isfinite(trace.last) else math.inf for i, trace in entry.tuning.items()}
    for target in judged:
        if target.name not in entry.chosen and finite:
            entry.chosen[target.name] = min(finite, key=lambda i: finite[i])
    for target in problem.targets:
        if not target.judged and finite:
            entry.chosen[target.name] = entry.chosen[judged[-1].name]
    found = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in best.items()) or "no target met"
    say(f"  tuned {entry.contestant.name} in {time.perf_counter() - began:.0f} s: {found}")


def measure(problem: Problem, entries: Sequence[Entry], seeds: Sequence[int]) -> None:
    """Run what was chosen on fresh seeds: all contestants on the first, then all on the next."""
    for seed in seeds:
        for entry in entries:
            for i in sorted(set(entry.chosen.values())):
                targets = [t for t in problem.targets if entry.chosen[t.name] == i]
                configuration = entry.configurations[i]
                program = entry.program(problem, configuration)
                try:
                    trace = train(problem, program, configuration, seed, targets)
                except Exception as error:
                    trace = Trace(ended=f"{type(error).__name__}: {str(error).strip()[:300]}")
                entry.measured.setdefault(i, []).append(trace)
        say(f"  measured seed {seed}")


def run(
    problem: Problem, contestants: Sequence[Contestant], seeds: Sequence[int], configurations: int | None
) -> list[Entry]:
    """Tune and measure every contestant that enters the problem."""
    entries = []
    for contestant in contestants:
        if contestant.missing is None and problem.name in contestant.grid:
            entry = Entry(contestant, contestant.grid[problem.name][:configurations])
            tune(problem, entry)
            entries.append(entry)
    measure(problem, entries, seeds)
    return entries


def describe(entry: Entry) -> dict[str, Any]:
    """Tuning and compilation of a contestant, for the record."""
    return {
        "status": "entered" if entry.tuning else "failed",
        "configurations": len(entry.configurations),
        "errors": [{"configuration": entry.configurations[i].label, "error": e} for i, e in entry.errors.items()],
        "tuning": [
            {
                "configuration": entry.configurations[i].label,
                "seconds_to_target": {name: hit[0] for name, hit in trace.hits.items()},
                "ended": trace.ended,
                "measured_seconds": trace.seconds,
                "steps": trace.steps,
                "last_loss": trace.last if math.isfinite(trace.last) else None,
            }
            for i, trace in entry.tuning.items()
        ],
        "programs": [
            {
                "static": key,
                "measured_compile_seconds": program.compile_seconds,
                "steps_per_chunk": program.steps_per_chunk,
            }
            for key, program in entry.programs.items()
        ],
    }
