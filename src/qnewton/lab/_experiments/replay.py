"""Replay of a saved run's decisions under other hardware, assumptions or policies, without training."""

import dataclasses
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ..._core.status import Verdict
from ..._hardware import ClassicalMachine, ClassicalProfile, load_profile
from ..._pricing.assumptions import AbstractAssumptions
from ..._pricing.fastest import fastest
from ..._pricing.offers import Offers
from ..._scheduling import Hybrid
from .._runfile import Run, SystemLine, read_run
from . import build
from .estimates import seconds_of
from .replay_groups import of_groups
from .replay_prices import Prices, log_kappa
from .replay_records import PIECE, Decision, Piece, Question, Replayed, asked, replayed
from .saved import SavedRun, saved_run
from .workers import Decider, Workers, solve_seconds


def replay(path: Path, question: Question) -> tuple[Run, tuple[Replayed, ...]]:
    """Decide a run anew.

    The systems are the run's: what another choice would have changed about the training (the residual that an iterative
    solver leaves) is not in it. Predictions of an assumption set that the question leaves as it was are taken from the
    file, where they stand with all their digits, so that decisions are those of the run exactly; others are made from
    the estimates in the file. Of a group the file has no estimate, but the seconds of its classical candidates, which
    no quantum machine changes; the least of a quantum candidate follows from the sizes. Where that leaves one candidate
    the decision is known, and otherwise it is open. Of a long run a thousand lines are looked at at a time.

    Args:
        path: of a run.
        question: what is to be different.

    Raises:
        ValueError, OSError: for a run that cannot be read, or a question that makes no sense, or that bounds cannot
            answer.
    """
    run = read_run(path)
    if not run.config.scheduled:
        return run, of_groups(run, question)
    return run, _of_blocks(saved_run(run), question)


def _of_blocks(saved: SavedRun, question: Question) -> tuple[Replayed, ...]:
    own = saved.options.scheduling
    scheduling = asked(own, question)
    classical = saved.classical if question.classical is None else _by_data_sheet(question.classical, saved)
    with jax.enable_x64(saved.options.training.dtype == "float64"):
        hybrid = build.make_hybrid(scheduling, classical)
        workers = build.make_workers(hybrid, saved.calibration.workers)
    same_machines = question.classical is None and (scheduling.hardware, scheduling.gate_time_s) == (
        own.hardware,
        own.gate_time_s,
    )
    quantum = [name for name, one in zip(hybrid.names, hybrid.solvers, strict=True) if one.capabilities.quantum]
    found = []
    for assumed in hybrid.assumptions:
        recorded = assumed.name in own.assumptions and same_machines
        prices = Prices(hybrid, assumed, classical, saved.options.training.dtype, same=question.classical is None)
        blocks = _Blocks(saved, hybrid, workers, assumed, None if recorded else prices)
        found.append(replayed(assumed.name, blocks.pieces, recorded=recorded, quantum=quantum))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class _Blocks:
    """The decisions of one assumption set on the blocks of a run.

    Attributes:
        saved: the run.
        hybrid: the scheduler.
        workers: that the blocks of a step are dealt out to; None where they are solved one after the other.
        assumed: the set.
        prices: predictions that are made anew; None where the recorded ones are taken.
    """

    saved: SavedRun
    hybrid: Hybrid
    workers: Workers | None
    assumed: AbstractAssumptions
    prices: Prices | None

    @property
    def quantum(self) -> np.ndarray:
        """Which candidates are quantum ones."""
        return np.asarray([solver.capabilities.quantum for solver in self.hybrid.solvers])

    def pieces(self) -> Iterator[Piece]:
        """Return them, of a thousand lines at a time."""
        dtype, steps = self.saved.options.training.dtype, iter(self.saved.steps)
        first = self.saved.steps[0]
        rows = sum(line.n for line in first)
        with jax.enable_x64(dtype == "float64"):
            decider = Decider(self.hybrid.policy, self.workers, jnp.asarray([line.n / rows for line in first], dtype))
        begin = 0
        while some := tuple(islice(steps, max(PIECE // len(first), 1))):
            with jax.enable_x64(dtype == "float64"):
                piece = self._decided(some, decider, begin)
            begin += len(some)
            yield piece

    def _decided(self, steps: tuple[tuple[SystemLine, ...], ...], decider: Decider, begin: int) -> Piece:
        """Return the decisions of some steps, the first of which has the number `begin`."""
        quantum, dtype, names, name = (
            self.quantum,
            self.saved.options.training.dtype,
            self.hybrid.names,
            self.assumed.name,
        )
        blocks = list(zip(*steps, strict=True))
        log_kappas = jnp.stack([log_kappa(lines, self.hybrid, dtype) for lines in blocks], axis=1)
        if self.prices is None:
            seconds = [np.stack([seconds_of(line.assumptions[name], names) for line in lines]) for lines in blocks]
        else:
            seconds = [self.prices(lines) for lines in blocks]
        seconds = np.stack(seconds, axis=1)
        as_seen = jnp.asarray(seconds, dtype)
        offers = Offers(names, tuple(quantum.tolist()), as_seen, jnp.isfinite(as_seen), log_kappas)
        choices, verdicts = decider.decide(offers)
        solved = verdicts != Verdict.NOBODY
        best, able = fastest(seconds, np.isfinite(seconds) & ~quantum)
        taken = np.sum(solve_seconds(self.workers, names, seconds, choices, solved, begin))
        alone = np.sum(solve_seconds(self.workers, names, seconds, best, able, begin)) if np.all(able) else np.inf
        decided = tuple(
            Decision(
                line=line,
                steps=1,
                seconds=dict(zip(names, seconds[step, block].tolist(), strict=True)),
                before=line.assumptions.get(name),
                choice=names[choices[step, block]] if solved[step, block] else None,
            )
            for step, lines in enumerate(steps)
            for block, line in enumerate(lines)
        )
        return Piece(decided, float(taken), float(alone))


def _by_data_sheet(name: str, saved: SavedRun) -> ClassicalMachine:
    profile = load_profile(name)
    if not isinstance(profile, ClassicalProfile):
        raise ValueError(f"--classical is {name}, a quantum machine: name it with --hardware")
    return profile.machine([kernel for kernel, _ in saved.classical.kernels], saved.classical.dtype)
