"""Explanation of each group's choice in a complete optimizer's step."""

from __future__ import annotations

from ..._core.status import Refusal
from ..._core.suggest import unknown
from .._runfile import GroupDecision, GroupLine, Run
from .explanation import Candidate, Explanation


def explain_groups(run: Run, step: int, assumptions: str | None, block: str | None) -> list[Explanation]:
    """The decisions of one step that has groups; as `explain` otherwise.

    Args:
        run: with groups in some step.
        step: its number; negative ones count from the end.
        assumptions: the set; None: the one that acted.
        block: name or number of one group; None: all.

    Raises:
        ValueError: for a step, set or group that is not there.
    """
    last = len(run.groups) - 1
    wanted = last + 1 + step if step < 0 else step
    if not 0 <= wanted <= last:
        raise ValueError(f"--step is {step}: the run has the steps 0 to {last}{run.aside}")
    numbered = list(enumerate(run.groups[wanted]))
    if block is not None:
        picked = [(k, group) for k, group in numbered if block in (group.name, str(k))]
        if not picked:
            raise ValueError(unknown("block", block, [group.name for _, group in numbered]))
        numbered = picked
    return [_explain(wanted, k, group, assumptions) for k, group in numbered]


def _explain(step: int, number: int, group: GroupLine, assumptions: str | None) -> Explanation:
    acting = next(iter(group.assumptions))
    name = acting if assumptions is None else assumptions
    if name not in group.assumptions:
        raise ValueError(unknown("assumption set", name, group.assumptions))
    entry = group.assumptions[name]
    kappa = group.log10_condition_number
    said = "not looked at, since the set that acts does not need it"
    if group.estimated:
        said = "not known, or infinite" if kappa is None else f"10^{kappa:.2f} at worst"
    return Explanation(
        step=step,
        block=number,
        name=f"{group.name} (systems: {group.count})",
        n=group.rows,
        assumptions=name,
        acting=name == acting,
        condition_number=said,
        choice=entry.choice,
        ran="",
        execution=None,
        executed_outcome=None,
        status="",
        why=_why(entry),
        candidates=tuple(
            sorted(
                (_candidate(one, value, entry) for one, value in entry.seconds.items()),
                key=lambda one: (one.predicted_seconds is None, one.predicted_seconds or 0.0),
            )
        ),
    )


def _candidate(name: str, seconds: float | None, entry: GroupDecision) -> Candidate:
    evidence = "modelled" if name in entry.modelled_seconds else "predicted"
    reason, bounded = entry.refused.get(name), name in entry.at_least
    if seconds is None:
        return Candidate(name, None, evidence, "refused", reason or "no prediction")
    if name == entry.choice:
        return Candidate(name, seconds, evidence, "chosen", "at least this long" if bounded else "")
    if reason is not None and reason != Refusal.UNDERCUT.reason:
        return Candidate(name, seconds, evidence, "passed over", reason)
    best = _sure(entry) if entry.choice is None else entry.seconds[entry.choice]
    if entry.choice is None and (best is None or seconds <= best):
        return Candidate(name, seconds, evidence, "open", "at least this long" if bounded else "the fastest sure one")
    compared = f"{seconds / best:.3g} times as long" if best else "longer"
    return Candidate(name, seconds, evidence, "slower", f"at least {compared}" if bounded else compared)


def _sure(entry: GroupDecision) -> float | None:
    """Return the least seconds that are not a bound."""
    known = [value for name, value in entry.seconds.items() if value is not None and name not in entry.at_least]
    return min(known, default=None)


def _why(entry: GroupDecision) -> str:
    if entry.verdict == "open":
        return "a bound is below the fastest sure candidate, and only a condition number would tell more"
    if entry.choice is None:
        return "nobody can take the systems"
    best = entry.seconds[entry.choice]
    others = {name: value for name, value in entry.seconds.items() if value is not None and name != entry.choice}
    if not others:
        return "the only one that can take them"
    if best is None:
        return "the policy names it"
    following = min(others, key=lambda name: others[name])
    if others[following] < best:
        return "chosen by the policy, though another is faster"
    ahead = (
        f"{others[following] / best:.3g} times ahead of the next" if best > 0 else "predicted to take no time at all"
    )
    return f"the fastest of {len(others) + 1}, {'at least ' if following in entry.at_least else ''}{ahead}"
