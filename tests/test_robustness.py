"""The robustness benchmark judges as it says: right, flagged, silent and from below are told apart, on a few cases."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

import qnewton as qn

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def parts() -> Iterator[SimpleNamespace]:
    """The benchmark's modules, as its script imports them."""
    sys.path.insert(0, str(BENCHMARKS))
    before = jax.config.jax_traceback_filtering  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_traceback_filtering", "off")
    try:
        import robustness  # pyright: ignore[reportMissingImports]
        from robustness_parts import (  # pyright: ignore[reportMissingImports]
            curvature_blocks,
            judge,
            linear_solves,
            trainings,
        )

        yield SimpleNamespace(
            script=robustness, blocks=curvature_blocks, judge=judge, solves=linear_solves, trainings=trainings
        )
    finally:
        sys.path.remove(str(BENCHMARKS))
        jax.config.update("jax_traceback_filtering", before)


def raised(function: Any) -> Exception:
    try:
        function()
    except Exception as error:
        return error
    pytest.fail("nothing was raised")


def test_exceptions_of_ours_are_told_from_those_below(parts):
    ours = raised(lambda: qn.CG(rtol=2.0))
    assert parts.judge.of_exception(ours)[0] == parts.judge.REFUSED
    for below in (lambda: jax.numpy.zeros(3) @ jax.numpy.zeros(4), lambda: [1][2], lambda: np.linalg.inv([[0.0]])):
        verdict, note = parts.judge.of_exception(raised(below))
        assert verdict == parts.judge.DEEP
        assert "raised at" in note


def first(draw: Any, wanted: Any) -> int:
    """The number of the first case that is wanted."""
    return next(index for index in range(20_000) if wanted(*draw(0, index)))


@pytest.mark.parametrize(("solver", "spectrum"), [("LU()", "geometric"), ("CG()", "clustered"), ("Dual()", "diagonal")])
def test_systems_that_are_solved_are_right(parts, solver, spectrum):
    index = first(
        parts.solves.draw,
        lambda name, system, dtype: (
            (name, system.spectrum, system.scales, dtype.name) == (solver, spectrum, (1.0, 1.0), "float32")
        ),
    )
    outcome = parts.solves.run_case(0, index)
    assert (outcome.verdict, outcome.expected) == (parts.judge.RIGHT, True)


@pytest.mark.parametrize("answer", ["doubled", "zero", "nan"])
def test_a_wrong_solution_that_is_called_successful_is_silent(parts, monkeypatch, answer):
    index = first(
        parts.solves.draw,
        lambda name, system, dtype: name == "LU()" and system.spectrum == "geometric" and system.scales == (1.0, 1.0),
    )

    def lies(arrays: Any, vector: Any) -> tuple[np.ndarray, bool]:
        solution = np.linalg.solve(np.asarray(arrays["matrix"]), np.asarray(vector))
        return {"doubled": 2 * solution, "zero": 0 * solution, "nan": np.nan * solution}[answer], True

    monkeypatch.setattr(parts.solves, "program", lambda name: lies)
    assert parts.solves.run_case(0, index).verdict == parts.judge.SILENT
    monkeypatch.setattr(parts.solves, "program", lambda name: lambda *given: (lies(*given)[0], False))
    assert parts.solves.run_case(0, index).verdict == parts.judge.FLAGGED


@pytest.mark.parametrize(
    ("fault", "verdict"), [("none", "right"), ("some weights zero", "right"), ("nan in targets", "flagged")]
)
def test_trainings(parts, fault, verdict):
    arrays = parts.trainings.PROBLEMS["saturation"].draw(np.random.default_rng(3))
    found, note = parts.trainings.faulty(("newton(LU)", "saturation"), fault, arrays, np.random.default_rng(4))
    assert found == verdict, note


def test_a_training_that_moves_without_a_loss_is_silent(parts):
    steps = np.arange(4)
    seen = {
        "loss": np.where(steps == 2, np.nan, 1.0 / (1 + steps)),
        "moved": steps >= 0,
        "bad": steps < 0,
        "accepted": steps >= 0,
        "finite": steps >= 0,
        "still": steps < 0,
        "final": np.float32(0.1),
    }
    pair = ("newton(LU)", "saturation")
    assert parts.trainings.judged(pair, seen, -1, None, starts_bad=False)[0] == parts.judge.SILENT
    seen["moved"] = steps != 2
    assert parts.trainings.judged(pair, seen, -1, None, starts_bad=False)[0] == parts.judge.RIGHT


def test_what_no_step_can_be_made_of_is_refused(parts):
    pair = ("newton(LU)", "saturation")
    verdict, note = parts.trainings.structural(pair, "no batch", np.random.default_rng(0))
    assert verdict == parts.judge.FLAGGED
    assert "batch=(inputs, targets)" in note


@pytest.mark.parametrize("name", ["linear with bias", "dense, cross-entropy"])
def test_blocks(parts, name):
    kind = parts.blocks.kinds()[name]
    arrays, way = kind.draw(np.random.default_rng(0)), "Gauss-Newton under jit"
    key = jax.random.key(0)
    block, flagged = parts.blocks.compiled(name, way)(*arrays, key)
    assert not flagged
    right = np.asarray(block, np.float64)
    assert parts.blocks.error_of(right, name, way, arrays, key) <= parts.blocks.TOLERANCE
    # A wrong block of one tensor alone is seen, and so is a block that is no number.
    wrong = right.copy()
    wrong[0, 0] *= 1.05
    assert parts.blocks.error_of(wrong, name, way, arrays, key) > parts.blocks.TOLERANCE
    assert parts.blocks.error_of(right * np.nan, name, way, arrays, key) == np.inf


def test_the_last_line_is_the_summary(parts, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["robustness.py", "--only", "solvers", "--cases", "4", "--seed", "5", "--jobs", "1"]
    )
    parts.script.main()
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["cases"] == 4
    assert last["seed"] == 5
    verdicts = [last[key] for key in ("silent", "deep", "flagged", "right")]
    assert sum(verdicts) == 4
    assert {"false_refusals", "right_share", "seconds", "families"} <= set(last)
