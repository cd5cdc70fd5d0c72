"""Preparation of a run before compilation: optimizer, ledger, and the calibration that both use."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree
from msgspec.structs import replace

from ..._core.memory import check_block_fits
from ..._curvature import Block, Objective, Point
from ..._curvature.network import Coverage
from ..._devices.processes import of_first
from ..._optim.assign import assign
from ..._optim.elsewhere import travelling
from ..._optim.newton import newton
from ..._pricing.need import DUAL_NEED, NEED
from ..._scheduling import Hybrid
from ..._scheduling.families import scheduler_with
from .._runfile import Calibration, FamilyRecord, StageSeconds
from . import build
from .calibrations import Snapshot, frozen_snapshot, snapshot
from .held import Held
from .hired import calibrated, recalled
from .ledger import Ledger
from .options import TrainOptions
from .stages import measure_stages
from .tasks.base import Task, batches
from .timing import SolveTimer
from .workers import Workers

LARGEST_MEASURED = 4096
"""Rows of the largest system that calibration measures."""


@dataclasses.dataclass(frozen=True)
class Deal:
    """Assignment of the next step's blocks to workers, if several share them."""

    hybrid: Hybrid
    workers: Workers | None

    def __call__(self, state: PyTree, next_step: int) -> PyTree:
        """The optimizer's state with the choices of that step in it."""
        if self.workers is None:
            return state
        return assign(state, self.hybrid, self.workers.at(next_step))[0]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Objects that a run needs before it compiles.

    Attributes:
        name: of the optimizer.
        optimizer: the transformation.
        ledger: of the run.
        blocks: of the scheduled systems; empty of a complete optimizer.
        calibration: for `calibration.json`; None where nothing is predicted.
        deal: between two steps; None of a complete optimizer.
        timer: of solves; None where none are timed.
        family: of the systems of a complete optimizer that has a family; otherwise None.
    """

    name: str
    optimizer: optax.GradientTransformationExtraArgs
    ledger: Ledger
    blocks: Sequence[Block] = ()
    calibration: Calibration | None = None
    deal: Deal | None = None
    timer: SolveTimer | None = None
    family: FamilyRecord | None = None


def prepare_complete(task: Task, options: TrainOptions, params: PyTree) -> Prepared | None:
    """The complete optimizer that the options name; None where they name the scheduled one."""
    repeats = options.training.batch_size >= len(task.train) and task.train.fresh is None
    if options.optimizer_word in build.BASELINES:
        optimizer = build.make_baseline(options, task.objective, repeats=repeats)
        return Prepared(options.optimizer_word, optimizer, Ledger())
    if options.optimizer_word not in build.COMPLETE and options.family == "blocks":
        return None
    batch = next(batches(task.train, options.training.batch_size, options.training.seed))
    optimizer, named = build.make_complete(options, task.objective, params, batch, repeats=repeats)
    # Of the numbers themselves: from shapes alone a network whose examples may influence each other looks different.
    info: Any = optimizer.init(params).info  # pyright: ignore[reportAttributeAccessIssue]
    plans = getattr(info, "systems", ())
    scheduler = (named or scheduler_with(plans[0].offers.names)) if plans else None
    family = _family(info.family, info.because, scheduler, getattr(info, "coverage", None))
    return Prepared(build.NAMES[info.family], optimizer, Ledger(scheduler), family=family)


def prepare(
    task: Task, options: TrainOptions, params: PyTree, held: Held, calibration: Calibration | None = None
) -> Prepared:
    """The scheduled optimizer and its ledger.

    Args:
        task: of the run.
        options: of the run, checked.
        params: the initial ones.
        held: of the process.
        calibration: of `calibration.json`, where the run has one: decisions depend on it, so it is never measured
            again. None measures.

    Raises:
        ValueError, OSError, MemoryError: for a calibration that does not fit, or a block that does not.
    """
    objective, dtype = task.objective, options.training.dtype
    curvature = build.make_curvature(options.step)
    conditioning = build.make_conditioning(options.conditioning)
    adaptation = build.make_adaptation(options.conditioning)
    blocks = build.systems(options, params)
    for block in () if build.never_forms(options) else blocks:
        check_block_fits(block.name, block.n, jnp.dtype(dtype).itemsize)
    if calibration is None:
        frozen = of_first("the calibration of the run", lambda: _measured(options, blocks))
        hired = calibrated(options, held.workers, _sizes(blocks))
    else:
        frozen, hired = frozen_snapshot(calibration), recalled(held.workers, calibration)
    hybrid = build.make_hybrid(options.scheduling, frozen.corrected, held.workers)
    workers = build.make_workers(hybrid, hired)
    optimizer = _optimizer(objective, options, hybrid)
    unformed = _unformed(task, options, blocks, params, hybrid)
    if calibration is None:
        batch = next(batches(task.train, options.training.batch_size, options.training.seed))
        # A process has its part of the batch.
        batch = jax.tree.map(lambda leaf: leaf[: -(-len(leaf) // options.training.processes)], batch)

        def stages_measured() -> StageSeconds:
            return measure_stages(
                objective,
                curvature,
                conditioning,
                hybrid.estimator,
                blocks,
                params,
                batch,
                tries=adaptation.tries,
                unformed=unformed,
            )

        stages, shared = held.measured(task.name, options, lambda: of_first("the stages of the run", stages_measured))
        calibration = replace(frozen.record(stages, shared=shared), workers=hired)
    else:
        stages = calibration.stages
    ledger = _ledger(options, hybrid, blocks, stages, workers)
    timer = None
    if options.training.time_solves:
        timer = SolveTimer(objective, curvature, conditioning, blocks, hybrid, dtype, unformed=unformed)
    return Prepared("newton", optimizer, ledger, blocks, calibration, Deal(hybrid, workers), timer)


def _optimizer(objective: Objective, options: TrainOptions, hybrid: Hybrid) -> optax.GradientTransformationExtraArgs:
    return newton(
        objective,
        build.make_schedule(options.step, options.training.steps),
        curvature=build.make_curvature(options.step),
        partition=build.make_partition(options.step),
        conditioning=build.make_conditioning(options.conditioning),
        solver=hybrid,
        adaptation=build.make_adaptation(options.conditioning),
        clip=options.step.clip,
        where=build.has_system(options),
        weight_decay=options.step.weight_decay,
        residual_tolerance=build.residual_tolerance(hybrid.solvers),
    )


def _measured(options: TrainOptions, blocks: Sequence[Block]) -> Snapshot:
    return snapshot(
        options.scheduling.calibration,
        build.make_solvers(options.scheduling),
        dtype=options.training.dtype,
        blas_threads=options.training.blas_threads,
        sizes=_sizes(blocks),
        forming=options.crew.workers is not None,
    )


def _sizes(blocks: Sequence[Block]) -> list[int]:
    # Measure up to the largest system of this run, so that predictions do not extrapolate; far beyond these sizes the
    # operation count takes over, and measuring would take as long as training.
    largest = min(LARGEST_MEASURED, max(block.n for block in blocks))
    return sorted({n for n in (2, 16, 64, 256, 1024) if n < largest} | {1, 2, 4, largest})


def _unformed(
    task: Task, options: TrainOptions, blocks: Sequence[Block], params: PyTree, hybrid: Hybrid
) -> frozenset[str]:
    """Return the names of the blocks that reach the scheduler as operators."""
    if build.keeps_unformed(options):
        return frozenset(block.name for block in blocks)
    if hybrid.workers is None:
        return frozenset()
    curvature = build.make_curvature(options.step)
    batch = next(batches(task.train, options.training.batch_size, options.training.seed))
    found: list[str] = []

    def sent(params: PyTree) -> None:
        point = Point.of(task.objective, params, batch)
        found.extend(block.name for block in blocks if not travelling(hybrid, curvature.system(point, block)).is_formed)

    jax.eval_shape(sent, params)
    return frozenset(found)


def _ledger(
    options: TrainOptions, hybrid: Hybrid, blocks: Sequence[Block], stages: StageSeconds, workers: Workers | None
) -> Ledger:
    gate_times = sorted({options.scheduling.gate_time_s, *options.scheduling.gate_times_s}, reverse=True)
    return Ledger(hybrid, blocks, stages, gate_times, workers)


def _family(name: str, because: str, scheduler: Hybrid | None, coverage: Coverage | None = None) -> FamilyRecord:
    """Return the facts that hold for all systems of a training.

    Args:
        name: of the family.
        because: why it was chosen.
        scheduler: of its systems; None where they are not priced.
        coverage: of its layers; None where it has none.
    """
    total = 1 if coverage is None else coverage.parameters
    layers = {} if coverage is None else {kind: size / total for kind, size in coverage.constructs}
    outside = {} if coverage is None else {reason: size / total for reason, size in coverage.missing}
    if scheduler is None:
        return FamilyRecord(
            name=name,
            because=because,
            acting=None,
            gate_time_s=None,
            relative_error=None,
            layers=layers,
            outside=outside,
        )
    return FamilyRecord(
        name=name,
        because=because,
        acting=scheduler.assumptions[0].name,
        gate_time_s=scheduler.quantum.gate_time_s,
        relative_error=DUAL_NEED if name == "dual" else NEED,
        layers=layers,
        outside=outside,
    )
