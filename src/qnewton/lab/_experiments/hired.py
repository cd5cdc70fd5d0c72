"""The workers of a training, hired before it begins and let go when it ends."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..._hardware import ClassicalMachine
from .._runfile import AttemptLine, Calibration, WorkerRecord, WorkerSnapshot
from .build import make_solvers
from .calibrations import kernel_records
from .held import Held
from .options import TrainOptions
from .saved import kernels_in

if TYPE_CHECKING:
    from ..._workers import Workers


@contextlib.contextmanager
def hired(options: TrainOptions, held: Held, stage: Callable[[str], None]) -> Iterator[None]:
    """Have the workers that the options name, inside of the block.

    Args:
        options: of the training.
        held: whose `workers` they are meanwhile.
        stage: is told of the wait.

    Raises:
        ValueError, MissingExtraError: as of `qnewton.Workers`.
    """
    crew = options.crew
    if crew.workers is None:
        yield
        return
    from ..._workers import QuantumService, Workers

    address = crew.workers.partition(":")[2] or None
    stage("starting workers" if address is None else f"joining the workers at {address}")
    workers = Workers(
        address,
        cpus=crew.worker_cpus,
        qpus=(QuantumService(),) * crew.worker_qpus,
        stale=crew.stale,
        dtype=options.training.dtype,
    )
    with workers:
        held.workers = workers
        try:
            yield
        finally:
            held.workers = None


def calibrated(options: TrainOptions, workers: "Workers | None", sizes: Sequence[int]) -> tuple[WorkerRecord, ...]:
    """Have the workers calibrate themselves where they run, as the driver does, and return their records.

    A snapshot that is read from a file is one of the driver's machine alone; the workers' predictions are it times
    their slowness then.

    Args:
        options: of the training.
        workers: that were hired.
        sizes: rows of the systems that are measured.

    Raises:
        OSError: if a worker's machine is too busy to be measured.
    """
    source = options.scheduling.calibration
    if workers is None:
        return ()
    if source in ("profile", "measure"):
        solvers, dtype = make_solvers(options.scheduling), options.training.dtype
        workers.calibrate(solvers, dtype=dtype, sizes=None if source == "profile" else sizes)
    return _records(workers)


def recalled(workers: "Workers | None", calibration: Calibration) -> tuple[WorkerRecord, ...]:
    """Give the workers of a resumed run the calibrations that it was begun with, by their names; return its records."""
    machines = {
        one.name: ClassicalMachine(
            one.snapshot.processor,
            calibration.dtype,
            kernels_in(one.snapshot.kernels),
            one.snapshot.gemm_seconds,
            one.snapshot.basis,
        )
        for one in calibration.workers
        if one.snapshot is not None
    }
    if workers is not None:
        workers.calibrations = machines
    return calibration.workers


def _records(workers: "Workers") -> tuple[WorkerRecord, ...]:
    """Those who are there, for `calibration.json`."""
    return tuple(
        WorkerRecord(
            name=one.name,
            where=one.where,
            quantum=one.quantum,
            probe_seconds=one.probe_s,
            slowness=one.slowness,
            wait_seconds=one.wait_s,
            transfer_seconds=one.transfer_s,
            seconds_per_byte=one.seconds_per_byte,
            snapshot=_snapshot(workers.calibrations.get(one.name)),
        )
        for one in workers.present
    )


def _snapshot(machine: ClassicalMachine | None) -> WorkerSnapshot | None:
    if machine is None:
        return None
    return WorkerSnapshot(
        processor=machine.name,
        gemm_seconds=machine.gemm_seconds,
        kernels=kernel_records(machine, {}),
        basis=machine.basis,
    )


def attempt_lines(workers: "Workers") -> list[AttemptLine]:
    """Attempts on the blocks of the last step."""
    return [
        AttemptLine(
            block=one.block,
            worker=one.worker,
            candidate=one.candidate,
            outcome=one.outcome,
            predicted_seconds=one.predicted_s,
            predicted_end=one.planned_end_s,
            measured_sent=one.sent_s,
            measured_received=one.received_s,
            measured_started=one.started_s,
            measured_ended=one.ended_s,
            measured_queued=one.queued_s,
            paid=one.paid,
            residual=one.residual,
            age=one.age,
        )
        for one in workers.taken()
    ]
