"""Whatever runs workers: a small interface, behind which Ray is one."""

import abc
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._hardware import ClassicalMachine
from .._scheduling.sent import Program
from .._solvers import AbstractSolver


class Lost(Exception):
    """Error for a worker that is gone, with what it was doing."""


@dataclass(frozen=True)
class Colleague:
    """A worker that is there.

    Attributes:
        name: unique.
        quantum: whether it solves by a quantum machine.
        where: node and process, for the record.
        slowness: factor on predicted seconds; 1 of one as fast as the driver.
        wait_s: expected, before what is sent now begins; of its queue alone.
        transfer_s: of a system there and its solution back, however small.
        seconds_per_byte: that a system takes longer; measured where the worker was met.
        probe_s: of the matrix product that was timed where it runs; None where none was.
    """

    name: str
    quantum: bool
    where: str = ""
    slowness: float = 1.0
    wait_s: float = 0.0
    transfer_s: float = 0.0
    probe_s: float | None = None
    seconds_per_byte: float = 0.0

    def travel_s(self, nbytes: float) -> float:
        """Predicted seconds of a system of so many bytes there, and its solution back."""
        return self.transfer_s + self.seconds_per_byte * nbytes


class Reply(NamedTuple):
    """What a worker returned.

    Attributes:
        value: `[n]`.
        iterations, queries, success_probability, outcome: as of `Answered`.
        started_s, ended_s: by the worker's clock, seconds since 1970.
        queued_s: of these, that it waited in the queue of a quantum machine.
        paid: price of the solve in the currency of the machine's profile.
    """

    value: np.ndarray
    iterations: int
    queries: float
    success_probability: float
    outcome: int
    started_s: float
    ended_s: float
    queued_s: float = 0.0
    paid: float = 0.0


class AbstractEngine(abc.ABC):
    """Workers, and the way to them. A worker does what it gets in the order in which it gets it."""

    @abc.abstractmethod
    def present(self) -> tuple[Colleague, ...]:
        """Return the workers that are present, with those that joined or came back."""

    def calibrate(
        self, solvers: Sequence[AbstractSolver], dtype: str, sizes: Sequence[int] | None
    ) -> dict[str, ClassicalMachine]:
        """Have the classical workers that are there calibrate themselves, all at once as they work; worker to machine.

        Args:
            solvers: candidates.
            dtype: of the systems.
            sizes: rows that are measured; None: a profile is scaled by a probe.
        """
        return {}

    @abc.abstractmethod
    def put(self, arrays: Sequence[np.ndarray]) -> Any:
        """Make arrays available to all workers, once for each node."""

    @abc.abstractmethod
    def send(self, worker: str, program: Program, place: int, arrays: Any) -> Hashable:
        """Have a worker solve.

        Args:
            worker: name of one that is there.
            program: that it runs.
            place: of the candidate.
            arrays: as of `put`.

        Returns:
            By which `ready` and `get` know the solve.
        """

    @abc.abstractmethod
    def ready(self, handles: Sequence[Hashable], timeout_s: float) -> list[Hashable]:
        """Wait until one of the solves is over, well or badly, or the time is; return those that are."""

    @abc.abstractmethod
    def get(self, handle: Hashable) -> Reply:
        """Return a reply that is ready.

        Raises:
            Lost: if the worker is gone.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """End the workers that this engine started."""
