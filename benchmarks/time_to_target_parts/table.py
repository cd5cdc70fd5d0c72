"""From traces to the figures per problem and target: medians, bounds, and speed-ups."""

import statistics
from collections.abc import Sequence
from typing import Any

from .contestants import Contestant
from .problems import Problem, Target
from .race import Entry, describe


def figure(problem: Problem, entry: Entry, target: Target) -> dict[str, Any] | None:
    """One contestant's median time and steps to one target; a seed that missed counts with the time-out."""
    if target.name not in entry.chosen:
        return None
    i = entry.chosen[target.name]
    configuration, traces = entry.configurations[i], entry.measured[i]
    hits = [trace.hits.get(target.name) for trace in traces]
    seconds = statistics.median(hit[0] if hit else problem.timeout_seconds for hit in hits)
    reached = sum(hit is not None for hit in hits)
    # More than half must have met it, or the median is a time-out.
    bound = 2 * reached <= len(hits)
    compile_seconds = entry.program(problem, configuration).compile_seconds
    return {
        "seconds": seconds,
        "steps": statistics.median_low(
            [hit[1] if hit else trace.steps for hit, trace in zip(hits, traces, strict=True)]
        ),
        "cold_seconds": seconds + compile_seconds,
        "measured_compile_seconds": compile_seconds,
        "bound": bound,
        "reached": reached,
        "seeds": len(hits),
        "seconds_of_seeds": [hit[0] if hit else None for hit in hits],
        "configuration": configuration.label,
        "family": entry.contestant.family,
        "ours": entry.contestant.ours,
    }


def compare(figures: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
    """Our best contestant against the best other, and against the best of each family, by `seconds` or `cold_seconds`.

    `bound` says what the ratio is: `lower` where the best other missed the target, `upper` where ours did, `none` where
    both did (then the ratio says nothing).
    """
    ours = {name: f for name, f in figures.items() if f["ours"]}
    others = {name: f for name, f in figures.items() if not f["ours"]}
    if not ours or not others:
        return {"speedup_vs_best_other": None}

    def best(group: dict[str, dict[str, Any]]) -> str:
        # What met the target comes before what did not, whatever the clocks say.
        return min(group, key=lambda name: (group[name]["bound"], group[name][key]))

    mine, other = best(ours), best(others)
    kind = {(False, False): False, (False, True): "lower", (True, False): "upper", (True, True): "none"}
    families = {f["family"] for f in others.values()}
    by_family = {}
    for family in sorted(families):
        rival = best({name: f for name, f in others.items() if f["family"] == family})
        by_family[family] = {
            "other": rival,
            "speedup": others[rival][key] / ours[mine][key],
            "bound": kind[ours[mine]["bound"], others[rival]["bound"]],
        }
    return {
        "ours": mine,
        "best_other": other,
        "speedup_vs_best_other": others[other][key] / ours[mine][key],
        "bound": kind[ours[mine]["bound"], others[other]["bound"]],
        "speedup_of_each": {name: others[other][key] / f[key] for name, f in ours.items()},
        "speedup_vs_best_of_family": by_family,
    }


def tabulate(problem: Problem, entries: Sequence[Entry], contestants: Sequence[Contestant]) -> dict[str, Any]:
    """Everything about one problem."""
    targets = {}
    for target in problem.targets:
        found = {entry.contestant.name: figure(problem, entry, target) for entry in entries}
        figures = {name: f for name, f in found.items() if f is not None}
        targets[target.name] = {
            "quantity": target.quantity,
            "value": target.value,
            "for_information": not target.judged,
            "optimizers": figures,
            **compare(figures, "seconds"),
            "cold": compare(figures, "cold_seconds"),
        }
    entered = {entry.contestant.name: describe(entry) for entry in entries}
    absent = {
        contestant.name: {"status": contestant.missing or f"not entered: {contestant.reason}"}
        for contestant in contestants
        if contestant.name not in entered
    }
    return {
        "description": problem.description,
        "timeout_seconds": problem.timeout_seconds,
        "granularity_seconds": problem.granularity_seconds,
        "targets": targets,
        "contestants": {**entered, **absent},
    }


def lines(name: str, result: dict[str, Any]) -> list[str]:
    """The same as text, seconds and steps, for whoever watches."""
    text = [f"{name}: seconds/steps (> where missed within the time-out)"]
    targets = result["targets"]
    text.append(" ".join([f"{'':22}", *(f"{target:>18}" for target in targets), f"{'compile':>9}"]))
    for contestant in result["contestants"]:
        cells, compile_seconds = [], None
        for target in targets.values():
            figure = target["optimizers"].get(contestant)
            if figure is None:
                cells.append(f"{'-':>18}")
                continue
            compile_seconds = figure["measured_compile_seconds"]
            cells.append(f"{'>' if figure['bound'] else ''}{figure['seconds']:.3f}/{figure['steps']}".rjust(18))
        if compile_seconds is None:
            cells.append(f"  {result['contestants'][contestant]['status']}")
        else:
            cells.append(f"{compile_seconds:9.2f}")
        text.append(" ".join([f"{contestant:22}", *cells]))
    ratios = [t["speedup_vs_best_other"] for t in targets.values()]
    text.append(" ".join([f"{'ours vs best other':22}", *(f"{'-' if r is None else f'{r:.2f}x':>18}" for r in ratios)]))
    return text
