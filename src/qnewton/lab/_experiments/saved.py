"""The files of a run, read back into their original objects."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..._hardware import ClassicalMachine, KernelTimes
from .._runfile import Calibration, Config, KernelRecord, Run, SystemLine, check_scheduled, read_run, typed
from .older import present_options
from .options import TrainOptions
from .task_options import kind_of


@dataclasses.dataclass(frozen=True)
class SavedRun:
    """A scheduled run as its directory holds it.

    Attributes:
        run: its files.
        steps: for each whole step the lines of its blocks, in the order of the partition.
        options: the run's.
        measured: its machine as measured, to the last digit.
        learned: the factors on its kernels.
    """

    run: Run
    steps: Sequence[tuple[SystemLine, ...]]
    options: TrainOptions
    measured: ClassicalMachine
    learned: dict[str, float]

    @property
    def path(self) -> Path:
        """Path of the directory."""
        return self.run.path

    @property
    def calibration(self) -> Calibration:
        """Content of `calibration.json`."""
        return self.run.calibration

    @property
    def classical(self) -> ClassicalMachine:
        """Classical machine that the run's predictions used."""
        return self.measured.corrected(self.learned)


def train_options(path: Path, config: Config) -> TrainOptions:
    """The options of a run.

    Args:
        path: its directory, for the message.
        config: of `config.json`.

    Raises:
        RunFileError: for options that this version does not have; names the first.
    """
    place, given = str(path / "config.json"), present_options(config.options)
    task = typed(given.get("task"), kind_of(config.task), place, "options.task")
    # What the task has of its own is another class for each.
    return dataclasses.replace(typed(given | {"task": {}}, TrainOptions, place, "options"), task=task)


def read_saved(path: Path) -> SavedRun:
    """Read a run whose systems were scheduled.

    A step that was cut off by the end of the run is left out.

    Raises:
        RunFileError: for what is not there, is not what was written, or had nothing to schedule.
    """
    return saved_run(read_run(path))


def saved_run(run: Run) -> SavedRun:
    """Return the same of a run that was read; raises as `read_saved`."""
    check_scheduled(run.path, run.config)
    options = train_options(run.path, run.config)
    return SavedRun(run, run.decided, options, measured_machine(run.calibration), learned_factors(run.calibration))


def learned_factors(calibration: Calibration) -> dict[str, float]:
    """Return each kernel's learned factor, from `calibration.json`."""
    return {name: times.learned_factor for name, times in calibration.kernels.items()}


def measured_machine(calibration: Calibration) -> ClassicalMachine:
    """The machine in `calibration.json` as measured, to the last digit."""
    kernels = kernels_in(calibration.kernels)
    return ClassicalMachine(
        calibration.machine.processor, calibration.dtype, kernels, calibration.gemm_seconds, calibration.basis
    )


def kernels_in(records: Mapping[str, KernelRecord]) -> tuple[tuple[str, KernelTimes], ...]:
    """Kernels and their times as measured."""
    return tuple(
        (
            name,
            KernelTimes(
                times.seconds_per_call,
                times.seconds_per_byte,
                times.seconds_per_flop,
                samples=tuple((s.n, s.measured_seconds, s.predicted_seconds) for s in times.samples),
                bends=times.bends,
            ),
        )
        for name, times in sorted(records.items())
    )
