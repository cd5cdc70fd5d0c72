"""`qnewton compare`: its cells, how it goes on, what it finds, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qnewton._hardware import ClassicalMachine, KernelTimes
from qnewton.lab._experiments.compare import run as module

ASKED = ("compare", "tiny", "--methods", "sgd", "newton-lu", "--trials", "1", "--seeds", "4", "--steps", "2")
HERE = ("--out", "found")


def test_a_comparison_goes_on_where_it_stopped_and_is_plotted_again(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, trained, stopped = module.train, [], []

    def stopping(name: str, options: Any, directory: Any, watcher: Any, held: Any) -> Any:
        if len(trained) == 2 and not stopped:
            stopped.append(directory.path.name)
            directory.append("steps.jsonl", [{"cut": "off"}])
            raise KeyboardInterrupt
        trained.append(directory.path.name)
        return train(name, options, directory, watcher, held)

    times = KernelTimes(1e-5, 0.0, 0.0, ((1, 1e-5, 1e-5), (8, 1e-5, 1e-5)))
    machine = ClassicalMachine("made by hand", "float32", (("lu", times),))
    monkeypatch.setattr(module, "calibrate", lambda solvers, *, dtype, sizes: machine)
    monkeypatch.setattr(module, "train", stopping)
    outcome = call(*ASKED, *HERE)
    assert outcome.status == 130
    assert "the same command with --out found goes on" in outcome.said
    cells = tmp_path / "found" / "cells"
    first = {path: path.read_bytes() for path in cells.rglob("*") if path.is_file()}
    assert len(list(cells.iterdir())) == 2, "what was not finished leaves nothing"

    # A process that was killed does leave something; it is no result.
    killed = cells / stopped[0]
    killed.mkdir()
    (killed / "steps.jsonl").write_text("{")
    outcome = call(*ASKED, *HERE)
    assert outcome.status == 0, outcome.said
    assert not killed.exists()
    assert outcome.said.count("done before") == 2
    for path, content in first.items():
        assert path.read_bytes() == content

    found = json.loads((tmp_path / "found" / "compare.json").read_text())
    assert (found["options"]["tuning_seed"], found["reference"], found["model"]["rows"]) == (0, "sgd", 24)
    sgd, newton = found["methods"]
    assert (sgd["tuned"], newton["tuned"]) == ("learning_rate", "damping_scale")
    assert len(sgd["trials"]) == len(newton["trials"]) >= 1
    for method in (sgd, newton):
        [run] = method["runs"]
        assert (run["seed"], run["steps"], len(run["curve"])) == (4, 2, 2)
        assert run["test_loss"] == run["curve"][-1]["test_loss"]
        # Every curve is that of a run directory like any other.
        summary = json.loads((tmp_path / "found" / run["directory"] / "summary.json").read_text())
        assert summary["test_loss"] == run["test_loss"]
        assert run["measured_seconds"] == pytest.approx(summary["measured_breakdown"]["steps"])
    assert sgd["runs"][0]["modelled_seconds"]["paper"] == sgd["runs"][0]["measured_seconds"]
    assert newton["runs"][0]["modelled_seconds"]["paper"] != newton["runs"][0]["measured_seconds"]
    assert [target["quantity"] for target in found["targets"]] == ["test_accuracy", "test_loss"]
    for target in found["targets"]:
        # The reference reaches what it set.
        assert target["methods"][0]["reached"] == 1
        assert 1 <= target["methods"][0]["steps"] <= 2
    page = (tmp_path / "found" / "compare.html").read_text()
    assert "Newton, LU" in page
    assert page.count("<svg") == 2 * 3 + 2 + 2 + 4
    assert "http" not in page.replace("http-equiv", "")

    # From the files alone: nothing is trained, and page and tables are the same.
    (tmp_path / "found" / "compare.html").unlink()
    monkeypatch.setattr(module, "train", None)
    again = call("compare", "--replot", "found")
    assert again.status == 0, again.said
    assert again.out == outcome.out
    assert (tmp_path / "found" / "compare.html").read_text() == page
    said = json.loads(call("compare", "--replot=found", "--json", "--figures", "png").out)
    assert said["found"] == found
    assert len(list((tmp_path / said["files"]["figures"]).glob("*.png"))) == page.count("<svg")

    # A target of one's own needs no training either, and what decides the trainings must be the same.
    asked = call(*ASKED, *HERE, "--target-losses", "1e9")
    assert asked.status == 0, asked.said
    assert "To held-out loss <= 1e+09 (asked for)" in asked.said
    other = call(*ASKED, *HERE, "--trials", "3")
    assert other.status == 2
    assert "--trials is 3, and found holds a grid with 1" in other.said

    # What is torn or of another version is refused as everywhere, and so is a cell that was altered.
    file = tmp_path / "found" / "compare.json"
    whole = file.read_text()
    for text, words in (
        (whole[:99], "compare.json: not JSON in UTF-8"),
        (json.dumps(found | {"schema_version": 9}), "schema_version is 9, and this version of qnewton reads 1"),
        (json.dumps(found | {"methods": [{}]}), "the field 'methods[0].name' is missing; it must be a string"),
    ):
        file.write_text(text)
        refused = call("compare", "--replot", "found")
        assert refused.status == 2
        assert words in refused.said
    cell = next((tmp_path / "found" / "cells").glob("sgd-*")) / "cell.json"
    cell.write_text(json.dumps(json.loads(cell.read_text()) | {"seed": 77}))
    refused = call(*ASKED, *HERE)
    assert refused.status == 2
    assert "cell.json: its seed is 77, and this cell's is" in refused.said


def test_the_page_can_be_read_in_every_window(
    call: Callable[..., Any], opened: Callable[[Path], list[dict[str, Any]]], tmp_path: Path
) -> None:
    outcome = call(
        "compare", "tiny", "--methods", "sgd", "momentum", "--trials", "1", "--seeds", "4", "--steps", "2", *HERE
    )
    assert outcome.status == 0, outcome.said
    for found in opened(tmp_path / "found" / "compare.html"):
        assert found["figures"] > 2 * 3


BAD = {
    "task": (("tinny",), "did you mean 'tiny'?"),
    "method": (("tiny", "--methods", "adamv"), "--methods: unknown method 'adamv': did you mean 'adam"),
    "no methods": (("tiny", "--methods"), "--methods is empty: name at least one"),
    "method twice": (("tiny", "--methods", "sgd", "sgd"), "--methods is sgd sgd: it names one twice"),
    "no seeds": (("tiny", "--seeds"), "--seeds is empty: name at least one"),
    "seed": (("tiny", "--seeds", "-1"), "--seeds holds -1"),
    "seed twice": (("tiny", "--seeds", "1", "1"), "--seeds is 1 1: it names one twice"),
    "budgets": (("tiny", "--steps", "2", "--seconds", "1"), "one of them is the budget"),
    "seconds": (("tiny", "--seconds", "nan"), "--seconds is nan: it must be positive"),
    "trials": (("tiny", "--trials", "0"), "--trials is 0: it must be at least 1"),
    "accuracy": (("tiny", "--target-accuracies", "95"), "--target-accuracies holds 95.0: an accuracy is a fraction"),
    "loss": (("tiny", "--target-losses", "-1"), "--target-losses holds -1.0: a loss"),
    "replot nothing": (("--replot", "nowhere"), "compare.json is not there: nowhere holds no finished comparison"),
    "replot and more": (("--replot", "nowhere", "--steps", "3"), "--replot takes the directory of a comparison"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused(
    call: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    outcome = call("compare", *arguments)
    assert outcome.status == 2
    assert message in outcome.said, outcome.said
    assert not list(tmp_path.iterdir())


def test_a_directory_of_something_else_is_refused(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "notes.txt").write_text("mine")
    outcome = call(*ASKED, *HERE)
    assert outcome.status == 2
    assert "found exists and is not an empty directory" in outcome.said
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["notes.txt"]
