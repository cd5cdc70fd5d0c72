"""Explanation of the choice for each system of a step: a saved decision in numbers and words."""

from __future__ import annotations

from bisect import bisect_right

from ..._core.status import Refusal
from ..._core.suggest import unknown
from .._runfile import OwnLine, Run, SetDecision, SystemLine
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
    decided, spans = run.decided, run.written
    first, last = spans.firsts[0], spans.untils[-1] - 1
    wanted = last + 1 + step if step < 0 else step
    place = bisect_right(spans.firsts, wanted) - 1
    if place < 0 or wanted >= spans.untils[place]:
        raise ValueError(f"--step is {step}: the run has the steps {first} to {last}{run.aside}")
    systems = decided[place]
    if block is not None:
        names = [one.name for one in systems]
        systems = [one for one in systems if block in (one.name, str(one.block))]
        if not systems:
            raise ValueError(unknown("block", block, names))
    return [_explain(run, wanted, one, assumptions) for one in systems]


def _explain(run: Run, step: int, system: SystemLine, assumptions: str | None) -> Explanation:
    chosen_set = system.acting if assumptions is None else assumptions
    if chosen_set not in system.assumptions:
        raise ValueError(
            f"{unknown('assumption set', chosen_set, system.assumptions)} (qnewton replay RUN --assumptions decides "
            "under others)"
        )
    entry = system.assumptions[chosen_set]
    candidates = tuple(
        sorted(
            (_candidate(name, value, system, entry) for name, value in entry.predicted_seconds.items()),
            key=lambda one: (one.predicted_seconds is None, one.predicted_seconds or 0.0),
        )
    )
    return Explanation(
        step=step,
        block=system.block,
        name=f"{system.name} (systems: {system.count})" if system.group else system.name,
        n=system.n,
        assumptions=chosen_set,
        acting=chosen_set == system.acting,
        condition_number=_condition_number(system),
        choice=entry.choice,
        ran=system.ran or "",
        execution=system.execution,
        executed_outcome=system.executed_outcome,
        status=system.status or "",
        why=_why(_policy(run), system, entry),
        candidates=candidates,
        bought=tuple(_bought(name, own, system, entry, chosen_set) for name, own in system.own.items()),
    )


def _bought(name: str, own: OwnLine, system: SystemLine, entry: SetDecision, assumptions: str) -> Bought:
    without = own.without[assumptions]
    return Bought(
        name=name,
        log10_condition_number=(system.log10_condition_number, own.log10_condition_number),
        degree=(system.degree or 0, own.degree),
        queries=(without.queries, entry.queries.get(name, 0.0)),
        predicted_seconds=(without.predicted_seconds, entry.predicted_seconds[name]),
        predicted_conditioning_seconds=own.predicted_conditioning_seconds,
        predicted_estimation_seconds=own.predicted_estimation_seconds,
        bare=own.solver if own.solver in entry.predicted_seconds else None,
    )


def _condition_number(system: SystemLine) -> str:
    if not system.estimated:
        return "not looked at, since the set that acts does not need it"
    kappa, second = system.log10_condition_number, system.second_log10_condition_number
    kind = "at worst" if system.group else f"({system.condition_number_kind})"
    said = "not known, or infinite" if kappa is None else f"10^{kappa:.2f} {kind}"
    if system.second_condition_number_kind is None:
        return said
    beside = "not known, or infinite" if second is None else f"10^{second:.2f} ({system.second_condition_number_kind})"
    return f"{said}, which acts, beside {beside}, which does not"


def _candidate(name: str, seconds: float | None, system: SystemLine, entry: SetDecision) -> Candidate:
    evidence = "modelled" if name in entry.queries else "predicted" if system.group else "calibrated"
    reason, bounded = entry.refused.get(name), name in entry.at_least
    if seconds is None or (reason is not None and reason != Refusal.UNDERCUT.reason):
        return Candidate(
            name, seconds, evidence, "refused" if seconds is None else "passed over", reason or "no prediction"
        )
    if name == entry.choice:
        return Candidate(name, seconds, evidence, "chosen", "at least this long" if bounded else "")
    best = entry.sure if entry.choice is None else entry.predicted_seconds.get(entry.choice)
    if name in entry.rivals:
        return Candidate(name, seconds, evidence, "open", "at least this long" if bounded else "the fastest sure one")
    if seconds == best:
        return Candidate(name, seconds, evidence, "slower", "as fast, but named later")
    compared = f"{seconds / best:.3g} times as long" if best else "longer"
    return Candidate(name, seconds, evidence, "slower", f"at least {compared}" if bounded else compared)


def _policy(run: Run) -> str:
    """Return the policy as `--policy` names it; up to schema 7 its options stood in a group of their own."""
    options = run.config.options
    older, scheduling = options.get("policy"), options.get("scheduling")
    if isinstance(older, dict):
        name = str(older.get("policy", "fastest"))
        return f"hysteresis(factor={older.get('hysteresis', 1.25)})" if name == "hysteresis" else name
    return str(scheduling.get("policy", "fastest")) if isinstance(scheduling, dict) else "fastest"


def _why(rule: str, system: SystemLine, entry: SetDecision) -> str:
    if entry.verdict == "open":
        return "a bound is below the fastest sure candidate, and only a condition number would tell more"
    if entry.choice is None:
        broken = "; ".join(f"{name}: {reason}" for name, reason in entry.refused.items())
        return f"nobody can take it{'' if system.group else ', so the block took its gradient'}. {broken}"
    seconds = {name: value for name, value in entry.predicted_seconds.items() if value is not None}
    best = seconds.get(entry.choice)
    if rule.startswith("fixed") or best is None:
        return "the policy names it for every system"
    if entry.verdict == "over_budget":
        return "no candidate keeps inside the budget, and it is the least expensive"
    if entry.worker is not None:
        return f"dealt to {entry.worker}, so that the last block of the step is done soonest"
    # Who is undercut lost by seconds, and not by the policy.
    refused = {name for name, reason in entry.refused.items() if reason != Refusal.UNDERCUT.reason}
    others = {name: value for name, value in seconds.items() if name != entry.choice and name not in refused}
    passed_over = len(seconds) - len(others) - 1
    passed = f", after the policy {rule} passed over {passed_over}" if passed_over else ""
    if not others:
        return f"the only one that can take it{passed}"
    following = min(others, key=lambda name: others[name])
    if others[following] < best:
        if rule.startswith("hysteresis"):
            return f"its last choice, which the fastest does not beat by the factor of {rule}{passed}"
        return f"chosen by the policy {rule}, though another is faster{passed}"
    if others[following] == best:
        return f"as fast as another, and named first{passed}"
    ratio = others[following] / best if best > 0 else None
    ahead = "predicted to take no time at all" if ratio is None else f"{ratio:.3g} times ahead of the next"
    return f"the fastest of {len(others) + 1}, {'at least ' if following in entry.at_least else ''}{ahead}{passed}"
