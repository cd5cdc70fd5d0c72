"""The overhead against Microsoft's resource estimator, on random inputs; skipped where `qdk` is not installed.

Both are exact, in integers, but for two things that the estimator does:

- Where no factory fits the code distance that the run itself asks for, it also makes the run as long as the next
  distance allows. We take the next distance and leave the run as it is. Seen for one logical qubit.
- Its search for factories passes some over. In 7 % of the cases of `majorana` ours are smaller, and then the run may be
  shorter for the reason above; never the other way round.
"""

import os

import numpy as np
import pytest

from qnewton._hardware import QuantumProfile, load_profile, physical_cost, t_gates_per_rotation

PRESETS = {
    "superconducting": "qubit_gate_ns_e3",
    "superconducting-e4": "qubit_gate_ns_e4",
    "trapped-ion": "qubit_gate_us_e3",
    "trapped-ion-e4": "qubit_gate_us_e4",
    "majorana": "qubit_maj_ns_e4",
    "majorana-e6": "qubit_maj_ns_e6",
}


@pytest.fixture(scope="module")
def logical_counts():
    os.environ["QDK_PYTHON_TELEMETRY"] = "none"
    return pytest.importorskip("qdk.estimator").LogicalCounts


@pytest.mark.parametrize(("name", "preset"), PRESETS.items(), ids=PRESETS.keys())
def test_agrees_with_the_published_estimator(name, preset, logical_counts):
    profile = load_profile(name)
    assert isinstance(profile, QuantumProfile)
    rng = np.random.default_rng(1)
    cheaper = 0
    for _ in range(100):
        qubits, t_count, rotations, measurements = (
            int(10 ** rng.uniform(*r)) for r in ((0.4, 5), (2, 13), (0, 9), (0, 8))
        )
        rotations *= int(rng.integers(0, 2))
        layers = rotations // 3
        budget = 10 ** rng.uniform(-8, -1)
        parameters = {"qubitParams": {"name": preset}, "errorBudget": budget}
        if name.startswith("majorana"):
            parameters["qecScheme"] = {"name": "floquet_code"}
        theirs = logical_counts(
            {
                "numQubits": qubits,
                "tCount": t_count,
                "rotationCount": rotations,
                "rotationDepth": layers,
                "measurementCount": measurements,
                "cczCount": 0,
                "ccixCount": 0,
            }
        ).estimate(parameters)
        share = budget / (3 if rotations else 2)
        each = float(t_gates_per_rotation(rotations, share))
        ours = physical_cost(
            profile,
            qubits=qubits,
            t_count=t_count + each * rotations,
            cycles=t_count + rotations + measurements + each * layers,
            failure_probability=2 * share,
        )
        counts, qubit = theirs["physicalCounts"], theirs["logicalQubit"]
        # Their own runtime wraps at 2^64 ns.
        seconds = counts["breakdown"]["logicalDepth"] * qubit["logicalCycleTime"] * 1e-9
        assert ours.code_distance == qubit["codeDistance"]
        assert ours.seconds <= seconds * (1 + 1e-9)
        assert ours.qubits <= counts["physicalQubits"]
        cheaper += not (ours.qubits == counts["physicalQubits"] and ours.seconds == pytest.approx(seconds, rel=1e-9))
    assert cheaper <= (12 if name == "majorana" else 0)
