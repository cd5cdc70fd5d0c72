"""The model `qre` against version 3 of Microsoft's resource estimator, on random inputs; skipped without `qdk`.

Theirs is a frontier of time and qubits; ours is its fastest point. Our factories are chosen on a grid of rates, half a
per cent apart. We list code distances up to 99, they up to 25 by default; the inputs do not need larger ones.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qnewton._hardware import QuantumProfile, load_profile, physical_cost

PUBLISHED = {
    # 100 qubits, 1e8 T gates, a failure probability of 1e-3: what qdk 1.33.1 prints.
    "transmon-distilled": (1_052_710, 805.0),
    "litinski": (365_910, 805.0),
    "transmon-cultivated": (365_910, 805.0),
    "majorana-pairwise": (388_126, 4000.0),
    "neutral-atoms": (273_810, 4_523_824.0),
    "resting-atoms": (365_910, 48_300.0),
}


def machine(name: str) -> QuantumProfile:
    """A packaged profile, or one that differs from a packaged one in its factories or its code."""
    changes = {
        "litinski": ("transmon-distilled", {"factories": "litinski+rounds"}),
        "resting-atoms": ("neutral-atoms", {"code": "rotated-surface", "check_time_s": 0.0}),
    }
    packaged, change = changes.get(name, (name, {}))
    profile = load_profile(packaged)
    assert isinstance(profile, QuantumProfile)
    return dataclasses.replace(profile, **change)


def frontiers(cache: Path, distances: list[int]) -> Any:
    """A function of profile name, qubits, T gates, measurements and failure probability: qubits and seconds of each."""
    os.environ["QDK_PYTHON_TELEMETRY"] = "none"
    pytest.importorskip("qdk")
    qre = pytest.importorskip("qdk.qre")
    models, counts = pytest.importorskip("qdk.qre.models"), pytest.importorskip("qdk.estimator").LogicalCounts
    from qdk.qre.application import QSharpApplication

    def rounds(code: Any) -> Any:
        return models.RoundBasedFactory.q(code_query=code.q(distance=distances), cache_dir=cache)

    surface, moving = models.SurfaceCode.q(distance=distances), models.SurfaceCodeLowMove.q(distance=distances)
    distilled, litinski = rounds(models.SurfaceCode), models.Litinski19Factory.q()
    gates = models.GateBased(error_rate=1e-3, gate_time=50, measurement_time=100)
    queries = {
        "transmon-distilled": (gates, surface * distilled),
        "litinski": (gates, surface * (litinski + distilled)),
        "transmon-cultivated": (gates, surface * (models.GSJ24Factory.q() + litinski + distilled)),
        "majorana-pairwise": (
            models.Majorana(),
            models.ThreeAux.q(distance=distances, single_rail=False) * rounds(models.ThreeAux),
        ),
        "neutral-atoms": (models.NeutralAtom(), moving * (litinski + rounds(models.SurfaceCodeLowMove))),
        "resting-atoms": (models.NeutralAtom(), surface * (litinski + distilled)),
    }
    traces = qre.PSSPC.q(num_ts_per_rotation=20, ccx_magic_states=False) * qre.LatticeSurgery.q()

    def estimate(name: str, qubits: int, t_count: int, measurements: int, failure: float) -> list[tuple[int, float]]:
        program = counts({"numQubits": qubits, "tCount": t_count, "measurementCount": measurements})
        architecture, query = queries[name]
        found = qre.estimate(
            QSharpApplication(program), architecture, query, traces, max_error=failure, use_graph=False
        )
        return [(entry.qubits, entry.runtime * 1e-9) for entry in found]

    return estimate


def compare(estimator: Any, name: str, number: int, most: float, least_failure: float) -> None:
    """Compare random inputs of up to `10^most` T gates. Their runtime wraps at 2^64 ns, which none of these reaches."""
    profile, rng = machine(name), np.random.default_rng(1)
    for _ in range(number):
        qubits, t_count = int(10 ** rng.uniform(0.4, 4.5)), int(10 ** rng.uniform(3, most))
        measurements = int(10 ** rng.uniform(0, most)) * int(rng.integers(0, 2))
        failure = 10 ** rng.uniform(least_failure, -1)
        theirs = estimator(name, qubits, t_count, measurements, failure)
        ours = physical_cost(
            profile, qubits=qubits, t_count=t_count, cycles=t_count + measurements, failure_probability=failure
        )
        assert theirs, (qubits, t_count, measurements, failure)
        fewest, seconds = min(theirs, key=lambda point: point[1])
        assert (float(ours.seconds), float(ours.qubits)) == pytest.approx((seconds, fewest), rel=0.005)


@pytest.fixture(scope="module")
def estimator(tmp_path_factory):
    return frontiers(tmp_path_factory.mktemp("factories"), list(range(3, 26, 2)))


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items(), ids=PUBLISHED.keys())
def test_agrees_with_the_third_version(name, published, estimator):
    assert min(estimator(name, 100, 10**8, 0, 1e-3), key=lambda point: point[1]) == pytest.approx(published)
    compare(estimator, name, 5, most=8, least_failure=-4)


def test_agrees_with_the_third_version_on_longer_runs(tmp_path):
    estimator = frontiers(tmp_path, list(range(3, 50, 2)))
    for name in PUBLISHED:
        compare(estimator, name, 6, most=10.5, least_failure=-8)
