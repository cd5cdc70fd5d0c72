"""Policies that deal out blocks under uncertain waits, against hand counts, enumeration and bounds."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from qnewton._workers.policies import (
    expected_makespan,
    first_come_first_served,
    greedy,
    makespans_of,
    pulled,
)
from qnewton._workers.simulate import Campaign, interval, simulate
from qnewton._workers.traces import Trace
from qnewton._workers.waits import WaitForecast
from qnewton.lab._cli.schedule import ScheduleCommand

IDLE = WaitForecast(np.zeros(1))


def waits(*samples: list[float]) -> list[WaitForecast]:
    return [WaitForecast(np.asarray(sample)) for sample in samples]


def test_policies_by_hand() -> None:
    seconds = np.asarray([[4.0, 1.0], [4.0, 1.0], [4.0, np.inf], [1.0, 1.0]])
    given = waits([0.0], [2.0, 4.0])
    # By numbers alone: 0 | 1 | 0 (only there) | 1.
    assert first_come_first_served(seconds, given).tolist() == [0, 1, 0, 1]
    # By finish: 4 against 3 + 1; 8 against 4 + 1 or 4; ...
    assert greedy(seconds, given).tolist() == [0, 1, 0, 1]
    assert makespans_of(seconds, np.asarray([0, 1, 0, 1]), np.asarray([[0.0, 2.0], [0.0, 9.0]])).tolist() == [8.0, 11.0]
    # A machine without blocks is not waited for.
    assert makespans_of(seconds, np.zeros(4, int), np.asarray([0.0, 99.0])) == 13.0
    # 0 takes the first block until 4; 1 is there from 2 on, takes the second and the fourth; 0 the third.
    assert pulled(seconds, np.asarray([0.0, 2.0])) == 8.0


@pytest.mark.parametrize("quantile", [None, 0.9])
def test_the_rule_is_near_the_best_of_all_assignments(quantile: float | None) -> None:
    random = np.random.default_rng(4)
    ratios = []
    for _ in range(5):
        seconds = random.exponential(10.0, (5, 3))
        given = [IDLE, *waits(*(random.exponential(15.0, 64).tolist() for _ in range(2)))]
        # An independent sample of what may come.
        drawn = np.stack([random.choice(wait.sample_s, 1000) for wait in given], axis=1)

        def judged(assignment: np.ndarray, seconds: np.ndarray = seconds, drawn: np.ndarray = drawn) -> float:
            found = makespans_of(seconds, assignment, drawn)
            return float(found.mean() if quantile is None else np.quantile(found, quantile))

        best = min(judged(np.asarray(one)) for one in itertools.product(range(3), repeat=5))
        ratios.append(judged(expected_makespan(seconds, given, quantile)) / best)
    assert max(ratios) < 1.2
    assert np.median(ratios) < 1.05


def test_the_rule_is_a_function_of_the_record() -> None:
    random = np.random.default_rng(0)
    seconds, given = random.exponential(1.0, (40, 6)), waits(*random.exponential(3.0, (6, 20)).tolist())
    assert expected_makespan(seconds, given).tolist() == expected_makespan(seconds.copy(), list(given)).tolist()


def test_on_generated_traces_the_rule_is_ahead_and_nobody_below_a_bound() -> None:
    found = simulate(Campaign(steps=8, blocks=60, classical=6, quantum=3, noise=0.0, seed=77))
    rule = found.makespan_s["makespan"]
    for other in ("first-come-first-served", "greedy"):
        median, low, high = found.against("makespan", other)
        assert low <= median <= high
        assert median < 1.0
    assert np.all(found.clairvoyant_s <= np.min(list(found.makespan_s.values()), axis=0) * (1 + 1e-9))
    # The other bound holds in the mean.
    assert found.bound_s is not None
    assert found.bound_s.mean() <= rule.mean()


def test_traces_take_the_place_of_the_law() -> None:
    trace = Trace.of(np.arange(0.0, 4e5, 600.0), np.full(667, 10.0), np.full(667, 50.0))
    found = simulate(Campaign(steps=2, blocks=8, classical=1, quantum=1, able=1.0, warm_s=3600.0), traces=[trace])
    assert found.bound_s is None
    assert all(len(one) == 2 for one in found.makespan_s.values())
    with pytest.raises(ValueError, match="a trace ends after"):
        simulate(Campaign(steps=500), traces=[trace])


def test_a_campaign_that_cannot_be_is_refused() -> None:
    wrong: dict[str, Any]
    for wrong in ({"steps": 0}, {"work_s": 0.0}, {"able": 1.5}, {"noise": -1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
            Campaign(**wrong)


def test_the_interval_covers_the_median() -> None:
    random = np.random.default_rng(1)
    inside = sum(low <= 0 <= high for _, low, high in (interval(random.standard_normal(30), k) for k in range(100)))
    assert inside >= 85


def test_what_the_command_leaves_out_is_what_the_campaign_says() -> None:
    """The command's options are read without numpy, so that its defaults stand there once more."""
    of_command = {field.name: field.default for field in dataclasses.fields(ScheduleCommand)}
    of_campaign = {field.name: field.default for field in dataclasses.fields(Campaign)}
    assert {name: of_command[name] for name in of_campaign} == of_campaign
