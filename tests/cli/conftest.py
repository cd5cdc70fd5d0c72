"""A task that trains in milliseconds, and the command line called in-process."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as q
from qnewton.lab._cli import main
from qnewton.lab._experiments.task_options import TASKS, Registered
from qnewton.lab._experiments.tasks.base import Data, Task


@dataclass(frozen=True)
class Outcome:
    """How a command ended. `out` and `err` as printed; `said` is both without boxes and line breaks."""

    status: Any
    out: str
    err: str

    @property
    def said(self) -> str:
        return re.sub(r"[\s─│╭╮╰╯]+", " ", self.out + self.err)


def tiny(dtype: str, *, poisoned: bool = False) -> Task:
    """Softmax regression from 7 numbers to 3 classes, 24 parameters."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 40).astype(np.int32)
    inputs = (rng.standard_normal((3, 7))[targets] + rng.standard_normal((40, 7))).astype(dtype)
    if poisoned:
        inputs[:] = np.nan

    def predict(params: Any, x: Any) -> jax.Array:
        return x @ params["weight"] + params["bias"]

    return Task(
        name="tiny",
        model="softmax regression",
        source="three clouds",
        init=lambda key: {"bias": jnp.zeros(3, dtype), "weight": jax.random.normal(key, (7, 3), dtype)},
        objective=q.Objective(predict, optax.softmax_cross_entropy_with_integer_labels),
        accuracy=lambda params, batch: jnp.mean(jnp.argmax(predict(params, batch[0]), axis=-1) == batch[1]),
        train=Data(inputs[:32], targets[:32]),
        test=Data(inputs[32:], targets[32:]),
    )


@pytest.fixture(autouse=True)
def _tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    # For each test anew: tests/experiments, in the same process, has other tasks of these names for its session.
    monkeypatch.setitem(TASKS, "tiny", Registered(tiny))
    monkeypatch.setitem(TASKS, "poisoned", Registered(lambda dtype: tiny(dtype, poisoned=True)))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[..., Outcome]:
    """`call("train", "tiny", ...)` in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        try:
            status = main(list(arguments))
        except SystemExit as exit_:
            status = exit_.code
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


@pytest.fixture
def quick() -> tuple[str, ...]:
    """Options with which nothing is calibrated and little is compiled."""
    return ("--preset", "blocks", "--steps", "2", "--batch-size", "8", "--solvers", "qlsa")
