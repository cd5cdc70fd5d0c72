"""`qnewton plan`: what it prints, what it takes and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from qnewton import _hardware
from qnewton.testing import symmetric_with_spectrum

RUN = Path(__file__).parents[1] / "runfile" / "schema6" / "first"
KEYS = {
    *("solver", "source", "hardware", "assumptions", "valid", "reason", "queries", "repetitions", "copies"),
    *("t_count", "t_depth", "qubits", "seconds", "dominant"),
}
NUMBERS = ("--n", "12544", "--kappa", "4000", "--sparsity", "1254", "--epsilon", "1e-3")


@pytest.fixture
def plan(call):
    """Status, output and errors."""

    def run(*arguments):
        outcome = call("plan", *arguments)
        return outcome.status, outcome.out, outcome.err

    return run


@pytest.fixture
def rows(plan, tmp_path):
    def ask(*arguments):
        code, out, err = plan(*arguments, "--json", "--calibrations", str(tmp_path / "none"))
        assert (code, err) == (0, "")
        return json.loads(out)["rows"]

    return ask


def test_json_has_a_row_for_every_solver_machine_and_set(rows):
    found = rows(*NUMBERS)
    assert isinstance(found, list)
    assert all(set(row) >= KEYS for row in found)
    quantum = [row for row in found if row["kind"] == "quantum"]
    assert len(quantum) == (19 * 4 + 1) * 6
    (paper,) = (
        r
        for r in quantum
        if (r["solver"], r["hardware"], r["assumptions"]) == ("jennings2023v1", "superconducting", "paper")
    )
    # Golden: 3.18e6 queries at 50 ns.
    assert paper["queries"] == pytest.approx(3.176e6, rel=1e-3)
    assert paper["seconds"] == pytest.approx(paper["queries"] * 50e-9)
    assert (paper["t_count"], paper["copies"], paper["dominant"]) == (None, 1, "queries")


def test_the_short_table_has_the_verdict_first(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    code, out, err = plan(*NUMBERS, "--calibrations", str(tmp_path / "none"))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "none is measured" in lines[0]
    assert any("classical wins by" in line and line.split()[0] == "end_to_end" for line in lines[:20])
    for words in (
        "energy, J: paper ",
        "assumed: the Frobenius norm",
        "Sources",
        "empirical",
        "trace distance",
        "--all prints all",
    ):
        assert words in out
    assert len(lines) < 90
    assert sum(line.startswith("No algorithm helps: logical: with any of") for line in lines) == 1


@pytest.mark.parametrize("columns", ["40", "80", None])
def test_no_digit_is_lost_in_a_narrow_terminal_or_a_pipe(columns, plan, rows, tmp_path, monkeypatch):
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    one = ("--assumptions", "logical", "--hardware", "superconducting", "nvidia-h100-sxm")
    _, out, _ = plan(*NUMBERS, *one, "--all", "--calibrations", str(tmp_path / "none"))
    assert "…" not in out
    asked = [row for row in rows(*NUMBERS, *one) if row["kind"] == "quantum" and row["valid"]]
    assert len(asked) > 10
    # A row is a line, or where that is too long for the terminal some under each other, "solver:" before its name.
    below = "\n  queries: " in out
    shown = [part.split() for part in out.split("\n\n" if below else "\n")]
    for row in asked:
        solver = [row["solver"]], [row["solver"] + "*"]
        (line,) = (line for line in shown if (line[3:4] if below else line[1:2]) in solver and line[0] != "solver:")
        queries = row["queries"]
        assert any(_close(word, queries) for word in line), (line, queries)


def _close(word: str, value: float) -> bool:
    try:
        return float(word) == pytest.approx(value, rel=0.05)
    except ValueError:
        return False


def test_all_rows_on_request(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = plan(*NUMBERS, "--all", "--assumptions", "paper-best", "--hardware", "majorana")
    assert code == 0
    assert "hhl2009" in out
    assert "needs a precision below 1 / kappa" in " ".join(out.split())


def test_a_hypothetical_gate_time_stands_beside_the_machine(rows):
    found = rows(*NUMBERS, "--gate-time-s", "1e-18", "--hardware", "superconducting", "nvidia-h100-sxm")
    at = {(r["hardware"], r["assumptions"]): r["seconds"] for r in found if r["solver"] == "jennings2023v1"}
    for name in ("paper", "logical"):
        assert at["superconducting@1e-18s", name] == pytest.approx(at["superconducting", name] * 2e-11)


@pytest.mark.parametrize("suffix", ["npy", "npz", "mtx"])
def test_of_a_file_every_number_is_measured(rows, suffix, tmp_path):
    matrix = symmetric_with_spectrum(np.geomspace(1, 50, 6))
    path = tmp_path / f"matrix.{suffix}"
    if suffix == "npy":
        np.save(path, matrix)
    elif suffix == "npz":
        scipy.sparse.save_npz(path, scipy.sparse.csr_array(matrix))
    else:
        scipy.io.mmwrite(path, matrix)
    found = rows(str(path), "--hardware", "superconducting", "nvidia-h100-sxm")
    (row,) = (r for r in found if (r["solver"], r["assumptions"]) == ("qnewton2024_abstract", "paper-sparse"))
    assert row["queries"] == pytest.approx(6 * 50 * np.log(6 * 50 / 1e-3), rel=1e-6)


def test_of_a_run_the_largest_block(call, rows, tmp_path):
    run = shutil.copytree(RUN, tmp_path / "run")
    lines = [json.loads(line) for line in (run / "blocks.jsonl").read_text().splitlines()]
    known = {"condition_number": 300.0, "condition_number_kind": "estimate", "definite": True}
    last = [line for line in lines if line["step"] == lines[-1]["step"]]
    for line in last:
        line.update(n=1, degree=1)
    last[1].update(known, name="w", n=40, degree=8, max_entry=1.0, frobenius_norm=5.0, spectral_norm=2.0)
    last[1]["access"] |= {"gram_rows": 6, "gram_flops": 1440.0}
    np.savez(run / "params.npz", w=np.ones((8, 5)), b=np.ones(5))
    last[2].update(known, name="b", n=5, degree=5, max_entry=1.0, frobenius_norm=3.0, spectral_norm=2.0)
    # Of an earlier step, which does not count.
    lines[0]["n"] = 99
    (run / "blocks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "manifest.json").unlink(missing_ok=True)
    found = rows(str(run), "--hardware", "majorana", "nvidia-h100-sxm")
    (row,) = (r for r in found if (r["solver"], r["assumptions"]) == ("qnewton2024_abstract", "paper-sparse"))
    assert row["queries"] == pytest.approx(8 * 300 * np.log(40 * 300 / 0.01), rel=1e-6)
    assert {"dual", "K-FAC"} <= {r["solver"] for r in found}
    found = rows(str(run), "--block", "b", "--hardware", "majorana", "nvidia-h100-sxm")
    assert not {"dual", "K-FAC"} & {r["solver"] for r in found}
    (row,) = (r for r in found if (r["solver"], r["assumptions"]) == ("qnewton2024_abstract", "paper-sparse"))
    assert row["queries"] == pytest.approx(5 * 300 * np.log(5 * 300 / 0.01), rel=1e-6)
    (run / "params.npz").write_bytes(b"PK")
    assert "params.npz cannot be read" in call("plan", str(run)).err


BAD = {
    "nothing": ([], "say what to plan for: --n and --kappa"),
    "kappa": (["--n", "10", "--kappa", "0.5"], "kappa is 0.5: a condition number is finite and at least 1"),
    "d": (["--n", "10", "--kappa", "5", "--sparsity", "11"], "sparsity is 11: a row of 10 entries has 1 to n"),
    "half a row": (["--n", "10.5", "--kappa", "5"], "n is 10.5: it counts rows"),
    "epsilon": (["--n", "10", "--kappa", "5", "--epsilon", "0"], "epsilon is 0: a relative error must lie in"),
    "epsilon 1": (["--n", "10", "--kappa", "5", "--epsilon", "1"], "epsilon is 1: a relative error must lie in"),
    "overlap": (["--n", "10", "--kappa", "5", "--rows", "3", "--overlap", "2"], "overlap is 2: it is a part of"),
    "threads": (["--n", "10", "--kappa", "5", "--blas-threads", "0"], "blas-threads is 0: a calibration was made"),
    "no file": (["missing.npy"], "missing.npy does not exist"),
    "profile": (["--n", "10", "--kappa", "5", "--hardware", "superconduct"], "did you mean 'superconducting'"),
    "no quantum": (["--n", "10", "--kappa", "5", "--hardware", "nvidia-h100-sxm"], "name a quantum profile"),
    "no set": (["--n", "10", "--kappa", "5", "--assumptions"], "--assumptions is empty"),
    "failure": (["--n", "10", "--kappa", "5", "--failure-probability", "0"], "failure_probability is 0.0"),
    "gate time": (["--n", "10", "--kappa", "5", "--gate-time-s", "0"], "gate_time_s is 0.0: it must be a positive"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(arguments, message, plan):
    code, out, err = plan(*arguments)
    assert (code, out) == (2, "")
    assert message in err


MATRICES = {
    "not square": (np.ones((3, 4)), "has the shape (3, 4)"),
    "not symmetric": (
        np.array([[2.0, 1.0], [0.0, 2.0]]),
        "is not symmetric: its entries (0, 1) and (1, 0) are 1 and 0",
    ),
    "not Hermitian": (
        np.diag([2.0, 1 + 1j]),
        "is not Hermitian: its entry (1, 1) on the diagonal is 1+1j, and not real",
    ),
    "not finite": (np.array([[1.0, np.nan], [np.nan, 1.0]]), "holds NaN or infinity"),
    "singular": (np.zeros((2, 2)), "is singular to rounding"),
}


@pytest.mark.parametrize(("matrix", "message"), MATRICES.values(), ids=MATRICES.keys())
def test_a_matrix_that_is_none_is_refused(matrix, message, plan, tmp_path):
    np.save(tmp_path / "matrix.npy", matrix)
    code, _, err = plan(str(tmp_path / "matrix.npy"))
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("line", "message"),
    [("reaction_tme_s = 1e-5", "did you mean 'reaction_time_s'?"), ("", "field is missing: reaction_time_s")],
)
def test_a_profile_file_with_a_wrong_field_is_named(line, message, plan, tmp_path):
    ours = Path(_hardware.__file__).parent / "profiles" / "superconducting.toml"
    path = tmp_path / "mine.toml"
    path.write_text(ours.read_text(encoding="utf-8").replace("reaction_time_s = 10e-6", line), encoding="utf-8")
    code, _, err = plan("--n", "10", "--kappa", "5", "--hardware", str(path))
    assert code == 2
    assert "mine.toml" in err
    assert message in err


def test_encodings_and_read_outs_by_their_words(rows, plan):
    kronecker = ("--encodings", "kronecker(rows=98)", "preconditioned(condition_number=4, degree=8, peak=0.5)")
    few = ("--hardware", "superconducting", "nvidia-h100-sxm", "--assumptions", "paper", "logical", "end_to_end")
    found = rows(*NUMBERS, *few, *kronecker, "--readout", "hadamard-forest(constant=2)")
    quantum = [row for row in found if row["kind"] == "quantum" and row["valid"]]
    by_set = {name: [r for r in quantum if r["assumptions"] == name] for name in ("paper", "logical", "end_to_end")}
    assert {row["encoding"] for row in by_set["paper"]} == {None}
    # A definite matrix is one no more once it is preconditioned, and kappa 4 of few nonzeros beats any product.
    for row in by_set["logical"]:
        if row["solver"] in ("costa2021_definite", "costa2023_definite"):
            assert row["encoding"] == "Frobenius, fewest T (x) Frobenius, fewest T"
        elif row["solver"] in ("dalzell2024", "jennings2023v1"):
            assert row["encoding"] == "preconditioned, sparse access"
            assert "P and P A are computed before, for nothing" in row["notes"]
    (row,) = (r for r in by_set["end_to_end"] if r["solver"] == "dalzell2024")
    # 15 settings of 2 n / delta^2 copies; the length's runs besides.
    assert row["copies"] / row["rounds"] > 15 * 2 * 12544
    code, _, err = plan(*NUMBERS, *few, "--encodings", "square-root(rows=3)")
    assert code != 0
    assert "say --rows" in err
    code, _, err = plan(*NUMBERS, *few, "--readout", "forest")
    assert code != 0
    assert "--readout" in err


def test_the_diagonals_of_a_file_are_measured(rows, tmp_path):
    matrix = np.diag(np.full(64, 4.0)) - np.diag(np.ones(63), 1) - np.diag(np.ones(63), -1)
    scipy.sparse.save_npz(tmp_path / "band.npz", scipy.sparse.csr_array(matrix))
    few = ("--hardware", "superconducting", "nvidia-h100-sxm", "--assumptions", "logical")
    found = [row for row in rows(str(tmp_path / "band.npz"), *few) if row["solver"] == "dalzell2024"]
    assert [row["encoding"] for row in found] == ["diagonals"]
    bound = [row for row in rows(str(tmp_path / "band.npz"), *few) if row["kind"] == "bound"]
    assert {row["encoding"] for row in bound} == {"any", "diagonals"}
