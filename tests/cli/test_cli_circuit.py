"""`qnewton circuit`: what it prints and writes, and what it refuses."""

import json
import sys

import numpy as np
import pytest

from qnewton.testing import symmetric_with_spectrum


@pytest.fixture
def pennylane():
    return pytest.importorskip("pennylane", reason="circuits need the extra `circuits`")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "0"], "--n is 0"),
        (["--kappa", "0.5"], "--kappa is 0.5"),
        (["--epsilon", "1"], "--epsilon is 1.0"),
        (["--max-queries", "0"], "--max-queries is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--qasm", "x.qasm", "--level", "block-unitary"], "leave --level at elementary"),
        (["--qasm", "x.png", "--draw", "x.png"], "--draw and --qasm both name x.png"),
        (["--draw", "x.gif"], "--draw is x.gif: a figure's file ends in .svg, .pdf or .png"),
        (["--draw", "there.svg"], "there.svg exists, and nothing is ever overwritten"),
        (["--qasm", "there"], "there exists, and nothing is ever overwritten"),
        (["--array", "a"], "no file is given"),
        (["there", "--n", "3"], "--n and --definite are of the random matrix"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_messages(arguments, message, call, tmp_path):
    (tmp_path / "there").write_text("mine")
    (tmp_path / "there.svg").write_text("mine")
    outcome = call("circuit", *arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.said
    assert (tmp_path / "there").read_text() == "mine"


def test_without_pennylane_the_message_names_the_extra(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "pennylane", None)
    outcome = call("circuit")
    assert outcome.status == 2
    assert "pip install 'qnewton[circuits]'" in outcome.err


@pytest.mark.usefixtures("pennylane")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.npy"], "nothing.npy is not a file"),
        (["notes.txt"], "cannot be read as a matrix"),
        (["wide.npy"], "has the shape (2, 3)"),
        (["two.npz"], "holds several matrices: choose one by --array, of first, second"),
        (["two.npz", "--array", "secnod"], "did you mean 'second'?"),
        (["singular.npy"], "the condition number is infinite"),
        (["nan.npy"], "holds NaN or infinity"),
        (["--n", "17"], "17 rows is too large at the level elementary, whose max_rows is 16"),
        (["--n", "5", "--max-rows", "4"], "whose max_rows is 4"),
        (["--kappa", "1e9"], "more queries than max_queries"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_has_no_circuit(arguments, message, call, tmp_path):
    (tmp_path / "notes.txt").write_text("no matrix")
    np.save(tmp_path / "wide.npy", np.ones((2, 3)))
    np.save(tmp_path / "singular.npy", np.diag([1.0, 0.0]))
    np.save(tmp_path / "nan.npy", np.diag([1.0, np.nan]))
    np.savez(tmp_path / "two.npz", first=np.eye(2), second=2 * np.eye(3))
    outcome = call("circuit", *arguments, "--qasm", "out.qasm")
    assert outcome.status == 2
    assert message in outcome.err
    assert not (tmp_path / "out.qasm").exists()


@pytest.mark.usefixtures("pennylane")
def test_drawing_table_and_files(call, tmp_path):
    outcome = call("circuit", "--n", "3", "--kappa", "3", "--draw", "c.png", "--qasm", "c.qasm")
    assert outcome.status == 0
    for said in ("real:", "x[1]:", "queries …", "queries of the block encoding", "CNOT", "depth", "padded to 4"):
        assert said in outcome.out
    assert outcome.out.endswith("drawing: c.png\nOpenQASM 3: c.qasm\n")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    program = (tmp_path / "c.qasm").read_text("utf-8")
    assert program.startswith("OPENQASM 3.0;\n// Inversion of random-3 (3 rows) to 0.01")
    again = call("circuit", "--n", "3", "--qasm", "c.qasm")
    assert again.status == 2
    assert (tmp_path / "c.qasm").read_text("utf-8") == program


@pytest.mark.usefixtures("pennylane")
def test_numbers_of_a_file(call, tmp_path):
    np.savez(tmp_path / "two.npz", first=np.eye(2), second=symmetric_with_spectrum([8.0, 4.0, -2.0, 1.0, 1.0]))
    outcome = call("circuit", "two.npz", "--array", "second", "--level", "block-unitary", "--json")
    assert outcome.status == 0
    found = json.loads(outcome.out)
    assert (found["matrix"], found["n"], found["rows_padded"], found["qubits"]) == ("second", 5, 8, 5)
    assert found["alpha"] == pytest.approx(8)
    assert found["encoded_condition_number"] == pytest.approx(8)
    # Sünderhauf et al., Theorem 1, with the error that turns a vector of length 1 by no more than 1e-2.
    epsilon, a = 1e-2 * (1 - 1e-4 / 4) ** 0.5, 1 / 8
    half = np.ceil((np.log(1 / epsilon) + np.log((1 + a) / a)) / np.log((1 + a) / (1 - a)))
    assert found["queries"] == found["degree"] == 2 * half - 1
    expected = {"QubitUnitary": found["queries"], "MultiRZ": found["queries"] + 1, "Hadamard": 2, "StatePrep": 1}
    assert found["gates"] == expected
    # One rotation between any two queries.
    assert found["depth"] == 2 * found["queries"] + 3
    assert found["phase_certificate"] < 1e-12
    assert 0 < found["success_probability"] < 1
    bounded = json.loads(
        call("circuit", "two.npz", "--array", "second", "--kappa", "16", "--level", "block-unitary", "--json").out
    )
    assert bounded["encoded_condition_number"] == pytest.approx(16)
    assert bounded["condition_number"] == found["condition_number"] == pytest.approx(8)
    assert "too low: the matrix's own" in call("circuit", "two.npz", "--array", "second", "--kappa", "3").out
    assert "too low" not in call("circuit", "two.npz", "--array", "second", "--encoding", "frobenius").out
    larger = json.loads(
        call(
            "circuit", "two.npz", "--array", "second", "--encoding", "frobenius", "--level", "block-unitary", "--json"
        ).out
    )
    assert larger["subnormalisation"] == pytest.approx(np.sqrt(64 + 16 + 4 + 2) / 8)
