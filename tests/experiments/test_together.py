"""Trainings by two processes: the same as by one, and what becomes of them when one dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from qnewton.lab import read_params
from qnewton.lab._experiments import calibrations, resume, runner
from qnewton.lab._experiments.checkpoints import checkpoint_steps
from qnewton.lab._experiments.task_options import TASKS, Registered
from qnewton.lab._runfile import RunDirectory

from .conftest import Silent
from .two_trainings import ASKED, KILLED, STEPS, TASK, calibrated, odd, options

ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """Of a process on the CPU."""
    return {**os.environ, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}


def together(folder: Path, *names: str) -> tuple[list[int], str, float]:
    """How two processes ended, what the first one said, and the seconds that it ran on when the second had ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        given = {"QNEWTON_PROCESSES": "2", "QNEWTON_COORDINATOR": f"127.0.0.1:{free.getsockname()[1]}"}
    for name in names:
        (folder / name).mkdir()
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.experiments.two_trainings", str(folder), *names],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment(), **given, "QNEWTON_PROCESS": str(k)},
        )
        for k in range(2)
    ]
    try:
        started[1].communicate(timeout=300)
        ended = time.monotonic()
        said = started[0].communicate(timeout=120)[1]
        return [process.returncode for process in started], said, time.monotonic() - ended
    finally:
        for process in started:
            process.kill()


def by_one(name: str, path: Path, hand_made: Any, made: Any) -> None:
    """The same training by one process, whose calibration is that of process 0."""
    with hand_made(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, TASK, Registered(odd))
        patch.setattr(calibrations, "calibrate", calibrated(made, 0))
        runner.train(TASK, options(name, processes=1), RunDirectory(path), Silent())


def losses(files: Any) -> list[float]:
    return [step["loss"] for step in files.steps]


def test_two_processes_take_the_steps_of_one(read_run, tmp_path):
    statuses, said, _ = together(tmp_path, "default", "blocks")
    assert statuses == [0, 0], said
    alone = tmp_path / "alone"
    command = [sys.executable, "-m", "tests.experiments.two_trainings", str(alone), "default", "blocks"]
    for name in ("default", "blocks"):
        (alone / name).mkdir(parents=True)
    subprocess.run(command, cwd=ROOT, env=environment(), check=True, timeout=300)
    for name in ("default", "blocks"):
        one, two = read_run(alone / name), read_run(tmp_path / name)
        assert losses(two) == pytest.approx(losses(one), rel=1e-5, abs=1e-5)
        assert len(losses(two)) == STEPS
        assert losses(two)[-1] < losses(two)[0] / 2
        # By process 0's calibration, in which Cholesky is a million times faster than LU.
        assert [line["solver"] for line in two.blocks] == [line["solver"] for line in one.blocks]
        assert "LU" not in {line["solver"] for line in two.blocks}
        assert two.summary["status"] == "finished"
        assert two.summary["final_loss"] == pytest.approx(one.summary["final_loss"], rel=1e-4)
        ended = read_params(tmp_path / name)
        for key, array in read_params(alone / name).items():
            np.testing.assert_allclose(ended[key], array, rtol=1e-3, atol=1e-4)


def test_a_process_that_is_asked_to_stop_stops_both_and_one_that_is_killed_ends_the_other(
    read_run, hand_made, made, tmp_path
):
    statuses, said, seconds = together(tmp_path, "asked", "killed")
    assert statuses == [1, -signal.SIGKILL], said
    assert seconds < 60
    assert "qnewton: " in said
    assert "Traceback" not in said
    run = tmp_path / "killed"
    assert checkpoint_steps(run) == [4, 2]
    two = read_run(run)
    assert two.summary is None
    assert len(two.steps) in (KILLED, KILLED + 1)
    assert two.config["options"]["training"]["processes"] == 2
    halted = resume.read_halted(run, *resume.resumable(run))
    assert (halted.done, halted.notes) == (4, ())
    (tmp_path / "one").mkdir()
    by_one("killed", tmp_path / "one", hand_made, made)
    one = read_run(tmp_path / "one")
    asked = read_run(tmp_path / "asked")
    assert asked.summary["status"] == "interrupted", "though process 0 got no signal"
    # Process 0 hears of it in the next step, or in the one after that.
    assert len(asked.steps) in (ASKED + 1, ASKED + 2)
    assert checkpoint_steps(tmp_path / "asked")[0] == len(asked.steps)
    assert set(read_params(tmp_path / "asked")) == {"hidden.bias", "hidden.weight", "out.weight"}
    assert losses(two) == pytest.approx(losses(one)[: len(two.steps)], rel=1e-5, abs=1e-5)
    assert losses(one)[-1] < losses(one)[0]
    for name in ("train_loss", "test_loss", "test_accuracy"):
        assert [s[name] for s in two.steps] == pytest.approx([s[name] for s in one.steps[: len(two.steps)]], rel=1e-5)


def test_a_run_whose_process_was_killed_goes_on_as_if_it_had_not_been(read_run, tmp_path):
    command = [sys.executable, "-m", "qnewton", "train"]
    fresh = [*command, "digits-mlp", "--processes", "2", "--steps", "30", "--checkpoint-every", "4", "--out"]
    assert subprocess.run([*fresh, str(tmp_path / "whole")], timeout=300).returncode == 0
    path = tmp_path / "killed"
    launcher = subprocess.Popen([*fresh, str(path)], stderr=subprocess.PIPE, text=True)
    while not (path / "checkpoints" / "8" / "about.json").exists():
        assert launcher.poll() is None
        time.sleep(0.02)
    first, second = psutil.Process(launcher.pid).children()
    second.kill()
    killed = time.monotonic()
    said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 128 + signal.SIGKILL
    assert time.monotonic() - killed < 60
    assert "process 1 was ended by SIGKILL, and the others with it" in said
    assert not first.is_running()
    assert subprocess.run([*command, "--resume", str(path)], timeout=300).returncode == 0
    again, whole = read_run(path), read_run(tmp_path / "whole")
    assert losses(again) == losses(whole), "to the last bit"
    assert again.summary["status"] == "finished"
    ended = read_params(path)
    for key, array in read_params(tmp_path / "whole").items():
        np.testing.assert_array_equal(ended[key], array)
