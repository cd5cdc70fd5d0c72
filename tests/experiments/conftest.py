"""A task small enough to train in milliseconds, and runs of it whose machine, stages and clock are made by hand."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import PyTree

import qnewton as q
from qnewton._hardware import KernelTimes
from qnewton.lab._experiments import calibrations, prepare, runner
from qnewton.lab._experiments.options import TrainOptions
from qnewton.lab._experiments.presets import PRESETS
from qnewton.lab._experiments.task_options import TASKS, Registered
from qnewton.lab._experiments.tasks.base import Data, Task
from qnewton.lab._runfile import BlockSeconds, RunDirectory, StageSeconds, StepLine, SystemLine

TRAIN, TEST = 48, 12
GATE_TIMES = (1e-6, 1e-7, 6e-8, 4e-8, 1e-8, 3e-9, 1e-9, 1e-18)


@dataclass(frozen=True)
class Made:
    """Seconds that a hand-made run pretends to have measured.

    Powers of two, so that sums are exact; all of one size, so that no sum hides a wrong term.
    """

    cholesky: float = 2.0**-12
    lu: float = 2.0**-11
    gradient: float = 2.0**-12
    curvature: float = 2.0**-11
    conditioning: float = 2.0**-13
    estimation: float = 2.0**-14

    def machine(self, dtype: str) -> q.ClassicalMachine:
        samples = ((1, 1e-5, 1.5e-5), (8, 2e-5, 2e-5))
        kernels = tuple(
            (name, KernelTimes(seconds, 0.0, 0.0, samples))
            for name, seconds in (("cholesky", self.cholesky), ("lu", self.lu))
        )
        return q.ClassicalMachine("made by hand", dtype, kernels)

    def stages(self, blocks: Any) -> StageSeconds:
        return StageSeconds(
            gradient=self.gradient,
            blocks=tuple(
                BlockSeconds(
                    name=block.name,
                    n=block.n,
                    curvature=self.curvature,
                    conditioning=self.conditioning,
                    estimation=self.estimation,
                )
                for block in blocks
            ),
        )


class Silent:
    """Watches and says nothing."""

    def stage(self, what: str) -> None:
        pass

    def step(self, step: StepLine, blocks: Sequence[SystemLine]) -> None:
        pass


@dataclass(frozen=True)
class Files:
    """What a run left on disk; None or empty where it left nothing."""

    path: Path
    config: Any
    calibration: Any
    steps: list[Any]
    blocks: list[Any]
    summary: Any


def tiny(dtype: str, *, poisoned: bool = False) -> Task:
    """4-3-3 with tanh on three clouds of points; with one example that is not a number, if poisoned."""
    rng = np.random.default_rng(0)
    centres = 2 * rng.standard_normal((3, 4))
    targets = rng.integers(0, 3, TRAIN + TEST).astype(np.int32)
    inputs = (centres[targets] + rng.standard_normal((len(targets), 4))).astype(dtype)
    if poisoned:
        inputs[0] = np.nan

    def init(key: jax.Array) -> PyTree:
        first, second = jax.random.split(key)
        return {
            "hidden": {"bias": jnp.zeros(3, dtype), "weight": jax.random.normal(first, (4, 3), dtype) / 2},
            "out": {"weight": jax.random.normal(second, (3, 3), dtype) / 2},
        }

    def predict(params: PyTree, x: Any) -> jax.Array:
        return jnp.tanh(x @ params["hidden"]["weight"] + params["hidden"]["bias"]) @ params["out"]["weight"]

    return Task(
        name="tiny",
        model="4-3-3, tanh",
        source="three clouds",
        init=init,
        objective=q.Objective(predict, optax.softmax_cross_entropy_with_integer_labels),
        accuracy=lambda params, batch: jnp.mean(jnp.argmax(predict(params, batch[0]), axis=-1) == batch[1]),
        train=Data(inputs[:TRAIN], targets[:TRAIN]),
        test=Data(inputs[TRAIN:], targets[TRAIN:]),
    )


@pytest.fixture(scope="session", autouse=True)
def _tasks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "tiny", Registered(tiny))
        patch.setitem(TASKS, "poisoned", Registered(lambda dtype: tiny(dtype, poisoned=True)))
        yield


@pytest.fixture(scope="session")
def made() -> Made:
    return Made()


@pytest.fixture(scope="session")
def hand_made(made: Made) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """`with hand_made():` runs inside measure nothing but the steps."""

    @contextlib.contextmanager
    def patched() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(calibrations, "calibrate", lambda solvers, *, dtype, **asked: made.machine(dtype))
            patch.setattr(prepare, "measure_stages", lambda *of, tries, unformed: made.stages(of[4]))
            yield

    return patched


def parse(text: str) -> Any:
    """Strict JSON: no NaN, no infinity."""

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def unchecked(line: Any) -> Any:
    """A line without its checksum, which is the file's; older ones have none."""
    assert isinstance(line.pop("crc32", 0), int)
    return line


def read(path: Path) -> Files:
    def whole(name: str) -> Any:
        return parse((path / name).read_text("utf-8")) if (path / name).exists() else None

    def lines(name: str) -> list[Any]:
        if not (path / name).exists():
            return []
        text = (path / name).read_text("utf-8")
        assert text.endswith("\n")
        return [unchecked(parse(line)) for line in text.splitlines()]

    return Files(
        path=path,
        config=whole("config.json"),
        calibration=whole("calibration.json"),
        steps=lines("steps.jsonl"),
        blocks=lines("blocks.jsonl"),
        summary=whole("summary.json"),
    )


@pytest.fixture(scope="session")
def read_run() -> Callable[[Path], Files]:
    return read


@pytest.fixture(scope="session")
def options_of() -> Callable[..., TrainOptions]:
    """`options_of(preset, steps=..., solvers=...)`: the preset, calibrated, with any option of any group replaced."""

    def make(preset: str = "blocks", **changes: Any) -> TrainOptions:
        options = PRESETS[preset]
        changes = {"steps": 2, "batch_size": 16, **changes}
        if changes.get("optimizer", options.optimizer) == "newton" and options.family == "blocks":
            changes = {"calibration": "measure", **changes}
        for group in ("training", "step", "conditioning", "scheduling"):
            part = getattr(options, group)
            mine = {key: changes.pop(key) for key in list(changes) if hasattr(part, key)}
            options = replace(options, **{group: replace(part, **mine)})
        assert not changes, f"no such options: {changes}"
        return options

    return make


@pytest.fixture(scope="session")
def quick(options_of: Any) -> Callable[..., TrainOptions]:
    """Options that compile fastest: one Gauss-Newton system and LU alone."""
    return lambda **changes: options_of(**{"solvers": ("lu",), "adaptation": "fixed", **changes})


@pytest.fixture(scope="session")
def run(hand_made: Any) -> Callable[..., Files]:
    """`run(options, path)`: a hand-made run, and the files that it left."""

    def execute(options: TrainOptions, path: Path, *, task: str = "tiny", watcher: Any = None) -> Files:
        with hand_made():
            directory = RunDirectory.create(path, "unused")
            runner.train(task, options, directory, Silent() if watcher is None else watcher)
        return read(path)

    return execute


@pytest.fixture(scope="session")
def mixed_options(options_of: Any) -> TrainOptions:
    """Options of a run with indefinite systems, and with choices that depend on the gate time."""
    return options_of(
        curvature="hessian",
        partition="per-tensor",
        conditioners=("damp(0.2)",),
        adaptation="fixed",
        learning_rate=0.5,
        steps=4,
        gate_time_s=4e-8,
        gate_times_s=GATE_TIMES,
        evaluate_every=2,
    )


@pytest.fixture(scope="session")
def mixed(run: Any, mixed_options: TrainOptions, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files of that run."""
    return run(mixed_options, tmp_path_factory.mktemp("mixed"))
