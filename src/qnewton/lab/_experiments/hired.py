"""The workers of a training, hired before it begins and let go when it ends."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .._runfile import AttemptLine, WorkerRecord
from .held import Held
from .options import TrainOptions

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


def worker_records(workers: "Workers | None") -> tuple[WorkerRecord, ...]:
    """Return the records of the workers that are present, for `calibration.json`."""
    present = () if workers is None else workers.present
    return tuple(
        WorkerRecord(
            name=one.name,
            where=one.where,
            quantum=one.quantum,
            probe_seconds=one.probe_s,
            slowness=one.slowness,
            wait_seconds=one.wait_s,
            transfer_seconds=one.transfer_s,
        )
        for one in present
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
