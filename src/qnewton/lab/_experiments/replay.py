"""Replay of a saved run's decisions under other hardware, assumptions or policies, without training."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._core.costs import Cost
from ..._core.records import SystemEstimate
from ..._core.status import Refusal, Verdict
from ..._hardware import ClassicalMachine, ClassicalProfile, QuantumProfile, load_profile
from ..._pricing.assumptions import AbstractAssumptions
from ..._pricing.fastest import fastest
from ..._pricing.offers import Offers
from ..._pricing.price import Own, classical_workload, price
from ..._scheduling import Hybrid
from ..._scheduling.own_systems import own_workload
from .._runfile import SystemLine
from . import build
from .estimates import seconds_of, stacked_estimate, stacked_own
from .options import SchedulingOptions
from .saved import SavedRun, read_saved
from .workers import decisions, solve_seconds

# What is known of an operator before anything is computed; the file has it as the reason of a refusal.
_STRUCTURAL = {code.reason: code for code in (Refusal.NOT_SYMMETRIC, Refusal.NO_ROOT, Refusal.NO_LAYERS)}


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
class Replayed:
    """The decisions of one assumption set. All seconds are predicted.

    Attributes:
        assumed: the set.
        names: of the candidates.
        before: the run's own choices under the set `[steps, blocks]`, -1 where it could choose nobody; None where the
            run had no such set.
        choices: now, -1 where nobody can be chosen.
        seconds: `[steps, blocks, candidates]`, infinite where the candidate cannot take the system.
        recorded: whether `seconds` are the run's own, to the last digit.
        solve_seconds: of all solves, or of their makespans.
        classical_seconds: the same, if everything had gone to the fastest classical candidate.
        quantum_share: fraction of the systems.
    """

    assumed: str
    names: tuple[str, ...]
    before: np.ndarray | None
    choices: np.ndarray
    seconds: np.ndarray
    recorded: bool
    solve_seconds: float
    classical_seconds: float
    quantum_share: float

    @property
    def changed(self) -> int | None:
        """Number of decisions differ from the run's; None if it had no such set."""
        return None if self.before is None else int(np.sum(self.before != self.choices))


def replay(path: Path, question: Question) -> tuple[SavedRun, tuple[Replayed, ...]]:
    """Decide a run anew.

    The systems are the run's: what another choice would have changed about the training (the residual that an iterative
    solver leaves) is not in it. Predictions of an assumption set that the question leaves as it was are taken from the
    file, where they stand with all their digits, so that decisions are those of the run exactly; others are made from
    the estimates in the file.

    Args:
        path: of a run.
        question: what is to be different.

    Raises:
        ValueError, OSError: for a run that cannot be read, or a question that makes no sense.
    """
    saved = read_saved(path)
    with jax.enable_x64(saved.options.training.dtype == "float64"):
        return saved, _replay(saved, question)


def _replay(saved: SavedRun, question: Question) -> tuple[Replayed, ...]:
    scheduling = _scheduling(saved, question)
    classical = saved.classical if question.classical is None else _by_data_sheet(question.classical, saved)
    hybrid = build.make_hybrid(scheduling, classical)
    workers = build.make_workers(hybrid)
    own = saved.options.scheduling
    same_machines = question.classical is None and (scheduling.hardware, scheduling.gate_time_s) == (
        own.hardware,
        own.gate_time_s,
    )
    quantum = np.asarray([solver.capabilities.quantum for solver in hybrid.solvers])
    dtype, blocks = saved.options.training.dtype, list(zip(*saved.steps, strict=True))
    log_kappa = jnp.stack([_log_kappa(lines, hybrid, dtype) for lines in blocks], axis=1)
    rows = sum(line.n for line in saved.steps[0])
    shares = jnp.asarray([line.n / rows for line in saved.steps[0]], dtype)
    found = []
    for assumed in hybrid.assumptions:
        was = assumed.name in own.assumptions
        recorded = was and same_machines
        seconds = (
            np.stack([_as_recorded(lines, assumed.name, hybrid.names) for lines in blocks], axis=1)
            if recorded
            else np.stack(
                [_anew(lines, hybrid, assumed, classical, dtype, same=question.classical is None) for lines in blocks],
                axis=1,
            )
        )
        as_seen = jnp.asarray(seconds, dtype)
        offers = Offers(hybrid.names, tuple(quantum.tolist()), as_seen, jnp.isfinite(as_seen), log_kappa)
        choices, verdicts = decisions(hybrid.policy, workers, offers, shares)
        solved = verdicts != Verdict.NOBODY
        best, able = fastest(seconds, np.isfinite(seconds) & ~quantum)
        alone = solve_seconds(workers, hybrid.names, seconds, best, able) if np.all(able) else [np.inf]
        found.append(
            Replayed(
                assumed=assumed.name,
                names=hybrid.names,
                before=_choices(saved, assumed.name) if was else None,
                choices=np.where(solved, choices, -1),
                seconds=seconds,
                recorded=recorded,
                solve_seconds=float(np.sum(solve_seconds(workers, hybrid.names, seconds, choices, solved))),
                classical_seconds=float(np.sum(alone)),
                quantum_share=float(np.mean(quantum[choices] & solved)),
            )
        )
    return tuple(found)


def _log_kappa(lines: Sequence[SystemLine], hybrid: Hybrid, dtype: str) -> Array:
    """Return one block's log condition numbers `[steps]`; `[steps, candidates]` with own conditioning."""
    shared = stacked_estimate(lines, dtype).log_condition_number
    own = {name: stacked_own(lines, name, dtype).log_condition_number for name in lines[0].own}
    return jnp.stack([own.get(name, shared) for name in hybrid.names], axis=-1) if own else shared


def _scheduling(saved: SavedRun, question: Question) -> SchedulingOptions:
    own, changes = saved.options.scheduling, {}
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


def _as_recorded(lines: Sequence[SystemLine], assumed: str, names: Sequence[str]) -> np.ndarray:
    return np.stack([seconds_of(line.assumptions[assumed], names) for line in lines])


def _anew(
    lines: Sequence[SystemLine],
    hybrid: Hybrid,
    assumed: AbstractAssumptions,
    classical: ClassicalMachine,
    dtype: str,
    *,
    same: bool,
) -> np.ndarray:
    """One block's predictions `[steps, candidates]`, from its estimates."""
    found = np.zeros((len(lines), len(hybrid.names)))
    # Both are static, and the same in every step of all runs of ours.
    kinds: dict[tuple[bool, tuple[Refusal, ...]], list[int]] = {}
    for position, line in enumerate(lines):
        refused = line.assumptions[line.acting].refused
        known = tuple(_STRUCTURAL.get(refused.get(name, ""), Refusal.NONE) for name in hybrid.names)
        kinds.setdefault((line.formed, known), []).append(position)
    for (formed, refusals), positions in kinds.items():
        mine = [lines[k] for k in positions]
        estimates = stacked_estimate(mine, dtype)
        # The Ritz values are not in the file; what they led to is.
        steps = jnp.asarray(
            [[line.expected_iterations.get(name) or 0 for name in hybrid.names] for line in mine], dtype
        )
        own = {hybrid.names.index(name): _own(mine, name, None if same else classical, dtype) for name in mine[0].own}

        @eqx.filter_jit
        def seconds(
            estimates: SystemEstimate,
            steps: Array,
            own: dict[int, tuple[SystemEstimate, Array]],
            refusals: tuple[Refusal, ...] = refusals,
            formed: bool = formed,
        ) -> Array:
            def one(estimate: SystemEstimate, steps: Array, own: dict[int, tuple[SystemEstimate, Array]]) -> Array:
                # The ratio of what was expected then to what the estimate alone lets expect.
                factors = [
                    jnp.where(taken > 0, taken / classical_workload(solver, estimate).steps, 1)
                    if solver.capabilities.iterative
                    else jnp.ones_like(taken)
                    for solver, taken in zip(hybrid.solvers, steps, strict=True)
                ]
                offers = price(
                    estimate,
                    hybrid.solvers,
                    (assumed,),
                    classical,
                    hybrid.quantum,
                    refusals=refusals,
                    formed=formed,
                    factors=jnp.stack(factors),
                    solves=hybrid.solves,
                    own={place: Own(*system) for place, system in own.items()},
                )
                return offers.seconds[0]

            return jax.vmap(one)(estimates, steps, own)

        found[positions] = np.asarray(seconds(estimates, steps, own), np.float64)
    return found


def _own(
    lines: Sequence[SystemLine], name: str, classical: ClassicalMachine | None, dtype: str
) -> tuple[SystemEstimate, Array]:
    """The systems of a candidate with conditioning of its own, and the seconds of conditioning and estimates.

    As recorded, on the run's own machine (None); on another one as passes over the matrix, all of it.
    """

    def seconds(line: SystemLine) -> float:
        own, forming = line.own[name], line.access
        if classical is None:
            return own.predicted_conditioning_seconds + own.predicted_estimation_seconds
        costs = [
            Cost(own.conditioning_flops, own.conditioning_bytes),
            Cost(own.estimation_flops, own.estimation_bytes),
        ]
        taken = sum(float(classical.seconds(own_workload(cost))) for cost in costs)
        if line.formed:
            return taken
        return taken + 2 * float(classical.seconds(own_workload(Cost(forming.forming_flops, forming.forming_bytes))))

    return stacked_own(lines, name, dtype), jnp.asarray([seconds(line) for line in lines], dtype)


def _choices(saved: SavedRun, assumed: str) -> np.ndarray:
    names = saved.candidates

    def choice(line: SystemLine) -> int:
        entry = line.assumptions[assumed]
        return -1 if entry.verdict == "nobody" else names.index(entry.choice)

    return np.asarray([[choice(line) for line in lines] for lines in saved.steps])
