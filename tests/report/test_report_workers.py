"""The Gantt charts of a run with workers: bars where its lines say that somebody worked."""

from types import SimpleNamespace
from typing import Any

from qnewton.lab._report.section_workers import workers_section
from qnewton.lab._runfile import AttemptLine


def attempt(worker: str, outcome: str, sent: float, received: float, *run: float, queued: float = 0.0) -> AttemptLine:
    started, ended = run or (None, None)
    return AttemptLine(
        block="layers.0",
        worker=worker,
        candidate="LU",
        outcome=outcome,
        predicted_seconds=1.0,
        predicted_end=1.0,
        measured_sent=sent,
        measured_received=received,
        measured_started=started,
        measured_ended=ended,
        measured_queued=queued,
        paid=2.0,
        residual=None,
        age=0,
    )


def run_of(*steps: list[AttemptLine]) -> Any:
    lines = [SimpleNamespace(step=k, measured_seconds=10.0, attempts=tuple(step)) for k, step in enumerate(steps)]
    return SimpleNamespace(steps=lines)


def test_bars_stand_where_somebody_worked() -> None:
    run = run_of(
        [attempt("cpu 0", "solved", 0.0, 3.0, 1.0, 2.5)],
        [
            attempt("cpu 0", "died", 0.5, 4.0),
            attempt("cpu 1", "moved", 0.5, 4.0),
            attempt("qpu 0", "solved", 4.0, 9.0, 4.5, 8.5, queued=3.0),
        ],
    )
    section = workers_section(run)
    assert section is not None
    parts: Any = section.parts
    figures, table = parts
    whole = figures.parts[-1].panels[0]
    found = {mark.label: list(mark.cells) for mark in whole.marks}
    # Rows are workers, and the second step begins after the 10 s of the first.
    assert found == {
        "solved": [(0.0, 1.0, 2.5), (2.0, 17.5, 18.5)],
        "died": [(0.0, 10.5, 14.0)],
        "in a queue": [(2.0, 14.5, 17.5)],
    }
    assert list(whole.y.names) == ["cpu 0", "cpu 1", "qpu 0"]
    assert table.rows[0] == ["cpu 0", "1", "died 1", "1.5", "0", "4"]
    assert table.rows[2] == ["qpu 0", "1", "", "1", "3", "2"]


def test_a_run_without_workers_has_no_section() -> None:
    assert workers_section(run_of([], [])) is None
