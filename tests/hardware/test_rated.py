"""A machine that nobody calibrated is rated by a profile and a probe, and says so."""

import pytest

import qnewton as qn
from qnewton._core.records import ClassicalWorkload
from qnewton._hardware import measure, rated
from qnewton._hardware.rated import rated_machine

KERNELS = ("cg", "cholesky", "lu", "of_a_user")


@pytest.fixture
def on(monkeypatch):
    """`on(processor, backend, device)`: as if this process ran there."""

    def there(processor, backend="cpu", device="cpu"):
        here = {"processor": processor, "backend": backend, "device": device}
        monkeypatch.setattr(rated, "describe_machine", lambda: here)

    return there


def seconds(machine, kernel, n=512):
    return float(machine.seconds(ClassicalWorkload(kernel, 2 / 3 * n**3, 12.0 * n**2)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_processor_that_was_measured_has_its_own_times_at_todays_speed(on, dtype):
    on("AMD EPYC")
    profile = rated._profile("AMD EPYC", dtype)
    assert profile is not None
    measured = profile.machine
    assert measured.name == "AMD EPYC"
    assert measured.gemm_seconds is not None
    for factor in (1.0, 3.0):
        machine = rated_machine(("cholesky", "lu"), dtype, factor * measured.gemm_seconds)
        assert machine.basis == "profile measured on AMD EPYC; scaled by a probe"
        for kernel in ("cholesky", "lu"):
            assert seconds(machine, kernel) == pytest.approx(factor * seconds(measured, kernel), rel=1e-6)
        assert all(times.samples == () for _, times in machine.kernels), "nobody measured them here"


def test_another_cpu_has_the_proportions_of_the_one_that_was_measured(on):
    on("A processor that nobody knows")
    machine = rated_machine(("lu",), "float32", 1e-3)
    assert machine.name == "A processor that nobody knows"
    assert machine.basis.startswith("profile measured on AMD EPYC")


@pytest.mark.parametrize(
    ("device", "sheet"),
    [
        ("NVIDIA H200", "nvidia-h100-sxm"),
        ("NVIDIA GH200 480GB", "nvidia-h100-sxm"),
        ("NVIDIA A100-SXM4-40GB", "nvidia-a100-sxm"),
        ("NVIDIA THOR", "nvidia-a100-sxm"),
    ],
)
def test_an_accelerator_has_the_roofline_of_a_data_sheet(on, device, sheet):
    on("AMD EPYC", "gpu", device)
    profile = qn.load_profile(sheet)
    assert isinstance(profile, qn.hardware.ClassicalProfile)
    machine = rated_machine(KERNELS, "float32", 1e-3)
    assert machine.basis == f"data sheet of {profile.description}; scaled by a probe"
    # The probe itself, a product of 2 n^3 operations, takes what it took.
    product = ClassicalWorkload("lu", 2.0 * measure.PROBE_ROWS**3, 0.0)
    assert float(machine.seconds(product)) == pytest.approx(1e-3, rel=1e-6)
    # Operations and bytes stay in the proportion of the sheet.
    there = profile.machine(KERNELS)
    assert seconds(machine, "lu") / seconds(machine, "lu", 64) == pytest.approx(
        seconds(there, "lu") / seconds(there, "lu", 64), rel=1e-6
    )


def test_a_kernel_that_no_profile_has_goes_by_the_data_sheet(on):
    on("AMD EPYC")
    machine = rated_machine(KERNELS, "float32", 1e-3)
    assert "profile measured on AMD EPYC; data sheet of AMD EPYC 7702" in machine.basis
    assert seconds(machine, "of_a_user") > 0


def test_a_profile_that_knows_none_of_the_kernels_is_not_named(on):
    on("AMD EPYC")
    for kernels in (("of_a_user",), ()):
        assert rated_machine(kernels, "float32", 1e-3).basis.startswith("data sheet of AMD EPYC 7702")


def test_the_probe_takes_a_fifth_of_a_second_at_most(monkeypatch):
    """Counted rather than timed: the budget, and one product of milliseconds beyond it."""
    asked = []
    monkeypatch.setattr(rated, "median_seconds", lambda run, repeats, budget: asked.append(budget) or 1e-3)
    assert rated_machine(("lu",), "float32").gemm_seconds == 1e-3
    assert asked == [rated.PROBE_BUDGET_SECONDS]
    assert rated.PROBE_BUDGET_SECONDS <= 0.2


def test_a_faster_machine_is_faster_at_everything_by_the_same_factor(on):
    on("AMD EPYC")
    slow, fast = (rated_machine(KERNELS, "float64", probe) for probe in (4e-3, 1e-3))
    for kernel in KERNELS:
        for n in (8, 100, 3000):
            assert seconds(slow, kernel, n) == pytest.approx(4 * seconds(fast, kernel, n), rel=1e-5)
