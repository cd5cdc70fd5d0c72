"""The client of a resource manager, against a fake of QRMI's calls."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from qnewton._workers.managed import ManagedResource, TaskFailed


@dataclass
class Fake:
    """Tasks go through the states that a test has written down."""

    states: list[str]
    accessible: bool = True
    calls: list[str] = field(default_factory=list)

    def is_accessible(self) -> bool:
        return self.accessible

    def acquire(self) -> str:
        self.calls.append("acquire")
        return "token"

    def release(self, token: str) -> None:
        self.calls.append(f"release {token}")

    def task_start(self, payload: Any) -> str:
        self.calls.append(f"start {payload}")
        return "7"

    def task_status(self, task: str) -> str:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def task_result(self, task: str) -> Any:
        return SimpleNamespace(value=f"result of {task}")

    def task_stop(self, task: str) -> None:
        self.calls.append(f"stop {task}")


def test_a_session_acquires_runs_and_releases() -> None:
    fake = Fake(["TaskStatus.Queued", "TaskStatus.Running", "TaskStatus.Completed"])
    slept: list[float] = []
    with ManagedResource(fake, every_s=2.0, sleep=slept.append).session() as run:
        assert run("circuit") == "result of 7"
    assert fake.calls == ["acquire", "start circuit", "release token"]
    assert slept == [2.0, 2.0]


def test_a_task_that_fails_releases_too() -> None:
    fake = Fake(["TaskStatus.Failed"])
    with pytest.raises(TaskFailed, match="ended as failed"), ManagedResource(fake).session() as run:
        run("circuit")
    assert fake.calls[-1] == "release token"


def test_a_task_that_hangs_is_stopped() -> None:
    fake, times = Fake(["TaskStatus.Running"]), iter(range(100))
    managed = ManagedResource(fake, timeout_s=3.0, clock=lambda: float(next(times)), sleep=lambda _: None)
    with pytest.raises(TaskFailed, match="after 3 s"), managed.session() as run:
        run("circuit")
    assert fake.calls[-2:] == ["stop 7", "release token"]


def test_a_machine_that_cannot_be_had_is_not_acquired() -> None:
    fake = Fake([], accessible=False)
    with pytest.raises(ConnectionError, match="not accessible"), ManagedResource(fake).session():
        pass
    assert fake.calls == []
