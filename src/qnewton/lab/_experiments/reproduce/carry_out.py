"""Completion of a reproduction: calibrate once, train what is not finished, and write the numbers."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import scipy.linalg  # noqa: F401  # threadpoolctl sees only libraries that are loaded
import threadpoolctl

from ...._core.memory import check_block_fits
from ...._hardware import calibration_environment, check_environment, store_calibration
from ...._scheduling import calibrate
from ...._solvers import CG, LU, Cholesky
from ..._runfile import REPRODUCTION_VERSION, Failure, FigureFile, NewtonStep, RunDirectory
from .. import build, checks
from ..held import Held
from ..interrupts import stopped_by
from ..options import TaskOptions
from ..runner import TrainingFailed, Watcher, resume, train
from ..tasks import check_task, make_task
from ..tasks.base import Task
from .base import FAILED, Evaluation, Finished, Measurement, NotThere
from .directory import ReproductionDirectory
from .options import Reproduction
from .stopped import set_aside, why_anew
from .trainings import Training, rests_on

_BLAS_THREADS = 1
_DTYPE = "float32"


class ReproductionProgress(Protocol):
    """Progress display of a reproduction."""

    def piece(self, number: int, total: int, name: str, steps: int) -> AbstractContextManager[Watcher]:
        """Begin a training or the calibration (of no steps), which ends with the context."""
        ...

    def note(self, number: int, total: int, name: str, what: str) -> None:
        """Report a note about it."""
        ...

    def done(self, number: int, total: int, name: str, how: str) -> None:
        """Report that it is done, or was before."""
        ...


def trainings_of(chosen: Sequence[Evaluation], options: Reproduction) -> list[Training]:
    """Return all trainings that the evaluations need, each once."""
    found: dict[str, Training] = {}
    for evaluation in chosen:
        for training in evaluation.trainings(options):
            found.setdefault(training.name, training)
    return list(found.values())


def measurements_of(chosen: Sequence[Evaluation]) -> list[Measurement]:
    """Return all measurements that the evaluations need."""
    return [measurement for evaluation in chosen for measurement in evaluation.measurements]


def check(chosen: Sequence[Evaluation], options: Reproduction) -> None:
    """Refuse options that cannot work, before anything is computed or written.

    Raises:
        ValueError, OSError: for an unknown task, data that are not there, or options that exclude each other.
        MemoryError: for a block whose dense system does not fit.
    """
    for measurement in measurements_of(chosen):
        measurement.check(options)
    for training in trainings_of(chosen, options):
        check_task(training.task)
        checks.check(training.options)
        trained = training.options
        if trained.optimizer_word != "newton":
            continue
        task = _task(training.task, trained.task)
        params = jax.eval_shape(task.init, jax.random.key(0))
        for block in () if build.never_forms(trained) else build.systems(trained, params):
            check_block_fits(block.name, block.n, jnp.dtype(_DTYPE).itemsize)


@functools.lru_cache(maxsize=4)
def _task(name: str, options: TaskOptions) -> Task:
    return make_task(name, _DTYPE, options)


def carry_out(chosen: Sequence[Evaluation], directory: ReproductionDirectory, progress: ReproductionProgress) -> None:
    """Calibrate and train what is not finished yet.

    Args:
        chosen: the evaluations.
        directory: where everything is and goes.
        progress: is told of every piece.

    Raises:
        Stopped: after a signal to stop, once the step at hand is written.
        ValueError: if the calibration in the directory was measured on another machine.
    """
    found = Finished(directory)
    measurements, pieces = measurements_of(chosen), trainings_of(chosen, directory.options)
    total = 1 + len(measurements) + len(pieces)
    _calibrate(found, directory, progress, total)
    calibration, stages = found.calibration.path, {}
    for number, measurement in enumerate(measurements, start=2):
        _measure(measurement, number, total, found, progress)
    for number, training in enumerate(pieces, start=2 + len(measurements)):
        result = found.look(training)
        how = "done before"
        if result is None:
            began = time.perf_counter()
            path = directory.of_run(training.name)
            if path.exists() and (anew := why_anew(training, path)) is not None:
                kept = set_aside(path)
                progress.note(number, total, training.name, f"trained anew, and what there was is in {kept}: {anew}")
            with progress.piece(number, total, training.name, training.options.training.steps) as watcher:
                _train(training, path, calibration, watcher, Held(stages))
            # Programs of one training are of no use to the next.
            jax.clear_caches()
            result = found.result(training)
            how = f"{time.perf_counter() - began:.0f} s"
        progress.done(number, total, training.name, f"{_outcome(result.record())}, {how}")


def _calibrate(found: Finished, directory: ReproductionDirectory, progress: ReproductionProgress, total: int) -> None:
    here = calibration_environment(_DTYPE, _BLAS_THREADS)
    with contextlib.suppress(NotThere):
        check_environment(found.calibration.environment, here, f"the calibration of {directory.path}")
        progress.done(1, total, "calibration", "done before")
        return
    began = time.perf_counter()
    with (
        progress.piece(1, total, "calibration", 0) as watcher,
        threadpoolctl.threadpool_limits(_BLAS_THREADS, user_api="blas"),
    ):
        watcher.stage("calibrating this machine")
        sizes = sorted({1, 2, 4, *directory.options.inversion.measured})
        machine = calibrate([Cholesky(), LU(), CG()], dtype=_DTYPE, sizes=sizes)
        store_calibration(machine, here, directory.path / "calibration")
    progress.done(1, total, "calibration", f"{time.perf_counter() - began:.0f} s")


def _measure(
    measurement: Measurement, number: int, total: int, found: Finished, progress: ReproductionProgress
) -> None:
    directory = found.directory
    if directory.grid.done(measurement.file, NewtonStep) is not None:
        progress.done(number, total, measurement.name, "done before")
        return
    began = time.perf_counter()
    with progress.piece(number, total, measurement.name, 0) as watcher:
        watcher.stage("measuring")
        directory.grid.add(measurement.file, measurement.run(directory.options, found.machine))
    jax.clear_caches()
    progress.done(number, total, measurement.name, f"{time.perf_counter() - began:.0f} s")


def _train(training: Training, path: Path, calibration: Path, watcher: Watcher, held: Held) -> None:
    """Train; if a directory exists, continue from its content."""
    goes_on = path.exists()
    directory = RunDirectory(path) if goes_on else RunDirectory.create(path, training.name)
    try:
        if goes_on:
            summary = resume(path, watcher)
        else:
            options = dataclasses.replace(rests_on(training.options, calibration), out=path)
            summary = train(training.task, options, directory, watcher, held)
    except TrainingFailed as error:
        # That a setting diverges is an answer, too.
        directory.write(FAILED, Failure(error=str(error)))
        return
    except (ValueError, OSError, MemoryError):
        directory.discard()
        raise
    if summary.status == "interrupted":
        raise stopped_by(summary)


def _outcome(record: dict[str, Any]) -> str:
    if record["failure"] is not None:
        return f"left the floating-point range after {record['steps']} steps"
    if record["test_accuracy"] is None:
        return f"test loss {record['test_loss']:.3g}"
    return f"test accuracy {record['test_accuracy']:.3f}"


def write_numbers(chosen: Sequence[Evaluation], directory: ReproductionDirectory) -> Iterator[tuple[Evaluation, Path]]:
    """Derive the numbers of each evaluation from the files, and write them to `figures/NAME.json`.

    They follow from the run files alone, so they are written anew each time.

    Raises:
        NotThere: if a training is not finished.
    """
    found = Finished(directory)
    head = directory.grid.head
    for evaluation in chosen:
        numbers = evaluation.derive(found)
        name = f"figures/{evaluation.name}.json"
        record = FigureFile(
            schema_version=REPRODUCTION_VERSION,
            name=evaluation.name,
            question=evaluation.question,
            options=head.options,
            started=head.started,
            versions=head.versions,
            machine=head.machine,
            commit=head.commit,
            files=(
                *(one.file for one in evaluation.measurements),
                *(f"runs/{one.name}" for one in evaluation.trainings(directory.options)),
            ),
            numbers=numbers,
        )
        directory.grid.add(name, record)
        yield evaluation, directory.path / name
