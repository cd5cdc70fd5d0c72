"""Section of the page on the systems of a complete optimizer: each candidate's time, and the chosen solvers."""

from __future__ import annotations

from .._runfile import GroupDecision, GroupLine, GroupTotals, Run, group_totals
from .parts import Column, Part, Section, Table, Text, columns
from .units import MISSING, count, from_log10, percent, seconds


def groups_section(run: Run) -> Section | None:
    """The groups of the last step in one table, and below it the totals of all steps; None for a run without any."""
    groups = run.groups[-1] if run.groups else ()
    totals = group_totals(run.steps)
    if not totals:
        return None
    parts: list[Part] = [Text(_about(run))]
    if groups:
        listing = Table(
            "Systems of a step, and the seconds of each candidate",
            _columns(groups),
            [_row(group, groups) for group in groups],
            "predicted",
            folded="Systems of a step",
        )
        parts += [listing, Text(_legend(groups), "quiet")]
    return Section("groups", "Who solves the systems of a step?", [*parts, _totals_table(totals)])


def _about(run: Run) -> str:
    family = run.config.family
    if family is None:
        return ""
    later = run.steps[1:]
    changed = sum(step.systems is not None for step in later)
    said = [
        f"Family {family.name}" + (f": {family.because}." if family.because else "."),
        f"The table is of the last step; it changed in {changed} of the {len(later)} steps after the first."
        if changed
        else "The table holds for every step.",
    ]
    if family.layers or family.outside:
        said.append(
            f"Layers hold {percent(sum(family.layers.values()), 1)} of the parameters: {_shares(family.layers)}."
            + (f" In no layer, and with a diagonal: {_shares(family.outside)}." if family.outside else "")
        )
    if family.gate_time_s is not None:
        said.append(f"A gate takes {seconds(family.gate_time_s, 2)}.")
    if family.relative_error is not None:
        said.append(
            f"A solve may err by {family.relative_error:g} in the energy norm of the step, at "
            f"{percent(family.relative_error**2, 0)} of the step's predicted decrease; no candidate is asked for more."
        )
    return " ".join(said)


def _shares(parts: dict[str, float]) -> str:
    return "; ".join(f"{name} {percent(share, 1)}" for name, share in parts.items()) or "none"


def _legend(groups: tuple[GroupLine, ...]) -> str:
    said = [
        "Seconds are of all systems of a row in one step, a set-up shared out over the steps that it serves: predicted "
        "for classical candidates, modelled for quantum ones."
    ]
    entries = [entry for group in groups for entry in group.assumptions.values()]
    if any(entry.at_least for entry in entries):
        said.append("At least: the least over all condition numbers, or steps of an iteration.")
    if any(entry.verdict == "open" for entry in entries):
        said.append(
            "Open: bounds do not tell whether a candidate so bounded would be the fastest, and no condition number was "
            "found, since the set that acted needed none."
        )
    named = {_short(name, groups): name for name in _candidates(groups)}
    said += [f"{short} is {name}." for short, name in named.items() if short != name]
    return " ".join(said)


def _columns(groups: tuple[GroupLine, ...]) -> list[Column]:
    found = [
        Column("system", words=True),
        Column("rows × systems"),
        Column("right-hand sides"),
        Column("set-up serves"),
    ]
    if any(group.estimated for group in groups):
        found.append(Column("κ, worst"))
    sets = list(groups[0].assumptions)
    found += [
        Column(f"solved under {name}{', carried out' if place == 0 else ''}", words=True)
        for place, name in enumerate(sets)
    ]
    for candidate, name in _priced(groups):
        clock = "modelled" if candidate in groups[0].assumptions[sets[0]].modelled_seconds else "predicted"
        under = f" under {name}" if name else ""
        found.append(Column(f"{_short(candidate, groups)}, {clock}{under}"))
    return found


def _priced(groups: tuple[GroupLine, ...]) -> list[tuple[str, str]]:
    """Return candidates with the set of a column; "" if all sets agree on all groups."""
    sets = list(groups[0].assumptions)
    found = []
    for candidate in _candidates(groups):
        same = all(
            _cell(entry, candidate) == _cell(group.assumptions[sets[0]], candidate)
            for group in groups
            for entry in group.assumptions.values()
        )
        found += [(candidate, "")] if same else [(candidate, name) for name in sets]
    return found


def _row(group: GroupLine, groups: tuple[GroupLine, ...]) -> list[str]:
    cells = [
        group.name,
        f"{count(group.rows)} × {group.count}",
        str(group.vectors),
        "1 step" if group.serves == 1 else f"{group.serves} steps",
    ]
    if any(one.estimated for one in groups):
        cells.append(from_log10(group.log10_condition_number))
    sets = list(group.assumptions)
    cells += [_choice(entry, groups) for entry in group.assumptions.values()]
    return cells + [_cell(group.assumptions[name or sets[0]], candidate) for candidate, name in _priced(groups)]


def _choice(entry: GroupDecision, groups: tuple[GroupLine, ...]) -> str:
    if entry.choice is not None:
        return _short(entry.choice, groups)
    known = {name: value for name, value in entry.seconds.items() if value is not None}
    sure = min((value for name, value in known.items() if name not in entry.at_least), default=None)
    perhaps = [name for name in entry.at_least if name in known and (sure is None or known[name] < sure)]
    listed = " or ".join(_short(name, groups) for name in perhaps)
    return f"open, perhaps {listed}" if entry.verdict == "open" and listed else entry.verdict


def _candidates(groups: tuple[GroupLine, ...]) -> list[str]:
    return list(next(iter(groups[0].assumptions.values())).seconds)


def _short(candidate: str, groups: tuple[GroupLine, ...]) -> str:
    """Return the name without the variant in parentheses, unless another candidate shares it."""
    short = candidate.partition("(")[0]
    return short if [name.partition("(")[0] for name in _candidates(groups)].count(short) == 1 else candidate


def _cell(entry: GroupDecision, candidate: str) -> str:
    value = entry.seconds.get(candidate)
    if value is None:
        return MISSING
    return f"at least {seconds(value)}" if candidate in entry.at_least else seconds(value)


def _totals_table(totals: dict[str, GroupTotals]) -> Table:
    rows = [
        [
            name if place else f"{name}, carried out",
            ", ".join(f"{solver} {count(systems)}" for solver, systems in own.solved_by.items()) or "none",
            count(own.open),
            # A sum over nothing would read as free.
            *(seconds(value if own.solved_by else None) for value in (own.predicted_seconds, own.modelled_seconds)),
        ]
        for place, (name, own) in enumerate(totals.items())
    ]
    heads = columns(
        *("set", "systems solved by", "systems left open"),
        *("predicted seconds, classical candidates", "modelled seconds, quantum candidates"),
        words=2,
    )
    return Table("All steps; open systems are in no sum", heads, rows, "predicted")
