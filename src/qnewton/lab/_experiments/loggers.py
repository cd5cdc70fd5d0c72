"""Logging of a run to TensorBoard, Weights & Biases or MLflow, through their own clients.

A run's own files stay the record: a logger gets copies of their numbers, and one that fails is left out from then on,
since no training is worth less for want of a picture of it.
"""

import hashlib
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from ..._core.extras import optional
from .._runfile import Config, StepLine, Summary, SystemLine, plain, read_config
from .runner import Watcher

PROJECT = "qnewton"
"""Of Weights & Biases, and the experiment of MLflow, where the client's own environment variables name no other."""


class Client(Protocol):
    """Client of one logging service."""

    def step(self, step: int, values: dict[str, float]) -> None:
        """Log the numbers of a step, all of them finite."""
        ...

    def close(self, values: dict[str, float], *, finished: bool) -> None:
        """Log the numbers of the whole run; `finished` tells whether it was completed."""
        ...


class TensorBoard:
    """Event files in the folder `tensorboard` of the run, for `tensorboard --logdir RUN`."""

    def __init__(self, directory: Path, config: Config, first: int):
        writer = optional("tensorboardX", "tensorboard", "--log tensorboard needs tensorboardX")
        # What an earlier process wrote beyond its checkpoint is computed once more.
        self._writer = writer.SummaryWriter(str(directory / "tensorboard"), purge_step=first or None)
        self._writer.add_text("config", f"{config.task}, {config.optimizer}, preset {config.preset}", first)
        self._last = first

    def step(self, step: int, values: dict[str, float]) -> None:
        self._last = step
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, values: dict[str, float], *, finished: bool) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, self._last)
        self._writer.close()


class WandB:
    """A run of Weights & Biases; its own environment variables set place and mode."""

    def __init__(self, directory: Path, config: Config, first: int):
        client = optional("wandb", "wandb", "--log wandb needs wandb")
        self._run = client.init(
            project=_unless("WANDB_PROJECT"),
            name=directory.name,
            id=identity(config),
            dir=str(directory),
            config=_described(config),
            resume="allow",
        )

    def step(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def close(self, values: dict[str, float], *, finished: bool) -> None:
        self._run.summary.update(values)
        self._run.finish(exit_code=0 if finished else 1)


class MLflow:
    """A run of MLflow, in the store that its own environment variables name."""

    def __init__(self, directory: Path, config: Config, first: int):
        self._client = optional("mlflow", "mlflow", "--log mlflow needs mlflow")
        if (experiment := _unless("MLFLOW_EXPERIMENT_NAME")) is not None:
            self._client.set_experiment(experiment)
        tag = identity(config)
        known = self._client.search_runs(filter_string=f"tags.qnewton = '{tag}'", output_format="list")
        if known:
            self._client.start_run(run_id=known[0].info.run_id)
            return
        self._client.start_run(run_name=directory.name, tags={"qnewton": tag})
        self._client.log_params(_described(config))

    def step(self, step: int, values: dict[str, float]) -> None:
        self._client.log_metrics(values, step=step)

    def close(self, values: dict[str, float], *, finished: bool) -> None:
        self._client.log_metrics(values)
        self._client.end_run("FINISHED" if finished else "FAILED")


CLIENTS: dict[str, Callable[[Path, Config, int], Client]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
}
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}


def check_loggers(names: Sequence[str]) -> None:
    """Refuse a logger whose client is not installed, before anything is computed.

    Raises:
        MissingExtraError: names the extra.
    """
    for name in names:
        optional(_PACKAGES[name], name, f"--log {name} needs {_PACKAGES[name]}")


class Logged:
    """Watcher that logs a run and forwards to another watcher; a context that ends with the run."""

    def __init__(self, names: Sequence[str], directory: Path, watcher: Watcher):
        self._names, self._directory, self._watcher = names, directory, watcher
        self._clients: dict[str, Client] | None = None
        self._summary: Summary | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        values = {} if self._summary is None else summary_values(self._summary)
        finished = self._summary is not None and self._summary.status == "finished"
        self._each(lambda client: client.close(values, finished=finished))

    def stage(self, what: str) -> None:
        """Begin a new stage of the preparation."""
        self._watcher.stage(what)

    def step(self, step: StepLine, blocks: Sequence[SystemLine]) -> None:
        """Log a step that is done and recorded."""
        self._watcher.step(step, blocks)
        if self._clients is None:
            self._open(step.step)
        self._each(lambda client: client.step(step.step, step_values(step, blocks)))

    def over(self, summary: Summary) -> None:
        """Mark the run as completed; a run without this mark has failed."""
        self._summary = summary

    def _open(self, first: int) -> None:
        # Its config is written once the run is known to begin.
        config = read_config(self._directory)
        self._clients = {}
        for name in self._names:
            try:
                self._clients[name] = CLIENTS[name](self._directory, config, first)
            except Exception as error:
                self._left_out(name, error)

    def _each(self, tell: Callable[[Client], None]) -> None:
        for name, client in list((self._clients or {}).items()):
            try:
                tell(client)
            except Exception as error:
                del (self._clients or {})[name]
                self._left_out(name, error)

    @staticmethod
    def _left_out(name: str, error: Exception) -> None:
        print(f"--log {name} is left out from here on: {type(error).__name__}: {error}", file=sys.stderr)


def identity(config: Config) -> str:
    """Return a run's identity, the same in each process that continues it."""
    told = f"{config.started} {config.task} {config.seed} {plain(config.machine)}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def step_values(step: StepLine, blocks: Sequence[SystemLine]) -> dict[str, float]:
    """Return the finite numbers of a step by name; names of seconds state their kind."""
    values: dict[str, float | None] = {
        "loss/batch": step.loss,
        "loss/train": step.train_loss,
        "loss/test": step.test_loss,
        "accuracy/test": step.test_accuracy,
        "step/damping": max((line.damping for line in blocks if line.damping is not None), default=step.damping_scale),
        "step/learning_rate": step.learning_rate,
        "step/reduction_ratio": step.reduction_ratio,
        "step/accepted": float(step.accepted),
        "seconds/measured_step": step.measured_seconds,
        **{f"seconds/predicted_{name}": value.total for name, value in step.predicted_seconds.items()},
    }
    kappas = [line.log10_condition_number for line in blocks if line.log10_condition_number is not None]
    if kappas:
        values["systems/log10_condition_number"] = max(kappas)
    return _finite(values)


def summary_values(summary: Summary) -> dict[str, float]:
    """The numbers of a whole run."""
    return _finite(
        {
            "final/train_loss": summary.final_loss,
            "final/test_loss": summary.test_loss,
            "final/test_accuracy": summary.test_accuracy,
            "final/measured_seconds": summary.measured_seconds,
        }
    )


def _finite(values: dict[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def _described(config: Config) -> dict[str, Any]:
    """Return the description for the services: names and options, the groups flat."""
    options: dict[str, Any] = plain(config.options)
    flat = {key: value for key, value in options.items() if not isinstance(value, dict)}
    for group, own in options.items():
        if isinstance(own, dict):
            flat |= {f"{group}.{key}": value for key, value in own.items()}
    return {"task": config.task, "optimizer": config.optimizer, "parameters": config.model.parameters} | flat


def _unless(variable: str) -> str | None:
    """Return our project's name, unless the user's environment names one."""
    return None if os.environ.get(variable) else PROJECT
