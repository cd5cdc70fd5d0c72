"""The page and the tables of `qnewton compare`, from `compare.json` alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import asdict

from .._runfile.comparison import ComparedMethod, ComparisonFile, SeedSpread, TargetRecord, TrialRecord
from .comparison_figures import CLOCKS, QUANTITIES, curve_charts, race_chart
from .parts import Column, Figures, Listing, Page, Section, Table, columns
from .render import write_page
from .units import MISSING, count, number, percent, seconds

_OPTIONS = {"learning_rate": "rate", "damping_scale": "damping scale", "memory": "memory"}


def write_comparison(found: ComparisonFile, directory: Path, figures: str | None = None) -> Path:
    """Write `compare.html`: main results, curves, tables, and provenance.

    Args:
        found: the content of `compare.json`.
        directory: of the comparison.
        figures: as of `write_report`.

    Returns:
        The path of the page. It fetches nothing and runs no script.
    """
    options, model = found.options, found.model
    title = f"{options['task']}: {len(found.methods)} optimizers at equal tuning effort"
    page = Page(
        tab=f"qnewton compare: {title}",
        title=title,
        about=f"{model.description} ({count(model.parameters)} parameters); {found.data.description}",
        parts=comparison_sections(found),
        facts=_facts(found),
    )
    return write_page(page, directory / "compare.html", figures)


def comparison_tables(found: ComparisonFile) -> list[Table]:
    """Return the tables: the results of each method, and the seconds to each target."""
    return [_reached(found), *(_to_target(found, target) for target in found.targets)]


def comparison_notes(found: ComparisonFile) -> list[str]:
    """Return notes on how to read the numbers."""
    options = found.options
    budget = f"{options['steps']} steps"
    if options["seconds"] is not None:
        budget = f"{options['seconds']:g} measured seconds (and {options['least_steps']} steps at least)"
    counts = {len(method.trials) for method in found.methods if method.tuned is not None}
    trials = " to ".join(str(count) for count in sorted({min(counts), max(counts)})) if counts else "no"
    notes = [
        f"Effort: {trials} trials of {budget} for every tuned method, on seed {options['tuning_seed']}, judged by the "
        f"lowest held-out loss; then {len(options['seeds'])} seeds of {budget}. Medians, least and greatest in "
        "brackets; losses and accuracies are held-out ones, at the end but for the least loss. The same held-out data "
        "choose and judge, for everyone.",
        "Measured seconds: wall clock of the steps that ran, without compilation and evaluation. Modelled seconds: "
        "predicted from one calibration of this machine, and for a quantum solve what the assumption set charges. "
        "Of a method that nothing is predicted for (*) they are the measured ones.",
    ]
    for method in found.methods:
        if method.steps_of is not None:
            other = next(m.label for m in found.methods if m.name == method.steps_of)
            notes.append(
                f"{method.label} was not run: its seconds are predicted for the steps that {other} took, since a "
                f"dense solve of {found.model.rows:,} rows takes too long here."
            )
        if method.on_the_edge:
            notes.append(f"{method.label}: the best value still lies on the edge of what was tried.")
        if method.summary.diverged:
            notes.append(f"{method.label}: {method.summary.diverged} of its seeds diverged.")
        if method.note:
            notes.append(f"{method.label}: {method.note}.")
    shares = [
        (name, share.median)
        for method in found.methods
        if method.name == "hybrid"
        for name, share in method.summary.quantum_share.items()
        if share is not None
    ]
    if shares:
        given = ", ".join(f"{percent(share, 0)} under {name}" for name, share in shares)
        notes.append(f"hybrid Newton gave to the quantum solver: {given} (execution modelled: a classical solve ran).")
    notes += [f"{name} is left out: {reason}." for name, reason in found.left_out.items()]
    return notes


def _reached(found: ComparisonFile) -> Table:
    judged = any(method.summary.test_accuracy is not None for method in found.methods)
    heads = ["method", "tuned", "steps", "least loss", "last loss"]
    heads += ["accuracy"] if judged else []
    heads += ["measured", *(f"modelled, {name}" for name in found.assumptions)]
    rows = []
    for method in found.methods:
        summary = method.summary
        row = [
            _label(method),
            _tuned(method),
            _median(summary.steps, lambda value: f"{value:.0f}"),
            _spread(summary.lowest_test_loss, number),
            _median(summary.test_loss, number),
        ]
        row += [_spread(summary.test_accuracy, lambda value: f"{value:.3f}")] if judged else []
        row.append(_median(summary.measured_seconds, seconds) if method.measured else "not run")
        row += [_median(summary.modelled_seconds[name], seconds) for name in found.assumptions]
        rows.append(row)
    return Table("What everyone reached", columns(*heads), rows)


def _to_target(found: ComparisonFile, target: TargetRecord) -> Table:
    heads = ["method", "reached", "steps", "measured", *(f"modelled, {name}" for name in found.assumptions)]
    rows = []
    for entry in target.methods:
        method = next(method for method in found.methods if method.name == entry.name)
        late = "not reached"
        rows.append(
            [
                _label(method),
                f"{entry.reached} of {entry.of}",
                late if entry.steps is None else f"{entry.steps:.0f}",
                "not run" if not method.measured else _or(entry.measured_seconds, late),
                *(_or(entry.modelled_seconds[name], late) for name in found.assumptions),
            ]
        )
    return Table(_title(target), columns(*heads), rows)


def _title(target: TargetRecord) -> str:
    what, sign = QUANTITIES[target.quantity], ">=" if target.quantity == "test_accuracy" else "<="
    return f"To {what} {sign} {target.value:g} ({target.source})"


def _label(method: ComparedMethod) -> str:
    return method.label if method.predicted else f"{method.label} *"


def _tuned(method: ComparedMethod) -> str:
    return "untuned" if method.tuned is None else f"{_OPTIONS[method.tuned]} {method.value:g}"


def _spread(spread: SeedSpread | None, shown: Callable[[float], str]) -> str:
    if spread is None:
        return MISSING
    if spread.least == spread.greatest:
        return shown(spread.median)
    return f"{shown(spread.median)} ({shown(spread.least)}-{shown(spread.greatest)})"


def _median(spread: SeedSpread | None, shown: Callable[[float], str]) -> str:
    return MISSING if spread is None else shown(spread.median)


def _or(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else seconds(value)


def comparison_sections(found: ComparisonFile, prefix: str = "") -> list[Section]:
    """The sections of the page, which another page may hold too.

    Args:
        found: the content of `compare.json`.
        prefix: of every id, where a page holds several.
    """
    races = [
        Section(
            f"{prefix}target{place}",
            _title(target),
            [Figures([race_chart(found, target, clock, f"{prefix}race{place}") for clock in CLOCKS])],
        )
        for place, target in enumerate(found.targets)
    ]
    curves = [curve for clock in CLOCKS for curve in curve_charts(found, clock, prefix)]
    return [
        *races,
        Section(f"{prefix}numbers", "In numbers", comparison_tables(found)),
        Section(f"{prefix}curves", "The way there", [Figures(curves)]),
        Section(f"{prefix}tuning", "How they were tuned", [_tuning(found)]),
        Section(f"{prefix}reading", "How to read it", [Listing([(None, note) for note in comparison_notes(found)])]),
    ]


def _tuning(found: ComparisonFile) -> Table:
    rows = []
    for method in found.methods:
        tried = sorted(method.trials, key=lambda trial: trial.value)
        words = [f"{trial.value:g}: {_score(trial)}" for trial in tried]
        option = MISSING if method.tuned is None else _OPTIONS[method.tuned]
        chosen = MISSING if method.tuned is None else f"{method.value:g}"
        rows.append([method.label, option, "; ".join(words) or "untuned", chosen])
    values = Column("values tried, and the lowest held-out loss of each", wraps=True)
    return Table("Trials", [*columns("method", "option"), values, Column("chosen")], rows)


def _score(trial: TrialRecord) -> str:
    further = f" (round {trial.round})" if trial.round else ""
    return ("diverged" if trial.status != "finished" else number(trial.lowest_test_loss)) + further


def _facts(found: ComparisonFile) -> list[tuple[str, str]]:
    options = found.options
    return [
        ("assumption sets", ", ".join(found.assumptions)),
        ("quantum hardware", f"{found.hardware}, {seconds(options['gate_time_s'])} per gate"),
        ("machine", ", ".join(f"{key}: {value}" for key, value in sorted(asdict(found.machine).items()))),
        ("versions", ", ".join(f"{key} {value}" for key, value in sorted(found.versions.items()))),
        ("seeds", f"{', '.join(map(str, options['seeds']))}; tuned on {options['tuning_seed']}"),
        ("commit", found.commit or "not recorded"),
        ("started (UTC)", found.started),
        ("options", ", ".join(f"{key} {value}" for key, value in sorted(options.items()))),
        ("read from", "compare.json, which is made from the run directories under cells/"),
    ]
