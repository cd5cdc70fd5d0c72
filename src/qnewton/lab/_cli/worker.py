"""The command `qnewton worker`."""

import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .._experiments.options import QuantumHardware

if TYPE_CHECKING:
    from ..._workers import QuantumService


@dataclass(frozen=True)
class WorkerCommand:
    """Start a quantum worker on this machine, for trainings with `--workers ray:ADDRESS`; Ctrl-C ends it.

    It joins the cluster as a node with the resource `qpu`, and takes the systems that the scheduler gives to quantum
    candidates. RAY_AUTH_MODE and RAY_AUTH_TOKEN are those of the cluster.
    """

    qpu: QuantumHardware
    """Hardware profile that the worker stands for; it names the worker."""
    address: str
    """Of the cluster's head node, HOST:PORT, as `ray start --head` prints it."""
    device: str | None = None
    """PennyLane device that runs the circuits, e.g. default.qubit; needs the extra circuits. None: none does."""
    shots: Annotated[int | None, tyro.conf.arg(metavar="SHOTS")] = None
    """Shots that the device measures; None: its exact state."""
    resource: str | None = None
    """MODULE:FUNCTION that returns a machine under a resource manager, with QRMI's calls; each system is a task."""
    emulated: bool = False
    """Carry circuits out by their exact states where the training only models them."""
    trace: Path | None = None
    """CSV file of the machine's queue, as of `qnewton schedule`: a job waits as long as the last one before it."""
    wait_s: float = 0.0
    """Seconds that every job waits, without a trace."""
    session_s: float = 0.0
    """Seconds after a job in which the next one does not queue."""
    price_per_s: float = 0.0
    """Price of a second on the machine."""
    price_per_shot: float = 0.0
    """Price of a shot."""
    calibrates_every_s: float = float("inf")
    """Seconds between two calibrations."""
    calibration_s: float = 0.0
    """Seconds that a calibration takes, in which nothing begins."""
    transfer_s: float = 0.0
    """Seconds that a system takes to get there."""
    decode_s: float = 0.0
    """Seconds that its solution takes to come back."""


def worker(arguments: Sequence[str]) -> int:
    """Parse, join, and serve until a signal comes."""
    command = tyro.cli(WorkerCommand, prog="qnewton worker", args=arguments)
    from ..._workers.joining import check_address

    check_address(command.address)
    service = _service(command)
    from ..._workers.joining import serve

    name = f"{command.qpu} on {socket.gethostname()}"
    with serve(command.address, name, service) as said:
        print(f"worker: {said}; Ctrl-C ends it", flush=True)
        over = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: over.set())
        try:
            over.wait()
        except KeyboardInterrupt:
            print("worker: ended", file=sys.stderr)
    return 0


def _service(command: WorkerCommand) -> "QuantumService":
    from ..._workers import QuantumService, read_trace
    from ..._workers.managed import resource_named

    return QuantumService(
        trace=None if command.trace is None else read_trace(command.trace),
        wait_s=command.wait_s,
        session_s=command.session_s,
        price_per_s=command.price_per_s,
        price_per_shot=command.price_per_shot,
        calibrates_every_s=command.calibrates_every_s,
        calibration_s=command.calibration_s,
        transfer_s=command.transfer_s,
        decode_s=command.decode_s,
        emulated=command.emulated,
        device=command.device,
        shots=command.shots,
        resource=None if command.resource is None else resource_named(command.resource),
    )
