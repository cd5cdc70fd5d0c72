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
    read_calibration,
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


def with_kernel(**fields):
    return lambda content: content["kernels"]["lu"].update(fields)


# What is done to the content, and the words for it; the rest of the sentence is the same for all.
WRONG = {
    "older": (lambda c: c.update(schema_version=1), "schema_version is 1, and this version of qnewton reads 2"),
    "newer": (lambda c: c.update(schema_version=3), "schema_version is 3, and this version of qnewton reads 2"),
    "no schema": (lambda c: c.pop("schema_version"), "schema_version is None, and this version of qnewton reads 2"),
    "missing": (lambda c: c.pop("learned"), "the field 'learned' is missing; it must be an object"),
    "missing inside": (
        lambda c: c["kernels"]["lu"].pop("seconds_per_byte"),
        "the field 'kernels.lu.seconds_per_byte' is missing; it must be a finite number",
    ),
    "words": (
        lambda c: c.update(gemm_seconds="fast"),
        "the field 'gemm_seconds' is the string 'fast'; it must be a finite number or null",
    ),
    "flag": (
        with_kernel(seconds_per_call=True),
        "the field 'kernels.lu.seconds_per_call' is true; it must be a finite number",
    ),
    "null": (with_kernel(bends=None), "the field 'kernels.lu.bends' is null; it must be a list"),
    "too large": (
        lambda c: c["learned"].update(lu=10**400),
        "the field 'learned.lu' is the number 1000",
    ),
    "short sample": (
        with_kernel(samples=[[8, 1e-6, 1e-6], [16, 1e-6]]),
        "the field 'kernels.lu.samples[1]' is a list; it must be a list of 3",
    ),
    "fraction of a row": (
        with_kernel(samples=[[8.5, 1e-6, 1e-6]]),
        "the field 'kernels.lu.samples[0][0]' is the number 8.5; it must be an integer",
    ),
    "no dtype": (lambda c: c.update(environment={}), "the field 'environment.dtype' is missing; it must be a string"),
    "kernels": (lambda c: c.update(kernels=[]), "the field 'kernels' is a list; it must be an object"),
    "name": (lambda c: c.update(name={}), "the field 'name' is an object; it must be a string"),
}
TEXTS = {
    "cut short": (lambda text: text[:100], "not JSON in UTF-8: "),
    "empty": (lambda text: "", "not JSON in UTF-8: Expecting value"),
    "not finite": (lambda text: text.replace("0.004", "NaN"), "not JSON in UTF-8: NaN is not JSON"),
    "not an object": (lambda text: "[]", "the whole of it is a list; it must be an object"),
}


def rewritten(change):
    def rewrite(text):
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return rewrite


@pytest.mark.parametrize(
    ("damage", "words"),
    [*TEXTS.values(), *((rewritten(change), words) for change, words in WRONG.values())],
    ids=[*TEXTS, *WRONG],
)
def test_a_file_that_cannot_be_read_is_named_and_left_alone(damage, words, tmp_path):
    good = store_calibration(machine(), HERE, tmp_path)
    bad = store_calibration(machine(9.0), HERE, tmp_path).path
    bad.write_text(damage(bad.read_text()))
    left = bad.read_text()
    with pytest.raises(ValueError, match=re.escape(f"{bad}: {words}")) as caught:
        read_calibration(bad)
    assert str(caught.value).endswith(": measure again, with qnewton calibrate")
    with pytest.warns(UserWarning, match=re.escape(f"{caught.value}; the file is passed over and left as it is")):
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
