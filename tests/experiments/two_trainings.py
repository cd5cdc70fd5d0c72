"""Trainings of the lab by two processes that a cluster has started, or by one alone.

Run as a module, `tests.experiments.two_trainings FOLDER NAME...`. Into FOLDER go the runs NAME: `default`, `blocks`,
whose processes are calibrated apart, and two by gradient steps: `killed`, after whose fifth process 1 is killed, and
`asked`, after whose third process 1 alone gets SIGTERM.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from qnewton._hardware import ClassicalMachine
from qnewton.lab._experiments import calibrations, prepare, runner
from qnewton.lab._experiments.cluster import joined
from qnewton.lab._experiments.presets import PRESETS
from qnewton.lab._experiments.task_options import TASKS, Registered
from qnewton.lab._experiments.together import directory_at

from .conftest import Made, Silent, tiny

STEPS, KILLED, ASKED = 10, 5, 3
TASK = "tiny of 47"


def odd(dtype: str) -> Any:
    """The usual small task with a number of examples that two devices do not divide."""
    task = tiny(dtype)
    inputs, targets = task.train.batch
    return replace(task, name=TASK, train=replace(task.train, inputs=inputs[:47], targets=targets[:47]))


def options(name: str, processes: int = 2) -> Any:
    begun = PRESETS["blocks" if name == "blocks" else "default"]
    length = replace(begun.training, steps=STEPS, batch_size=47, checkpoint_every=2, processes=processes)
    if name == "blocks":
        begun = replace(begun, scheduling=replace(begun.scheduling, calibration="measure"))
    if name in ("killed", "asked"):
        begun = replace(begun, optimizer="sgd", family="blocks")
    return replace(begun, training=length)


def calibrated(made: Made, process: int) -> Any:
    """To process 0 Cholesky is the faster one, to process 1 LU."""

    def calibrate(solvers: Any, *, dtype: str, **asked: Any) -> ClassicalMachine:
        return made.machine(dtype).corrected({"lu" if process == 0 else "cholesky": 1e6})

    return calibrate


class Kills(Silent):
    def __init__(self, after: int, which: signal.Signals):
        self.after, self.which = after, which

    def step(self, step: Any, blocks: Any) -> None:
        if step.step == self.after - 1:
            os.kill(os.getpid(), self.which)


KILLS = {"killed": Kills(KILLED, signal.SIGKILL), "asked": Kills(ASKED, signal.SIGTERM)}


def main() -> None:
    folder, made = Path(sys.argv[1]), Made()
    TASKS[TASK] = Registered(odd)
    with joined() as place:
        index, count = (0, 1) if place is None else (place.index, place.count)
        calibrations.calibrate = calibrated(made, index)
        prepare.measure_stages = lambda *of, tries, unformed: made.stages(of[4])
        for name in sys.argv[2:]:
            watcher = KILLS.get(name, Silent()) if index else Silent()
            runner.train(TASK, options(name, count), directory_at(folder / name), watcher)


if __name__ == "__main__":
    main()
