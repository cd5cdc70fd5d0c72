"""The client of a resource manager, against a fake of QRMI's calls."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import jax
import lineax as lx
import numpy as np
import pytest

import qnewton as qn
from qnewton._scheduling.elsewhere import Courier
from qnewton._scheduling.sent import Sent
from qnewton._workers.managed import ManagedResource, TaskFailed, resource_named, solution_in
from qnewton._workers.quantum_host import QuantumHost
from qnewton._workers.service import QuantumService


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


@dataclass
class Solves(Fake):
    """Its tasks are systems, solved by numpy."""

    def task_start(self, payload: Any) -> str:
        self.payload = json.loads(payload)
        return super().task_start("system")

    def task_result(self, task: str) -> Any:
        found = np.linalg.solve(self.payload["matrix"], self.payload["vector"])
        return SimpleNamespace(value=json.dumps({"solution": found.tolist()}))


def hosted(service: QuantumService, name: str = "QLSA") -> tuple[QuantumHost, Sent]:
    """A quantum worker, in this process, and a system that it has learned to solve."""
    matrix, vector = np.diag([1.0, 0.5]).astype(np.float32), np.asarray([1.0, 1.0], np.float32)
    sent: list[Sent] = []
    crew: Any = SimpleNamespace(calibrations={}, send=sent.append, wait=lambda block: None)
    hybrid = qn.Hybrid([getattr(qn, name)()], workers=crew, estimator=qn.estimators.Exact())
    courier = Courier(crew, ["block"], 0.2)

    def sends(matrix: jax.Array, vector: jax.Array) -> jax.Array:
        courier.send(0, hybrid, lx.MatrixLinearOperator(matrix, lx.symmetric_tag), vector, {})
        return courier.ticket

    jax.block_until_ready(jax.jit(sends)(matrix, vector))
    jax.effects_barrier()
    host = QuantumHost(service)
    host.learn(sent[0].program.key, sent[0].program.packed)
    return host, sent[0]


def test_a_worker_drives_a_managed_machine() -> None:
    fake = Solves(["TaskStatus.Queued", "TaskStatus.Completed"])
    host, sent = hosted(QuantumService(resource=lambda: fake, price_per_s=2.0))
    reply = host.solve(sent.program.key, 0, sent.arrays)
    np.testing.assert_allclose(reply.value, [1.0, 2.0])
    assert sent.residual(reply.value) < 1e-6
    assert fake.calls == ["acquire", "start system", "release token"]
    assert reply.paid == pytest.approx(2.0 * (reply.ended_s - reply.started_s), rel=0.5)
    fake.states = ["TaskStatus.Failed"]
    with pytest.raises(TaskFailed, match="ended as failed"):
        host.solve(sent.program.key, 0, sent.arrays)
    assert fake.calls[-1] == "release token"


@pytest.mark.parametrize("result", ["", "[]", '{"solution": "x"}', '{"solution": [1.0]}'])
def test_a_result_that_is_no_solution_is_named(result: str) -> None:
    with pytest.raises(TaskFailed, match=r"is no JSON with a solution|has the shape"):
        solution_in(result, np.zeros(2))


@pytest.mark.parametrize("service", [QuantumService(emulated=True), QuantumService(device="default.qubit")])
def test_a_worker_carries_circuits_out(service: QuantumService) -> None:
    """By their exact states, where the training only models them: the residual is that of the circuit."""
    host, sent = hosted(service)
    reply = host.solve(sent.program.key, 0, sent.arrays)
    assert 1e-6 < sent.residual(reply.value) < 0.2
    assert reply.queries > 0


def test_a_resource_is_found_by_its_name() -> None:
    assert resource_named("json:dumps") is json.dumps
    for wrong in ("json", "json:nothing", "no.such.module:f"):
        with pytest.raises(ValueError, match="write MODULE:FUNCTION"):
            resource_named(wrong)
    with pytest.raises(ValueError, match="a resource solves by itself"):
        QuantumService(resource=lambda: Fake([]), emulated=True)
