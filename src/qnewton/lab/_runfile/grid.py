"""The files of `compare`, `noise` and `reproduce`: a grid's request, and its finished cells."""

from typing import Any, Literal

from .base import Record
from .config import BlockSize, MachineRecord


class GridHead(Record, frozen=True):
    """Request of a grid: `options.json` of `noise` and `compare`.

    Attributes:
        schema_version: of the files of the grid; 1.
        options: as given; null for infinitely many shots. Of `compare` those that decide the trainings.
        started, versions, machine, commit: as in `config.json`, of the first call.
    """

    schema_version: int
    options: dict[str, Any]
    started: str
    versions: dict[str, str | None]
    machine: MachineRecord
    commit: str | None


class ReproductionHead(GridHead, frozen=True):
    """Request of `reproduce`: `reproduction.json`.

    Attributes:
        schema_version: 2.
        options: all of them.
        started, versions, machine, commit: as in `config.json`, of the first call.
        name: of the figure, or `all`.
    """

    name: str


class NoiseCell(Record, frozen=True):
    """One training of `noise`: a file under `cells/`, and an entry of `curves`.

    Attributes:
        epsilon: error of the normalised state that the circuits are built for; null of exact classical solves.
        shots: copies for the magnitudes, and as many for the signs; null: infinitely many, or exact.
        seed: of the initial parameters and the order of the batches.
        train_loss, test_loss, test_accuracy: over all data, before the first step and after each.
        accepted: per step: false where it would have raised the loss and was not taken.
        relative_residual: per step, the largest of its systems, of the solution as read out.
        condition_number: per step, the largest estimate; null of exact solves.
        executed_queries: per step, by all its circuits, copies and repetitions included; infinitely many copies count
            as one; null of exact solves.
        measured_seconds: of the training, compilation included (shared by the seeds of a solver).
    """

    epsilon: float | None
    shots: int | None
    seed: int
    train_loss: tuple[float | None, ...]
    test_loss: tuple[float | None, ...]
    test_accuracy: tuple[float | None, ...]
    accepted: tuple[bool, ...]
    relative_residual: tuple[float | None, ...]
    condition_number: tuple[float | None, ...] | None
    executed_queries: tuple[float | None, ...] | None
    measured_seconds: float


class NoiseFile(GridHead, frozen=True):
    """`noise.json`: all cells of a grid, and results derived from them.

    Attributes:
        schema_version, options, started, versions, machine, commit: as in `options.json`.
        answer: which shots and which epsilons do as well as exact solves; see below.
        curves: the contents of all files under `cells/`, the exact solves first.
    """

    answer: dict[str, Any]
    curves: tuple[NoiseCell, ...]


class CompareCell(Record, frozen=True):
    """One training of `compare`: `cell.json` in its run directory.

    Attributes:
        method: its name.
        value: of the tuned option; null of an untuned method.
        seed: of the parameters and of the order of the batches.
        status: how it ended.
        reason: of a divergence.
        steps: taken.
        measured_seconds: of them.
        lowest_test_loss: of all evaluations; null without a finite one.
    """

    method: str
    value: float | None
    seed: int
    status: Literal["finished", "diverged"]
    reason: str | None
    steps: int
    measured_seconds: float
    lowest_test_loss: float | None


class Failure(Record, frozen=True):
    """`failed.json` in a run directory of `reproduce`: the loss left the floating-point range.

    That is this setting's outcome.

    Attributes:
        error: in words.
    """

    error: str


class MeasuredTask(Record, frozen=True):
    """Task on which a language model's Newton step was measured.

    Attributes:
        name, model, parameters, data: of the task, its model and its data.
        blocks: that get a system.
        batch: examples of a step.
    """

    name: str
    model: str
    parameters: int
    data: str
    blocks: tuple[BlockSize, ...]
    batch: int


class MeasuredSize(Record, frozen=True):
    """One block of each size, with the seconds of its stages and the numbers of its matrix.

    Attributes:
        name: of the block.
        rows: of its system.
        blocks: how many have this size.
        degree, max_entry, frobenius_norm, spectral_norm, log_condition_number: of its damped matrix.
        measured_forming_seconds, measured_conditioning_seconds, measured_estimation_seconds: of these stages.
        predicted_lu_seconds: by the calibration.
    """

    name: str
    rows: int
    blocks: int
    degree: float
    max_entry: float | None
    frobenius_norm: float | None
    spectral_norm: float | None
    log_condition_number: float | None
    measured_forming_seconds: float
    measured_conditioning_seconds: float
    measured_estimation_seconds: float
    predicted_lu_seconds: float


class NewtonStep(Record, frozen=True):
    """The published Newton step of a language model, measured once: `measured/newton-step-*.json`.

    Attributes:
        task: see below.
        measured_gradient_seconds: of the loss and its gradient.
        sizes: see below.
    """

    task: MeasuredTask
    measured_gradient_seconds: float
    sizes: tuple[MeasuredSize, ...]


class FigureFile(Record, frozen=True):
    """One evaluation of `reproduce`: `figures/NAME.json`, from which the page is drawn.

    Attributes:
        schema_version: 2.
        name, question: of the evaluation.
        options: of the reproduction.
        started, versions, machine, commit: as in `reproduction.json`.
        files: what it was derived from.
        numbers: seconds are named `measured_...`, `predicted_...` or, of the quantum solver alone, `modelled_...`.
    """

    schema_version: int
    name: str
    question: str
    options: dict[str, Any]
    started: str
    versions: dict[str, str | None]
    machine: MachineRecord
    commit: str | None
    files: tuple[str, ...]
    numbers: dict[str, Any]
