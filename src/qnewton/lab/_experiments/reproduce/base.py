"""Structure of an evaluation of the paper: its trainings, and the numbers derived from their files."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...._hardware import ClassicalMachine, StoredCalibration, read_calibration
from ..._runfile import Failure, NewtonStep, Run, StepLine, Summary, read_run
from ..saved import SavedRun, read_saved
from .decisions import Systems, systems_of
from .directory import ReproductionDirectory
from .options import Reproduction
from .trainings import Training

FAILED = "failed.json"
"""In the directory of a training whose loss left the floating-point range: the outcome of such a setting."""


class NotThere(Exception):
    """Error for a training that is not finished, while numbers need it."""


@dataclass(frozen=True)
class Result:
    """Result of a training.

    Attributes:
        path: of the run directory.
        summary: of `summary.json`; None where the loss left the floating-point range.
        failure: why, or None.
    """

    path: Path
    summary: Summary | None
    failure: str | None

    @functools.cached_property
    def run(self) -> Run:
        """Files of the run."""
        return read_run(self.path)

    @property
    def steps(self) -> Sequence[StepLine]:
        """Lines of `steps.jsonl`."""
        return self.run.steps

    @functools.cached_property
    def saved(self) -> SavedRun:
        """Saved objects of a Newton run."""
        return read_saved(self.path)

    @functools.cached_property
    def systems(self) -> Systems:
        """Systems of a Newton run that predicted LU."""
        return systems_of(self.saved, self.steps)

    @property
    def step_seconds(self) -> float:
        """Seconds of all steps, measured; evaluations, compilation and calibration aside."""
        return sum(step.measured_seconds for step in self.steps)

    def record(self) -> dict[str, Any]:
        """Return the record for a file: final losses and accuracy, and the time taken here."""
        summary = self.summary
        return {
            "run": self.path.name,
            "failure": self.failure,
            "steps": len(self.steps),
            "train_loss": None if summary is None else summary.final_loss,
            "test_loss": None if summary is None else summary.test_loss,
            "test_accuracy": None if summary is None else summary.test_accuracy,
            "measured_step_seconds": self.step_seconds,
        }


class Finished:
    """Files of a reproduction, read on first access."""

    def __init__(self, directory: ReproductionDirectory):
        self.directory = directory
        self.options: Reproduction = directory.options
        self._results: dict[str, Result] = {}

    @functools.cached_property
    def calibration(self) -> StoredCalibration:
        """Calibration that all predictions use.

        Raises:
            NotThere: before it was measured.
        """
        files = sorted((self.directory.path / "calibration").glob("*.json"))
        if not files:
            raise NotThere("the calibration of this machine is not measured yet")
        return read_calibration(files[0])

    @property
    def machine(self) -> ClassicalMachine:
        """Calibrated classical machine."""
        return self.calibration.machine

    def result(self, training: Training) -> Result:
        """Return the result of a training.

        Raises:
            NotThere: if it is not finished.
        """
        if training.name not in self._results:
            found = self.look(training)
            if found is None:
                raise NotThere(f"the training {training.name} is not finished")
            self._results[training.name] = found
        return self._results[training.name]

    def measured(self, measurement: "Measurement") -> NewtonStep:
        """Return the measured numbers.

        Raises:
            NotThere: before it was.
        """
        found = self.directory.grid.done(measurement.file, NewtonStep)
        if found is None:
            raise NotThere(f"{measurement.name} is not measured yet")
        return found

    def look(self, training: Training) -> Result | None:
        """Return the result of a training; None if it is not finished."""
        path, grid = self.directory.of_run(training.name), self.directory.grid
        failure = grid.done(f"runs/{training.name}/{FAILED}", Failure)
        if failure is not None:
            return Result(path, None, failure.error)
        summary = grid.done(f"runs/{training.name}/summary.json", Summary, task=training.task)
        return Result(path, summary, None) if summary is not None and summary.status == "finished" else None


@dataclass(frozen=True)
class Measurement:
    """Numbers that are measured once, without a training: one JSON file.

    Attributes:
        name: of the file.
        run: from options and the calibrated machine to the numbers.
        check: refuses what cannot work, before anything is computed.
    """

    name: str
    run: Callable[[Reproduction, ClassicalMachine], NewtonStep]
    check: Callable[[Reproduction], None]

    @property
    def file(self) -> str:
        """Path of the measurement's file in the directory of the reproduction."""
        return f"measured/{self.name}.json"


@dataclass(frozen=True)
class Evaluation:
    """One of the paper's figures.

    Attributes:
        name: on the command line.
        question: that it answers.
        reads: the options that act on it, besides those that act on all: a group, or `group.option`.
        trainings: that it needs.
        derive: its numbers, from the files alone.
        measurements: that it needs besides.
    """

    name: str
    question: str
    reads: tuple[str, ...]
    trainings: Callable[[Reproduction], list[Training]]
    derive: Callable[[Finished], dict[str, Any]]
    measurements: tuple[Measurement, ...] = ()
