"""Workers for the blocks of a training: the public object."""

from collections.abc import Mapping, Sequence
from typing import Any

from .._hardware import ClassicalMachine
from .._scheduling.hybrid import Hybrid
from .._scheduling.makespan import Machine
from .._scheduling.sent import Answered, Sent
from .._solvers import AbstractSolver
from .attempts import Attempt as Attempt
from .dispatch import Dispatcher
from .engine import AbstractEngine, Colleague
from .ray_engine import Cluster, RayEngine


class Workers:
    """Workers that solve the blocks of each step of `newton` at once, on CPUs, GPUs and quantum machines.

    `newton(objective, partition=per_tensor, solver=Hybrid(workers=workers))` forms the blocks one after the other,
    hands each over as soon as it is there, and waits for all solutions. Every solution is judged by its residual; a
    block whose worker dies, is late or returns none is solved elsewhere, and by the step itself where nobody is left.
    What solves is the candidate that the scheduler chose, by the program that the step itself would run.

    Use it as a context, or call `close`.

    Attributes:
        cluster: where they run.
        calibrations: worker to its machine, of those that were calibrated where they run (`calibrate`).
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        cpus: int | None = None,
        gpus: int = 0,
        qpus: Sequence[Any] = (),
        patience: float = 4.0,
        grace_s: float = 5.0,
        stale: int = 0,
        quantile: float | None = None,
        dtype: str = "float32",
        engine: AbstractEngine | None = None,
    ):
        """Start workers, or join those of a cluster.

        Args:
            address: of a running Ray cluster, `host:port`; None starts a local one, which `close` ends.
            cpus: workers with a CPU each; None: one for each CPU of the cluster.
            gpus: workers with a GPU each.
            qpus: quantum workers to start here besides those that `qnewton worker` started: a `QuantumService` each.
            patience: a solve is late after this many times its predicted seconds, and `grace_s`; at least 1.
            grace_s: seconds that every solve may take longer; positive.
            stale: steps that a block's last solution may be old where it stands in for a late one; 0: none does.
            quantile: of a queue's predicted wait that blocks are dealt out by, in (0, 1); None: its mean.
            dtype: of the systems, for which the workers time a matrix product.
            engine: whoever runs them; None: Ray.

        Raises:
            MissingExtraError: without Ray, the extra `cluster`.
            ValueError: for numbers out of range, or a cluster that cannot be joined, with what to do.
        """
        for name, value, least in (("cpus", cpus, 0), ("gpus", gpus, 0), ("stale", stale, 0)):
            if value is not None and value < least:
                raise ValueError(f"Workers: {name} is {value}: it must be at least {least}")
        if quantile is not None and not 0 < quantile < 1:
            raise ValueError(f"Workers: quantile is {quantile}: it must lie in (0, 1), or be None")
        if not 1 <= patience < float("inf"):
            raise ValueError(f"Workers: patience is {patience}: a factor on predicted seconds, finite and at least 1")
        if not 0 < grace_s < float("inf"):
            raise ValueError(f"Workers: grace_s is {grace_s}: seconds, positive and finite")
        self.cluster = Cluster(address, cpus, gpus, tuple(qpus))
        self.calibrations: Mapping[str, ClassicalMachine] = {}
        self._engine = RayEngine(self.cluster, dtype) if engine is None else engine
        self._dispatcher = Dispatcher(self._engine, patience, grace_s, stale=stale, quantile=quantile)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def calibrate(
        self, solvers: Sequence[AbstractSolver], *, dtype: str = "float32", sizes: Sequence[int] | None = None
    ) -> None:
        """Have the classical workers calibrate themselves where they run, all at once, as they work.

        What a block takes is then predicted for each of them by its own kernels, in the steps that are traced from here
        on, and otherwise by the driver's times `slowness`.

        Args:
            solvers: candidates of the scheduler.
            dtype: of the systems.
            sizes: rows of the systems that are measured, as of `qnewton.calibrate`; None: nothing is measured, and a
                profile is scaled by a probe.

        Raises:
            OSError: if a worker's machine is too busy to be measured.
        """
        self.calibrations = self._engine.calibrate(solvers, dtype, sizes)

    @property
    def present(self) -> tuple[Colleague, ...]:
        """Return the workers that are present."""
        return self._engine.present()

    def machines(self, hybrid: Hybrid) -> tuple[Machine, ...]:
        """Return those who are there as machines, for `qnewton.scheduling.assign`.

        Args:
            hybrid: whose candidates they run.
        """
        names: dict[bool, tuple[str, ...]] = {True: (), False: ()}
        for solver in hybrid.solvers:
            names[solver.capabilities.quantum] += (solver.name,)
        return tuple(
            Machine(who.name, names[who.quantum], 1, who.slowness, who.wait_s, who.transfer_s)
            for who in self.present
            if names[who.quantum]
        )

    def taken(self) -> list[Attempt]:
        """Return what became of every block that was handed over since the last call."""
        return self._dispatcher.taken()

    def begin_at(self, step: int) -> None:
        """Count steps from here on: the next one is `step`."""
        self._dispatcher.step = step - 1

    def send(self, sent: Sent) -> None:
        """Take a block to a worker; the step calls it."""
        self._dispatcher.send(sent)

    def wait(self, block: int) -> Answered | None:
        """Wait for a block; the step calls it."""
        return self._dispatcher.wait(block)

    def close(self) -> None:
        """End the workers that were started here."""
        self._engine.close()
