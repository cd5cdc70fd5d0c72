"""`qnewton train --resume RUN`: how to go on, and what is refused."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qnewton.lab._cli.progress import Progress
from qnewton.lab._runfile import read_run

DEVICES = Path(__file__).parents[2] / "docs" / "devices.md"


@pytest.fixture
def stopped(call, monkeypatch):
    """A run of `dual-newton` that Ctrl-C stopped after its second step of four, in the directory `run`."""
    shown = Progress.step

    def step(self, record, blocks):
        shown(self, record, blocks)
        if record.step == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "step", step)
        return call("train", "tiny", "--preset", "dual-newton", "--steps", "4", "--out", "run")


def status(path):
    summary = read_run(path).summary
    assert summary is not None
    return summary.status


def test_ctrl_c_says_how_to_go_on_and_that_goes_on(stopped, call, tmp_path):
    assert stopped.status == 128 + signal.SIGINT
    assert stopped.out.splitlines()[-1] == "go on: qnewton train --resume run"
    assert status(tmp_path / "run") == "interrupted"
    # What agrees with the run may be given again.
    outcome = call("train", "tiny", "--resume", "run", "--steps", "4")
    assert outcome.status == 0, outcome.err
    assert "finished: 4 steps of dual_newton" in outcome.out
    assert "going on after 2 steps ..." in outcome.err
    assert "[4/4] loss" in outcome.err
    run = read_run(tmp_path / "run")
    assert [step.step for step in run.steps] == [0, 1, 2, 3]
    assert run.notes == ()
    assert status(tmp_path / "run") == "finished"
    assert call("report", "run").status == 0
    assert call("spectrum", "run", "--out", "spectrum").status == 0
    again = call("train", "--resume", "run")
    assert again.status == 2
    assert "qnewton: --resume run: the run is finished. It is not made longer" in again.err


CONTRADICTIONS = {
    "an option": (["--steps", "5"], "--steps is 5, and the run in run has 4"),
    "a preset": (["--preset", "kfac"], "--preset is kfac, and the run in run has dual-newton"),
    "a directory": (["--out", "other"], "--out is other, and the run in run has run"),
    "a number of processes": (
        ["--processes", "2"],
        "--processes is 2, and the run in run has 1: one that",
    ),
    "a task": (["digits-mlp"], "the task is digits-mlp, and the run's is tiny: omit it"),
}


def test_options_that_contradict_the_run_are_refused(stopped, call, tmp_path):
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for arguments, words in CONTRADICTIONS.values():
        outcome = call("train", *arguments, "--resume=run")
        assert outcome.status == 2
        assert words in outcome.said
        assert "Traceback" not in outcome.said
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_what_is_no_run_is_refused(call, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for name in ("mine", "nowhere"):
        outcome = call("train", "--resume", name)
        assert outcome.status == 2
        assert (
            f"qnewton: {name} holds no config.json: it is not the directory of a run, or of one that was" in outcome.err
        )
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    (tmp_path / "mine" / "config.json").write_text("{}")
    outcome = call("train", "--resume", "mine")
    assert outcome.status == 2
    assert "config.json: schema_version is None, and this version of qnewton reads 9" in outcome.err


def test_an_interrupt_before_the_first_step_says_how_to_go_on_too(call, monkeypatch):
    def stage(self, what):
        if "compiling" in what:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "stage", stage)
        outcome = call("train", "tiny", "--preset", "dual-newton", "--steps", "2", "--out", "my run")
    assert outcome.status == 128 + signal.SIGINT
    assert outcome.err.endswith("go on: qnewton train --resume 'my run'\nqnewton: interrupted\n")
    outcome = call("train", "--resume", "my run")
    assert outcome.status == 0
    assert "going on from the start: there is no checkpoint" in outcome.err
    assert json.loads(Path("my run", "summary.json").read_text())["steps"] == 2


def test_a_run_that_takes_no_more_says_so_and_does_not_claim_a_report(call, monkeypatch, tmp_path):
    from qnewton.lab._experiments import checkpoints

    def no_room(path, step, arrays):
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr(checkpoints, "_save_arrays", no_room)
    outcome = call(
        *("train", "tiny", "--preset", "dual-newton", "--steps", "4", "--checkpoint-every", "2", "--out", "run")
    )
    assert outcome.status == 1
    assert "No space left on device" in outcome.err
    assert "What was written before is whole: make room, then go on with: qnewton train --resume run" in outcome.err
    assert "Traceback" not in outcome.said
    assert len(read_run(tmp_path / "run").steps) == 2


def test_the_interval_is_not_negative(call, tmp_path):
    outcome = call("train", "tiny", "--checkpoint-every", "-1")
    assert outcome.status == 2
    assert "--checkpoint-every is -1: it counts steps" in outcome.said
    assert not list(tmp_path.iterdir())


@pytest.fixture
def submitted(stopped, call, monkeypatch):
    """`submitted(*more)`: the command of a batch system's script, which stays the same."""
    return lambda *more: call(
        "train", "tiny", "--preset", "dual-newton", "--steps", "4", "--out", "run", "--resubmit", *more
    )


def test_a_script_that_is_run_again_goes_on_until_the_run_is_finished(submitted, monkeypatch, tmp_path):
    shown = Progress.step

    def step(self, record, blocks):
        shown(self, record, blocks)
        if record.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "step", step)
        outcome = submitted()
    assert outcome.status == 128 + signal.SIGTERM
    assert outcome.out.splitlines()[-1] == "qnewton train --resume run"
    outcome = submitted()
    assert outcome.status == 0, outcome.err
    assert [step.step for step in read_run(tmp_path / "run").steps] == [0, 1, 2, 3]
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    outcome = submitted()
    assert (outcome.status, outcome.out) == (0, "run is finished: nothing is left to do\n")
    assert {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()} == before


def test_a_script_that_is_run_again_needs_to_find_its_run(call, submitted):
    assert "--resubmit: add --out DIR" in call("train", "tiny", "--resubmit").err
    assert "--steps is 5, and the run in run has 4" in submitted("--steps", "5").said


SLURM = re.search(r"^### Slurm\n.*?```\n(.*?)```", DEVICES.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_script_for_slurm_saves_and_is_queued_again(tmp_path):
    assert SLURM is not None
    task = Path(__file__).parents[2] / "examples" / "own_task.py"
    script = SLURM[1].replace("gpt-tiny", f"{task}:sines --preset kfac --steps 100000 --evaluate-every 100000")
    commands = {
        "srun": 'echo $$ > pid; exec "$@"',
        "qnewton": f'exec {sys.executable} -m qnewton "$@"',
        "scontrol": 'echo "$@" >> asked',
    }
    for name, text in commands.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "42"}
    lines = 0
    for turn in (1, 2):
        with subprocess.Popen(["bash", "-c", script], cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as job:
            until(lambda before=lines: taken(tmp_path) > before + 20)
            # As Slurm does: to the processes of the step, not to the script.
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
            printed = job.communicate(timeout=60)[0].decode()
        assert printed.splitlines()[-1] == "qnewton train --resume shared/run"
        assert (tmp_path / "asked").read_text().splitlines() == ["requeue 42"] * turn
        run = read_run(tmp_path / "shared" / "run")
        assert [line.step for line in run.steps] == list(range(len(run.steps)))
        assert len(run.steps) > lines
        assert run.notes == ()
        lines = len(run.steps)


def taken(folder: Path) -> int:
    file = folder / "shared" / "run" / "steps.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 90
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_killed_run_with_the_config_of_another_is_named_by_all_that_rest_on_it(call, quick, tmp_path):
    for name, seed in (("one", "1"), ("two", "2")):
        assert call("train", "tiny", *quick, "--seed", seed, "--checkpoint-every", "1", "--out", name).status == 0
        for file in ("manifest.json", "summary.json"):
            (tmp_path / name / file).unlink()
    (tmp_path / "one" / "config.json").write_bytes((tmp_path / "two" / "config.json").read_bytes())
    (tmp_path / "one" / "calibration.json").write_bytes((tmp_path / "two" / "calibration.json").read_bytes())
    for arguments in (["spectrum", "one"], ["report", "one"], ["explain", "one"], ["train", "--resume", "one"]):
        outcome = call(*arguments)
        assert outcome.status == 2, arguments
        assert "config.json" in outcome.err, outcome.err


def test_a_killed_run_without_its_systems_is_no_whole_one(call, quick, tmp_path):
    assert call("train", "tiny", *quick, "--out", "run").status == 0
    for file in ("manifest.json", "summary.json"):
        (tmp_path / "run" / file).unlink()
    (tmp_path / "run" / "blocks.jsonl").write_bytes(b"")
    (note,) = [note for note in read_run(tmp_path / "run").notes if "blocks.jsonl" in note]
    assert "do not hold the same steps (step 0, 1" in note


def test_a_killed_run_without_its_steps_is_reported_as_one_without(call, quick, tmp_path):
    assert call("train", "tiny", *quick, "--out", "run").status == 0
    for file in ("manifest.json", "summary.json", "steps.jsonl"):
        (tmp_path / "run" / file).unlink()
    outcome = call("report", "run")
    assert outcome.status == 0, outcome.err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "steps.jsonl is missing" in page
    assert 'id="systems"' not in page


@pytest.mark.parametrize("name", ["resumes.jsonl", "checkpoints.jsonl"])
def test_a_last_line_that_is_no_line_is_set_aside_before_others_follow(stopped, call, tmp_path, name):
    run = tmp_path / "run"
    for file in ("manifest.json", "summary.json"):
        (run / file).unlink()
    garbled = b'{"resumed": "2026", :}\n'
    there = (run / name).read_bytes() if (run / name).exists() else b""
    (run / name).write_bytes(there + garbled)
    outcome = call("train", "--resume", "run")
    assert outcome.status == 0, outcome.err
    assert f"{name}: line {len(there.splitlines()) + 1} is cut off, or is no line" in outcome.err
    assert (run / "aside" / "001" / name).read_bytes() == garbled
    assert not [note for note in read_run(run).notes if name in note]
    assert call("report", "run").status == 0


def test_a_summary_that_is_gone_from_a_finished_run_is_told(call, quick, tmp_path):
    assert call("train", "tiny", *quick, "--checkpoint-every", "1", "--out", "run").status == 0
    before = read_run(tmp_path / "run").steps
    (tmp_path / "run" / "summary.json").unlink()
    outcome = call("train", "--resume", "run")
    assert outcome.status == 0, outcome.err
    assert "summary.json is missing, and manifest.json is there" in outcome.err
    assert [step.loss for step in read_run(tmp_path / "run").steps] == [step.loss for step in before]
    assert status(tmp_path / "run") == "finished"
