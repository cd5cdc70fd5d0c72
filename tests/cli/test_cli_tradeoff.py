"""`qnewton tradeoff`: its files, its figure, and what it refuses."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import qnewton as q
from qnewton.lab import read_result
from qnewton.lab._experiments import tradeoff as module
from qnewton.lab._runfile import TradeoffFile


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting is compiled: one mild, one strong."""

    def few(damping: float) -> tuple[module.Setting, ...]:
        return (
            module.Setting("none", f"r {damping:g}", (q.Damp(damping),)),
            module.Setting("paper", "keep 0.1", q.conditioning.preset("paper", keep=0.1)),
        )

    monkeypatch.setattr(module, "settings", few)


def test_it_writes_numbers_and_a_figure(call: Callable[..., Any], tmp_path: Path) -> None:
    outcome = call("tradeoff", "tiny", "--out", "found", "--steps", "1", "--warmup", "1")
    assert outcome.status == 0, outcome.said
    written = json.loads((tmp_path / "found" / "tradeoff.json").read_text())
    none, pruned = written["settings"]
    assert (none["method"], pruned["method"]) == ("none", "paper")
    # The un-pruned step is the exact one.
    assert none["model_decrease"] == pytest.approx(1)
    assert none["cosine"] == pytest.approx(1)
    assert none["relative_residual"] < 1e-9
    assert pruned["degree"] < none["degree"]
    assert pruned["model_decrease"] < 1
    assert none["training_loss"] < 1.1
    assert ElementTree.parse(tmp_path / "found" / "tradeoff.svg").getroot().tag.endswith("svg")
    assert "keep 0.1" in outcome.said


def test_without_training_there_is_no_loss(call: Callable[..., Any], tmp_path: Path) -> None:
    asked = ("--steps", "0", "--warmup", "0", "--figures", "pdf", "--json")
    said = json.loads(call("tradeoff", "tiny", "--out", "found", *asked).out)
    assert said["found"] == json.loads((tmp_path / said["files"]["numbers"]).read_text())
    assert (tmp_path / said["files"]["figure"]).read_bytes().startswith(b"%PDF")
    written = read_result(tmp_path / "found" / "tradeoff.json")
    assert isinstance(written, TradeoffFile)
    assert [one.training_loss for one in written.settings] == [None, None]
    assert written.options == {"task": "tiny", "damping": 5e-3, "warmup": 0, "steps": 0, "seed": 0, "dtype": "float64"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tinny",), "did you mean 'tiny'?"),
        (("tiny", "--damping", "0"), "--damping is 0.0: it must be positive"),
        (("tiny", "--steps", "-1"), "--steps is -1: it cannot be negative"),
    ],
)
def test_bad_input_is_refused(call: Callable[..., Any], arguments: tuple[str, ...], message: str) -> None:
    outcome = call("tradeoff", *arguments)
    assert outcome.status == 2
    assert message in outcome.said


def test_the_real_settings_run_from_mild_to_strong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    labels = [(setting.method, setting.label) for setting in module.settings(5e-3)]
    assert len(set(labels)) == len(labels)
    assert {method for method, _ in labels} >= {"none", "damping", "paper"}
