"""A run's snapshot: where it may come from, and what its measured seconds teach the next one."""

import json
import re

import numpy as np
import pytest

import qnewton as q
from qnewton._hardware import (
    calibration_environment,
    load_calibration,
    next_factors,
    rated_machine,
    store_calibration,
)
from qnewton.lab._experiments import calibrations
from qnewton.lab._experiments.calibrations import kernels_of, learn, snapshot
from qnewton.lab._experiments.saved import read_saved


def test_factors_are_bounded_and_move_step_by_step():
    assert next_factors({}, {"lu": [1.5, 1.4, 9.0]}) == {"lu": 1.5}
    # A factor of two at once, of four in all, up and down.
    factors, seen = {}, []
    for _ in range(3):
        factors = next_factors(factors, {"lu": [100.0], "cg": [0.01]})
        seen.append((factors["lu"], factors["cg"]))
    assert seen == [(2.0, 0.5), (4.0, 0.25), (4.0, 0.25)]
    # Back again as slowly, and nothing for a kernel that nobody timed.
    assert next_factors(factors, {"lu": [1.0]}) == {"lu": 2.0, "cg": 0.25}
    with pytest.raises(ValueError, match=r"ratios of lu are \[0.0\]"):
        next_factors({}, {"lu": [0.0]})


@pytest.fixture(scope="module")
def timed(run, options_of, tmp_path_factory):
    """Two steps of which the second is not timed; the clock is real, the calibration made by hand."""
    options = options_of(solvers=("cholesky", "lu", "qlsa"), time_solves=2, partition="per-tensor", curvature="hessian")
    return run(options, tmp_path_factory.mktemp("timed"))


def test_classical_candidates_that_can_take_a_system_are_timed(timed):
    for line in timed.blocks:
        refused = line["assumptions"]["paper"]["refused"]
        expected = {"Cholesky", "LU"} - set(refused) if line["step"] == 0 else set()
        assert set(line["timed"]) == expected
        assert all(0 < one["measured_seconds"] < 1 and one["iterations"] == 0 for one in line["timed"].values())
        assert (line["probe_seconds"] is not None) is (line["step"] == 0)


def test_a_run_teaches_the_next_snapshot(timed, tmp_path, made):
    stored, counts = learn(read_saved(timed.path), tmp_path)
    assert set(counts) <= {"cholesky", "lu"}
    assert counts["lu"] == 3
    # By hand LU takes half a millisecond for any system; really it takes microseconds, so it is as far down as may be,
    # unless the machine is busy: then as far as it took.
    took = sorted(line["timed"]["LU"]["measured_seconds"] / made.lu for line in timed.blocks if line["timed"])
    assert dict(stored.learned)["lu"] == pytest.approx(min(max(took[1], 0.5), 2.0))
    again = load_calibration(stored.environment, ("lu",), tmp_path)
    assert again is not None
    assert again.learned == stored.learned
    assert again.machine.kernels == made.machine("float32").kernels
    assert dict(again.corrected.kernels)["lu"].seconds_per_call == dict(stored.learned)["lu"] * made.lu


def test_a_run_without_timed_solves_teaches_nothing(mixed, tmp_path):
    with pytest.raises(ValueError, match=r"timed no solve.*--time-solves"):
        learn(read_saved(mixed.path), tmp_path)


def test_without_a_calibration_a_run_predicts_by_a_profile_and_teaches_nothing(run, quick, tmp_path):
    found = run(quick(calibration="profile", time_solves=1), tmp_path / "run")
    assert (found.calibration["source"], found.calibration["basis"]) == (
        "profile",
        rated_machine(["lu"], "float32").basis,
    )
    assert found.calibration["kernels"]["lu"]["samples"] == []
    assert found.calibration["kernels"]["lu"]["worst_relative_error"] is None
    saved = read_saved(found.path)
    assert saved.measured.basis == found.calibration["basis"]
    with pytest.raises(
        ValueError, match=r"predicted by the .*no measurement to correct: train with --calibration measure"
    ):
        learn(saved, tmp_path)


def test_what_was_measured_elsewhere_is_refused(timed, tmp_path, made, run, quick):
    here = calibration_environment("float32", 1)
    elsewhere = store_calibration(made.machine("float32"), here | {"processor": "another"}, tmp_path)
    how = {"dtype": "float32", "blas_threads": 1, "sizes": (1, 2, 4)}
    solvers = [q.LU()]
    with pytest.raises(ValueError, match=r"measured elsewhere: processor 'another' \(here"):
        snapshot(str(elsewhere.path), solvers, **how)
    stored = store_calibration(made.machine("float32"), here, tmp_path, {"lu": 2.0})
    frozen = snapshot(str(stored.path), solvers, **how)
    assert frozen.source == str(stored.path)
    assert dict(frozen.corrected.kernels)["lu"].seconds_per_call == 2 * made.lu
    with pytest.raises(ValueError, match=r"lacks eigh"):
        snapshot(str(stored.path), [q.Eigh()], **how)
    stored.path.write_text("{}")
    with pytest.raises(ValueError, match="schema_version is None, and this version of qnewton reads 2: measure again"):
        snapshot(str(stored.path), solvers, **how)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in timed.path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    calibration = json.loads((copy / "calibration.json").read_text())
    calibration["environment"]["cores"] = 4096
    (copy / "calibration.json").write_text(json.dumps(calibration))
    # As of a run that was written so.
    (copy / "manifest.json").unlink()
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"digests": {}}))
    with pytest.raises(ValueError, match="cores 4096"):
        learn(read_saved(copy), tmp_path)
    with pytest.raises(ValueError, match=r"calibration.json was measured elsewhere: cores 4096"):
        snapshot(str(copy / "calibration.json"), solvers, **how)


def test_the_calibration_of_a_run_serves_another(timed, tmp_path, made):
    how = {"dtype": "float32", "blas_threads": 1, "sizes": (1, 2, 4)}
    file, copy = timed.path / "calibration.json", tmp_path / "by another name.json"
    copy.write_bytes(file.read_bytes())
    for path in (timed.path, file, copy):
        frozen = snapshot(str(path), [q.LU(), q.Cholesky()], **how)
        # What a run decides by, digit by digit, and where it is from.
        assert (frozen.machine, frozen.source) == (read_saved(timed.path).measured, str(path))
        assert frozen.corrected.kernels == made.machine("float32").kernels
    with pytest.raises(ValueError, match=r"lacks eigh"):
        snapshot(str(file), [q.Eigh()], **how)
    (tmp_path / "calibration.json").write_text(file.read_text().replace("gemm", "gem"))
    with pytest.raises(ValueError, match=r"calibration.json.*gemm_seconds"):
        snapshot(str(tmp_path), [q.LU()], **how)


def test_what_is_kept_is_asked_for_by_name(monkeypatch, tmp_path, made):
    monkeypatch.setattr(
        calibrations, "load_calibration", lambda here, kernels: load_calibration(here, kernels, tmp_path)
    )
    how = {"dtype": "float32", "blas_threads": 1, "sizes": (1, 2, 4)}
    solvers = [q.LU(), q.CG()]
    said = re.escape("qnewton calibrate --solvers cg lu --dtype float32 --blas-threads 1")
    with pytest.raises(ValueError, match=said):
        snapshot("kept", solvers, **how)
    store_calibration(made.machine("float32"), calibration_environment("float32", 1), tmp_path)
    assert snapshot("kept", solvers[:1], **how).learned == {}


def test_the_kernels_that_predictions_ask_for():
    assert kernels_of([q.LU(), q.QLSA()]) == ("lu",)
    assert kernels_of([q.LU(), q.CG()]) == ("cg", "forming", "lu")
    assert kernels_of([q.CG(), q.MINRES()]) == ("cg", "minres")
    assert set(calibrations.KERNELS.values()) == {
        "cholesky",
        "lu",
        "inverse",
        "gauss-jordan",
        "eigh",
        "cg",
        "minres",
        "dual",
    }


def test_a_run_replays_with_the_snapshot_that_it_had(timed):
    saved = read_saved(timed.path)
    assert saved.classical == saved.measured
    assert np.isclose(dict(saved.measured.kernels)["lu"].seconds_per_call, 2.0**-11)
