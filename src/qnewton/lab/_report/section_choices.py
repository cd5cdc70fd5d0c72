"""Section of the page: who solved the systems, under every assumption set, and what each candidate would take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .._runfile import Run, SetDecision, SetTotals, SystemLine
from . import derive
from .parts import Column, Figures, Part, Section, Table, Text, columns
from .strips import choices_chart
from .units import MISSING, count, number, percent, seconds

_MOST_REFUSALS = 200


def choices_section(run: Run) -> Section:
    """The choices of every assumption set, the executed ones, and the seconds of each candidate."""
    charts = [
        choices_chart(run, index, name)
        for index, name in enumerate(derive.assumption_sets(run))
        if any(name in block.assumptions for block in run.blocks)
    ]
    parts: list[Part | None] = [Figures(charts), _carried_out(run)]
    if run.written.starts:
        last = run.decided[-1]
        parts += [_prices(last), Text(_legend(last), "quiet"), _totals_table(run.totals)]
    return Section("choices", "Who solved what?", [part for part in (*parts, _refusals(run)) if part is not None])


def _carried_out(run: Run) -> Table | None:
    """What ran in the place of each choice; None of groups, of which the run does not say it."""
    solved = [block for block in run.blocks if block.solver is not None and block.ran is not None]
    if not solved:
        return None
    carried = Counter(
        (block.solver, block.assumptions[block.acting].machine or MISSING, block.ran, block.execution)
        for block in solved
    )
    rows = []
    for (solver, machine, ran, execution), systems in sorted(
        carried.items(), key=lambda item: (-item[1], str(item[0]))
    ):
        residuals = derive.spread(
            block.relative_residual
            for block in solved
            if (block.solver, block.ran, block.execution) == (solver, ran, execution)
        )
        rows.append(
            [
                *(solver, machine, ran, execution or MISSING),
                *(count(systems), percent(systems / len(solved))),
                number(residuals.median if residuals else None, 2),
                number(residuals.high if residuals else None, 2),
            ]
        )
    heads = columns(
        *("choice", "machine of the choice", "what ran", "execution", "systems", "share"),
        *("relative residual, median", "relative residual, worst"),
        words=4,
    )
    return Table(f"Choices that were carried out (set {derive.acting_set(run)})", heads, rows)


def _refusals(run: Run) -> Table | None:
    rows = [
        [name, candidate, reason, count(systems)]
        for name in derive.assumption_sets(run)
        for candidate, reason, systems in derive.refusals(run, name)
    ]
    if not rows:
        return None
    heads = [*columns("set", "candidate", words=2), Column("reason", wraps=True), Column("systems")]
    most = _MOST_REFUSALS
    first = f" (first {most} of {len(rows)})" if len(rows) > most else ""
    caption = f"Candidates that could not take a system{first}"
    return Table(caption, heads, rows[:most], folded="Refused candidates", most=8)


def _prices(lines: Sequence[SystemLine]) -> Table:
    """The systems of the last step: who solves them under each set, and the seconds of each candidate."""
    sets = list(lines[0].assumptions)
    heads = [Column("system", words=True)]
    heads += [
        Column(f"solved under {name}{', carried out' if name == lines[0].acting else ''}", words=True) for name in sets
    ]
    priced = _priced(lines)
    for candidate, name in priced:
        clock = "modelled" if candidate in lines[0].assumptions[sets[0]].queries else "predicted"
        heads.append(Column(f"{_short(candidate, lines)}, {clock}{f' under {name}' if name else ''}"))
    rows = [
        [
            line.name,
            *(_choice(line.assumptions[name], lines) for name in sets),
            *(_cell(line.assumptions[name or sets[0]], candidate) for candidate, name in priced),
        ]
        for line in lines
    ]
    return Table(
        "Systems of the last step, and the seconds of each candidate",
        heads,
        rows,
        "predicted",
        folded="Seconds of each candidate",
    )


def _legend(lines: Sequence[SystemLine]) -> str:
    said = [
        "Seconds are of all systems of a row in one step, a set-up shared out over the steps that it serves: predicted "
        "for classical candidates, modelled for quantum ones."
    ]
    entries = [entry for line in lines for entry in line.assumptions.values()]
    if any(entry.at_least for entry in entries):
        said.append("At least: the least over all condition numbers, or steps of an iteration.")
    if any(entry.verdict == "open" for entry in entries):
        said.append(
            "Open: bounds do not tell whether a candidate so bounded would be the fastest, and no condition number was "
            "found, since the set that acted needed none."
        )
    named = {_short(name, lines): name for name in _candidates(lines)}
    said += [f"{short} is {name}." for short, name in named.items() if short != name]
    return " ".join(said)


def _priced(lines: Sequence[SystemLine]) -> list[tuple[str, str]]:
    """Return candidates with the set of a column; "" if all sets agree on all systems."""
    sets, found = list(lines[0].assumptions), []
    for candidate in _candidates(lines):
        same = all(
            _cell(entry, candidate) == _cell(line.assumptions[sets[0]], candidate)
            for line in lines
            for entry in line.assumptions.values()
        )
        found += [(candidate, "")] if same else [(candidate, name) for name in sets]
    return found


def _choice(entry: SetDecision, lines: Sequence[SystemLine]) -> str:
    if entry.choice is not None:
        return _short(entry.choice, lines)
    listed = " or ".join(_short(name, lines) for name in entry.rivals if name in entry.at_least)
    return f"open, perhaps {listed}" if listed else entry.verdict


def _candidates(lines: Sequence[SystemLine]) -> list[str]:
    return list(dict.fromkeys(name for entry in lines[0].assumptions.values() for name in entry.predicted_seconds))


def _short(candidate: str, lines: Sequence[SystemLine]) -> str:
    """Return the name without the variant in parentheses, unless another candidate shares it."""
    short = candidate.partition("(")[0]
    return short if [name.partition("(")[0] for name in _candidates(lines)].count(short) == 1 else candidate


def _cell(entry: SetDecision, candidate: str) -> str:
    value = entry.predicted_seconds.get(candidate)
    if value is None:
        return MISSING
    return f"at least {seconds(value)}" if candidate in entry.at_least else seconds(value)


def _totals_table(totals: dict[str, SetTotals]) -> Table:
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
