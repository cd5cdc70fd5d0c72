"""Trainings by two processes: the same as by one, and what becomes of them when one dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qnewton.lab import read_params
from qnewton.lab._experiments import calibrations, resume, runner
from qnewton.lab._experiments.checkpoints import checkpoint_steps
from qnewton.lab._experiments.tasks import TASKS
from qnewton.lab._runfile import RunDirectory

from .conftest import Silent
from .two_trainings import KILLED, STEPS, TASK, calibrated, odd, options

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder with the runs of two processes, how these ended, what they said, and how long the last one took."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        given = {**os.environ, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "QNEWTON_PROCESSES": "2"}
        given["QNEWTON_COORDINATOR"] = f"127.0.0.1:{free.getsockname()[1]}"
    given.pop("XLA_FLAGS", None)
    for name in ("default", "blocks", "killed"):
        (folder / name).mkdir()
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.experiments.two_trainings", str(folder)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**given, "QNEWTON_PROCESS": str(k), "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for k in range(2)
    ]
    try:
        said = [started[1].communicate(timeout=300)[1]]
        killed = time.monotonic()
        said.insert(0, started[0].communicate(timeout=120)[1])
        return folder, [process.returncode for process in started], said, time.monotonic() - killed
    finally:
        for process in started:
            process.kill()


def losses(files: Any) -> list[float]:
    return [step["loss"] for step in files.steps]


@pytest.mark.parametrize("preset", ["default", "blocks"])
def test_two_processes_take_the_steps_of_one(preset, together, read_run, hand_made, made, tmp_path, monkeypatch):
    monkeypatch.setitem(TASKS, TASK, odd)
    alone = options(preset)
    alone = replace(alone, training=replace(alone.training, processes=1))
    with hand_made():
        monkeypatch.setattr(calibrations, "calibrate", calibrated(made, 0))
        runner.train(TASK, alone, RunDirectory(tmp_path), Silent())
    one, two = read_run(tmp_path), read_run(together[0] / preset)
    assert losses(two) == pytest.approx(losses(one), rel=1e-5, abs=1e-5)
    assert len(losses(two)) == STEPS
    assert losses(two)[-1] < losses(two)[0] / 2
    # By process 0's calibration, in which Cholesky is a million times faster than LU.
    assert [line["solver"] for line in two.blocks] == [line["solver"] for line in one.blocks]
    assert "LU" not in {line["solver"] for line in two.blocks}
    assert two.config["options"]["training"]["processes"] == 2
    assert two.summary["status"] == "finished"
    assert two.summary["final_loss"] == pytest.approx(one.summary["final_loss"], rel=1e-4)
    ended = read_params(together[0] / preset)
    for name, array in read_params(tmp_path).items():
        np.testing.assert_allclose(ended[name], array, rtol=1e-3, atol=1e-4)


def test_when_a_process_is_killed_the_other_ends_with_an_error_and_the_run_can_go_on(together):
    folder, statuses, said, seconds = together
    assert statuses == [1, -signal.SIGKILL]
    assert seconds < 60
    assert "qnewton: " in said[0]
    assert "Traceback" not in said[0]
    run = folder / "killed"
    assert checkpoint_steps(run) == [4, 2]
    assert not (run / "summary.json").exists()
    halted = resume.read_halted(run, *resume.resumable(run))
    assert (halted.done, halted.notes) == (4, ())
    assert len((run / "steps.jsonl").read_text().splitlines()) in (KILLED, KILLED + 1)
    assert json.loads((run / "config.json").read_text())["options"]["training"]["processes"] == 2
