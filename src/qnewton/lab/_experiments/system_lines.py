"""Conversion of plans to lines of `blocks.jsonl`: of the system of a block, and of a group of equal systems."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._core.operators import Path
from ..._core.status import Refusal, Status, Verdict
from ..._curvature import Block, Independence
from ..._optim.stages import BlockInfo
from ..._pricing.fastest import fastest
from ..._pricing.gate_times import at_gate_time, break_even_gate_time
from ..._pricing.offers import Offers
from ..._scheduling import Hybrid, Plan
from ..._scheduling.group_plan import GroupPlan
from ..._solvers.quantum.outcome import Outcome
from .._runfile import OwnLine, SetDecision, SystemLine, group_line
from .estimates import estimated, own_line


def group_lines(step: int, plans: Sequence[GroupPlan], hybrid: Hybrid) -> list[SystemLine]:
    """Return the lines of a step's groups, without those of no systems.

    Args:
        step: its number.
        plans: on the host.
        hybrid: whose plans they are.
    """
    return [_of_group(step, number, plan, hybrid) for number, plan in enumerate(plans) if plan.size[1] > 0]


def _of_group(step: int, number: int, plan: GroupPlan, hybrid: Hybrid) -> SystemLine:
    rows, count, vectors, serves = (int(one) for one in plan.size)
    log_kappa = float(plan.offers.log_condition_number)
    bounds = _bounded(plan, hybrid)
    return group_line(
        step=step,
        block=number,
        name=plan.name,
        size=(rows, count, vectors, serves),
        estimated=bool(plan.estimated),
        log10_condition_number=log_kappa / math.log(10) if plan.estimated and math.isfinite(log_kappa) else None,
        acting=hybrid.assumptions[0].name,
        assumptions={
            assumed.name: _decision(
                hybrid, plan.offers, row, int(plan.choice[row]), int(plan.verdict[row]), bounds=bounds
            )
            for row, assumed in enumerate(hybrid.assumptions)
        },
    )


def _bounded(plan: GroupPlan, hybrid: Hybrid) -> np.ndarray:
    """The candidates whose seconds are a bound: of quantum ones, and of one iteration, where nothing was estimated.

    Of more iterations they are what is expected (`_scheduling.by_shape`).
    """
    iterative = np.array([one.capabilities.iterative for one in hybrid.solvers])
    bounds = np.asarray(plan.offers.quantum) | (iterative & (np.asarray(plan.offers.expected_steps) <= 1))
    # What was estimated was priced by its numbers, for all candidates.
    return bounds & ~np.asarray(plan.estimated)


def block_line(
    step: int, index: int, block: Block, info: BlockInfo, hybrid: Hybrid, gate_times_s: Sequence[float]
) -> SystemLine:
    """Return the line of a block at a step.

    Args:
        step: its number.
        index: number of the block.
        block: of the partition.
        info: what became of it, on the host.
        hybrid: that decided.
        gate_times_s: for which quantum seconds are reported, in seconds.
    """
    plan = info.plan
    assert plan is not None, "the runner always schedules"
    estimate, chosen = plan.estimate, hybrid.solvers[int(plan.choice[0])]
    log10_kappa = float(estimate.log_condition_number) / math.log(10)
    second = None if plan.second is None else float(plan.second.log_condition_number) / math.log(10)
    solved = int(info.status) == Status.OK
    steps = zip(hybrid.names, np.asarray(plan.offers.expected_steps), strict=True)
    executed = info.executed if chosen.execution == "emulated" else None
    return SystemLine(
        step=step,
        block=index,
        name=block.name,
        n=block.n,
        status=Status(int(info.status)).label,
        curvature_path=Path(int(info.path)).name.lower(),
        independence=Independence(int(info.independence)).label,
        iterations=int(info.iterations),
        expected_iterations={name: float(steps) for name, steps in steps if steps > 0},
        damping=float(info.damping),
        damping_scale=float(info.damping_scale),
        reduction_ratio=float(info.reduction_ratio),
        kept_fraction=float(info.kept_fraction),
        perturbation=float(info.perturbation),
        **estimated(plan.estimate),
        condition_number=10**log10_kappa if log10_kappa < 308 else math.inf,
        formed=bool(estimate.formed),
        second_log10_condition_number=second,
        second_condition_number_kind=None if plan.second is None else plan.second.kind.value,
        relative_residual=float(info.relative_residual),
        exact_residual=float(info.exact_residual),
        timed={},
        probe_seconds=None,
        acting=hybrid.assumptions[0].name,
        solver=chosen.name,
        ran=chosen.runs_as if solved else "gradient step",
        execution=chosen.execution if solved else None,
        executed_queries=None if executed is None else float(executed.queries),
        executed_success_probability=None if executed is None else float(executed.success_probability),
        executed_outcome=None if executed is None else Outcome(int(executed.outcome)).label,
        assumptions={
            assumed.name: _decision(
                hybrid, plan.offers, row, int(plan.choice[row]), int(plan.verdict[row]), gate_times_s=gate_times_s
            )
            for row, assumed in enumerate(hybrid.assumptions)
        },
        own=_own(hybrid, plan),
    )


def _own(hybrid: Hybrid, plan: Plan) -> dict[str, OwnLine]:
    sets = [assumed.name for assumed in hybrid.assumptions]
    return {hybrid.names[one.place]: own_line(one, sets) for one in plan.own}


def _decision(
    hybrid: Hybrid,
    offers: Offers,
    row: int,
    choice: int,
    verdict: int,
    *,
    bounds: np.ndarray | None = None,
    gate_times_s: Sequence[float] = (),
) -> SetDecision:
    """The decision of the set of a row.

    Args:
        hybrid: that decided.
        offers: `[sets, candidates]`.
        row: of the set.
        choice: column; -1 where bounds leave it open.
        verdict: a `Verdict`, where they do not.
        bounds: candidates whose seconds are a bound; None: none are.
        gate_times_s: for which quantum seconds are reported.
    """
    names = hybrid.names
    quantum = np.asarray([solver.capabilities.quantum for solver in hybrid.solvers])
    feasible, refusal = np.asarray(offers.feasible[row]), np.asarray(offers.refusal[row])
    # Scheduling is in the dtype of the system; the lines are in float64.
    seconds, fixed = (np.asarray(part[row], np.float64) for part in (offers.seconds, offers.fixed_seconds))
    bounded = np.zeros(len(names), bool) if bounds is None else bounds & np.isfinite(seconds)
    best, able = fastest(seconds, feasible & ~quantum)
    unaided = float(seconds[best]) if able else math.inf
    # Seconds of a quantum solve are a part that no quantum clock scales, and gate times.
    fixed, now = np.where(np.isfinite(seconds), fixed, 0.0), hybrid.quantum.gate_time_s
    word = "open" if choice < 0 else Verdict(verdict).label
    taken = names[choice] if word in ("chosen", "over_budget") else None

    def each(values: Any) -> dict[str, float | None]:
        known = np.asarray(values, np.float64)
        return {names[i]: None if bounded[i] else known_or_none(known[i]) for i in np.flatnonzero(quantum)}

    return SetDecision(
        choice=taken,
        machine=None if taken is None else "quantum" if quantum[choice] else "classical",
        worker=None,
        verdict=word,  # pyright: ignore[reportArgumentType]
        predicted_seconds={name: known_or_none(value) for name, value in zip(names, seconds, strict=True)},
        refused={name: Refusal(int(code)).reason for name, code in zip(names, refusal, strict=True) if code},
        queries=each(offers.queries[row]),
        copies=each(offers.copies[row]),
        success_probability=each(offers.success_probability[row]),
        clamped={names[i]: bool(offers.clamped[row, i]) for i in np.flatnonzero(quantum & ~bounded)},
        break_even_gate_time_s=each(break_even_gate_time(unaided, seconds, fixed, now)),
        predicted_quantum_seconds_by_gate_time={
            names[i]: tuple(
                (gate, known_or_none(at_gate_time(seconds[i], fixed[i], now, gate))) for gate in gate_times_s
            )
            for i in np.flatnonzero(quantum & bool(gate_times_s))
        },
        at_least=tuple(name for name, bound in zip(names, bounded, strict=True) if bound),
    )


def known_or_none(value: float | np.ndarray) -> float | None:
    """Return a number as a line has it: None where it is not finite."""
    return float(value) if math.isfinite(value) else None
