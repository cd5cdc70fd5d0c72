"""The examples run, and do what they say."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import lineax as lx
import numpy as np
import scipy.optimize

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_optimistix_newton_converges_with_every_solver(capsys):
    example = load("optimistix_newton")
    found = example.main()
    exact = scipy.optimize.root(lambda y: np.asarray(example.residual(y, None)), [2.5, 1.0, 2.5]).x
    assert len(capsys.readouterr().out.splitlines()) == len(found) == 4
    for solution in found.values():
        np.testing.assert_allclose(solution.value, exact, atol=1e-3)
    assert isinstance(example.SOLVERS["LU"], lx.LU)


def test_digits_train_with_emulated_solves(tmp_path, monkeypatch, capsys):
    example = load("digits_emulated")
    monkeypatch.chdir(tmp_path)
    from qnewton.lab._cli import main

    assert main(example.arguments(["--out", str(tmp_path / "run")])) == 0
    assert "execution emulated: the circuits' exact states" in capsys.readouterr().out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["execution"] == "emulated"
    assert summary["test_accuracy"] > 0.7
    lines = [json.loads(line) for line in (tmp_path / "run" / "blocks.jsonl").read_text().splitlines()]
    assert {line["execution"] for line in lines} == {"emulated"}
    for line in lines:
        assert 0 < line["executed_success_probability"] <= 1
        # A million copies and as many controlled runs of a circuit of as many queries as there were products, at least.
        assert line["executed_queries"] >= 2e6 * line["iterations"]
    assert (tmp_path / "run" / "report.html").exists()
    assert "the exact state that an ideal circuit leaves" in (tmp_path / "run" / "report.html").read_text()
