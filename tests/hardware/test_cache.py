"""Calibrations on disk: found again by machine and versions, never lost and never overwritten."""

import json
import re

import pytest

from qnewton._hardware import (
    ClassicalMachine,
    KernelTimes,
    calibration_directory,
    calibration_environment,
    load_calibration,
    store_calibration,
)

HERE = {"processor": "abacus", "dtype": "float32", "versions": {"jax": "1"}}


def machine(per_call: float = 1e-6, kernels=("lu", "cholesky")) -> ClassicalMachine:
    times = KernelTimes(per_call, 2e-10, 3e-11, ((8, 1.25e-6, 1.0 / 3), (16, 2e-6, 2.5e-6)), ((6.1, 0.1),))
    return ClassicalMachine("abacus", "float32", tuple((kernel, times) for kernel in sorted(kernels)), 0.004)


def test_comes_back_as_it_was(tmp_path):
    stored = store_calibration(machine(), HERE, tmp_path / "new" / "place")
    loaded = load_calibration(HERE, ["lu"], tmp_path / "new" / "place")
    assert loaded is not None
    assert loaded.machine == machine(), "to the last digit"
    assert (loaded.environment, loaded.measured_at, loaded.path) == (HERE, stored.measured_at, stored.path)
    assert loaded.machine.kernels[0][1].worst_relative_error == stored.machine.kernels[0][1].worst_relative_error


def test_the_newest_counts_and_the_older_stay(tmp_path):
    paths = [store_calibration(machine(call), HERE, tmp_path).path for call in (1e-6, 2e-6, 3e-6)]
    texts = [path.read_text() for path in paths]
    assert len(set(paths)) == 3
    loaded = load_calibration(HERE, (), tmp_path)
    assert loaded is not None
    assert loaded.machine == machine(3e-6)
    assert [path.read_text() for path in paths] == texts
    assert sorted(tmp_path.iterdir()) == sorted(paths), "nothing else is left behind"


def test_a_file_of_the_same_name_is_not_overwritten(tmp_path, monkeypatch):
    path = store_calibration(machine(), HERE, tmp_path).path
    path.write_text("mine")
    now = re.search(r"-(\w+)\.json", path.name)

    class Stopped:
        @staticmethod
        def now(zone):
            from datetime import datetime

            assert now is not None
            return datetime.strptime(now[1], "%Y%m%dT%H%M%S%f").replace(tzinfo=zone)

    monkeypatch.setattr("qnewton._hardware.cache.datetime", Stopped)
    with pytest.raises(FileExistsError):
        store_calibration(machine(2e-6), HERE, tmp_path)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "change",
    [{"processor": "slide rule"}, {"dtype": "float64"}, {"versions": {"jax": "2"}}, {"cores": 2}],
    ids=["processor", "dtype", "version", "more"],
)
def test_another_environment_has_its_own(change, tmp_path):
    store_calibration(machine(), HERE, tmp_path)
    assert load_calibration({**HERE, **change}, (), tmp_path) is None


def test_kernels_that_were_not_measured_are_missed(tmp_path):
    store_calibration(machine(1e-6), HERE, tmp_path)
    store_calibration(machine(2e-6, ["lu"]), HERE, tmp_path)
    older = load_calibration(HERE, ["cholesky"], tmp_path)
    assert older is not None
    assert older.machine == machine(1e-6), "the newest that has them"
    assert load_calibration(HERE, ["lu", "cg"], tmp_path) is None


BROKEN = {
    "cut short": lambda text: text[:100],
    "empty": lambda text: "",
    "not an object": lambda text: "[]",
    "of another schema": lambda text: text.replace('"schema_version": 2', '"schema_version": 1'),
    "without a kernel's field": lambda text: text.replace("seconds_per_byte", "bytes"),
    "with words for numbers": lambda text: json.dumps({**json.loads(text), "gemm_seconds": "fast"}),
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_cannot_be_read_is_named_and_left_alone(damage, tmp_path):
    good = store_calibration(machine(), HERE, tmp_path)
    bad = store_calibration(machine(9.0), HERE, tmp_path).path
    bad.write_text(damage(bad.read_text()))
    left = bad.read_text()
    with pytest.warns(UserWarning, match=rf"{bad.name}: not a calibration.*left as it is"):
        loaded = load_calibration(HERE, (), tmp_path)
    assert loaded is not None
    assert loaded.path == good.path
    assert bad.read_text() == left


def test_no_directory_means_no_calibration(tmp_path):
    assert load_calibration(HERE, (), tmp_path / "nowhere") is None
    assert not (tmp_path / "nowhere").exists()


def test_what_an_environment_holds():
    here = calibration_environment("float32", 1)
    assert json.loads(json.dumps(here)) == here == calibration_environment("float32", 1)
    assert here != calibration_environment("float64", 1)
    assert here != calibration_environment("float32", 2)
    assert {"qnewton", "jax", "jaxlib", "lineax"} <= set(here["versions"])
    assert here["usable_cores"] >= 1


def test_the_directory_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert calibration_directory().parts[-2:] == ("qnewton", "calibrations")
    assert not list(tmp_path.iterdir()), "to ask is not to make"
