"""What loggers are told, by the clients' own files or by stand-ins for clients that would ask a server."""

import struct
import sys
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from qnewton._core.extras import MissingExtraError
from qnewton.lab import RunFileError, read_params, read_run
from qnewton.lab._experiments import loggers, runner
from qnewton.lab._experiments.tasks import make_task
from qnewton.lab._runfile import RunDirectory, write_params

from .conftest import Silent


def train(options: Any, path: Any, names: tuple[str, ...]) -> Any:
    directory = RunDirectory.create(path, "unused")
    with loggers.Logged(names, path, Silent()) as watcher:
        summary = runner.train("tiny", options, directory, watcher)
        watcher.over(summary)
    return summary


def events(folder: Any) -> list[Any]:
    """The records of TensorBoard's files: length, its checksum, the event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    found = []
    for file in sorted(folder.iterdir()):
        content, place = file.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack("<Q", content[place : place + 8])
            found.append(Event.FromString(content[place + 12 : place + 12 + length]))
            place += 16 + length
    return found


@pytest.fixture(scope="module")
def options(options_of: Any) -> Any:
    return options_of("default", steps=3, solvers=("inverse", "cholesky"))


class WandB:
    """Has of the client what is called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.summary: dict[str, float] = {}

    def init(self, **given: Any) -> "WandB":
        self.calls.append(given)
        return self

    def log(self, values: Any, *, step: int) -> None:
        self.calls.append((step, values))

    def finish(self, *, exit_code: int) -> None:
        self.calls.append(exit_code)


class MLflow:
    """Likewise; `known` are the runs that a search finds."""

    def __init__(self, known: tuple[str, ...] = ()) -> None:
        self.calls: list[Any] = []
        self.known = known

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: self.calls.append((name, given, named))

    def search_runs(self, **_: Any) -> list[Any]:
        return [SimpleNamespace(info=SimpleNamespace(run_id=one)) for one in self.known]


def test_tensorboard_has_the_numbers_of_the_run(options, tmp_path):
    train(options, tmp_path / "run", ("tensorboard",))
    run = read_run(tmp_path / "run")
    scalars = {
        (value.tag, event.step): value.simple_value
        for event in events(tmp_path / "run" / "tensorboard")
        for value in event.summary.value
        if value.WhichOneof("value") == "simple_value"
    }
    for step in run.steps:
        assert scalars["loss/batch", step.step] == pytest.approx(step.loss)
        assert scalars["accuracy/test", step.step] == pytest.approx(step.test_accuracy)
        assert scalars["seconds/measured_step", step.step] == pytest.approx(step.measured_seconds)
    assert scalars["final/train_loss", 2] == pytest.approx(run.summary.final_loss)  # pyright: ignore[reportOptionalMemberAccess]


def test_the_other_services_are_told_by_their_clients(options, tmp_path, monkeypatch):
    wandb, mlflow = WandB(), MLflow()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "my own")
    summary = train(options, tmp_path / "run", ("wandb", "mlflow"))
    begun, *steps, code = wandb.calls
    assert begun["project"] == "qnewton"
    assert begun["name"] == "run"
    assert begun["config"]["training.steps"] == 3
    assert begun["resume"] == "allow"
    assert [step for step, _ in steps] == [0, 1, 2]
    assert wandb.summary["final/train_loss"] == pytest.approx(summary.final_loss)
    assert code == 0
    names = [name for name, *_ in mlflow.calls]
    # The user's environment names the experiment.
    assert names == ["start_run", "log_params", *3 * ["log_metrics"], "log_metrics", "end_run"]
    assert mlflow.calls[2][2] == {"step": 0}
    assert mlflow.calls[2][1][0] == steps[0][1]
    assert mlflow.calls[-1][1] == ("FINISHED",)


def test_a_run_that_goes_on_is_the_same_one_to_the_services(options, tmp_path, monkeypatch):
    train(options, tmp_path / "run", ())
    config = read_run(tmp_path / "run").config
    assert loggers.identity(config) == loggers.identity(read_run(tmp_path / "run").config)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow := MLflow(("found",)))
    loggers.MLflow(tmp_path / "run", config, 2)
    assert mlflow.calls[-1] == ("start_run", (), {"run_id": "found"})


def test_a_client_that_fails_is_left_out_and_the_run_goes_on(options, tmp_path, monkeypatch, capsys):
    class Failing(WandB):
        def log(self, values: Any, *, step: int) -> None:
            if step == 1:
                raise ConnectionError("no route")
            super().log(values, step=step)

    monkeypatch.setitem(sys.modules, "wandb", wandb := Failing())
    assert train(options, tmp_path / "run", ("wandb",)).status == "finished"
    assert "--log wandb is left out from here on: ConnectionError: no route" in capsys.readouterr().err
    assert len(wandb.calls) == 2


def test_a_client_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r"--log wandb needs wandb.*qnewton\[wandb\]"):
        loggers.check_loggers(("wandb",))


def test_of_blocks_the_predictions_are_told_too(options_of, hand_made, tmp_path):
    with hand_made():
        train(options_of(solvers=("lu",), adaptation="fixed"), tmp_path / "run", ("tensorboard",))
    run = read_run(tmp_path / "run")
    step, lines = run.steps[-1], run.blocks[-len(run.config.model.blocks) :]
    values = loggers.step_values(step, lines)
    assert values["seconds/predicted_paper"] == step.predicted_seconds["paper"].total
    assert values["systems/log10_condition_number"] == lines[-1].log10_condition_number
    told = [v.tag for e in events(tmp_path / "run" / "tensorboard") for v in e.summary.value]
    assert set(values) <= set(told)


def test_numbers_that_are_not_finite_are_left_out():
    assert loggers._finite({"a": 1.0, "b": None, "c": float("nan"), "d": float("inf")}) == {"a": 1.0}


def test_a_run_leaves_its_last_parameters(options, tmp_path):
    summary = train(options, tmp_path / "run", ())
    task = make_task("tiny", "float32")
    initial = task.init(jax.random.key(0))
    by_name = read_params(tmp_path / "run")
    assert list(by_name) == ["hidden.bias", "hidden.weight", "out.weight"]
    params = jax.tree.unflatten(jax.tree.structure(initial), list(by_name.values()))
    # Its final loss is that of the last parameters on all training data.
    assert float(task.objective(params, task.train.batch)) == pytest.approx(summary.final_loss, rel=1e-5)


def test_no_name_of_a_parameter_is_taken_for_an_argument(tmp_path):
    arrays = {"file": np.ones(2), "allow_pickle": np.zeros((1, 3), np.float32), "a/b.c": np.arange(4.0)}
    write_params(tmp_path, arrays)
    found = read_params(tmp_path)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_a_run_without_them_says_so(tmp_path):
    with pytest.raises(RunFileError, match=r"params.npz is not there.*--resume"):
        read_params(tmp_path)
    np.savez(tmp_path / "params.npz", weight=np.ones(100))
    whole = (tmp_path / "params.npz").read_bytes()
    for torn in (b"", b"PK torn", whole[:300]):
        (tmp_path / "params.npz").write_bytes(torn)
        with pytest.raises(RunFileError, match="cannot be read"):
            read_params(tmp_path)
