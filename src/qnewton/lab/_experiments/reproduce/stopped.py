"""A stopped training of a reproduction: whether it can continue, and where it is kept if not."""

import dataclasses
from pathlib import Path

from ..._runfile import RunDirectory
from ..options import TrainOptions
from ..resume import read_halted, resumable
from ..task_options import options_of
from .trainings import Training


def why_anew(training: Training, path: Path) -> str | None:
    """Return why a stopped training cannot continue from a checkpoint; None if it can. Changes nothing.

    Args:
        training: that is wanted.
        path: of what there is of it.

    Raises:
        ValueError: if another process is at it.
    """
    with RunDirectory(path).owned():
        if not (path / "config.json").exists():
            return "it was stopped before its first step"
        try:
            config, options, _ = resumable(path)
            halted = read_halted(path, config, options)
        except (ValueError, OSError) as error:
            return str(error)
    if config.task != training.task or options != _placed_as(training, options):
        return "it was begun with other options"
    if halted.checkpoint is None:
        return "; ".join(("it was stopped before its first checkpoint", *halted.notes))
    return None


def _placed_as(training: Training, begun: TrainOptions) -> TrainOptions:
    """Return a training's options with the places of an earlier one: directories may have moved."""
    wanted = training.options
    return dataclasses.replace(
        wanted,
        out=begun.out,
        task=options_of(training.task, wanted.task),
        scheduling=dataclasses.replace(wanted.scheduling, calibration=begun.scheduling.calibration),
    )


def set_aside(path: Path) -> Path:
    """Rename what is left of a training, and return the new name; its files stay as they are."""
    number = 1
    while (aside := path.with_name(f"{path.name}.stopped-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside
