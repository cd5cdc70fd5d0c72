"""`summary.json`: the totals of a run."""

from typing import Annotated, Literal

from msgspec import Meta, field

from .base import Record


class Breakdown(Record, frozen=True):
    """Parts of the wall-clock time.

    Attributes:
        steps, evaluations: in `measured_seconds`.
        compilation, calibration: beside it, of all processes that worked on the run.
    """

    steps: float | None
    evaluations: float | None
    compilation: float | None
    calibration: float | None


class GateTime(Record, frozen=True):
    """The totals of the acting assumption set, under the run's policy, if a gate took this long.

    Attributes:
        gate_time_s: in seconds.
        quantum_share: fraction of the systems.
        predicted_seconds: of the run.
        predicted_solve_seconds: of its solves.
    """

    gate_time_s: Annotated[float, Meta(gt=0)]
    quantum_share: float | None
    predicted_seconds: float | None
    predicted_solve_seconds: float | None


class SetTotals(Record, frozen=True):
    """Totals of one assumption set over all systems of a training's steps.

    Attributes:
        predicted_seconds: of the systems that go to classical candidates.
        modelled_seconds: of those that go to quantum ones.
        solved_by: choice to number of systems.
        open: systems without a choice, which are in neither sum.
    """

    predicted_seconds: float
    modelled_seconds: float
    solved_by: dict[str, int]
    open: int


class Summary(Record, frozen=True):
    """The totals of a run.

    Attributes:
        schema_version, task, preset, optimizer: as in `config.json`.
        status: how the run ended.
        steps: taken.
        final_loss: mean loss over all training data at the end.
        test_loss, test_accuracy: on the held-out data at the end; the second null of a task without right answers.
        measured_seconds: wall clock of what ran: steps and evaluations; compilation and calibration are in the
            breakdown.
        measured_breakdown: see below.
        predicted_seconds: assumption set to the total of all steps.
        predicted_seconds_all_classical: the same if every system had gone to its fastest classical candidate; no
            estimation, since nothing is chosen then.
        acting: the assumption set whose choices were carried out.
        gate_time_s: under which the choices were made.
        quantum_share: fraction of the systems that the acting set gave to a quantum solver.
        by_gate_time: for each reported gate time; see below.
        solved_by: choice to number of systems.
        execution: of the quantum solves: `modelled` or `emulated`; null where there was none.
        statuses: as in `steps.jsonl`, over all steps.
        systems: assumption set to its totals over all systems, see below; empty where none are priced, and of older
            files of scheduled runs.
        signal: which one ended an interrupted run, such as SIGTERM; null of a finished one, and of older files.
    """

    schema_version: int
    task: str
    preset: str
    optimizer: str
    status: Literal["finished", "interrupted"]
    steps: int
    final_loss: float | None
    test_loss: float | None
    test_accuracy: float | None
    measured_seconds: float | None
    measured_breakdown: Breakdown
    predicted_seconds: dict[str, float | None]
    predicted_seconds_all_classical: float | None
    acting: str | None
    gate_time_s: float | None
    quantum_share: float | None
    by_gate_time: tuple[GateTime, ...]
    solved_by: dict[str, int]
    execution: str | None
    statuses: dict[str, int]
    systems: dict[str, SetTotals] = field(default_factory=dict)
    signal: str | None = None
