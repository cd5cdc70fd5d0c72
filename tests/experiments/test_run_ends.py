"""How a run ends, and that it is the same one when it is run again."""

import os
import signal
from typing import Any

import jax
import numpy as np
import pytest

from qnewton.lab import read_params
from qnewton.lab._experiments import runner
from qnewton.lab._experiments.runner import TrainingFailed
from qnewton.lab._experiments.tasks import make_task
from qnewton.lab._experiments.tasks.base import batches
from qnewton.lab._runfile import RunDirectory


class Stops:
    """Presses Ctrl-C when it is told of one step."""

    def __init__(self, at: int):
        self.at = at

    def stage(self, what):
        pass

    def step(self, step, blocks):
        if step.step == self.at:
            raise KeyboardInterrupt


class Stalls(RunDirectory):
    """Is interrupted before it writes the lines of one step."""

    at: int

    def append(self, name, lines: Any):
        if name == "blocks.jsonl" and lines[0].step == self.at and not hasattr(self, "pressed"):
            self.pressed = True
            raise KeyboardInterrupt
        super().append(name, lines)


def test_ctrl_c_keeps_every_step_and_writes_a_summary(run, quick, tmp_path):
    files = run(quick(steps=9, evaluate_every=5), tmp_path / "run", watcher=Stops(at=2))
    assert files.summary["status"] == "interrupted"
    assert files.summary["signal"] == "SIGINT"
    assert files.summary["steps"] == 3
    assert [step["step"] for step in files.steps] == [0, 1, 2]
    assert [block["step"] for block in files.blocks] == [0, 1, 2]
    # No step was evaluated, and the end is all the same.
    assert all(step["train_loss"] is None for step in files.steps)
    assert 0 < files.summary["final_loss"] < files.steps[0]["loss"]
    assert 0 <= files.summary["test_accuracy"] <= 1
    assert files.summary["statuses"] == {"ok": 3}


def test_a_signal_ends_the_run_after_the_step_in_which_it_comes(hand_made, quick, read_run, tmp_path):
    class Signals(RunDirectory):
        def append(self, name, lines: Any):
            super().append(name, lines)
            if name == "blocks.jsonl" and lines[0].step == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    with hand_made():
        summary = runner.train("tiny", quick(steps=9), Signals(tmp_path), Stops(at=-1))
    files = read_run(tmp_path)
    assert (summary.status, summary.steps) == ("interrupted", 2)
    assert [step["step"] for step in files.steps] == [0, 1]
    assert list((tmp_path / "checkpoints").iterdir()) == [tmp_path / "checkpoints" / "2"]
    assert set(read_params(tmp_path)) == {"hidden.bias", "hidden.weight", "out.weight"}


def test_ctrl_c_between_a_step_and_its_lines_loses_no_line(hand_made, quick, read_run, tmp_path):
    directory = Stalls(tmp_path)
    directory.at = 1
    with hand_made():
        summary = runner.train("tiny", quick(steps=5), directory, Stops(at=-1))
    files = read_run(tmp_path)
    assert summary.status == files.summary["status"] == "interrupted"
    assert [step["step"] for step in files.steps] == [0, 1]
    assert [block["step"] for block in files.blocks] == [0, 1]
    assert files.summary["steps"] == 2


def test_ctrl_c_before_the_first_step_is_not_swallowed(hand_made, quick, read_run, tmp_path):
    class Early(Stops):
        def stage(self, what):
            if "compiling" in what:
                raise KeyboardInterrupt

    with hand_made(), pytest.raises(KeyboardInterrupt):
        runner.train("tiny", quick(), RunDirectory(tmp_path), Early(at=-1))
    files = read_run(tmp_path)
    assert files.config is not None
    assert files.summary is None


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_files(hand_made, quick, read_run, tmp_path):
    # One example in 48 is poisoned: the epoch of three batches meets it, for some seed in the last of them.
    seed = next(seed for seed in range(20) if position_of_poison(seed) == 2)
    with hand_made(), pytest.raises(TrainingFailed, match=r"step 2 is nan.*Lower --learning-rate.*run directory"):
        runner.train("poisoned", quick(steps=9, seed=seed), RunDirectory(tmp_path), Stops(at=-1))
    files = read_run(tmp_path)
    assert [step["loss"] is None for step in files.steps] == [False, False, True]
    assert [block["status"] for block in files.blocks] == ["ok", "ok", "not_finite"]
    assert files.blocks[2]["ran"] == "gradient step"
    assert set(files.blocks[2]["assumptions"]["paper"]["refused"]) == {"LU"}
    assert files.config is not None
    assert files.calibration is not None
    assert files.summary is None
    # The step on the poisoned batch was refused, so these are the last ones that mean anything.
    assert all(np.isfinite(array).all() for array in read_params(tmp_path).values())


def position_of_poison(seed: int) -> int:
    """Which batch of the first epoch holds example 0."""
    task = make_task("poisoned", "float32")
    stream = batches(task.train, 16, seed)
    return next(i for i in range(3) if np.isnan(next(stream)[0]).any())


def test_the_same_seed_is_the_same_run_and_another_is_not(mixed, run, mixed_options, quick, tmp_path):
    def without_clock(steps):
        return [{k: v for k, v in step.items() if not k.startswith("measured")} for step in steps]

    again = run(mixed_options, tmp_path / "again")
    assert without_clock(again.steps) == without_clock(mixed.steps)
    assert again.blocks == mixed.blocks
    assert len({line["solver"] for line in again.blocks}) > 1, "the decisions are not all one"
    # The first loss depends on the seed alone, not on how the step is made.
    same, other = (run(quick(seed=seed, steps=1), tmp_path / f"{seed}").steps[0]["loss"] for seed in (0, 1))
    assert same == pytest.approx(mixed.steps[0]["loss"], rel=1e-6)
    assert other != pytest.approx(same, rel=1e-3)


@pytest.mark.parametrize(("dtype", "outside"), [("float32", True), ("float64", False)])
def test_a_run_has_its_own_float_width_and_leaves_the_callers_alone(dtype, outside, run, quick, tmp_path):
    with jax.enable_x64(outside):
        files = run(quick(dtype=dtype, steps=1), tmp_path / "run")
        assert jax.config.read("jax_enable_x64") is outside
    assert files.calibration["dtype"] == dtype
    (step,) = files.steps
    # The loss before the first step, by numpy in double precision at the same parameters.
    with jax.enable_x64(dtype == "float64"):
        task = make_task("tiny", dtype)
        params = task.init(jax.random.key(0))
        inputs, targets = next(batches(task.train, 16, 0))
    weight, bias, out = (
        np.asarray(leaf, np.float64)
        for leaf in (params["hidden"]["weight"], params["hidden"]["bias"], params["out"]["weight"])
    )
    logits = np.tanh(inputs.astype(np.float64) @ weight + bias) @ out
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(16), targets]
    assert step["loss"] == pytest.approx(losses.mean(), rel=1e-12 if dtype == "float64" else 1e-5)
    assert (float(np.float32(step["loss"])) == step["loss"]) is (dtype == "float32")


def test_a_step_trains_on_the_batches_of_its_seed(run, quick, tmp_path):
    # Tiny steps leave the parameters where they are, so each loss is that of the next batch at the first ones.
    files = run(quick(learning_rate=1e-12, steps=4), tmp_path / "run")
    task = make_task("tiny", "float32")
    params = task.init(jax.random.key(0))
    stream = batches(task.train, 16, 0)
    for step in files.steps:
        assert step["loss"] == pytest.approx(float(task.objective(params, next(stream))), rel=1e-5)
    assert [step["epoch"] for step in files.steps] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_the_watcher_hears_of_every_stage_and_step(hand_made, quick, tmp_path):
    heard = []

    class Listens:
        def stage(self, what):
            heard.append(what)

        def step(self, step, blocks):
            heard.append((step.step, len(blocks)))

    with hand_made():
        runner.train("tiny", quick(partition="per-tensor"), RunDirectory(tmp_path), Listens())
    stages = ["loading data", "data: three clouds", "calibrating this machine", "compiling the step"]
    assert heard == [*stages, (0, 3), (1, 3)]


def test_a_system_that_does_not_fit_is_refused_before_the_first_step(hand_made, quick, tmp_path, monkeypatch):
    monkeypatch.setattr("qnewton._core.memory.available_bytes", lambda: 1000)
    with hand_made(), pytest.raises(MemoryError, match="24 rows"):
        runner.train("tiny", quick(), RunDirectory(tmp_path), Stops(at=-1))
    assert not list(tmp_path.iterdir())
