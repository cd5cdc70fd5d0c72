"""What runs in the process of a quantum worker."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .engine import Reply
from .host import Host
from .managed import ManagedResource, as_task, solution_in
from .service import QuantumService, Standing


class QuantumHost(Host):
    """A worker with a quantum machine: a job waits in its queue, runs, and is paid for."""

    def __init__(self, service: QuantumService):
        """Begin the service's clock.

        Raises:
            MissingExtraError: for a PennyLane device without PennyLane.
        """
        super().__init__()
        self._service, self._standing, self._start = service, Standing(), time.time()
        if service.device is not None:
            from .._core.extras import optional

            optional("pennylane", "circuits", f"a worker with the device {service.device} needs PennyLane")

    def hello(self, dtype: str = "float32") -> dict[str, Any]:
        """Return who this is, and what is known of its queue."""
        service = self._service
        wait = service.forecast(self._standing, time.time() - self._start).mean_s
        return super().hello(dtype) | {"wait_s": wait, "transfer_s": service.transfer_s + service.decode_s}

    def learn(self, key: str, packed: bytes) -> None:
        """Take up a program, with the solvers that this machine carries out."""
        super().learn(key, packed)
        program = self._programs[key]
        self._programs[key] = replace(program, solvers=tuple(map(self._carries_out, program.solvers)))

    def _carries_out(self, solver: Any) -> Any:
        """The candidate, as this machine runs it."""
        from .._solvers import QLSA, CircuitQSVT, EmulatedQSVT

        service = self._service
        if not solver.capabilities.quantum:
            return solver
        precision = getattr(solver, "precision", 1e-2)
        if service.device is not None:
            return CircuitQSVT(precision=precision, device=service.device, shots=service.shots)
        if service.emulated and isinstance(solver, QLSA):
            return EmulatedQSVT(precision)
        return solver

    def _carried_out(self, key: str, place: int, arrays: Sequence[np.ndarray]) -> Any:
        if self._service.resource is None:
            return super()._carried_out(key, place, arrays)
        import jax.numpy as jnp

        from .._scheduling.branches import Executed

        block, vector = self._programs[key].system(arrays)
        matrix = (
            block if isinstance(block, np.ndarray) else np.stack([block.mv(e) for e in np.eye(vector.size)], axis=1)
        )
        with ManagedResource(self._service.resource()).session() as run:
            value = solution_in(run(as_task(matrix, vector)), vector)
        # What it took to find it, the manager does not say.
        return value, 0, Executed(jnp.zeros(()), jnp.ones(()), jnp.zeros((), jnp.int32))

    def solve(self, key: str, place: int, arrays: Sequence[np.ndarray]) -> Reply:
        """Queue, solve, and hand the solution back."""
        service, arrival = self._service, time.time() - self._start
        begin = service.begins(self._standing, arrival + service.transfer_s)
        _sleep_until(self._start + begin)
        reply = super().solve(key, place, arrays)
        end = time.time() - self._start
        self._standing = service.after(end)
        time.sleep(service.decode_s)
        return reply._replace(
            started_s=self._start + arrival,
            ended_s=time.time(),
            queued_s=begin - arrival - service.transfer_s,
            paid=service.price(begin, end, service.shots or 0),
        )


def _sleep_until(when: float) -> None:
    while (left := when - time.time()) > 0:
        time.sleep(left)
