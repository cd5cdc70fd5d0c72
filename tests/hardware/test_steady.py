"""A calibration is measured again where the machine or a sample does not hold still, and refused if it never does."""

import itertools

import pytest

from qnewton._hardware import steady


@pytest.fixture
def machine(monkeypatch):
    """`machine(speeds, seconds)`: what the probe takes each time that it is asked, and each run on each measurement."""

    def script(speeds, seconds):
        speeds, seconds = itertools.cycle(speeds), iter(seconds)
        asked = []

        def measured(runs, probe, repeats, budget):
            asked.append([run() for run in runs])
            now = next(seconds)
            return [now[run] for run in asked[-1]], 1.0

        monkeypatch.setattr(steady, "median_seconds", lambda probe, repeats: next(speeds))
        monkeypatch.setattr(steady, "interleaved_seconds", measured)
        monkeypatch.setattr(steady, "ATTEMPTS", 3)
        monkeypatch.setattr(steady, "MOST_DRIFT", 1.5)
        monkeypatch.setattr(steady, "MOST_ERROR", 0.5)
        return asked

    return script


def settled(fitted):
    return steady.settled_seconds(
        [lambda: "lu", lambda: "cg"], ["lu of 256 rows", "cg of 8 rows"], fitted, "float32", 5
    )


def as_measured(seconds):
    return list(seconds)


def test_a_steady_machine_is_measured_once(machine):
    asked = machine([1.0], [{"lu": 2.0, "cg": 3.0}])
    assert settled(as_measured) == ([2.0, 3.0], 1.0)
    assert asked == [["lu", "cg"]]


def test_a_machine_that_slowed_down_is_measured_again(machine):
    asked = machine([1.0, 1.6, 1.0, 1.4], [{"lu": 9.0, "cg": 9.0}, {"lu": 2.0, "cg": 3.0}])
    assert settled(as_measured) == ([2.0, 3.0], 1.0)
    assert len(asked) == 2


@pytest.mark.parametrize("speeds", [[1.0, 1.6], [1.6, 1.0]], ids=["slower", "faster"])
def test_a_machine_that_never_holds_still_is_refused(machine, speeds):
    machine(speeds, 3 * [{"lu": 2.0, "cg": 3.0}])
    with pytest.raises(OSError, match=r"too busy.*in 3 attempts a matrix product became 1\.6, 1\.6, 1\.6 times"):
        settled(as_measured)


def test_what_the_others_do_not_let_expect_is_measured_again_alone(machine):
    """LU recorded ten times too slow once; its second measurement counts, and is then as expected."""
    asked = machine([1.0], [{"lu": 20.0, "cg": 3.0}, {"lu": 2.0}])
    assert settled(lambda seconds: [2.1, 3.1]) == ([2.0, 3.0], 1.0)
    assert asked == [["lu", "cg"], ["lu"]]


def test_what_two_measurements_say_is_believed(machine):
    """A cache that a size no longer fits into makes a bend that no fit expects."""
    asked = machine([1.0], [{"lu": 20.0, "cg": 3.0}, {"lu": 19.0}])
    assert settled(lambda seconds: [2.1, 3.1]) == ([19.0, 3.0], 1.0)
    assert len(asked) == 2


def test_what_the_last_attempt_confirms_is_believed(machine):
    asked = machine([1.0], [{"lu": 20.0, "cg": 3.0}, {"lu": 8.0}, {"lu": 70.0}, {"lu": 71.0}])
    assert settled(lambda seconds: [2.1, 3.1]) == ([71.0, 3.0], 1.0)
    assert len(asked) == 4


def test_what_is_different_every_time_is_refused(machine):
    machine([1.0], [{"lu": 20.0, "cg": 3.0}, {"lu": 8.0}, {"lu": 70.0}, {"lu": 20.0}])
    with pytest.raises(OSError, match=r"lu of 256 rows took 0\.29 times as long the next time: wait until other"):
        settled(lambda seconds: [2.1, 3.1])
