"""`qnewton explain` and `qnewton replay`: one run, read and decided anew."""

import json

import pytest

import qnewton as q
from qnewton._hardware import KernelTimes, calibration_environment, store_calibration


@pytest.fixture
def kept(tmp_path):
    """A calibration made by hand, for which nothing need be measured."""
    machine = q.ClassicalMachine("made by hand", "float32", (("lu", KernelTimes(1e-4, 0.0, 0.0)),), 1e-3)
    return str(store_calibration(machine, calibration_environment("float32", 1), tmp_path / "made").path)


@pytest.fixture
def run(call, kept, tmp_path):
    how = ("--preset", "blocks", "--steps", "2", "--batch-size", "8", "--solvers", "lu", "qlsa")
    outcome = call("train", "tiny", *how, "--calibration", kept, "--out", "run")
    assert outcome.status == 0, outcome.err
    return tmp_path / "run"


def test_a_run_is_explained_and_decided_anew(call, run):
    line = json.loads((run / "blocks.jsonl").read_text().splitlines()[-1])
    entry = line["assumptions"]["paper"]
    outcome = call("explain", "run", "--step", "-1")
    assert outcome.status == 0, outcome.err
    first, winner, *rows = outcome.out.splitlines()
    assert first.startswith("step 1, params: n = 24, condition number 10^")
    assert winner.startswith(f"  {entry['choice']}: the fastest of 2")
    rows = [row for row in rows if "execution" not in row]
    assert [row.split()[-1] == "calibrated" or "calibrated" in row for row in rows if " LU " in row] == [True]
    assert ["modelled" in row for row in rows if "QLSA" in row] == [True]
    assert [row.startswith("  ->") for row in rows] == [True, False]
    (found,) = json.loads(call("explain", "run", "--step", "1", "--json").out)["systems"]
    assert {one["name"]: one["predicted_seconds"] for one in found["candidates"]} == entry["predicted_seconds"]
    assert found["choice"] == entry["choice"]

    outcome = call("replay", "run")
    assert outcome.status == 0, outcome.err
    assert "paper: all 2 decisions are the run's" in outcome.out
    outcome = call("replay", "run", "--gate-time", "1e-18", "--assumptions", "paper", "end_to_end")
    assert "QLSA(jennings2023v1) 2 (quantum 100%)" in outcome.out
    assert "end_to_end: the run had no such set" in outcome.out
    (found,) = json.loads(call("replay", "run", "--policy", "fixed-candidate(lu)", "--json").out)["sets"]
    assert [row["choice"] for row in found["decisions"]] == ["LU", "LU"]
    assert [row["before"] for row in found["decisions"]] == [entry["choice"]] * 2
    assert found["predictions"] == "recorded"

    for arguments, said in BAD.items():
        outcome = call(*arguments.split(" "))
        assert outcome.status == 2, arguments
        assert said in outcome.said, outcome.said
        assert "Traceback" not in outcome.said


BAD = {
    "explain run --step 2": "--step is 2: the run has the steps 0 to 1",
    "explain run --block parms": "did you mean 'params'",
    "explain run --set papers": "did you mean 'paper'",
    "explain nowhere": "holds no config.json",
    "replay nowhere": "holds no config.json",
    "replay run --hardware majorama": "did you mean 'majorana'",
    "replay run --gate-time-s 0": "--gate-time-s is 0.0",
    "replay run --assumptions paper paper": "name each set once",
    "replay run --policy fixed-candidate": "fixed-candidate needs name",
    "replay run --policy fastest(3)": "fastest takes 0 parameters, and got 1",
    "replay run --policy kappa-threshold(0.1)": "--policy kappa-threshold(threshold=0.1): threshold is 0.1",
    "calibrate --learn run": "timed no solve",
    "calibrate --learn nowhere": "holds no config.json",
    "calibrate --learn run --forget": "exclude each other",
    "calibrate --forget --directory kept": "no calibration of this machine",
}


def test_what_runs_teach_is_kept_and_forgotten(call, kept, tmp_path):
    blocks = ("--preset", "blocks", "--steps", "1", "--batch-size", "8")
    out = (*blocks, "--solvers", "lu", "--time-solves", "1", "--out", "timed")
    assert call("train", "tiny", "--calibration", kept, *out).status == 0
    outcome = call("calibrate", "--learn", "timed", "--directory", "kept")
    assert outcome.status == 0, outcome.err
    assert "times as long as measured, from 1 solves" in outcome.out
    outcome = call("calibrate", "--solvers", "lu", "--directory", "kept")
    assert "as runs have taught" in outcome.out
    assert call("calibrate", "--solvers", "lu", "--directory", "kept", "--forget").status == 0
    outcome = call("calibrate", "--solvers", "lu", "--directory", "kept")
    assert "as runs have taught" not in outcome.out
    assert len(list((tmp_path / "kept").iterdir())) == 2
    learned = sorted((tmp_path / "kept").iterdir())[0]
    assert call("train", "tiny", *out[:-1], "again", "--calibration", str(learned)).status == 0
    calibration = json.loads((tmp_path / "again" / "calibration.json").read_text())
    assert calibration["source"] == str(learned)
    assert calibration["kernels"]["lu"]["learned_factor"] == json.loads(learned.read_text())["learned"]["lu"]
    assert call("replay", "again").out.startswith("paper: all 1 decisions are the run's")


def test_an_emulated_solve_says_what_became_of_it(call, kept, tmp_path):
    # Almost no damping, so that the circuit would be longer than emulation allows.
    blocks = ("--preset", "blocks", "--steps", "1", "--batch-size", "8")
    how = (*blocks, "--solvers", "emulated-qsvt(length=line-fit)", "--calibration", kept, "--out", "emulated")
    outcome = call("train", "tiny", *how, "--conditioners", "damp(1e-5)")
    assert outcome.status == 0, outcome.err
    (line,) = map(json.loads, (tmp_path / "emulated" / "blocks.jsonl").read_text().splitlines())
    assert line["executed_outcome"] == "too_long"
    assert "  too_long: the circuit would take more queries than max_queries" in call("explain", "emulated").out
