"""`qnewton spectrum`: of files and of runs, what it prints and leaves, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from qnewton.lab import read_result
from qnewton.lab._runfile import plain
from qnewton.testing import symmetric_with_spectrum

SPECTRUM = np.r_[-0.5, np.zeros(3), np.geomspace(1e-3, 2, 8)]


@pytest.fixture
def matrix(tmp_path):
    found = symmetric_with_spectrum(SPECTRUM)
    np.save(tmp_path / "h.npy", found)
    return found


def numbers(directory):
    file = Path(directory) / "spectrum.json"
    content = json.loads(file.read_text("utf-8"))
    assert content == plain(read_result(file))
    return content["blocks"]


def test_of_a_file_every_number_is_numpys(call, matrix, tmp_path):
    outcome = call("spectrum", "h.npy")
    assert outcome.status == 0
    directory = Path("runs") / "spectrum-h-001"
    assert outcome.out.endswith(f"numbers: {directory / 'spectrum.json'}\nfigure: {directory / 'spectrum.svg'}\n")
    (block,) = numbers(directory)
    assert (block["name"], block["n"], block["kind"], block["damping"]) == ("h", 12, "exact", 0)
    np.testing.assert_allclose(block["eigenvalues"], SPECTRUM, atol=1e-12)
    assert (block["numerical_rank"], block["negative"]) == (9, 1)
    assert block["rounding"] == pytest.approx(2**-52 * 12**0.5 * np.linalg.norm(SPECTRUM))
    # Singular to rounding: JSON has no infinity.
    assert block["condition_number"] is None
    shares = np.abs(SPECTRUM[SPECTRUM != 0]) / np.abs(SPECTRUM).sum()
    assert block["effective_rank"] == pytest.approx(np.prod(shares**-shares))
    above = [int((np.abs(matrix) > part * np.abs(matrix).max()).sum(axis=1).max()) for part in block["thresholds"]]
    assert block["degrees"] == above
    said = json.loads(call("spectrum", "h.npy", "--figures", "pdf", "--json").out)
    assert (tmp_path / said["files"]["figure"]).read_bytes().startswith(b"%PDF")
    assert said["found"]["blocks"] == [block]
    figure = (tmp_path / directory / "spectrum.svg").read_text("utf-8")
    assert "effective rank" in figure
    assert "negative" in figure

    before = {path: path.read_bytes() for path in (tmp_path / directory).iterdir()}
    again = call("spectrum", "h.npy", "--out", str(directory))
    assert again.status == 2
    assert "nothing is ever overwritten" in again.err
    assert {path: path.read_bytes() for path in (tmp_path / directory).iterdir()} == before


def test_other_kinds_of_file(call, tmp_path):
    definite = symmetric_with_spectrum([1.0, 2.0, 4.0])
    np.savez(tmp_path / "two.npz", a=definite, b=np.eye(2, dtype=np.float32))
    scipy.sparse.save_npz(tmp_path / "sparse.npz", scipy.sparse.csr_array(np.diag([1.0, 5.0])))
    scipy.io.mmwrite(tmp_path / "market.mtx", scipy.sparse.coo_array(np.diag([1.0, 3.0])))
    for name, kappas in (("two.npz", [4, 1]), ("sparse.npz", [5]), ("market.mtx", [3])):
        assert call("spectrum", name, "--out", f"{name}-out").status == 0
        assert [block["condition_number"] for block in numbers(f"{name}-out")] == pytest.approx(kappas)


def test_a_large_block_gets_a_density(call, tmp_path):
    np.save(tmp_path / "h.npy", symmetric_with_spectrum(np.r_[np.zeros(40), np.linspace(1, 2, 20)]))
    outcome = call("spectrum", "h.npy", "--exact-up-to", "10", "--out", "out")
    assert outcome.status == 0
    (block,) = numbers("out")
    assert (block["kind"], block["condition_number_kind"]) == ("estimate", "certified")
    assert sum(block["weights"]) == pytest.approx(60)
    assert 0 < abs(block["numerical_rank"] - 20) <= block["numerical_rank_error"] < 20


def test_of_a_run_the_blocks_of_its_first_step(call, quick):
    trained = call("train", "tiny", *quick, "--partition", "per-tensor", "--estimator", "exact", "--out", "run")
    assert trained.status == 0
    lines = [json.loads(line) for line in Path("run/blocks.jsonl").read_text("utf-8").splitlines()]
    assert call("spectrum", "run", "--out", "damped").status == 0
    for block, line in zip(numbers("damped"), lines, strict=False):
        assert (block["name"], block["n"]) == (line["name"], line["n"])
        assert block["condition_number"] == pytest.approx(line["condition_number"], rel=1e-3)
        assert block["damping"] == pytest.approx(line["damping"], rel=1e-4)
        assert block["degrees"][0] == line["degree"]
    assert call("spectrum", "run", "--raw", "--out", "raw").status == 0
    damped, raw = numbers("damped")[0], numbers("raw")[0]
    np.testing.assert_allclose(np.subtract(damped["eigenvalues"], raw["eigenvalues"]), damped["damping"], rtol=1e-3)
    assert raw["damping"] == 0


def broken(path, content=None):
    path.mkdir()
    if content is not None:
        (path / "config.json").write_text(content, encoding="utf-8")


def test_of_a_run_only_blocks_that_have_a_system(call, quick):
    limit = ("--partition", "per-tensor", "--largest", "5", "--adaptation", "fixed", "--conditioners", "damp(0.01)")
    assert call("train", "tiny", *quick, *limit, "--out", "run").status == 0
    assert call("spectrum", "run", "--out", "seen").status == 0
    assert [(block["name"], block["n"]) for block in numbers("seen")] == [("bias", 3)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "does not exist: name a run directory or a file that ends in .npy, .npz, .mtx or .mtx.gz"),
        (lambda p: broken(p), "holds no config.json: it is not the directory of a run"),
        (lambda p: broken(p, "{}"), "schema_version is None, and this version of qnewton reads 9"),
        (lambda p: p.write_text("nothing"), "cannot be read as a matrix: its name does not end in"),
    ],
)
def test_what_is_no_run_and_no_file_is_refused(call, make, message, tmp_path):
    make(tmp_path / "it")
    outcome = call("spectrum", "it")
    assert outcome.status == 2
    assert message in outcome.said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 3)), "h has the shape (2, 3), and a square matrix is asked for"),
        (np.ones((0, 0)), "h has the shape (0, 0)"),
        (np.eye(2) * 1j, "h is complex: only qnewton plan and breakeven"),
        (np.array([[1.0, np.nan], [0, 1]]), "holds NaN or infinity"),
        (np.array([[1.0, 2.0], [3.0, 1.0]]), "is not symmetric: its entries (0, 1) and (1, 0) are 2 and 3"),
    ],
)
def test_matrices_without_a_spectrum_are_refused(call, array, message, tmp_path):
    np.save(tmp_path / "h.npy", array)
    outcome = call("spectrum", "h.npy")
    assert outcome.status == 2
    assert message in outcome.said


def test_a_zero_matrix_has_a_figure_too(call, tmp_path):
    np.save(tmp_path / "h.npy", np.zeros((3, 3)))
    assert call("spectrum", "h.npy", "--out", "out").status == 0
    (block,) = numbers("out")
    assert (block["effective_rank"], block["numerical_rank"], block["condition_number"]) == (0, 0, None)
