"""A training on a local Ray, two of whose workers are killed."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from qnewton._workers.engine import AbstractEngine
from qnewton._workers.ray_engine import RayEngine
from qnewton.lab._experiments.held import Held
from qnewton.lab._experiments.options import WorkerOptions
from qnewton.lab._experiments.presets import PRESETS
from qnewton.lab._experiments.replay import Question, replay
from qnewton.lab._experiments.runner import train
from qnewton.lab._experiments.task_options import TASKS
from qnewton.lab._runfile import AttemptLine, Run, RunDirectory, StepLine, SystemLine, read_run

STEPS = 10
QUANTUM = "QLSA(jennings2023v1)"


@dataclass
class Watching:
    """Calls a function after every step."""

    after: Callable[[StepLine], None]

    def stage(self, what: str) -> None:
        pass

    def step(self, step: StepLine, blocks: Sequence[SystemLine]) -> None:
        self.after(step)


def trained(path: Path, workers: str | None, after: Callable[[StepLine], None], held: Held) -> Run:
    preset = PRESETS["blocks"]
    options = replace(
        preset,
        out=path,
        task=TASKS["digits-mlp"].options(),
        training=replace(preset.training, steps=STEPS, batch_size=2048, evaluate_every=STEPS),
        step=replace(preset.step, partition="per-layer"),
        scheduling=replace(
            preset.scheduling,
            solvers=("cholesky", "qlsa"),
            # Who solves depends on the condition number alone: quantum solves cost nothing below it.
            policy="kappa-threshold(1.6)",
            gate_time_s=1e-18,
            gate_times_s=(1e-18,),
        ),
        crew=WorkerOptions(workers, 2 if workers else None, 1 if workers else 0),
    )
    directory = RunDirectory.create(path, "digits")
    train("digits-mlp", options, directory, Watching(after), held)
    return read_run(path)


@dataclass
class Killed:
    """A run with workers, one without, and the processes that Ray had started."""

    run: Run
    alone: Run
    processes: list[psutil.Process]
    victims: list[str]
    seconds: float


def kill_next(engine: AbstractEngine, victims: list[str], *, stopped: bool) -> None:
    """Kill the classical worker that gets the next block: at once, or in the middle of the solve."""
    assert isinstance(engine, RayEngine)
    send = engine.send

    def sends(worker: str, *what: Any) -> Any:
        if not worker.startswith("cpu"):
            return send(worker, *what)
        number = engine.processes[worker]
        if stopped:
            os.kill(number, signal.SIGSTOP)
        handle = send(worker, *what)
        threading.Timer(1.0 if stopped else 0.0, lambda: os.kill(number, signal.SIGKILL)).start()
        victims.append(worker)
        del engine.send  # the class's own again
        return handle

    engine.send = sends  # type: ignore[method-assign]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, ray_installed: None) -> Killed:
    begun = time.time()
    held, own = Held(), psutil.Process()
    before = set(own.children(recursive=True))
    processes: set[psutil.Process] = set()
    victims: list[str] = []

    def after(step: StepLine) -> None:
        processes.update(set(own.children(recursive=True)) - before)
        if step.step in (3, 6) and held.workers is not None:
            kill_next(held.workers._engine, victims, stopped=step.step == 6)

    folder = tmp_path_factory.mktemp("workers")
    run = trained(folder / "workers", "ray", after, held)
    alone = trained(folder / "alone", None, lambda step: None, held)
    return Killed(run, alone, list(processes), victims, time.time() - begun)


def attempts(run: Run) -> list[tuple[int, AttemptLine]]:
    return [(step.step, one) for step in run.steps for one in step.attempts]


def test_every_step_is_made_and_each_kill_costs_one_solve(killed: Killed) -> None:
    blocks = len(killed.run.config.model.blocks)
    outcomes = [one.outcome for _, one in attempts(killed.run) if one.outcome != "moved"]
    assert len(killed.run.steps) == STEPS
    assert outcomes.count("solved") == STEPS * blocks
    died = [(step, one.worker) for step, one in attempts(killed.run) if one.outcome == "died"]
    assert died == [(4, killed.victims[0]), (7, killed.victims[1])]
    assert len(outcomes) == STEPS * blocks + 2


def test_losses_are_those_without_workers(killed: Killed) -> None:
    losses = [step.loss for step in killed.run.steps]
    assert losses == pytest.approx([step.loss for step in killed.alone.steps], rel=1e-6)
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < losses[0]
    # Both kinds of workers had their part.
    solved = {one.worker[:3] for _, one in attempts(killed.run)}
    assert solved == {"cpu", "qpu"}
    assert {one.candidate for _, one in attempts(killed.run) if one.worker == "qpu 0"} == {QUANTUM}


def test_workers_stand_in_the_calibration(killed: Killed) -> None:
    workers = killed.run.calibration.workers
    assert [one.name for one in workers] == ["cpu 0", "cpu 1", "qpu 0"]
    assert all(one.probe_seconds is not None and one.probe_seconds > 0 for one in workers)
    assert [one.quantum for one in workers] == [False, False, True]
    # The classical ones were calibrated where they run, as the driver was.
    own = killed.run.calibration
    for one in workers[:2]:
        assert one.snapshot is not None
        assert (one.snapshot.basis, list(one.snapshot.kernels)) == (own.basis, list(own.kernels))
    assert "forming" in own.kernels
    assert workers[2].snapshot is None
    assert all(one.seconds_per_byte >= 0 and one.transfer_seconds > 0 for one in workers)


def test_the_run_is_replayed(killed: Killed) -> None:
    _, found = replay(killed.run.path, Question())
    systems = STEPS * len(killed.run.config.model.blocks)
    assert (found[0].count("unchanged"), found[0].total, found[0].recorded) == (systems, systems, True)


def test_no_process_is_left(killed: Killed) -> None:
    assert killed.processes
    _, alive = psutil.wait_procs(killed.processes, timeout=20)
    assert alive == []
