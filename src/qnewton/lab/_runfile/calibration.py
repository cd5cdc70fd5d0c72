"""`calibration.json`: the snapshot of the machine that a run's predictions use."""

from typing import Any

from .base import Record
from .config import MachineRecord


class KernelSample(Record, frozen=True):
    """One measured size of a kernel.

    Attributes:
        n: rows.
        measured_seconds: of one call.
        predicted_seconds: by the fit, the sample's own bend left out.
    """

    n: int
    measured_seconds: float
    predicted_seconds: float


class KernelRecord(Record, frozen=True):
    """Times of a kernel on this machine.

    Attributes:
        seconds_per_call, seconds_per_byte, seconds_per_flop: as measured; predictions use them times `learned_factor`.
        learned_factor: 1 unless `qnewton calibrate --learn` made the snapshot.
        samples: what was fitted; see below.
        bends: pairs `[log of operations per call or iteration, log of the factor on the line]`.
        worst_relative_error: of the samples' predictions.
    """

    seconds_per_call: float
    seconds_per_byte: float
    seconds_per_flop: float
    learned_factor: float
    samples: tuple[KernelSample, ...]
    bends: tuple[tuple[float, float], ...]
    worst_relative_error: float | None


class BlockSeconds(Record, frozen=True):
    """Measured median seconds of one block's stages, each run alone.

    Attributes:
        name: of the block.
        n: rows.
        curvature: of forming the block; of setting it up, where it reaches the scheduler as an operator.
        conditioning: of pruning and damping it.
        estimation: of its condition number.
    """

    name: str
    n: int
    curvature: float
    conditioning: float
    estimation: float


class StageSeconds(Record, frozen=True):
    """Measured median seconds of everything but the solves.

    Attributes:
        gradient: also of the loss, the trial step and the residual products.
        blocks: see below.
    """

    gradient: float
    blocks: tuple[BlockSeconds, ...]


class WorkerSnapshot(Record, frozen=True):
    """The calibration of a worker where it runs.

    Attributes:
        processor: name.
        gemm_seconds: measured, of a matrix product meanwhile.
        kernels: as of `calibration.json` itself.
        basis: likewise.
    """

    processor: str
    gemm_seconds: float | None
    kernels: dict[str, KernelRecord]
    basis: str


class WorkerRecord(Record, frozen=True):
    """A worker of `--workers`, as it was when the run began.

    Attributes:
        name: of the worker.
        where: node and process.
        quantum: whether it solves by a quantum machine.
        probe_seconds: measured, of the matrix product where it runs.
        slowness: factor on predicted seconds: that over the driver's; 1 of a quantum worker.
        wait_seconds: predicted wait of its queue.
        transfer_seconds: of a system there and its solution back, however small.
        seconds_per_byte: measured, that a system takes longer.
        snapshot: of a classical worker, by which its seconds are predicted; null: they are the driver's times
            `slowness`, as where the run's own calibration was read from a file.
    """

    name: str
    where: str
    quantum: bool
    probe_seconds: float | None
    slowness: float
    wait_seconds: float
    transfer_seconds: float
    seconds_per_byte: float = 0.0
    snapshot: WorkerSnapshot | None = None


class Calibration(Record, frozen=True):
    """The snapshot of this machine that predictions use, frozen for the run.

    Attributes:
        machine: as in `config.json`.
        source: `measured` for this run, `profile` where nothing was measured, or the file that it was read from.
        environment: the machine, number type, threads and versions that it holds for; one of another environment is
            refused.
        dtype: of the systems, `float32` or `float64`.
        gemm_seconds: of a matrix product meanwhile: how fast the machine was.
        kernels: kernel to what it takes; see below. With candidates that take operators there are also `forming` (the
            matrix of a block that is not formed), and beside `cg` or `minres`, which are for matrices,
            `cg, unformed` or `minres, unformed`.
        stages: see below.
        stages_shared: whether they were measured for an earlier training of the same process, as `qnewton reproduce`
            and `compare` have them, that does the same work: of the same task, batch, curvature, blocks, estimator and
            pruning; how strongly it is damped makes no work.
        measured_seconds: what calibrating took.
        basis: what the kernels' seconds rest on: `measured`, or which profile, scaled by a probe.
        workers: of `--workers`, see below; otherwise empty.
    """

    machine: MachineRecord
    source: str
    environment: dict[str, Any]
    dtype: str
    gemm_seconds: float | None
    kernels: dict[str, KernelRecord]
    stages: StageSeconds
    stages_shared: bool
    measured_seconds: float
    basis: str = "measured"
    workers: tuple[WorkerRecord, ...] = ()
