"""Conversion of a complete optimizer's plans to lines of the run files."""

import math
from collections.abc import Sequence

import numpy as np

from ..._core.status import Refusal, Verdict
from ..._curvature.network import Coverage
from ..._pricing.need import DUAL_NEED, NEED
from ..._scheduling import Hybrid
from ..._scheduling.group_plan import GroupPlan
from .._runfile import FamilyRecord, GroupDecision, GroupLine


def family_record(name: str, because: str, scheduler: Hybrid | None, coverage: Coverage | None = None) -> FamilyRecord:
    """Return the facts that hold for all systems of a training.

    Args:
        name: of the family.
        because: why it was chosen.
        scheduler: of its systems; None where they are not priced.
        coverage: of its layers; None where it has none.
    """
    total = 1 if coverage is None else coverage.parameters
    layers = {} if coverage is None else {kind: size / total for kind, size in coverage.constructs}
    outside = {} if coverage is None else {reason: size / total for reason, size in coverage.missing}
    if scheduler is None:
        return FamilyRecord(
            name=name,
            because=because,
            acting=None,
            gate_time_s=None,
            relative_error=None,
            layers=layers,
            outside=outside,
        )
    return FamilyRecord(
        name=name,
        because=because,
        acting=scheduler.assumptions[0].name,
        gate_time_s=scheduler.quantum.gate_time_s,
        relative_error=DUAL_NEED if name == "dual" else NEED,
        layers=layers,
        outside=outside,
    )


def group_lines(plans: Sequence[GroupPlan], scheduler: Hybrid) -> tuple[GroupLine, ...]:
    """Return the groups of a step, without those of no systems.

    Args:
        plans: on the host.
        scheduler: whose plans they are.
    """
    return tuple(_line(plan, scheduler) for plan in plans if plan.size[1] > 0)


def _line(plan: GroupPlan, scheduler: Hybrid) -> GroupLine:
    rows, count, vectors, serves = (int(number) for number in plan.size)
    log_kappa = float(plan.offers.log_condition_number)
    return GroupLine(
        name=plan.name,
        rows=rows,
        count=count,
        vectors=vectors,
        serves=serves,
        estimated=bool(plan.estimated),
        log10_condition_number=log_kappa / math.log(10) if plan.estimated and math.isfinite(log_kappa) else None,
        assumptions={
            assumed.name: _decision(plan, scheduler, row) for row, assumed in enumerate(scheduler.assumptions)
        },
    )


def _decision(plan: GroupPlan, scheduler: Hybrid, row: int) -> GroupDecision:
    names, quantum = plan.offers.names, np.asarray(plan.offers.quantum)
    seconds = np.asarray(plan.offers.seconds[row], np.float64)
    refusals = [Refusal(int(code)) for code in plan.offers.refusal[row]]
    # What was estimated was priced by its numbers, for all candidates.
    bounds = _bounded(plan, scheduler) & np.isfinite(seconds) & ~np.asarray(plan.estimated)
    choice = int(plan.choice[row])
    verdict = "open" if choice < 0 else Verdict(int(plan.verdict[row])).label
    named = {name: _known(value) for name, value in zip(names, seconds, strict=True)}
    return GroupDecision(
        choice=names[choice] if verdict in ("chosen", "over_budget") else None,
        verdict=verdict,  # pyright: ignore[reportArgumentType]
        predicted_seconds={name: named[name] for name, modelled in zip(names, quantum, strict=True) if not modelled},
        modelled_seconds={name: named[name] for name, modelled in zip(names, quantum, strict=True) if modelled},
        at_least=tuple(name for name, bound in zip(names, bounds, strict=True) if bound),
        refused={name: code.reason for name, code in zip(names, refusals, strict=True) if code is not Refusal.NONE},
    )


def _bounded(plan: GroupPlan, scheduler: Hybrid) -> np.ndarray:
    """The candidates whose seconds are a bound where nothing was estimated: of quantum ones, and of one iteration.

    Of more iterations they are what is expected (`_scheduling.by_shape`).
    """
    iterative = np.array([one.capabilities.iterative for one in scheduler.solvers])
    return np.asarray(plan.offers.quantum) | (iterative & (np.asarray(plan.offers.expected_steps) <= 1))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
