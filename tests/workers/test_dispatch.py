"""What the driver makes of workers that die, hang, err or are not there, on a clock that the tests move."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qnewton._scheduling.sent import Sent
from qnewton._workers.dispatch import Dispatcher
from qnewton._workers.engine import AbstractEngine, Colleague, Lost, Reply

MATRIX = np.diag([2.0, 4.0])
PROGRAM: Any = SimpleNamespace(
    names=("LU", "QLSA"), quantum=(False, True), key="one", system=lambda arrays: tuple(arrays[:2])
)


@dataclass
class Staged(AbstractEngine):
    """Workers whose behaviour a test has written down: `solves`, `dies`, `hangs` or `errs`, by worker."""

    workers: tuple[Colleague, ...]
    behaves: dict[str, str] = field(default_factory=dict)
    queues: dict[str, float] = field(default_factory=dict)
    now: float = 0.0
    calls: list[tuple[str, int]] = field(default_factory=list)
    arrays: list[Any] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def present(self) -> tuple[Colleague, ...]:
        return tuple(one for one in self.workers if self.behaves.get(one.name) != "gone")

    def put(self, arrays: Any) -> Any:
        return arrays

    def send(self, worker: str, program: Any, place: int, arrays: Any) -> Any:
        self.calls.append((worker, place))
        self.arrays.append(arrays)
        return len(self.calls) - 1

    def ready(self, handles: Any, timeout_s: float) -> list[Any]:
        self.now += timeout_s + 1e-3
        return [one for one in handles if self.behaves.get(self.calls[one][0], "solves") != "hangs"]

    def get(self, handle: Any) -> Reply:
        worker, _ = self.calls[handle]
        behaves = self.behaves.get(worker, "solves")
        if behaves == "dies":
            self.behaves[worker] = "gone"
        if behaves in ("dies", "gone"):
            raise Lost(worker)
        matrix, vector = self.arrays[handle][:2]
        value = np.linalg.solve(matrix, vector) * (10 if behaves == "errs" else 1)
        return Reply(value, 0, 0.0, 1.0, 0, self.now, self.now, self.queues.get(worker, 0.0))

    def close(self) -> None:
        pass


def staged(quantum: int = 0, classical: int = 2, **settings: Any) -> tuple[Staged, Dispatcher]:
    names = [Colleague(f"cpu {k}", False) for k in range(classical)]
    engine = Staged((*names, *(Colleague(f"qpu {k}", True) for k in range(quantum))))
    return engine, Dispatcher(engine, patience=2.0, grace_s=1.0, first_s=0.0, clock=engine.clock, **settings)


def step(dispatcher: Dispatcher, *seconds: list[float], scale: float = 1.0, choice: int = 0) -> list[Any]:
    """The answers of a step with a block for each row of predictions."""
    for k, row in enumerate(seconds):
        arrays = [MATRIX, np.asarray([scale, 2.0 * (k + 1)])]
        dispatcher.send(Sent(k, len(seconds), f"b{k}", PROGRAM, 0.1, np.asarray(row), choice, arrays))
    return [dispatcher.wait(k) for k in range(len(seconds))]


def outcomes(dispatcher: Dispatcher) -> list[tuple[str, str, str]]:
    return [(one.block, one.worker, one.outcome) for one in dispatcher.taken()]


def test_blocks_are_dealt_out_and_solved() -> None:
    _, dispatcher = staged()
    found = step(dispatcher, [3.0, np.inf], [2.0, np.inf], [2.0, np.inf])
    assert [answer.value.tolist() for answer in found] == [[0.5, 0.5], [0.5, 1.0], [0.5, 1.5]]
    assert sorted(outcomes(dispatcher)) == [
        ("b0", "cpu 0", "solved"),
        ("b1", "cpu 1", "solved"),
        ("b2", "cpu 1", "solved"),
    ]
    # By the plan from the second step on: 3 on one and 2 + 2 on the other is the shortest schedule.
    step(dispatcher, [3.0, np.inf], [2.0, np.inf], [2.0, np.inf])
    dealt = {one.block: one.worker for one in dispatcher.taken()}
    assert dealt["b1"] == dealt["b2"] != dealt["b0"]


def test_a_worker_is_predicted_by_its_own_calibration() -> None:
    """Each is five times as fast as the other with one of the blocks, whatever the driver's machine takes."""
    _, dispatcher = staged()
    own = [{"cpu 0": 1.0, "cpu 1": 5.0}, {"cpu 0": 5.0, "cpu 1": 1.0}]
    for _ in range(2):
        dispatcher.taken()
        for k, rows in enumerate(own):
            on = {worker: np.asarray([seconds, np.inf]) for worker, seconds in rows.items()}
            arrays = [MATRIX, np.asarray([1.0, 2.0])]
            dispatcher.send(Sent(k, 2, f"b{k}", PROGRAM, 0.1, np.asarray([3.0, np.inf]), 0, arrays, on))
        assert all(dispatcher.wait(k) is not None for k in range(2))
        found = {one.block: (one.worker, one.predicted_s) for one in dispatcher.taken()}
        assert found == {"b0": ("cpu 0", 1.0), "b1": ("cpu 1", 1.0)}


def test_bytes_count_on_the_way_to_a_worker() -> None:
    engine, dispatcher = staged(classical=0)
    engine.workers = (Colleague("near", False, slowness=2.0), Colleague("far", False, seconds_per_byte=1.0))
    step(dispatcher, [1.0, np.inf])
    assert outcomes(dispatcher) == [("b0", "near", "solved")]


def test_the_plan_goes_by_the_last_predictions() -> None:
    _, dispatcher = staged()
    rows = [[1.0, np.inf], [1.0, np.inf], [5.0, np.inf], [5.0, np.inf], [2.0, np.inf]]
    step(dispatcher, *rows)
    dispatcher.taken()
    step(dispatcher, *rows)
    loads: dict[str, float] = {}
    for one in dispatcher.taken():
        loads[one.worker] = loads.get(one.worker, 0.0) + one.predicted_s
    assert sorted(loads.values()) == [7.0, 7.0]


def test_a_dead_worker_costs_one_more_solve() -> None:
    engine, dispatcher = staged()
    engine.behaves["cpu 0"] = "dies"
    found = step(dispatcher, [3.0, np.inf], [2.0, np.inf])
    assert all(answer is not None for answer in found)
    assert sorted(outcomes(dispatcher)) == [
        ("b0", "cpu 0", "died"),
        ("b0", "cpu 1", "solved"),
        ("b1", "cpu 1", "solved"),
    ]


@pytest.mark.parametrize("latest_first", [False, True])
def test_what_waits_at_a_dead_worker_is_moved(latest_first: bool) -> None:
    """One block died with its worker, whichever answer is found lost first."""
    engine, dispatcher = staged(classical=1, quantum=1)
    engine.behaves["cpu 0"] = "dies"
    ready = engine.ready
    engine.ready = lambda handles, timeout_s: ready(handles, timeout_s)[:: -1 if latest_first else 1]
    # Only the quantum worker is left, with its own candidate.
    found = step(dispatcher, *[[1.0, 9.0]] * 3)
    assert all(answer is not None for answer in found)
    assert sorted(outcomes(dispatcher)) == [
        ("b0", "cpu 0", "died"),
        ("b0", "qpu 0", "solved"),
        ("b1", "cpu 0", "moved"),
        ("b1", "qpu 0", "solved"),
        ("b2", "cpu 0", "moved"),
        ("b2", "qpu 0", "solved"),
    ]
    assert engine.calls[-1] == ("qpu 0", 1)


def test_what_cannot_be_sent_to_a_dying_worker_is_moved() -> None:
    engine, dispatcher = staged(classical=1, quantum=1)
    engine.behaves["cpu 0"] = "dies"
    send = engine.send

    def sends(worker: str, program: Any, place: int, arrays: Any) -> Any:
        if worker == "cpu 0" and engine.calls:
            raise Lost(worker)
        return send(worker, program, place, arrays)

    engine.send = sends
    step(dispatcher, *[[1.0, 9.0]] * 2)
    assert [outcome for _, worker, outcome in sorted(outcomes(dispatcher)) if worker == "cpu 0"] == ["died", "moved"]


def test_a_worker_that_hangs_gets_no_more_until_it_answers() -> None:
    engine, dispatcher = staged()
    engine.behaves["cpu 0"] = "hangs"
    step(dispatcher, [1.0, np.inf])
    # After 2 x 1 + 1 seconds.
    assert 3.0 < engine.now < 4.0
    assert outcomes(dispatcher) == [("b0", "cpu 0", "late"), ("b0", "cpu 1", "solved")]
    step(dispatcher, [1.0, np.inf])
    assert outcomes(dispatcher) == [("b0", "cpu 1", "solved")]
    engine.behaves["cpu 0"] = "solves"
    step(dispatcher, [1.0, np.inf])  # which sees its answer
    dispatcher.taken()
    step(dispatcher, [1.0, np.inf], [1.0, np.inf])
    assert {worker for _, worker, _ in outcomes(dispatcher)} == {"cpu 0", "cpu 1"}


def test_a_residual_that_is_too_large_is_no_solution() -> None:
    engine, dispatcher = staged()
    engine.behaves["cpu 0"] = "errs"
    (found,) = step(dispatcher, [1.0, np.inf])
    np.testing.assert_allclose(found.value, [0.5, 0.5])
    attempts = dispatcher.taken()
    assert [one.outcome for one in attempts] == ["residual", "solved"]
    assert attempts[0].residual == pytest.approx(9.0)


def test_the_last_solution_stands_in_for_a_late_one() -> None:
    engine, dispatcher = staged(classical=1, stale=1)
    step(dispatcher, [1.0, np.inf])
    engine.behaves["cpu 0"] = "hangs"
    (found,) = step(dispatcher, [1.0, np.inf], scale=4.0)
    assert found.age == 1
    np.testing.assert_allclose(found.value, [0.5, 0.5])
    assert [one.outcome for one in dispatcher.taken()] == ["solved", "late", "stale"]
    # It would be two steps old now, so the driver solves.
    assert step(dispatcher, [1.0, np.inf], scale=4.0) == [None]
    assert outcomes(dispatcher) == [("b0", "driver", "driver")]
    # The late answer came meanwhile: it is that of the second step, one step old in the fourth.
    engine.behaves["cpu 0"] = "solves"
    step(dispatcher, [1.0, np.inf], scale=4.0)
    assert dispatcher._last["b0"][0] == 3


def test_without_workers_the_driver_goes_on_alone() -> None:
    engine, dispatcher = staged()
    engine.behaves = {"cpu 0": "dies", "cpu 1": "dies"}
    assert step(dispatcher, [1.0, np.inf], [1.0, np.inf]) == [None, None]
    kinds = [one.outcome for one in dispatcher.taken()]
    assert kinds.count("died") == 2
    assert kinds.count("driver") == 2
    assert step(dispatcher, [1.0, np.inf]) == [None]


def test_a_quantum_choice_goes_to_a_quantum_worker() -> None:
    engine, dispatcher = staged(quantum=1)
    step(dispatcher, [2.0, 1.0], choice=1)
    assert engine.calls == [("qpu 0", 1)]
    engine.behaves["qpu 0"] = "dies"
    step(dispatcher, [2.0, 1.0], choice=1)
    assert engine.calls[1:] == [("qpu 0", 1), ("cpu 0", 0)]


def test_what_is_not_finite_or_nobody_takes_stays_here() -> None:
    engine, dispatcher = staged()
    arrays = [MATRIX, np.asarray([np.nan, 1.0])]
    dispatcher.send(Sent(0, 1, "b0", PROGRAM, 0.1, np.asarray([1.0, np.inf]), 0, arrays))
    assert dispatcher.wait(0) is None
    assert step(dispatcher, [1.0, np.inf], choice=-1) == [None]
    assert engine.calls == []


def test_waits_are_predicted_from_those_that_were_observed() -> None:
    engine, dispatcher = staged(classical=0, quantum=2)
    engine.queues["qpu 0"] = 50.0
    step(dispatcher, [np.inf, 2.0], choice=1)
    assert outcomes(dispatcher) == [("b0", "qpu 0", "solved")]
    # Its queue is expected to take as long again; the other one's is not known.
    step(dispatcher, [np.inf, 2.0], choice=1)
    assert outcomes(dispatcher) == [("b0", "qpu 1", "solved")]
    engine.behaves["qpu 1"] = "gone"
    step(dispatcher, [np.inf, 2.0], choice=1)
    assert dispatcher.taken()[0].predicted_s == pytest.approx(52.0)
