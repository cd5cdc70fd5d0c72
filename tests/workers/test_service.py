"""Queues, sessions, reservations and prices of a quantum machine, by hand counts; traces, and forecasts of waits."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from qnewton._workers.service import QuantumService, Standing
from qnewton._workers.traces import Trace, TraceModel, read_trace, write_trace
from qnewton._workers.waits import forecast


def test_a_job_waits_in_the_queue_once_per_session() -> None:
    service = QuantumService(wait_s=100.0, session_s=50.0)
    assert service.begins(Standing(), 10.0) == 110.0
    standing = service.after(120.0)
    assert service.begins(standing, 130.0) == 130.0  # the session is open until 170
    assert service.begins(standing, 115.0) == 120.0  # the machine is at our first job
    assert service.begins(standing, 171.0) == 271.0


def test_a_reservation_is_paid_for_idle_or_busy() -> None:
    service = QuantumService(wait_s=100.0, reservations=((50.0, 80.0),), price_per_s=2.0, price_per_shot=0.5)
    assert service.reservation_price == 60.0
    assert service.begins(Standing(), 60.0) == 60.0
    assert service.price(60.0, 65.0, shots=4) == 2.0
    assert service.begins(Standing(), 10.0) == 50.0  # sooner than the queue, which would take until 110
    assert service.begins(Standing(), 90.0) == 190.0
    assert service.price(190.0, 193.0) == 6.0


def test_nothing_begins_during_a_calibration() -> None:
    service = QuantumService(calibrates_every_s=100.0, calibration_s=10.0)
    assert [service.begins(Standing(), at) for at in (5.0, 99.0, 100.0, 109.0, 111.0, 205.0)] == [
        *(5.0, 99.0, 110.0, 110.0, 111.0, 210.0)
    ]


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"wait_s": -1.0}, "wait_s is -1.0"),
        ({"reservations": ((5.0, 5.0),)}, "a reservation from 5.0 to 5.0"),
        ({"calibrates_every_s": 1.0, "calibration_s": 1.0}, "a calibration ends before"),
        ({"emulated": True, "device": "default.qubit"}, "leave out one"),
    ],
)
def test_a_service_that_cannot_be_is_refused(given: dict, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        QuantumService(**given)


def test_a_trace_without_waits_is_served_in_turn() -> None:
    # The second comes at 1 while the first runs until 3, the third waits for both, the fourth for nobody.
    trace = Trace.of([0.0, 1.0, 2.0, 20.0], [3.0, 4.0, 5.0, 1.0])
    assert trace.wait_s.tolist() == [0.0, 2.0, 5.0, 0.0]
    assert trace.wait_at(1.5) == 2.0
    assert trace.known_at(6.9).tolist() == [0.0, 2.0]


def test_traces_are_read_as_they_were_written(tmp_path: Path) -> None:
    trace, _ = TraceModel().draw(seed=3, hours=5.0)
    write_trace(tmp_path / "trace.csv", trace)
    again = read_trace(tmp_path / "trace.csv")
    for name in ("arrival_s", "wait_s", "service_s"):
        np.testing.assert_array_equal(getattr(again, name), getattr(trace, name))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("arrival_s,service_s\n0,1\n5,-2\n", "job 2 of the trace: service_s is -2"),
        ("arrival_s,service_s\n-1,1\n", "job 1 of the trace: arrival_s is -1"),
        ("arrival_s,service_s,wait_s\n0,1,-3\n", "job 1 of the trace: wait_s is -3"),
        ("arrival_s,service_s\n5,1\n4,1\n", "job 2 of the trace comes at 4 s, after one at 5 s"),
        ("arrival_s,service_s\n5,x\n", "line 2: service_s is 'x'"),
        ("arrival_s,service_s\n5\n", "line 2: service_s is None"),
        ("arrival_s,wait_s\n5,1\n", "service_s is not among them"),
        ("arrival_s,service_s\n", "holds no job"),
        ("", "of nothing"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "trace.csv").write_text(text)
    with pytest.raises(ValueError, match=part) as caught:
        read_trace(tmp_path / "trace.csv")
    assert str(caught.value).startswith(f"{tmp_path / 'trace.csv'}")


def test_generated_waits_have_the_published_quantiles() -> None:
    model = TraceModel(memory_s=1.0)  # nearly independent, so that few hours tell the law
    trace, normal = model.draw(seed=1, hours=2000.0)
    assert scipy.stats.kstest(normal, "norm").pvalue > 1e-3
    for chance, wait in ((0.2, 60.0), (0.5, 3600.0), (0.7, 7200.0), (0.9, 86400.0)):
        assert np.mean(trace.wait_s <= wait) == pytest.approx(chance, abs=0.015)


def test_the_expected_wait_is_that_of_the_law() -> None:
    model = TraceModel()
    assert model.expected_wait(0.7, 0.0) == pytest.approx(float(model.wait(0.7)))
    random = np.random.default_rng(0)
    kept = math.exp(-3600 / model.memory_s)
    drawn = model.wait(kept * 0.7 + math.sqrt(1 - kept**2) * random.standard_normal(200_000))
    assert model.expected_wait(0.7, 3600.0) == pytest.approx(drawn.mean(), rel=0.02)


def test_forecasts_cover_what_comes() -> None:
    trace, _ = TraceModel(memory_s=3600.0).draw(seed=5, hours=300.0)
    waits = trace.wait_s
    inside = []
    for k in range(600, 2600, 5):
        found = forecast(waits[:k])
        inside.append([waits[k] <= found.quantile_s(q) for q in (0.1, 0.5, 0.9)])
    assert np.mean(inside, axis=0) == pytest.approx([0.1, 0.5, 0.9], abs=0.06)


def test_a_forecast_is_a_function_of_the_record() -> None:
    waits = TraceModel().draw(seed=2, hours=20.0)[0].wait_s
    one, other = forecast(waits, 3), forecast(list(waits), 3)
    np.testing.assert_array_equal(one.sample_s, other.sample_s)
    assert forecast(()).mean_s == 0.0
    assert forecast((7.0,)).mean_s == pytest.approx(7.0)
    assert forecast((7.0,) * 20).quantile_s(0.99) == pytest.approx(7.0)
