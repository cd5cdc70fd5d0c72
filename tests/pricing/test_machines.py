"""Several devices: published runs of HPL and HPCG, and what small systems gain from more of them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnewton as q
from qnewton._hardware import ClassicalProfile
from qnewton._pricing.classical import RIVALS, ClassicalHost, predict, rival_named
from qnewton._pricing.problem import Problem
from qnewton._pricing.table import table


def host_of(name: str, **changes: float) -> ClassicalHost:
    profile = q.load_profile(name)
    assert isinstance(profile, ClassicalProfile)
    return ClassicalHost.of(dataclasses.replace(profile, **changes))


def test_the_published_run_of_hpl_is_predicted():
    """Frontier solved 24,440,832 rows (TOP500, June 2022, Nmax), at 1.102 Eflop/s."""
    n = 24_440_832.0
    found = predict(rival_named("LU"), host_of("frontier"), Problem(n=n, condition_number=1e9, precision=1e-6))
    assert 2 / 3 * n**3 / float(found.seconds) == pytest.approx(1.102e18, rel=0.15)


def test_the_published_run_of_hpcg_is_predicted():
    """CG on a stencil of 27 points, ten million rows on each device; its products alone are counted."""
    host = host_of("frontier")
    problem = Problem(n=1e7 * host.devices, condition_number=1e4, precision=1e-10, degree=27)
    cg = rival_named("CG")
    steps = float(cg.method.workload(problem, 8).steps)
    per_s = 2 * 27 * float(problem.n) * steps / float(predict(cg, host, problem).seconds)
    # HPCG: 14.05 Pflop/s. Vectors, which move here in every step, are in its 6 bytes an operation.
    assert per_s == pytest.approx(14.05e15, rel=0.3)


@settings(max_examples=40)
@given(n=st.floats(0.5, 4.9), degree=st.floats(0, 1), kappa=st.floats(0, 5), eps=st.floats(-9, -1))
def test_more_devices_are_at_most_as_many_times_faster_and_no_less_than_their_waits_slower(n, degree, kappa, eps):
    rows = np.round(10.0**n)
    problem = Problem(
        n=rows, condition_number=10.0**kappa, precision=10.0**eps, degree=np.clip(np.round(rows**degree), 1, rows)
    )
    rates = ("float32_flops_per_s", "float64_flops_per_s", "bytes_per_s", "memory_bytes", "link_bytes_per_s")
    node = host_of("nvidia-dgx-h100")
    assert node.profile is not None
    one = host_of("nvidia-dgx-h100", devices=1.0, **{name: getattr(node.profile, name) / 8 for name in rates})
    for rival in RIVALS:
        if not rival.takes(problem):
            continue
        alone, shared = (float(predict(rival, host, problem).seconds) for host in (one, node))
        assert shared >= alone / 8 * (1 - 1e-12), rival.name
        chain = rival.method.chain(problem, 8.0)
        waits = float(chain.messages) * 2e-6 + float(chain.numbers) * 8 / 450e9
        assert shared <= alone + waits + 1e-12, rival.name
        # Whoever goes from row to row has one device, whatever the node has.
        if not rival.method.spread and float(rival.method.memory_bytes(problem, 8)) < one.memory_bytes:
            assert shared == pytest.approx(alone), rival.name


def test_small_systems_wait_for_the_start_and_the_launches():
    """No machine solves anything sooner than it starts; a tiny system is fastest where launches are."""
    problem = Problem(n=4, condition_number=2.0, precision=1e-3)
    names = ("amd-epyc-7702", "nvidia-h100-sxm", "nvidia-dgx-h100", "frontier")
    seconds = {name: float(predict(rival_named("Cholesky"), host_of(name), problem).seconds) for name in names}
    assert sorted(seconds, key=lambda name: seconds[name]) == list(names)
    for name in names:
        profile = host_of(name).profile
        assert profile is not None
        assert seconds[name] >= profile.start_s > 0
        assert profile.source
        (row,) = (r for r in table(problem, [], [], [host_of(name)]) if r.solver == "Cholesky")
        assert row.source == f"Golub and Van Loan, 4.2; machine: {profile.source}"
    with pytest.raises(ValueError, match=r"exchange_bytes_per_s is inf: .*several devices"):
        host_of("nvidia-h100-sxm", devices=2.0)
    for field, value, words in (
        ("devices", 0.5, "at least 1"),
        ("launch_s", -1.0, "at least 0"),
        ("memory_efficiency", 1.5, "in"),
    ):
        with pytest.raises(ValueError, match=f"{field} is {value}.*{words}"):
            host_of("nvidia-h100-sxm", **{field: value})
