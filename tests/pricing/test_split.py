"""A system shared out: the bounds against conjugate gradients that run, the price against its parts."""

import math

import numpy as np
import pytest

import qnewton as q
from qnewton._hardware import ClassicalProfile
from qnewton._pricing.assumptions import ASSUMPTION_SETS
from qnewton._pricing.bounds import least_charges
from qnewton._pricing.classical import ClassicalHost
from qnewton._pricing.clock import Clock
from qnewton._pricing.more_rows import more_rows
from qnewton._pricing.problem import Problem
from qnewton._pricing.split import shares
from qnewton._pricing.table import Row, table
from qnewton._pricing.verdict import verdicts
from qnewton._solvers.quantum.queries import QUERY_MODELS

SETS = tuple(ASSUMPTION_SETS[name] for name in ("paper", "logical"))


def host() -> ClassicalHost:
    found = q.load_profile("nvidia-h100-sxm")
    assert isinstance(found, ClassicalProfile)
    return ClassicalHost.of(found)


def machine() -> q.hardware.QuantumMachine:
    found = q.load_profile("superconducting")
    assert isinstance(found, q.hardware.QuantumProfile)
    return found.machine


HOST, MACHINE = host(), machine()
CLOCKS = [("superconducting", Clock.of(MACHINE))]


def everything(problem, machines, sets, hosts) -> list[Row]:
    clocks = [(name, Clock.of(machine)) for name, machine in machines]
    least = least_charges(problem, clocks, sets)
    return [*table(problem, machines, sets, hosts), *more_rows(problem, clocks, sets, hosts, least)]


def conjugate_gradients(values: np.ndarray, b: np.ndarray, x: np.ndarray, steps: int) -> np.ndarray:
    """On a diagonal matrix, in double precision."""
    r = b - values * x
    p = r.copy()
    for _ in range(steps):
        if not r @ r > 0:
            break
        alpha = (r @ r) / (p @ (values * p))
        x, new = x + alpha * p, r - alpha * values * p
        p, r = new + (new @ new) / (r @ r) * p, new
    return x


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_conjugate_gradients_end_where_the_bounds_say(seed, share):
    rng = np.random.default_rng(seed)
    kappa, epsilon, n = 1e3, 1e-4, 200
    values = np.geomspace(1 / kappa, 1, n)
    x = rng.standard_normal(n) * values ** -rng.uniform(0, 1)
    length = np.linalg.norm(x)
    noise = rng.standard_normal(n)
    noise /= np.linalg.norm(noise)

    eta = epsilon**share
    steps = math.ceil(math.sqrt(kappa) / 2 * math.log(2 * math.sqrt(kappa) * eta / epsilon))
    found = conjugate_gradients(values, values * x, x + eta * length * noise, steps)
    assert np.linalg.norm(found - x) <= epsilon * length

    own = kappa**share
    low = values < own / kappa
    eta = epsilon / (2 * math.sqrt(own))
    steps = math.ceil(math.sqrt(kappa / own) / 2 * math.log(4 * math.sqrt(kappa) / epsilon))
    small = np.where(low, noise, 0)
    start = np.where(low, x, 0) + eta * length * small / np.linalg.norm(small)
    found = conjugate_gradients(values, values * x, start, steps)
    assert np.linalg.norm(found - x) <= epsilon * length


def test_the_price_is_that_of_its_parts():
    problem = Problem(12544.0, 4e3, degree=1254.0)
    found = list(shares(problem, CLOCKS, SETS, [HOST]))
    assert {(one.assumed.name, one.evidence.value) for one in found} == {
        (name, kind) for name in ("paper", "logical") for kind in ("derived", "assumption")
    }
    (alone,) = (r for r in table(problem, [], [], [HOST]) if r.solver == "CG")
    assert alone.seconds is not None
    whole = math.ceil(math.sqrt(4e3) / 2 * math.log(2 * math.sqrt(4e3) / 1e-3))
    for one in found:
        solver = q.assumptions.CountedSolver.of(QUERY_MODELS[str(one.model)])
        smaller = Problem(12544.0, one.kappa, one.precision, 1254.0)
        charge = one.assumed.charge(solver, smaller.numbers, one.precision, CLOCKS[0][1])
        classical = alone.seconds * one.steps / whole
        assert one.seconds == pytest.approx(float(charge.seconds) + classical, rel=1e-9)
        assert one.queries == pytest.approx(float(charge.queries))
        if one.evidence is q.queries.Evidence.DERIVED:
            assert one.kappa == 4e3
            left = one.steps - math.sqrt(4e3) / 2 * math.log(2 * math.sqrt(4e3) * one.precision / 1e-3)
        else:
            assert one.precision == pytest.approx(1e-3 / 2 / math.sqrt(one.kappa))
            left = one.steps - math.sqrt(4e3 / one.kappa) / 2 * math.log(4 * math.sqrt(4e3) / 1e-3)
        assert 0 <= left < 1


def test_the_verdict_names_a_shared_solve_only_where_it_is_the_fastest():
    rows = everything(Problem(12544.0, 4e3, degree=1254.0), [("superconducting", MACHINE)], SETS, [HOST])
    for verdict in verdicts(rows):
        shared = [r.seconds for r in rows if r.kind == "shared" and r.assumptions == verdict.assumptions and r.seconds]
        alone = [one.seconds for one in (verdict.quantum, verdict.other, verdict.classical) if one and one.seconds]
        assert (verdict.shared is not None) == (min(shared) < min(alone))
    # Two solvers that take nearly equally long share kappa out between them.
    (best,) = (v for v in verdicts(rows) if v.assumptions == "paper")
    assert best.shared is not None
    assert best.shared.evidence == "assumption"


@pytest.mark.parametrize("problem", [Problem(100.0, 10.0, definite=False), Problem(100.0, 1e16)])
def test_nothing_is_shared_where_conjugate_gradients_do_not_hold(problem):
    assert not np.isfinite([one.seconds for one in shares(problem, CLOCKS, SETS, [HOST])]).any()
    assert list(shares(Problem(100.0, 10.0), CLOCKS, SETS, [])) == []


def test_a_sweep_shares_out_what_its_points_do(monkeypatch):
    monkeypatch.setattr("qnewton._pricing.more_rows._AT_ONCE", 2)
    n, kappa, times = [1e4, 1e8, 1e6], [4e3, 10.0, 1e16], [50e-9, 1e-6, 1e-9]
    asked = {"hardware": ["superconducting", "nvidia-h100-sxm"], "assumptions": ["paper", "logical"], "sparsity": 9}
    found = q.plan(n, kappa, gate_time_s=times, **asked).shared.to_pandas()
    assert found.shape[0] == 3 * 2 * 2
    for at in range(3):
        own = found[found["n"] == n[at]]
        single = q.plan(n[at], kappa[at], gate_time_s=times[at], **asked).more
        rows = [row for row in single if row.kind == "shared"]
        # Beyond the range of double precision conjugate gradients do not hold.
        assert len(rows) == (0 if at == 2 else 4) == np.isfinite(own["seconds"]).sum()
        for row, (_, line) in zip(rows, own.iterrows(), strict=False):
            assert (row.assumptions, row.solver) == (line["assumptions"], line["solver"] + " + CG")
            assert row.seconds == pytest.approx(line["seconds"], rel=1e-12)
            assert f"kappa {line['part_kappa']:.3g} and" in row.notes[0]
