"""Measurement against a clock that the test moves, and the description of the machine."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from qnewton._hardware import describe_machine, gemm_probe, interleaved_seconds, median_seconds


class Work:
    """Something to measure: each call moves the clock by the next duration, but only once its result is waited for."""

    def __init__(self, durations):
        self.now, self.calls, self._durations = 0.0, 0, iter(durations)

    def __call__(self):
        self.calls += 1
        return [SimpleNamespace(block_until_ready=self._finish)]

    def _finish(self):
        self.now += next(self._durations)


@pytest.fixture
def work(monkeypatch):
    def start(durations):
        work = Work(durations)
        monkeypatch.setattr("qnewton._hardware.measure.time", SimpleNamespace(perf_counter=lambda: work.now))
        return work

    return start


@pytest.mark.parametrize(
    ("durations", "repeats", "budget", "calls", "expected"),
    [
        pytest.param([100, 3, 1, 2, 50, 1], 5, 1e9, 6, 2, id="median_without_the_warm_up"),
        pytest.param([100, 3, 1, 2, 50], 4, 1e9, 5, 2.5, id="even_number"),
        pytest.param([100, 7], 1, 1e9, 2, 7, id="one_repeat"),
        pytest.param([100, 7], 5, 0, 2, 7, id="no_budget_still_measures_once"),
        pytest.param([100, 7], 0, 1e9, 2, 7, id="no_repeats_still_measure_once"),
        # Started at 0 and 4, not at 9: the warm-up does not count against the budget.
        pytest.param([100, 4, 5], 5, 8, 3, 4.5, id="budget_used_up"),
    ],
)
def test_median(durations, repeats, budget, calls, expected, work):
    run = work(durations)
    assert median_seconds(run, repeats=repeats, budget_seconds=budget) == expected
    assert run.calls == calls


def test_description_survives_json():
    description = describe_machine()
    assert json.loads(json.dumps(description)) == description
    assert set(description) == {"platform", "processor", "cores", "backend", "device"}
    assert int(description["cores"]) >= 1
    assert description["backend"] in {"cpu", "gpu", "tpu"}
    assert all(description.values())


def test_description_without_the_kernels_own_name(monkeypatch):
    def missing(self):
        raise OSError

    monkeypatch.setattr(Path, "read_text", missing)
    assert describe_machine()["processor"]


@pytest.mark.parametrize("slow", [1.0, 7.0], ids=["steady", "drifting"])
def test_runs_take_turns_and_compare_relative_to_the_probe(slow, monkeypatch):
    # A clock on which everything takes `slow` times as long from the second round on.
    clock = SimpleNamespace(now=0.0, speed=1.0, rounds=0)
    monkeypatch.setattr("qnewton._hardware.measure.time", SimpleNamespace(perf_counter=lambda: clock.now))
    order = []

    def work(name, seconds):
        def run():
            order.append(name)
            clock.now += seconds * clock.speed
            if name == "b":
                clock.rounds += 1
                clock.speed = slow if clock.rounds >= 2 else 1.0
            return []

        return run

    seconds, probe = interleaved_seconds(
        [work("a", 0.1), work("b", 0.3)], work("probe", 0.2), repeats=4, budget_seconds=9
    )
    assert order == ["probe", "a", "b"] + 4 * ["probe", "a", "probe", "b"]
    assert [s / probe for s in seconds] == pytest.approx([0.5, 1.5]), "whatever the minute"
    if slow == 1.0:
        assert seconds == pytest.approx([0.1, 0.3])


def test_a_slow_run_stops_when_its_budget_is_spent(work):
    run = work([5.0] * 10)
    interleaved_seconds([run], run, repeats=8, budget_seconds=12.0)
    # Both are warmed up once; the run, 5 seconds long, is measured three times, each time after the probe.
    assert run.calls == 2 + 2 * 3


def test_nothing_to_measure():
    seconds, probe = interleaved_seconds([], gemm_probe("float32", 8))
    assert seconds == []
    assert probe > 0
