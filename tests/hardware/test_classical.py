"""The calibrated machine: a fit that finds what it was given, and a message for what was not calibrated."""

import dataclasses
import math

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from qnewton._core.records import ClassicalWorkload
from qnewton._hardware import ClassicalMachine, KernelTimes, fit

SIZES = [8, 32, 128, 384, 1024]


def _workload(n, kernel="lu"):
    return ClassicalWorkload(kernel=kernel, flops=2 / 3 * n**3 + 2 * n**2, bytes=12.0 * n**2)


WORKLOADS = [_workload(n) for n in SIZES]


def _times(call, byte, flop):
    return [float(call + byte * w.bytes + flop * w.flops) for w in WORKLOADS]


def _coefficients(times):
    return times.seconds_per_call, times.seconds_per_byte, times.seconds_per_flop


@pytest.mark.parametrize(
    "coefficients",
    [
        pytest.param((2e-6, 1e-10, 5e-11), id="all"),
        pytest.param((1e-3, 1e-10, 5e-11), id="slow_start"),
        pytest.param((2e-6, 0.0, 5e-11), id="no_memory_term"),
        pytest.param((0.0, 0.0, 5e-11), id="operations_alone"),
        pytest.param((2e-6, 0.0, 0.0), id="constant"),
    ],
)
def test_recovers_known_coefficients(coefficients):
    fitted = fit(WORKLOADS, SIZES, _times(*coefficients))
    assert _coefficients(fitted) == pytest.approx(coefficients, rel=1e-6, abs=1e-20)
    assert fitted.worst_relative_error < 1e-9
    assert fitted.seconds(_workload(5000)) == pytest.approx(
        coefficients[0] + coefficients[1] * 12.0 * 5000**2 + coefficients[2] * (2 / 3 * 5000**3 + 2 * 5000**2), rel=1e-6
    )


@hypothesis.given(
    coefficients=st.tuples(
        *(st.one_of(st.just(0.0), st.floats(low, low + 4).map(lambda e: 10**e)) for low in (-7, -12, -13))
    )
)
def test_reproduces_whatever_the_model_can_express(coefficients):
    hypothesis.assume(any(coefficients))
    assert fit(WORKLOADS, SIZES, _times(*coefficients)).worst_relative_error < 1e-6


@hypothesis.given(measured=st.lists(st.floats(-7, 1).map(lambda e: 10**e), min_size=len(SIZES), max_size=len(SIZES)))
def test_is_never_negative_whatever_was_measured(measured):
    fitted = fit(WORKLOADS, SIZES, measured)
    assert all(0 <= c < math.inf for c in _coefficients(fitted))
    for n in (1, 100, 10**5):
        assert 0 <= fitted.seconds(_workload(n)) < math.inf
    # Predicting nothing at all would have a relative error of 1 everywhere; least squares does no worse.
    line = dataclasses.replace(fitted, bends=())
    errors = [line.seconds(w) / m - 1 for w, m in zip(WORKLOADS, measured, strict=True)]
    assert np.sum(np.square(errors)) <= len(SIZES) * (1 + 1e-9)


def test_every_size_counts_the_same():
    # One sample is off by half: an absolute fit would ignore it at n = 8 and follow it at n = 1024.
    exact = _times(2e-6, 1e-10, 5e-11)
    for i in (0, len(SIZES) - 1):
        measured = [t * (1.5 if j == i else 1) for j, t in enumerate(exact)]
        line = dataclasses.replace(fit(WORKLOADS, SIZES, measured), bends=())
        assert all(abs(line.seconds(w) / m - 1) < 0.4 for w, m in zip(WORKLOADS, measured, strict=True))


@hypothesis.given(measured=st.lists(st.floats(-7, 1).map(lambda e: 10**e), min_size=len(SIZES), max_size=len(SIZES)))
def test_goes_through_what_was_measured_and_stays_between(measured):
    fitted = fit(WORKLOADS, SIZES, measured)
    line = dataclasses.replace(fitted, bends=())
    for w, m in zip(WORKLOADS, measured, strict=True):
        assert fitted.seconds(w) == pytest.approx(m, rel=1e-9)
        assert jax.jit(lambda flops, w=w: fitted.seconds(dataclasses.replace(w, flops=flops)))(w.flops) == (
            pytest.approx(m, rel=1e-3)
        )
    factors = [m / line.seconds(w) for w, m in zip(WORKLOADS, measured, strict=True)]
    for n in (1, 20, 50, 200, 700):
        factor = fitted.seconds(_workload(n)) / line.seconds(_workload(n))
        assert min(factors) * (1 - 1e-9) <= factor <= max(factors) * (1 + 1e-9)
    far = _workload(10**6)
    assert fitted.seconds(far) == pytest.approx(factors[-1] * line.seconds(far), rel=1e-9)


def test_the_kernel_of_operators_is_taken_where_it_was_measured():
    kernels = (("cg", KernelTimes(1.0, 0, 0)), ("cg, unformed", KernelTimes(3.0, 0, 0)), ("lu", KernelTimes(7.0, 0, 0)))
    machine = ClassicalMachine("abacus", "float32", kernels)
    assert [machine.seconds(_workload(8, "cg"), formed=formed) for formed in (True, False)] == [1.0, 3.0]
    assert [machine.seconds(_workload(8, "lu"), formed=formed) for formed in (True, False)] == [7.0, 7.0]


def test_keeps_its_samples():
    measured = _times(2e-6, 1e-10, 5e-11)
    measured[1] *= 1.2
    fitted = fit(WORKLOADS, SIZES, measured)
    assert [(n, m) for n, m, _ in fitted.samples] == list(zip(SIZES, measured, strict=True))
    # Each is predicted by the others: at the ends by the neighbour's factor, between by those of both neighbours.
    line = dataclasses.replace(fitted, bends=())
    factors = [m / line.seconds(w) for w, m in zip(WORKLOADS, measured, strict=True)]
    assert fitted.samples[0][2] == pytest.approx(factors[1] * line.seconds(WORKLOADS[0]))
    low, here, high = (math.log(w.flops) for w in WORKLOADS[1:4])
    weight = (here - low) / (high - low)
    expected = factors[1] ** (1 - weight) * factors[3] ** weight * line.seconds(WORKLOADS[2])
    assert fitted.samples[2][2] == pytest.approx(expected)
    assert fitted.worst_relative_error == pytest.approx(max(abs(p / m - 1) for _, m, p in fitted.samples))
    assert fitted.worst_relative_error > 0.01


def test_kernel_without_memory_traffic():
    workloads = [ClassicalWorkload("custom", w.flops, 0.0) for w in WORKLOADS]
    fitted = fit(workloads, SIZES, [float(1e-6 + 1e-10 * w.flops) for w in workloads])
    assert _coefficients(fitted) == pytest.approx((1e-6, 0, 1e-10), rel=1e-6)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        fit(WORKLOADS, SIZES[:-1], _times(2e-6, 1e-10, 5e-11))


def test_kernel_times_without_samples_have_no_error():
    assert KernelTimes(1.0, 0.0, 0.0).worst_relative_error == 0


@pytest.fixture
def machine() -> ClassicalMachine:
    return ClassicalMachine(
        name="abacus",
        dtype="float32",
        kernels=(("cholesky", KernelTimes(1.0, 0.0, 0.0)), ("lu", KernelTimes(2.0, 0.1, 0.01))),
    )


def test_seconds_of_a_workload(machine):
    assert machine.seconds(ClassicalWorkload("lu", flops=300.0, bytes=20.0)) == pytest.approx(2 + 2 + 3)
    assert machine.seconds(ClassicalWorkload("cholesky", flops=300.0, bytes=20.0)) == 1


def test_unknown_kernel_names_the_nearest_and_what_to_do(machine):
    with pytest.raises(
        KeyError, match=r"unknown kernel 'choleski': did you mean 'cholesky'\? Valid: cholesky, lu.*Calibrate with"
    ):
        machine.seconds(_workload(3, "choleski"))
    with pytest.raises(KeyError, match=r"unknown kernel 'qr'\. Valid: cholesky, lu"):
        machine.seconds(_workload(3, "qr"))


def test_machine_is_hashable(machine):
    # It is closed over by jitted functions and stored with a run.
    assert hash(machine) == hash(ClassicalMachine(machine.name, machine.dtype, machine.kernels))
