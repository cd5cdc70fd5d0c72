"""Energy of a plan's rows, and prices beyond the listed distances and T factories."""

import dataclasses

import numpy as np
import pytest

import qnewton as q
from qnewton._hardware import ClassicalProfile, QuantumMachine, QuantumProfile
from qnewton._pricing.assumptions import ASSUMPTION_SETS
from qnewton._pricing.classical import ClassicalHost
from qnewton._pricing.problem import Problem
from qnewton._pricing.table import table

PROBLEM = Problem(n=4096, condition_number=100.0, precision=1e-3, degree=40)


def test_energy_is_power_times_seconds_where_the_power_is_known():
    quantum, classical = q.load_profile("superconducting"), q.load_profile("nvidia-h100-sxm")
    assert isinstance(quantum, QuantumProfile)
    assert isinstance(classical, ClassicalProfile)
    # 1e5 qubits at 10 W, and the refrigerator: within the 1e12 to 1e13 J in 1e6 s of arXiv 2502.11239's abstract.
    assert quantum.watts(1e5) == 1.025e6
    unknown = dataclasses.replace(quantum, qubit_power_w=None)
    machines = [("known", quantum.machine), ("unknown", unknown.machine), ("no profile", QuantumMachine())]
    hosts = [ClassicalHost.of(classical), ClassicalHost.of(dataclasses.replace(classical, name="x", power_w=None))]
    sets = [ASSUMPTION_SETS["end_to_end"], ASSUMPTION_SETS["paper"]]
    rows = [*table(PROBLEM, machines[:2], sets, hosts), *table(PROBLEM, machines[2:], sets[1:], [])]
    seen = set()
    for row in rows:
        if not row.valid or row.hardware in ("unknown", "no profile", "x"):
            assert row.joules is None
            continue
        assert row.seconds is not None
        power = 1275.0 if row.kind == "classical" else 25e3 + 10 * (row.qubits or 0)
        assert row.joules == pytest.approx(power * row.seconds)
        seen.add(row.assumptions)
    assert seen == {"end_to_end", "paper", "data sheet"}


@pytest.mark.parametrize("name", ["superconducting", "majorana", "transmon-cultivated"])
def test_prices_have_no_step_where_listed_factories_end(name):
    # From 2^31 rows on, T states of a dense matrix need smaller errors than any listed factory reaches.
    n = 2.0 ** np.arange(28, 40)
    found = q.plan(n, 100.0, hardware=[name], assumptions="end_to_end")
    notes = {}
    for line in found.lines:
        if line.same["solver"] in ("dalzell2024", "jennings2023v1", "costa2021"):
            assert np.all(np.isfinite(line.seconds))
            steps = np.diff(np.log10(line.seconds))
            # Twice the rows: all steps are alike, but for the next code distance.
            assert np.max(steps) - np.min(steps) < 0.05
            notes[line.same["solver"]] = [
                any("error correction extrapolated" in one for one in said) for said in line.columns["notes"]
            ]
    assert len(notes) == 3
    assert all(not marked[0] and marked[-1] for marked in notes.values())
