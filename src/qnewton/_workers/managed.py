"""A quantum machine behind a resource manager, by the calls of QRMI (Quantum Resource Management Interface).

QRMI's Python class `QuantumResource` has `is_accessible`, `acquire`, `release`, `task_start`, `task_status`,
`task_result` and `task_stop` (github.com/qiskit-community/qrmi). Tested against a fake of these calls, and on no
hardware.
"""

import importlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

_WAITING = ("queued", "running")


class Resource(Protocol):
    """The calls of QRMI that are used."""

    def is_accessible(self) -> bool:
        """Whether the machine can be had."""
        ...

    def acquire(self) -> str:
        """Reserve it; returns the reservation's token."""
        ...

    def release(self, token: str) -> None:
        """End the reservation."""
        ...

    def task_start(self, payload: Any) -> str:
        """Start a task; returns its number."""
        ...

    def task_status(self, task: str) -> Any:
        """State of a task."""
        ...

    def task_result(self, task: str) -> Any:
        """Result of a task that is completed; its text is in `value`."""
        ...

    def task_stop(self, task: str) -> None:
        """End a task."""
        ...


class TaskFailed(Exception):
    """Error for a task that ended without a result."""


def as_task(matrix: np.ndarray, vector: np.ndarray) -> str:
    """Return a system as the text of a task: JSON with `matrix` and `vector`, to the last digit."""
    return json.dumps({"matrix": matrix.tolist(), "vector": vector.tolist()})


def solution_in(result: str, like: np.ndarray) -> np.ndarray:
    """Return the solution in a task's result, JSON with `solution`.

    Raises:
        TaskFailed: for a text that holds none.
    """
    try:
        found = np.asarray(json.loads(result)["solution"], like.dtype)
    except (ValueError, KeyError, TypeError) as error:
        raise TaskFailed(f"the result {result[:80]!r} is no JSON with a solution") from error
    if found.shape != like.shape:
        raise TaskFailed(f"the solution has the shape {found.shape}, and the right-hand side {like.shape}")
    return found


def resource_named(name: str) -> Callable[[], Resource]:
    """Return what makes a resource, from `MODULE:FUNCTION`.

    Raises:
        ValueError: if it cannot be found.
    """
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"the resource is {name!r}, and {error}: write MODULE:FUNCTION, of a function without arguments that "
            "returns a QuantumResource of QRMI, in a module that this process can import"
        ) from error


@dataclass(frozen=True)
class ManagedResource:
    """A machine that is acquired for a session, runs tasks in it, and is released whatever happens.

    Attributes:
        resource: of QRMI, or with its calls.
        timeout_s: seconds after which a task is stopped.
        every_s: seconds between two looks at its state.
        clock, sleep: of the process.
    """

    resource: Resource
    timeout_s: float = 3600.0
    every_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @contextmanager
    def session(self) -> Iterator[Callable[[Any], str]]:
        """Acquire the machine; inside, what this returns runs a payload and returns the result's text.

        Raises:
            ConnectionError: if the machine cannot be had.
        """
        if not self.resource.is_accessible():
            raise ConnectionError("the quantum resource is not accessible: look at its state, or name another one")
        token = self.resource.acquire()
        try:
            yield self._run
        finally:
            self.resource.release(token)

    def _run(self, payload: Any) -> str:
        """Run a task to its end.

        Raises:
            TaskFailed: if it fails, is cancelled, or takes longer than `timeout_s`, after which it is stopped.
        """
        task, begun = self.resource.task_start(payload), self.clock()
        while True:
            # QRMI's states are an enumeration, whose text ends in the name.
            state = str(self.resource.task_status(task)).rpartition(".")[2].lower()
            if state == "completed":
                return str(self.resource.task_result(task).value)
            if state not in _WAITING:
                raise TaskFailed(f"task {task} ended as {state}")
            if self.clock() - begun > self.timeout_s:
                self.resource.task_stop(task)
                raise TaskFailed(f"task {task} was {state} after {self.timeout_s:g} s, and was stopped")
            self.sleep(self.every_s)
