"""Training runs: options in, run files out; and the continuation of a stopped run."""

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import scipy.linalg  # noqa: F401  # threadpoolctl sees only libraries that are loaded
import threadpoolctl
from jaxtyping import PyTree
from msgspec.structs import replace

from ..._core.memory import check_step_fits
from ..._devices.meshes import on_mesh_of
from .._runfile import (
    SCHEMA_VERSION,
    BlockSize,
    Breakdown,
    Config,
    DataRecord,
    ModelRecord,
    RunDirectory,
    StepLine,
    Summary,
    SystemLine,
    write_params,
)
from . import build, checks
from .checkpoints import identity_of
from .data_digests import data_digests
from .held import Held
from .hired import hired
from .interrupts import Stopped, remembered
from .ledger import Ledger
from .loop import Loop
from .options import TrainOptions
from .own_task import digest
from .packing import named
from .prepare import Prepared, prepare, prepare_complete
from .provenance import provenance
from .resume import Halted, check_data, read_halted, resumable, set_aside, with_digests
from .room import check_room, tree_bytes
from .saver import Saver, restore
from .task_options import options_of
from .tasks import check_task, make_task
from .tasks.base import Task
from .together import Together, directory_at, first, meet


class Watcher(Protocol):
    """Watcher that shows the progress of a run."""

    def stage(self, what: str) -> None:
        """Begin a new stage of the preparation."""
        ...

    def step(self, step: StepLine, blocks: Sequence[SystemLine]) -> None:
        """Show a step that is done and recorded."""
        ...


class TrainingFailed(Exception):
    """Error for a training that cannot continue; recorded steps stay in the run directory."""


class NotWritten(Exception):
    """Error for a run directory that cannot be written, e.g. a full disk; earlier files are complete."""


def train(
    name: str, options: TrainOptions, directory: RunDirectory, watcher: Watcher, held: Held | None = None
) -> Summary:
    """Train a task and write its run files (all but the report).

    Args:
        name: of the task.
        options: of the run.
        directory: fresh.
        watcher: is told of every stage and step.
        held: what earlier trainings of this process left for those that are alike; takes up what this one leaves.

    Returns:
        The summary, as written. Also after a signal to stop, with status `interrupted` and the steps done so far.

    Raises:
        ValueError, MemoryError: for options that cannot work, before the first step.
        OSError: if there is no room for what the run will write, before the first step.
        TrainingFailed: if the loss of a batch is not finite.
        NotWritten: if the directory takes no more.
        LostDirectory: if the directory or its files were removed or replaced meanwhile.
    """
    checks.check(options)
    check_task(name)
    options = dataclasses.replace(options, task=options_of(name, options.task))
    with directory.owned(), _numerics(options):
        held = Held() if held is None else held
        with hired(options, held, watcher.stage):
            return _train(name, options, directory, watcher, held, None)


def resume(path: Path, watcher: Watcher, *, anyway: bool = False) -> Summary:
    """Continue a stopped run from its newest checkpoint, as if it had not been stopped.

    Parameters, losses and decisions are bitwise those of a run that was not stopped: the calibration is the run's own
    and is not measured again, and what was written beyond the checkpoint is set aside and computed once more.

    Args:
        path: directory of the run.
        watcher: as of `train`.
        anyway: go on with other versions, cores or another machine than the run began with; the record says so.

    Returns:
        As `train`, of the whole run.

    Raises:
        ValueError, OSError: for what cannot be gone on with, with what to do; nothing is changed then.
        MemoryError, TrainingFailed, NotWritten, LostDirectory: as `train`.
    """
    config, options, breaks = resumable(path, anyway=anyway)
    directory = directory_at(path)
    with directory.owned(), _numerics(options):
        directory.probe("make it writable, or go on with a copy of the run elsewhere")
        halted = read_halted(path, config, options, breaks)
        meet()  # before anything is changed that another process reads
        held = Held()
        with hired(options, held, watcher.stage):
            return _train(config.task, options, directory, watcher, held, halted)


@contextlib.contextmanager
def _numerics(options: TrainOptions) -> Iterator[None]:
    with (
        jax.enable_x64(options.training.dtype == "float64"),
        # jax factorises through scipy's BLAS, whose threads spin for each other on cores that are few or shared.
        threadpoolctl.threadpool_limits(options.training.blas_threads, user_api="blas"),
    ):
        yield


def _train(
    name: str, options: TrainOptions, directory: RunDirectory, watcher: Watcher, held: Held, halted: Halted | None
) -> Summary:
    watcher.stage("loading data")
    task = held.of_task("task", name, options, lambda: make_task(name, options.training.dtype, options.task))
    watcher.stage(f"data: {task.source}")
    if halted is not None:
        check_data(halted, task)
    params = task.init(jax.random.key(options.training.seed))
    prepared, calibrating = _prepared(task, options, params, held, halted, watcher)
    together = Together()
    params = together.everywhere(params)
    # What optax makes anew, a count for example, lies on one device.
    state = on_mesh_of(params, prepared.optimizer.init(params))
    training = options.training
    # Of a training by the clock nobody knows how many steps it will be.
    most = training.steps if training.seconds is None else min(training.steps, training.least_steps)
    if first():
        check_room(
            directory.path,
            state_bytes=tree_bytes((params, state)),
            steps=max(most - (0 if halted is None else halted.done), 0),
            blocks=len(prepared.blocks),
            sets=len(options.scheduling.assumptions),
        )
    if prepared.calibration is not None and (halted is None or halted.calibration is None):
        directory.write("calibration.json", replace(prepared.calibration, measured_seconds=calibrating))
    config = _begun(task, options, prepared, params, directory) if halted is None else halted.config

    watcher.stage("compiling the step")
    compiling = time.perf_counter()
    loop = Loop(task, prepared, options, params, state, held, together)
    compiling = time.perf_counter() - compiling
    try:
        check_step_fits(loop.planned_bytes, _smaller(options))
    except MemoryError:
        if halted is None:
            directory.take_back("config.json", "calibration.json")
        raise
    if halted is not None:
        compiling += _go_on(halted, loop, prepared.ledger, directory, watcher)
    saver = Saver(directory, identity_of(config), options.training.checkpoint_every, compiling, loop.done)
    try:
        stopped_by = _steps(loop, prepared.ledger, options, directory, saver, watcher, together)
    except TrainingFailed:
        _write_params(loop, directory)
        raise
    _write_params(loop, directory)
    final = loop.evaluate()
    summary = _summary(config, prepared.ledger, stopped_by, final, compiling, calibrating)
    with _writing(directory):
        directory.end(summary)
    if not math.isfinite(final["train_loss"]):
        where = "over all training data after the last step"
        raise TrainingFailed(_diverged(where, final["train_loss"], options.optimizer_word))
    return summary


def _write_params(loop: Loop, directory: RunDirectory) -> None:
    """Keep the parameters that the run ended with, however it did."""
    ended = named(loop.params)
    with _writing(directory):
        directory.check()
        if first():
            write_params(directory.place, ended)


def _smaller(options: TrainOptions) -> str:
    """Return advice for a step that does not fit."""
    if options.optimizer_word in ("kfac", "dual-newton") or options.family in ("automatic", "kfac", "dual"):
        # One needs the curvature in an example's outputs, the other a row for each of them.
        return (
            f"{checks.chosen(options)} works on all outputs of an example at once, which for a language model "
            "are its tokens times the vocabulary. Use --preset fisher-newton, or a smaller --batch-size"
        )
    return "ask for a smaller --batch-size, or a smaller model"


def _prepared(
    task: Task, options: TrainOptions, params: PyTree, held: Held, halted: Halted | None, watcher: Watcher
) -> tuple[Prepared, float]:
    """Return the prepared objects, and the measured seconds of calibrating, whenever that was."""
    prepared = prepare_complete(task, options, params)
    if prepared is not None:
        return prepared, 0.0
    if halted is not None and halted.calibration is not None:
        return prepare(task, options, params, held, halted.calibration), halted.calibration.measured_seconds
    watcher.stage("calibrating this machine")
    start = time.perf_counter()
    prepared = prepare(task, options, params, held)
    return prepared, time.perf_counter() - start


def _begun(task: Task, options: TrainOptions, prepared: Prepared, params: PyTree, directory: RunDirectory) -> Config:
    """Write `config.json`, last: a directory that has it has all that a run rests on."""
    config = _config(task, options, prepared, params, directory.path)
    directory.write("config.json", config)
    return config


def _config(task: Task, options: TrainOptions, prepared: Prepared, params: PyTree, path: Path) -> Config:
    record = Config(
        schema_version=SCHEMA_VERSION,
        task=task.name,
        preset=options.preset,
        optimizer=prepared.name,
        options=dataclasses.asdict(options),
        seed=options.training.seed,
        **provenance(),
        model=ModelRecord(
            description=task.model,
            parameters=sum(leaf.size for leaf in jax.tree.leaves(params)),
            blocks=tuple(BlockSize(name=block.name, n=block.n) for block in prepared.blocks),
        ),
        data=DataRecord(
            description=task.source,
            train=len(task.train),
            test=len(task.test),
            batch=min(options.training.batch_size, len(task.train)),
            digests=data_digests(task),
        ),
        family=prepared.family,
        task_digest=digest(task.name),
    )
    return with_digests(record, path / "calibration.json")


def _go_on(halted: Halted, loop: Loop, ledger: Ledger, directory: RunDirectory, watcher: Watcher) -> float:
    """Restore loop and files to the checkpoint, and return the compilation seconds of earlier processes."""
    before = 0.0
    for note in halted.notes:
        watcher.stage(f"note: {note}")
    if halted.checkpoint is not None:
        restore(halted.checkpoint, loop, ledger, halted.steps.records[: halted.done], halted.lines)
        before = halted.checkpoint.compilation_seconds
    with _writing(directory):
        set_aside(halted, directory)
        directory.knows("config.json", "calibration.json", "steps.jsonl", "blocks.jsonl", "checkpoints.jsonl")
    where = "from the start: there is no checkpoint" if halted.checkpoint is None else f"after {halted.done} steps"
    watcher.stage(f"going on {where}")
    return before


def _steps(
    loop: Loop,
    ledger: Ledger,
    options: TrainOptions,
    directory: RunDirectory,
    saver: Saver,
    watcher: Watcher,
    together: Together,
) -> int | None:
    """Take all remaining steps, and return the signal after which there are some left."""
    written = loop.done
    with remembered() as asked:
        try:
            while not loop.over:
                step, blocks = loop.advance(ledger)
                with _writing(directory):
                    if blocks:
                        directory.append("blocks.jsonl", blocks)
                    directory.append("steps.jsonl", [step])
                    written = ledger.steps.count
                    due, stops = together.decided(saver.due(loop.done), together.any(asked() or 0))
                    if due:
                        saver.save(loop, ledger)
                watcher.step(step, blocks)
                _check_finite(step, options.optimizer_word)
                if stops:
                    raise Stopped(int(stops))
        except KeyboardInterrupt as stopped:
            with _writing(directory):
                # A watcher's interrupt can come between a step's record and its lines.
                if written < ledger.steps.count:
                    assert ledger.steps.newest is not None, "that is the one"
                    if ledger.systems.newest:
                        directory.append("blocks.jsonl", ledger.systems.newest)
                    directory.append("steps.jsonl", [ledger.steps.newest])
                if loop.done:
                    saver.save(loop, ledger)
            return stopped.signal if isinstance(stopped, Stopped) else signal.SIGINT
    return None


@contextlib.contextmanager
def _writing(directory: RunDirectory) -> Iterator[None]:
    """Explain write failures inside."""
    try:
        yield
    except OSError as error:
        directory.check()  # one that is gone takes no more either, and says it better
        said = str(error).replace(str(directory.place), str(directory.path))
        raise NotWritten(
            f"{said}\n{directory.path} takes no more. What was written before is whole: make room, then go on with: "
            f"qnewton train --resume {directory.path}"
        ) from error


def _summary(
    config: Config,
    ledger: Ledger,
    stopped_by: int | None,
    final: dict[str, Any],
    compiling: float,
    calibrating: float,
) -> Summary:
    stepping = ledger.steps.measured_seconds
    evaluating = ledger.steps.measured_evaluation_seconds
    return Summary(
        schema_version=config.schema_version,
        task=config.task,
        preset=config.preset,
        optimizer=config.optimizer,
        status="finished" if stopped_by is None else "interrupted",
        signal=None if stopped_by is None else signal.Signals(stopped_by).name,
        steps=ledger.steps.count,
        final_loss=final["train_loss"],
        test_loss=final["test_loss"],
        test_accuracy=final["test_accuracy"],
        measured_seconds=stepping + evaluating,
        measured_breakdown=Breakdown(
            steps=stepping, evaluations=evaluating, compilation=compiling, calibration=calibrating
        ),
        **ledger.totals(),
    )


def _check_finite(step: StepLine, optimizer: str) -> None:
    if step.loss is None or not math.isfinite(step.loss):
        raise TrainingFailed(_diverged(f"of the batch at step {step.step}", step.loss, optimizer))


def _diverged(which: str, loss: float | None, optimizer: str) -> str:
    remedy = "Lower --learning-rate, raise --damping, or look" if optimizer == "newton" else "Look"
    if optimizer in build.BASELINES:
        remedy = "Lower --learning-rate, or look"
    return (
        f"the loss {which} is {loss}: the parameters or the data left the floating-point range. {remedy} for NaN in "
        "the data. The steps up to here are in the run directory"
    )
