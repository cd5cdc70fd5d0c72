"""`qnewton noise`: its grid, how it goes on, its answer, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from qnewton.lab._experiments import noise as module
from qnewton.lab._experiments.noise import answer
from qnewton.lab._runfile import NoiseCell

GRID = ("noise", "tiny", "--epsilons", "0.01", "--shots", "20", "inf", "--steps", "2", "--out", "found")


def test_a_grid_is_trained_cell_by_cell_and_goes_on_where_it_stopped(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves, trained = module._Trainer.curves, []

    def stopping(self: Any, cell: module.Cell) -> dict[str, list[Any] | None]:
        if len(trained) == 2 and not stopped:
            stopped.append(cell)
            raise KeyboardInterrupt
        trained.append(cell.name)
        return curves(self, cell)

    stopped: list[module.Cell] = []
    monkeypatch.setattr(module._Trainer, "curves", stopping)
    assert call(*GRID).status == 130
    found = tmp_path / "found"
    names = ["exact-seed-0", "epsilon-0.01-shots-20-seed-0", "epsilon-0.01-shots-inf-seed-0"]
    first = {path.name: path.read_bytes() for path in (found / "cells").iterdir()}
    assert set(first) == {f"{name}.json" for name in names[:2]}
    assert not (found / "noise.json").exists()

    outcome = call(*GRID)
    assert outcome.status == 0, outcome.said
    assert trained == names, "what is done is not trained again"
    assert outcome.said.count("done before") == 2
    assert "[3/3] epsilon-0.01-shots-inf-seed-0: test accuracy" in outcome.said
    for name, content in first.items():
        assert (found / "cells" / name).read_bytes() == content

    written = json.loads((found / "noise.json").read_text())
    said = json.loads(call(*GRID, "--json", "--figures", "svg").out)
    assert said["found"] == written
    assert (found / "noise.svg").read_text().lstrip().startswith("<?xml")
    exact, noisy, quiet = written["curves"]
    assert [r["epsilon"] for r in written["curves"]] == [None, 0.01, 0.01]
    assert [r["shots"] for r in written["curves"]] == [None, 20, None]
    for record in written["curves"]:
        assert [len(record[name]) for name in ("train_loss", "test_loss", "test_accuracy")] == [3, 3, 3]
    # All start from the same parameters, and an exact state of epsilon 0.01 all but takes the exact step.
    assert exact["train_loss"][0] == noisy["train_loss"][0] == quiet["train_loss"][0]
    assert quiet["train_loss"] == pytest.approx(exact["train_loss"], rel=0.02)
    assert abs(noisy["train_loss"][-1] - exact["train_loss"][-1]) > abs(
        quiet["train_loss"][-1] - exact["train_loss"][-1]
    )
    # Every copy for the magnitudes takes queries, and as many for the signs; one copy stands for infinitely many.
    assert noisy["executed_queries"][0] == pytest.approx(40 * quiet["executed_queries"][0], rel=1e-3)
    assert exact["executed_queries"] is None
    assert (found / "noise.png").read_bytes().startswith(b"\x89PNG")

    # Once more: nothing is trained or written, and the table comes again.
    before = {path: path.stat().st_mtime_ns for path in found.rglob("*")}
    again = call(*GRID)
    assert again.out == outcome.out
    assert len(trained) == 3
    assert {path: path.stat().st_mtime_ns for path in found.rglob("*")} == before

    # Another grid does not go there.
    for change, said in [
        (("--steps", "3"), "--steps is 3, and found holds a grid with 2"),
        (("--shots", "20", "30"), "--shots is 20 30, and found holds a grid with 20 inf"),
        (("--epsilons", "0.1"), "--epsilons is 0.1, and found holds a grid with 0.01"),
    ]:
        outcome = call(*GRID, *change)
        assert outcome.status == 2
        assert said in outcome.said
    (found / "cells" / "exact-seed-0.json").write_text("{")
    said = call(*GRID).said
    assert "exact-seed-0.json: not JSON in UTF-8" in said
    assert "Nothing is overwritten: delete it to have it made again" in said
    # Nor does the record of another cell pass for this one's.
    shutil.copy(found / "cells" / "epsilon-0.01-shots-20-seed-0.json", found / "cells" / "exact-seed-0.json")
    assert "exact-seed-0.json: its epsilon is 0.01, and this cell's is None. Nothing is overwritten" in call(*GRID).said


def test_a_directory_of_something_else_is_refused(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "notes.txt").write_text("mine")
    outcome = call(*GRID)
    assert outcome.status == 2
    assert "found exists and is not an empty directory" in outcome.said
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tinny",), "did you mean 'tiny'?"),
        (("tiny", "--epsilons", "0.1", "0"), "--epsilons holds 0.0: it is the error"),
        (("tiny", "--epsilons", "nan"), "--epsilons holds nan"),
        (("tiny", "--epsilons", "0.1", "0.1"), "--epsilons is 0.1 0.1: it names one twice"),
        (("tiny", "--shots", "1.5"), "--shots holds 1.5: measure a whole number"),
        (("tiny", "--shots", "0"), "--shots holds 0.0: measure"),
        (("tiny", "--shots", "nan"), "--shots holds nan: measure"),
        (("tiny", "--seeds"), "--seeds is empty"),
        (("tiny", "--seeds", "-1"), "--seeds holds -1"),
        (("tiny", "--steps", "0"), "--steps is 0: it must be at least 1"),
        (("tiny", "--batch-size", "0"), "--batch-size is 0: it must be at least 1"),
        (("tiny", "--damping", "0"), "--damping is 0.0: it must be positive"),
    ],
)
def test_bad_input_is_refused(
    call: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    outcome = call("noise", *arguments)
    assert outcome.status == 2
    assert message in outcome.said
    assert not list(tmp_path.iterdir())


def _records(accuracies: dict[tuple[float | None, int | None], list[float]]) -> list[NoiseCell]:
    return [
        NoiseCell(
            epsilon=epsilon,
            shots=shots,
            seed=seed,
            train_loss=(2.0, 1 - value),
            test_loss=(2.0, 1.0),
            test_accuracy=(0.1, value),
            accepted=(True,),
            relative_residual=(0.5,),
            condition_number=None if epsilon is None else (9.0,),
            executed_queries=None if epsilon is None else (5.0, 6.0),
            measured_seconds=1.0,
        )
        for (epsilon, shots), values in accuracies.items()
        for seed, value in enumerate(values)
    ]


def test_the_answer_by_hand() -> None:
    found = answer(
        _records(
            {
                (None, None): [0.96, 0.94],
                (0.1, 10): [0.95, 0.95],  # a lucky cell: more shots do worse
                (0.1, 100): [0.93, 0.93],
                (0.1, None): [0.95, 0.94],
                (0.01, 10): [0.9, 0.9],
                (0.01, 100): [0.95, 0.93],  # just a point below, in the mean
                (0.01, None): [0.96, 0.96],
            }
        )
    )
    assert found["exact_accuracy"] == pytest.approx(0.95)
    assert found["shots"] == [10, 100, None]
    rough, fine = found["by_epsilon"]
    assert [cell["reached"] for cell in rough["cells"]] == [True, False, True]
    assert [cell["reached"] for cell in fine["cells"]] == [False, True, True]
    assert (rough["epsilon"], rough["reached"], rough["smallest_shots"]) == (0.1, True, None)
    assert (fine["epsilon"], fine["reached"], fine["smallest_shots"]) == (0.01, True, 100)
    assert [row["largest_epsilon"] for row in found["by_shots"]] == [None, 0.01, 0.1]
    assert (found["smallest_shots"], found["at_epsilon"], found["largest_epsilon"]) == (100, 0.01, 0.1)
    assert rough["cells"][0]["executed_queries"] == 11


def test_where_nothing_suffices_the_answer_says_so() -> None:
    found = answer(_records({(None, None): [0.9], (0.1, 10): [0.5]}))
    assert not found["reached"]
    assert found["smallest_shots"] is found["at_epsilon"] is found["largest_epsilon"] is None


def test_a_loss_that_is_not_finite_stands_in_the_answer_as_none() -> None:
    records = _records({(None, None): [0.9], (0.1, 10): [0.5, 0.5]})
    records[1] = replace(records[1], train_loss=(2.0, None))
    records[2] = replace(records[2], executed_queries=(None, 6.0))
    [cell] = answer(records)["by_epsilon"][0]["cells"]
    assert cell["train_loss"] is cell["executed_queries"] is None
