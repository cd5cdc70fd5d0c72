"""The command `qnewton plan`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import tyro

from .answers import console, print_json, print_notes, print_table
from .problem_options import (
    SETS,
    AssumptionSet,
    HardwareOptions,
    ProblemOptions,
    hardware_of,
    numbers_of,
    sentence_of,
    sets_of,
)

if TYPE_CHECKING:
    from rich.table import Table

    from ..._pricing.table import Row
    from ..._pricing.verdict import Verdict


TOLD_BEYOND = 10.0
"""Times outside of where a constant was measured beyond which its own line says so."""


@dataclass(frozen=True)
class PlanCommand:
    """Predict the cost of one system: every quantum solver, machine and assumption set, against the classical ones.

    Nothing is solved and nothing is measured: seconds are modelled, or predicted by `qnewton calibrate`.
    """

    problem: Annotated[ProblemOptions, tyro.conf.arg(name="")] = field(default_factory=ProblemOptions)
    machines: Annotated[HardwareOptions, tyro.conf.arg(name="")] = field(default_factory=HardwareOptions)
    assumptions: tuple[AssumptionSet, ...] = SETS
    """What a quantum solve is charged for."""
    all: bool = False
    """Print every row, not only the fastest solver of each machine and set."""
    json: bool = False
    """Print one JSON object, and nothing else: all rows."""


def plan(arguments: Sequence[str]) -> int:
    """Parse, charge and print."""
    command = tyro.cli(PlanCommand, prog="qnewton plan", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    if not command.assumptions:
        raise ValueError("--assumptions is empty: name at least one set, e.g. paper")
    # Only now: `--help` should not wait for jax.
    from ..._pricing.plan import plan as priced
    from ..._pricing.verdict import verdicts

    numbers, notes = numbers_of(command.problem)
    sets = sets_of(command.machines, command.assumptions)
    result = priced(**numbers, hardware=hardware_of(command.machines), assumptions=sets)
    rows = result.rows()
    if command.json:
        source = command.problem.source
        # What a run has not; the last sentence is about its block.
        print_notes(notes[:-1] if source is not None and source.is_dir() else (), aside=True)
        print_json({"rows": rows})
        return 0
    _print(sentence_of(result.points), (*notes, *result.assumed), rows, verdicts(rows), command.all)
    if not command.machines.hardware:
        from ..._hardware import listed_profiles, profile_names

        others = ", ".join(sorted(set(profile_names()) - set(listed_profiles())))
        print(f"quantum machines are of one model, beverland; --hardware takes those of the newer, qre, too: {others}")
    return 0


def _print(
    system: str, assumed: Sequence[str], rows: "Sequence[Row]", found: "Sequence[Verdict]", everything: bool
) -> None:
    out = console()
    out.print(f"{system}; all seconds are modelled or predicted, none is measured\n", markup=False)
    print_table(*_verdicts(found, rows))
    out.print(_energy(found), markup=False, soft_wrap=True)
    for line in _beside(found):
        out.print(line, markup=False, soft_wrap=True)
    classical = [row for row in rows if row.kind == "classical"]
    quantum = [row for row in rows if row.kind == "quantum"]
    shown = quantum if everything else list(_fastest(quantum))
    print_table(*_quantum_table(shown if everything else _merged(shown), found[0] if found else None, out.width))
    print_table(*_classical_table(classical if everything else list(_classical_best(classical))))
    if found and found[0].classical is not None:
        out.print(f"fastest classical: {found[0].classical.source}", markup=False, soft_wrap=True)
    shown = [*shown, *(one.quantum for one in found if one.quantum is not None)]
    for line in _remarks(shown, assumed):
        out.print(line, markup=False, soft_wrap=True)
    print_table(*_sources(shown))
    if not everything:
        out.print(f"shown: the fastest of each machine and set; --all prints all {len(rows)} rows, --json too")


def _beside(found: "Sequence[Verdict]") -> "Iterator[str]":
    """Print whether sharing the system out is faster, and where no algorithm helps."""
    for one in found:
        if one.shared is not None:
            row = one.shared
            said = f"{one.assumptions}: shared out, {_seconds(row)} by {row.solver} ({row.hardware}): {row.notes[0]}"
            yield f"{said} ({row.evidence})"
    excluded = "; ".join(f"{one.assumptions}: {one.impossible}" for one in found if one.impossible)
    if excluded:
        yield f"No algorithm helps: {excluded}"


def _fastest(rows: "Sequence[Row]") -> "Iterator[Row]":
    """The fastest proven row of each set and machine, as in verdicts; else any; the first, with its reason, if none."""
    from ..._pricing.verdict import PROVEN, fastest

    for name, machine in dict.fromkeys((row.assumptions, row.hardware) for row in rows):
        own = [row for row in rows if (row.assumptions, row.hardware) == (name, machine)]
        yield fastest([row for row in own if row.evidence in PROVEN]) or fastest(own) or own[0]


def _classical_best(rows: "Sequence[Row]") -> "Iterator[Row]":
    """The fastest solver of each machine, or a reason why there is none, and the fastest sampling one."""
    from ..._pricing.classical import SAMPLING
    from ..._pricing.verdict import fastest

    for machine in dict.fromkeys(row.hardware for row in rows):
        own = [row for row in rows if row.hardware == machine]
        yield fastest(own) or own[0]
    sampling = fastest([row for row in rows if row.solver == SAMPLING])
    if sampling is not None:
        yield sampling


def _merged(rows: "Sequence[Row]") -> "list[Row]":
    """Merge machines whose best rows are equal into one line."""
    lines: dict[tuple, list[Row]] = {}
    for row in rows:
        lines.setdefault((row.assumptions, row.solver, row.reason, row.seconds, row.qubits), []).append(row)
    return [replace(same[0], hardware=_names([row.hardware for row in same])) for same in lines.values()]


def _names(names: Sequence[str]) -> str:
    """`superconducting, -e4` for `superconducting` and `superconducting-e4`."""
    first, *rest = names
    return ", ".join([first, *(name.removeprefix(first) for name in rest)])


Words = tuple[str, ...]
"""Headings of the columns of a table that hold words."""


def _verdicts(found: "Sequence[Verdict]", rows: "Sequence[Row]") -> "tuple[Table, Words]":
    from rich.table import Table

    best = found[0].classical if found else None
    against = f"none: {next((row.reason for row in rows if row.kind == 'classical'), 'no machine was given')}"
    if best is not None:
        against = f"{best.solver} on {best.hardware}, {_seconds(best)} ({_clock(best)})"
        against += "".join(f"; {note}" for note in best.notes)
    against += "\norders: log10 of quantum over classical seconds, positive where quantum loses; * see the notes"
    against += f"\nafter a solver, from {TOLD_BEYOND:g}x: how far outside of where its constant was measured"
    lines = Table(box=None, show_header=True, title=f"Against the fastest classical solver: {against}")
    lines.title_justify, lines.title_style = "left", "bold"
    words = ("assumptions", "verdict, by the fastest proven count", "that solver takes", "faster, but not proven")
    for column in words:
        lines.add_column(column)
    for one in found:
        lines.add_row(one.assumptions, one.sentence, _winner(one.quantum), _other(one))
    return lines, words


def _winner(row: "Row | None") -> str:
    if row is None:
        return "-"
    return f"{_seconds(row)} on {row.hardware}"


def _other(verdict: "Verdict") -> str:
    """The solver, how far it moves the verdict, and what its constant rests on."""
    from ..._pricing.verdict import orders_between

    row = verdict.other
    if row is None:
        return "-"
    known = " ".join([row.evidence, *(note.removeprefix("measured ") for note in row.notes if "extrapolated" in note)])
    if row.beyond is not None:
        measured = (replace(row, seconds=end) for end in (row.least_seconds, row.most_seconds))
        ends = " to ".join(_orders(orders_between(end, verdict.classical)) for end in measured)
        known += f" {row.beyond:.2g} times; {ends} by the constants measured"
    return f"{row.solver} {_orders(verdict.other_orders)} ({known})"


def _quantum_table(rows: "Sequence[Row]", verdict: "Verdict | None", width: int) -> "tuple[Table, Words]":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from ..._pricing.verdict import orders_between

    made = Table(box=SIMPLE_HEAD, title="Quantum solvers", title_justify="left", title_style="bold")
    made.padding, made.pad_edge = (0, 1), False
    made.add_column("machine", min_width=20)
    made.add_column("solver")
    # A narrow terminal has no room for all of them.
    words, numbers = ["encoding"], ["seconds", "orders", "queries", "copies", "T count", "qubits"]
    if width < 128:
        words, numbers = [], ["seconds", "orders", "queries", "qubits"]
    for column in words:
        made.add_column(column, min_width=10)
    for column in numbers:
        made.add_column(column)
    made.add_column("largest factor")
    set_name = None
    for row in rows:
        if row.assumptions != set_name:
            set_name = row.assumptions
            made.add_section()
            made.add_row(Text(set_name, "bold"))
        if not row.valid:
            made.add_row(row.hardware, row.solver, *["-"] * len(words + numbers), row.reason)
            continue
        shown = {
            "encoding": row.encoding or "-",
            "seconds": _seconds(row),
            "orders": _orders(orders_between(row, verdict.classical) if verdict else None),
            "queries": _short(row.queries),
            "copies": _short(row.copies),
            "T count": _short(row.t_count),
            "qubits": _short(row.qubits),
        }
        made.add_row(
            row.hardware,
            row.solver
            + ("*" if row.notes else "")
            + (f" {row.beyond:.2g}x" if (row.beyond or 1.0) > TOLD_BEYOND else ""),
            *(shown[column] for column in (*words, *numbers)),
            (f"{row.dominant} {_short(row.factors[row.dominant])}" if words else row.dominant) if row.dominant else "-",
        )
    return made, ("machine", "solver", "encoding", "largest factor")


def _classical_table(rows: "Sequence[Row]") -> "tuple[Table, Words]":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table("machine", "solver", box=SIMPLE_HEAD, title="Classical solvers")
    made.title_justify, made.title_style = "left", "bold"
    made.add_column("seconds")
    made.add_column("rests on")
    made.add_column("why not, or how far to trust it")
    for row in rows:
        made.add_row(row.hardware, row.solver, _seconds(row), _clock(row), row.reason or "; ".join(row.notes))
    return made, ("machine", "solver", "rests on", "why not, or how far to trust it")


def _sources(rows: "Sequence[Row]") -> "tuple[Table, Words]":
    from rich.table import Table

    words = ("solver", "source", "version", "evidence", "error", "holds for")
    made = Table(*words, box=None)
    made.title, made.title_justify, made.title_style = "Sources", "left", "bold"
    for row in {row.solver: row for row in rows}.values():
        made.add_row(row.solver, row.source, row.version, row.evidence, row.error, row.validity)
    return made, words


def _remarks(rows: "Sequence[Row]", assumed: Sequence[str]) -> Iterator[str]:
    for words in assumed:
        yield f"assumed: {words}"
    notes: dict[str, list[str]] = {}
    for row in rows:
        for words in row.notes:
            notes.setdefault(words, [])
            if row.solver not in notes[words]:
                notes[words].append(row.solver)
    for words, solvers in notes.items():
        yield f"note: {words} ({', '.join(solvers)})"


def _clock(row: "Row") -> str:
    return "calibrated here, predicted" if row.assumptions == "calibrated" else "data sheet, modelled"


def _seconds(row: "Row") -> str:
    return "-" if row.seconds is None else _time(row.seconds)


def _energy(found: "Sequence[Verdict]") -> str:
    """Joules of the two solvers of each verdict, where their power is known."""

    def joules(row: "Row | None") -> str:
        return "?" if row is None or row.joules is None else f"{row.joules:.2g}".replace("e+0", "e").replace("e+", "e")

    against = joules(found[0].classical if found else None)
    each = ", ".join(f"{one.assumptions} {joules(one.quantum)}" for one in found)
    return f"energy, J: {each}; classical {against}"


def _time(seconds: float) -> str:
    from .._report.units import seconds as in_words

    year = 365.25 * 86400
    if seconds < year:
        return in_words(seconds, 2)
    return f"{_short(seconds / year)} years"


def _orders(orders: float | None) -> str:
    return "-" if orders is None else f"{orders:+.1f}"


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value < 1e4 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
