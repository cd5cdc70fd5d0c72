"""The machines that the policy `makespan` deals blocks out to, step by step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._core.suggest import unknown
from ..._pricing.offers import Offers
from ..._pricing.policies import AbstractPolicy, Assigned
from ..._scheduling import Machine, StepSchedule, decide, decide_makespan, schedule_step
from .._runfile import WorkerRecord


class Makespan(Assigned):
    """The blocks of a step are dealt out among workers that work at once, so that the last is done soonest.

    A step's predicted seconds are then those of that schedule. Between two steps the host deals the blocks out.

    Attributes:
        classical_workers: each as fast as the calibrated machine.
        quantum_workers: likewise quantum ones.
        queue_s: seconds that a quantum worker waits before its first block of a step.
        transfer_s: seconds that taking a block to a quantum worker, and its solution back, adds.
        vanish: workers that vanish, each with the first step that it is not there for, e.g. 'quantum 0@5'.
    """

    classical_workers: int = eqx.field(static=True, default=1)
    quantum_workers: int = eqx.field(static=True, default=1)
    queue_s: float = eqx.field(static=True, default=0.0)
    transfer_s: float = eqx.field(static=True, default=0.0)
    vanish: tuple[str, ...] = eqx.field(static=True, default=())
    remembers: ClassVar[bool] = True

    def __check_init__(self):
        for name in ("classical_workers", "quantum_workers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it is a number of workers, at least 0")
        for name in ("queue_s", "transfer_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: seconds are finite and at least 0")
        vanishing(self.vanish)


@dataclass(frozen=True)
class Workers:
    """Parallel workers, and the steps at which some of them vanish.

    Attributes:
        machines: one per worker.
        gone: worker to the first step that it is not there for.
    """

    machines: tuple[Machine, ...]
    gone: dict[str, int]

    @classmethod
    def of(
        cls, policy: Makespan, names: Sequence[str], quantum: Sequence[bool], hired: Sequence[WorkerRecord] = ()
    ) -> "Workers":
        """Return the workers of a policy.

        Args:
            policy: that deals blocks out to them.
            names: of the candidates.
            quantum: which of them run on a quantum worker.
            hired: those of `--workers`, as they were when the run began; they take the place of the policy's.

        Raises:
            ValueError: if there is nobody, or nobody would be left.
        """
        classical = tuple(name for name, modelled in zip(names, quantum, strict=True) if not modelled)
        modelled = tuple(name for name in names if name not in classical)
        machines = []
        if hired:
            runs = {True: modelled, False: classical}
            return cls(
                tuple(
                    Machine(one.name, runs[one.quantum], 1, one.slowness, one.wait_seconds, one.transfer_seconds)
                    for one in hired
                    if runs[one.quantum]
                ),
                {},
            )
        if classical:
            machines += [Machine(f"classical {k}", classical) for k in range(policy.classical_workers)]
        if modelled:
            machines += [
                Machine(f"quantum {k}", modelled, queue_s=policy.queue_s, transfer_s=policy.transfer_s)
                for k in range(policy.quantum_workers)
            ]
        made = cls(tuple(machines), vanishing(policy.vanish))
        made.check(policy)
        return made

    def check(self, policy: Makespan) -> None:
        """A step needs somebody who works, whoever has vanished by then.

        Raises:
            ValueError: otherwise.
        """
        names = [machine.name for machine in self.machines]
        if not names:
            raise ValueError(
                f"makespan has no worker for the candidates: classical_workers is {policy.classical_workers} and "
                f"quantum_workers {policy.quantum_workers}; one of them must be at least 1"
            )
        for name in self.gone:
            if name not in names:
                raise ValueError(f"makespan, vanish: {unknown('worker', name, names)}")
        if set(self.gone) == set(names):
            raise ValueError(f"makespan, vanish names every worker ({', '.join(names)}): nobody would be left")

    def at(self, step: int) -> tuple[Machine, ...]:
        """Return the workers that are present in a step."""
        return tuple(machine for machine in self.machines if step < self.gone.get(machine.name, step + 1))

    def carried_out(
        self, step: int, seconds: np.ndarray, choices: np.ndarray, names: Sequence[str], blocks: Sequence[str]
    ) -> StepSchedule:
        """Return the schedule of the step's blocks with their assigned candidates.

        A block whose candidate no worker runs is left out, and the schedule's notes name it.

        Args:
            step: number.
            seconds: predicted in this step `[blocks, candidates]`; not finite where the candidate cannot take it.
            choices: of each block; -1 where nobody solved it.
            names: of the candidates.
            blocks: names.
        """
        mine = np.arange(len(names)) == np.asarray(choices)[:, None]
        return schedule_step(np.where(mine, seconds, np.inf), names, self.at(step), blocks=blocks)


def vanishing(words: Sequence[str]) -> dict[str, int]:
    """Worker to step, from words like `quantum 0@5`.

    Raises:
        ValueError: for a word of another form.
    """
    found = {}
    for word in words:
        name, _, step = word.rpartition("@")
        if not name or not step.isdigit():
            raise ValueError(
                f"vanish is {word!r}: name a worker and the first step that it is not there for, e.g. 'quantum 0@5'"
            )
        found[name] = int(step)
    return found


class Decider:
    """The decisions of a training, some steps at a time."""

    def __init__(self, policy: AbstractPolicy, workers: Workers | None, shares: np.ndarray | Array):
        """Start before the first step.

        Args:
            policy: a `Makespan` where there are workers.
            workers: that the blocks are dealt out to; None where the policy decides by itself.
            shares: of the blocks, as of `_scheduling.decide`.
        """
        self._policy, self._workers, self._shares = policy, workers, jnp.asarray(shares)
        self._last: Array | None = None
        self._before: np.ndarray | None = None
        self._begin = 0

    def decide(self, offers: Offers) -> tuple[np.ndarray, np.ndarray]:
        """Return the decisions of the next steps with these predictions, `[steps, blocks]`: candidates and verdicts."""
        if self._workers is None:
            choice, verdict, self._last = decide(self._policy, offers, self._shares, self._last)
            return np.asarray(choice), np.asarray(verdict)
        found = decide_makespan(self._workers.at, offers, self._begin, self._before)
        self._before, self._begin = np.asarray(offers.seconds[-1]), self._begin + len(offers.seconds)
        return found


def solve_seconds(
    workers: Workers | None,
    names: Sequence[str],
    seconds: np.ndarray,
    choices: np.ndarray,
    solved: np.ndarray,
    begin: int = 0,
) -> np.ndarray:
    """Return the predicted seconds of each step's solves `[steps]`: their sum, or the makespan of shared workers.

    Args:
        workers: as of `Decider`.
        names: of the candidates.
        seconds: predicted `[steps, blocks, candidates]`.
        choices: `[steps, blocks]`.
        solved: whether somebody was chosen `[steps, blocks]`.
        begin: number of the first of these steps.
    """
    if workers is None:
        taken = np.take_along_axis(seconds, choices[..., None], axis=-1)[..., 0]
        return np.sum(np.where(solved, taken, 0.0), axis=1)
    given = np.where(solved, choices, -1)
    labels = [f"block {k}" for k in range(seconds.shape[1])]
    return np.asarray(
        [
            workers.carried_out(step, now, mine, names, labels).schedule.makespan_s
            for step, (now, mine) in enumerate(zip(seconds, given, strict=True), start=begin)
        ]
    )
