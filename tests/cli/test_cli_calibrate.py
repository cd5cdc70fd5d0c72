"""`qnewton calibrate`: measured once, kept, shown again; never in the place of another."""

import json
from pathlib import Path

import pytest

QUICK = ("--sizes", "2", "4", "8", "--repeats", "1", "--solvers", "cholesky", "--directory", "kept")


def test_measures_once_and_shows_it_again(call, tmp_path):
    first = call("calibrate", *QUICK)
    assert first.status == 0, first.said
    assert "cholesky" in first.out
    assert "fit error" in first.out
    (path,) = (tmp_path / "kept").iterdir()
    assert str(path.name) in first.out
    record = json.loads(path.read_text())
    assert [n for n, _, _ in record["kernels"]["cholesky"]["samples"]] == [2, 4, 8]
    assert record["gemm_seconds"] > 0
    text = path.read_text()

    second = call("calibrate", *QUICK)
    assert second.status == 0
    assert "--again measures anew and keeps this one" in second.out
    assert list((tmp_path / "kept").iterdir()) == [path]

    said = json.loads(call("calibrate", *QUICK, "--json").out)
    assert Path(said["file"]).name == path.name
    assert said["kernels"]["cholesky"]["samples"] == record["kernels"]["cholesky"]["samples"]

    third = call("calibrate", *QUICK, "--again")
    assert third.status == 0
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--repeats", "0"], ["--repeats is 0", "at least 1"]),
        (["--blas-threads", "0"], ["--blas-threads is 0", "at least 1"]),
        (["--sizes", "4", "8"], ["three different sizes"]),
        (["--sizes", "0", "4", "8"], ["at least one row"]),
        (["--solvers"], ["--solvers is empty"]),
        (["--solvers", "choleski"], ["choleski", "cholesky"]),
        (["--dtype", "float16"], ["float16", "float32"]),
        (["--sovers", "lu"], ["--sovers", "--solvers"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_bad_input_is_one_message_and_leaves_nothing(arguments, words, call, tmp_path):
    outcome = call("calibrate", "--directory", "kept", *arguments)
    assert outcome.status == 2
    for word in words:
        assert word in outcome.said
    assert "Traceback" not in outcome.said
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_made_is_a_message(call, tmp_path):
    (tmp_path / "kept").write_text("a file")
    outcome = call("calibrate", *QUICK)
    assert outcome.status == 2
    assert "kept" in outcome.err
    assert (tmp_path / "kept").read_text() == "a file"


def test_help_names_the_options(call):
    outcome = call("calibrate", "--help")
    assert outcome.status == 0
    for option in ("--solvers", "--dtype", "--sizes", "--again", "--directory"):
        assert option in outcome.out
