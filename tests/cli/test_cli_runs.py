"""Runs from the command line: what they print, what they leave, how they end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qnewton.lab._cli import main
from qnewton.lab._runfile import read_run


def test_two_steps_end_with_a_report_that_can_be_made_again(call, tmp_path):
    outcome = call("train", "tiny", "--steps", "2", "--batch-size", "8", "--solvers", "lu", "qlsa", "--out", "run")
    assert outcome.status == 0
    report = tmp_path / "run" / "report.html"
    assert outcome.out.splitlines()[-1] == f"report: {Path('run') / 'report.html'}"
    page = report.read_text("utf-8")
    assert "</html>" in page
    # Progress goes to stderr, and its end too.
    assert "tiny -> run" in outcome.err
    assert "[2/2] loss" in outcome.err
    assert "accuracy" in outcome.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert f"finished: 2 steps of kfac, training loss {summary['final_loss']:.4g}" in outcome.out
    assert f"test accuracy {summary['test_accuracy']:.4f}" in outcome.out
    assert "measured" in outcome.out
    assert "predicted" in outcome.out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["options"]["out"] == "run"
    assert config["options"]["training"]["batch_size"] == 8

    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path != report}
    report.unlink()
    outcome = call("report", "run")
    assert outcome.status == 0
    assert outcome.out == f"report: {Path('run') / 'report.html'}\n"
    assert report.read_text("utf-8") == page
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path != report} == before

    found = json.loads(call("report", "run", "--figures", "pdf", "--json").out)
    assert found == {"files": {"report": str(Path("run") / "report.html"), "figures": str(Path("run") / "figures")}}
    figures = list((tmp_path / "run" / "figures").iterdir())
    assert len(figures) == page.count("<svg")
    assert all(figure.suffix == ".pdf" and figure.read_bytes().startswith(b"%PDF") for figure in figures)

    again = call("train", "tiny", "--out", "run")
    assert again.status == 2
    assert "not an empty directory" in again.err


def test_without_a_name_runs_are_numbered(call, quick, tmp_path):
    (tmp_path / "runs" / "tiny-blocks-001").mkdir(parents=True)
    outcome = call("train", "tiny", *quick)
    assert outcome.status == 0
    assert f"report: {Path('runs') / 'tiny-blocks-002' / 'report.html'}" in outcome.out
    assert read_run(tmp_path / "runs" / "tiny-blocks-002").config.preset == "blocks"
    # Nothing classical was there to compare with, which is not to say that it would be infinitely slow.
    assert "quantum   100% of the systems" in outcome.out
    assert "inf s" not in outcome.out


def test_a_name_with_brackets_is_a_name(call, quick, tmp_path):
    # The terminal library reads [/b] as the end of a bold passage that never began.
    outcome = call("train", "tiny", *quick, "--out", "[/b] odd [red]", "--json")
    assert outcome.status == 0
    said = json.loads(outcome.out)
    assert said["directory"] == "[/b] odd [red]"
    assert said["found"] == json.loads((tmp_path / "[/b] odd [red]" / "summary.json").read_text())
    assert "tiny -> [/b] odd [red]" in outcome.err
    assert (tmp_path / "[/b] odd [red]" / "report.html").exists()


def test_a_preset_is_the_starting_point_and_options_change_it(call, tmp_path):
    outcome = call("train", "tiny", "--steps", "1", "--solvers", "qlsa", "--preset=paper", "--no-decay", "--out", "run")
    assert outcome.status == 0
    options: Any = read_run(tmp_path / "run").config.options
    assert options["preset"] == "paper"
    assert options["step"]["curvature"] == "hessian"
    assert options["step"]["clip"] == 100
    assert options["step"]["decay"] is False
    assert options["scheduling"]["solvers"] == ["qlsa"]


@pytest.mark.parametrize(
    ("preset", "ran"), [("default", "kfac"), ("kfac", "kfac"), ("dual-newton", "dual_newton")], ids=str
)
def test_a_complete_optimizer_runs_and_reports_without_a_calibration(preset, ran, call, tmp_path):
    outcome = call("train", "tiny", "--preset", preset, "--steps", "6", "--out", "run")
    assert outcome.status == 0, outcome.err
    assert f"finished: 6 steps of {ran}, training loss" in outcome.out
    assert "systems   under `end_to_end`: " in outcome.out
    assert "          under `paper`: " in outcome.out
    assert "calibrating" not in outcome.err
    directory = tmp_path / "run"
    names = {"config.json", "manifest.json", "params.npz", "steps.jsonl", "blocks.jsonl", "summary.json", "report.html"}
    assert {path.name for path in directory.iterdir()} == names
    run = read_run(directory)
    assert run.notes == ()
    assert run.config.optimizer == ran
    assert run.config.preset == preset
    assert run.summary is not None
    assert run.summary.acting == "end_to_end"
    assert run.summary.quantum_share == 0
    # A status for the layer, and one for parameters that belong to none.
    assert run.summary.statuses == {"ok": 6 * (2 if ran == "kfac" else 1)}
    losses: list[Any] = [step.loss for step in run.steps]
    assert losses[-1] < losses[0]
    page = (directory / "report.html").read_text("utf-8")
    assert f"<code>{ran}</code> is complete by itself" in page
    for absent in ("quantum share", "as scheduled", "break-even", ">calibration</"):
        assert absent not in page, absent
    assert 'id="f-loss"' in page
    assert 'id="systems"' in page
    assert 'id="f-choice0"' in page
    (directory / "report.html").unlink()
    assert call("report", "run").status == 0
    assert (directory / "report.html").read_text("utf-8") == page
    replayed, explained = call("replay", "run"), call("explain", "run", "--step", "-1")
    assert ", 6 steps: unchanged, " in replayed.out
    assert "end_to_end\n" in explained.out
    assert (replayed.status, explained.status) == (0, 0)


def test_candidates_that_take_operators_are_scheduled_and_reported(call, tmp_path):
    solvers = ("--solvers", "cg(preconditioner=kfac)", "dual")
    outcome = call("train", "tiny", "--preset", "blocks", "--steps", "2", *solvers, "--out", "run")
    assert outcome.status == 0, outcome.err
    calibration = json.loads((tmp_path / "run" / "calibration.json").read_text())
    assert sorted(calibration["kernels"]) == ["cg", "dual"]
    assert all(value >= 0 for part in calibration["stages"]["blocks"] for value in list(part.values())[2:])
    run = read_run(tmp_path / "run")
    for block in run.blocks:
        assert block.status == "ok"
        assert block.solver in ("CG(KFAC)", "Dual")
        seconds = block.assumptions["paper"].predicted_seconds
        assert set(seconds) == {"CG(KFAC)", "Dual"}
        assert seconds[block.solver] == min(value for value in seconds.values() if value is not None)
    # The report names what was chosen, which is this machine's to decide.
    assert run.blocks[0].solver in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_the_papers_estimator_can_be_reported(call, quick):
    outcome = call("train", "tiny", *quick, "--estimator", "determinant-norm", "--out", "run")
    assert outcome.status == 0, outcome.err
    assert "report: " in outcome.out


def test_a_training_that_fails_says_why_and_still_reports(call, quick, tmp_path):
    outcome = call("train", "poisoned", *quick, "--out", "run")
    assert outcome.status == 1
    assert "qnewton: the loss of the batch at step 0 is nan" in outcome.err, outcome.err
    assert "Lower --learning-rate" in outcome.err
    assert f"report: {Path('run') / 'report.html'}" in outcome.err
    assert "Traceback" not in outcome.said
    assert "1enan" not in outcome.err
    assert (tmp_path / "run" / "report.html").exists()
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_in_the_training_ends_it_with_a_report(call, quick, monkeypatch, tmp_path, which):
    from qnewton.lab._cli.progress import Progress

    shown = Progress.step

    def step(self, record, blocks):
        shown(self, record, blocks)
        if record.step == 1:
            os.kill(os.getpid(), which)

    monkeypatch.setattr(Progress, "step", step)
    outcome = call("train", "tiny", *quick, "--steps", "9", "--out", "run")
    assert outcome.status == 128 + which
    assert "interrupted: 3 steps of newton" in outcome.out, "the step after the one in which it came is the last"
    assert "go on: qnewton train --resume run" in outcome.out
    summary = read_run(tmp_path / "run").summary
    assert summary is not None
    assert summary.status == "interrupted"
    assert summary.steps == 3
    assert summary.signal == which.name
    assert (tmp_path / "run" / "report.html").exists()


def test_a_run_whose_directory_is_taken_away_stops_at_its_next_step(call, quick, monkeypatch, tmp_path):
    from qnewton.lab._cli.progress import Progress

    def step(self, record, blocks):
        if record.step == 1:
            (tmp_path / "run" / "steps.jsonl").unlink()

    monkeypatch.setattr(Progress, "step", step)
    outcome = call("train", "tiny", *quick, "--steps", "9", "--out", "run")
    assert outcome.status == 3
    assert f"qnewton: {Path('run') / 'steps.jsonl'} was removed while the run went on. It stops here" in outcome.err
    left = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert left == ["blocks.jsonl", "calibration.json", "config.json"], "nothing was written any more"


def test_ctrl_c_before_the_training_is_no_traceback(call, quick, monkeypatch):
    from qnewton.lab._cli.progress import Progress

    def stage(self, what):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "stage", stage)
    outcome = call("train", "tiny", *quick, "--out", "run")
    assert outcome.status == 128 + signal.SIGINT
    assert outcome.err.endswith("qnewton: interrupted\n")


def test_arguments_default_to_those_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["qnewton", "trian"])
    assert main() == 2
    assert "unknown command 'trian'" in capsys.readouterr().err


def test_the_digits_train_in_a_process_of_their_own(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-c", "import sys; from qnewton.lab._cli import main; sys.exit(main())"),
            *("train", "digits-mlp", "--width", "4", "--depth", "1", "--steps", "2", "--batch-size", "16"),
            *("--preset", "blocks", "--seed", "3", "--solvers", "qlsa", "--out", "run"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"report: {Path('run') / 'report.html'}"
    run = read_run(tmp_path / "run")
    assert run.summary is not None
    assert run.summary.status == "finished"
    assert [block.n for block in run.config.model.blocks] == [64 * 4 + 4 + 4 * 10 + 10]
    assert len(run.blocks) == 2
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    assert "Warning" not in done.stderr
