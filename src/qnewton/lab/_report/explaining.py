"""Explanation of each block's choice in a step: a saved decision in numbers and words."""

from __future__ import annotations

from ..._core.suggest import unknown
from .._runfile import OwnLine, Run, RunFileError, SetDecision, SystemLine, check_scheduled
from .explain_groups import explain_groups
from .explanation import Bought, Candidate, Explanation


def explain(run: Run, step: int, assumptions: str | None = None, block: str | None = None) -> list[Explanation]:
    """The decisions of one step.

    Args:
        run: as `read_run` has it.
        step: its number; negative ones count from the end.
        assumptions: the set; None: the one that acted.
        block: name or number, of a complete optimizer those of a group; None: all.

    Raises:
        ValueError: for a run without decisions, or a step, set or block that is not there.
    """
    if any(run.groups):
        return explain_groups(run, step, assumptions, block)
    check_scheduled(run.path, run.config)
    numbers = sorted({one.step for one in run.blocks})
    if not numbers:
        raise RunFileError(f"{run.path / 'blocks.jsonl'} holds no whole step: the run ended before its first one")
    wanted = numbers[-1] + 1 + step if step < 0 else step
    if wanted not in numbers:
        raise ValueError(f"--step is {step}: the run has the steps {numbers[0]} to {numbers[-1]}{run.aside}")
    systems = [one for one in run.blocks if one.step == wanted]
    if block is not None:
        names = [one.name for one in systems]
        picked = [one for one in systems if block in (one.name, str(one.block))]
        if not picked:
            raise ValueError(unknown("block", block, names))
        systems = picked
    return [_explain(run, one, assumptions) for one in systems]


def _explain(run: Run, system: SystemLine, assumptions: str | None) -> Explanation:
    chosen_set = system.acting if assumptions is None else assumptions
    if chosen_set not in system.assumptions:
        raise ValueError(
            f"{unknown('assumption set', chosen_set, system.assumptions)} (qnewton replay RUN --assumptions decides "
            "under others)"
        )
    entry = system.assumptions[chosen_set]
    seconds = {name: value for name, value in entry.predicted_seconds.items() if value is not None}
    candidates = tuple(
        sorted(
            (_candidate(name, value, entry) for name, value in entry.predicted_seconds.items()),
            key=lambda one: (one.predicted_seconds is None, one.predicted_seconds or 0.0),
        )
    )
    return Explanation(
        step=system.step,
        block=system.block,
        name=system.name,
        n=system.n,
        assumptions=chosen_set,
        acting=chosen_set == system.acting,
        condition_number=_condition_number(system),
        choice=None if entry.nobody else entry.choice,
        ran=system.ran,
        execution=system.execution,
        executed_outcome=system.executed_outcome,
        status=system.status,
        why=_why(run, entry, seconds),
        candidates=candidates,
        bought=tuple(_bought(name, own, system, entry, chosen_set) for name, own in system.own.items()),
    )


def _bought(name: str, own: OwnLine, system: SystemLine, entry: SetDecision, assumptions: str) -> Bought:
    without = own.without[assumptions]
    return Bought(
        name=name,
        log10_condition_number=(system.log10_condition_number, own.log10_condition_number),
        degree=(system.degree, own.degree),
        queries=(without.queries, entry.queries.get(name, 0.0)),
        predicted_seconds=(without.predicted_seconds, entry.predicted_seconds[name]),
        predicted_conditioning_seconds=own.predicted_conditioning_seconds,
        predicted_estimation_seconds=own.predicted_estimation_seconds,
        bare=own.solver if own.solver in entry.predicted_seconds else None,
    )


def _condition_number(system: SystemLine) -> str:
    kappa, second = system.log10_condition_number, system.second_log10_condition_number
    said = "not known, or infinite" if kappa is None else f"10^{kappa:.2f} ({system.condition_number_kind})"
    if system.second_condition_number_kind is None:
        return said
    beside = "not known, or infinite" if second is None else f"10^{second:.2f} ({system.second_condition_number_kind})"
    return f"{said}, which acts, beside {beside}, which does not"


def _candidate(name: str, seconds: float | None, entry: SetDecision) -> Candidate:
    evidence = "modelled" if name in entry.break_even_gate_time_s else "calibrated"
    reason = entry.refused.get(name)
    if reason is not None:
        return Candidate(name, seconds, evidence, "refused" if seconds is None else "passed over", reason)
    if name == entry.choice:
        return Candidate(name, seconds, evidence, "chosen", "")
    best = entry.predicted_seconds[entry.choice]
    if seconds is None or best is None:
        return Candidate(name, seconds, evidence, "refused", "no prediction")
    if seconds == best:
        return Candidate(name, seconds, evidence, "slower", "as fast, but named later")
    compared = f"{seconds / best:.3g} times as long" if best > 0 else "longer"
    return Candidate(name, seconds, evidence, "slower", compared)


def _policy(run: Run) -> str:
    """As `--policy` names it; up to schema 7 the options of all policies stood in a group of their own."""
    options = run.config.options
    older, scheduling = options.get("policy"), options.get("scheduling")
    if isinstance(older, dict):
        name = str(older.get("policy", "fastest"))
        return f"hysteresis(factor={older.get('hysteresis', 1.25)})" if name == "hysteresis" else name
    return str(scheduling.get("policy", "fastest")) if isinstance(scheduling, dict) else "fastest"


def _why(run: Run, entry: SetDecision, seconds: dict[str, float]) -> str:
    if entry.nobody:
        broken = "; ".join(f"{name}: {reason}" for name, reason in entry.refused.items())
        return f"nobody can take it, so the block took its gradient. {broken}"
    best = seconds[entry.choice]
    rule = _policy(run)
    if rule.startswith("fixed"):
        return "the policy names it for every system"
    if entry.verdict == "over_budget":
        return "no candidate keeps inside the budget, and it is the least expensive"
    if entry.worker is not None:
        return f"dealt to {entry.worker}, so that the last block of the step is done soonest"
    open_to = {name: value for name, value in seconds.items() if name not in entry.refused}
    others = sorted(value for name, value in open_to.items() if name != entry.choice)
    passed = (
        f", after the policy {rule} passed over {len(seconds) - len(open_to)}" if len(open_to) < len(seconds) else ""
    )
    if not others:
        return f"the only one that can take it{passed}"
    if others[0] < best:
        if rule.startswith("hysteresis"):
            return f"its last choice, which the fastest does not beat by the factor of {rule}{passed}"
        return f"chosen by the policy {rule}, though another is faster{passed}"
    if others[0] == best:
        return f"as fast as another, and named first{passed}"
    ahead = f"{others[0] / best:.3g} times ahead of the next" if best > 0 else "predicted to take no time at all"
    return f"the fastest of {len(open_to)}, {ahead}{passed}"
