"""The machines that `--policy makespan` deals blocks out to, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._pricing.offers import Offers
from ..._pricing.policies import AbstractPolicy
from ..._scheduling import Machine, StepSchedule, decide, decide_makespan, schedule_step
from .options import PolicyOptions


@dataclass(frozen=True)
class Workers:
    """Workers that work at once, and when some of them vanish.

    Attributes:
        machines: one per worker.
        gone: worker to the first step that it is not there for.
    """

    machines: tuple[Machine, ...]
    gone: dict[str, int]

    @classmethod
    def of(cls, options: PolicyOptions, names: Sequence[str], quantum: Sequence[bool]) -> "Workers":
        """What the options ask for.

        Args:
            options: checked.
            names: of the candidates.
            quantum: which of them run on a quantum worker.
        """
        classical = tuple(name for name, modelled in zip(names, quantum, strict=True) if not modelled)
        modelled = tuple(name for name in names if name not in classical)
        machines = []
        if classical:
            machines += [Machine(f"classical {k}", classical) for k in range(options.classical_workers)]
        if modelled:
            machines += [
                Machine(f"quantum {k}", modelled, queue_s=options.queue_s, transfer_s=options.transfer_s)
                for k in range(options.quantum_workers)
            ]
        return cls(tuple(machines), vanishing(options.vanish))

    def at(self, step: int) -> tuple[Machine, ...]:
        """Who is there for a step."""
        return tuple(machine for machine in self.machines if step < self.gone.get(machine.name, step + 1))

    def carried_out(
        self, step: int, seconds: np.ndarray, choices: np.ndarray, names: Sequence[str], blocks: Sequence[str]
    ) -> StepSchedule:
        """How long the step's blocks take with the candidates that they were given.

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
                f"--vanish is {word!r}: name a worker and the first step that it is not there for, e.g. 'quantum 0@5'"
            )
        found[name] = int(step)
    return found


def decisions(
    policy: AbstractPolicy, workers: Workers | None, offers: Offers, shares: np.ndarray | Array
) -> tuple[np.ndarray, np.ndarray]:
    """What a training with these predictions would have decided, `[steps, blocks]`: candidates, and a `Verdict` each.

    Args:
        policy: `Assigned()` where there are workers.
        workers: that the blocks are dealt out to; None where the policy decides by itself.
        offers: what was predicted, as of `_scheduling.decide`.
        shares: of the blocks, likewise.
    """
    if workers is not None:
        return decide_makespan(workers.at, offers)
    choice, verdict = decide(policy, offers, jnp.asarray(shares))
    return np.asarray(choice), np.asarray(verdict)


def solve_seconds(
    workers: Workers | None, names: Sequence[str], seconds: np.ndarray, choices: np.ndarray, solved: np.ndarray
) -> np.ndarray:
    """Predicted seconds of each step's solves `[steps]`: their sum, or the makespan where workers share them.

    Args:
        workers: as in `decisions`.
        names: of the candidates.
        seconds: predicted `[steps, blocks, candidates]`.
        choices: `[steps, blocks]`.
        solved: whether somebody was chosen `[steps, blocks]`.
    """
    if workers is None:
        taken = np.take_along_axis(seconds, choices[..., None], axis=-1)[..., 0]
        return np.sum(np.where(solved, taken, 0.0), axis=1)
    given = np.where(solved, choices, -1)
    labels = [f"block {k}" for k in range(seconds.shape[1])]
    return np.asarray(
        [
            workers.carried_out(step, now, mine, names, labels).schedule.makespan_s
            for step, (now, mine) in enumerate(zip(seconds, given, strict=True))
        ]
    )
