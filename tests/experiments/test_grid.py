"""A grid goes on where it was stopped, writes a cell once, and says what is torn, altered or another's."""

import json
from pathlib import Path

import pytest

from qnewton.lab._experiments.grid import Grid
from qnewton.lab._experiments.provenance import provenance
from qnewton.lab._runfile import CompareCell, GridHead, ReproductionHead, RunFileError

OPTIONS = {"task": "tiny", "epsilons": (0.1, 1e-3), "shots": [20, None], "out": {"steps": 3, "rate": 0.5}}
CELL = CompareCell(
    method="sgd",
    value=0.5,
    seed=0,
    status="finished",
    reason=None,
    steps=2,
    measured_seconds=0.25,
    lowest_test_loss=float("nan"),
)


def opened(path: Path, version: int = 1, **changes: object) -> Grid[GridHead]:
    head = GridHead(schema_version=version, options=OPTIONS | changes, **provenance())
    return Grid.open(path, "grid", "options.json", head)


def test_a_grid_is_made_once_and_taken_up_again(tmp_path: Path) -> None:
    first = opened(tmp_path / "grid")
    written = (tmp_path / "grid" / "options.json").read_bytes()
    with pytest.raises(ValueError, match="grid belongs to a run that is going on"):
        opened(tmp_path / "grid")
    first.release()
    again = opened(tmp_path / "grid")
    assert again.head == first.head
    assert again.head.options["epsilons"] == [0.1, 0.001]
    assert (tmp_path / "grid" / "options.json").read_bytes() == written


REFUSED = {
    "task": ({"task": "digits"}, "task is digits, and grid holds a grid with tiny: nothing is ever overwritten"),
    "list": ({"epsilons": [0.1]}, "--epsilons is 0.1, and grid holds a grid with 0.1 0.001"),
    "infinite": ({"shots": [None]}, "--shots is inf, and grid holds a grid with 20 inf"),
    "inside": ({"out": {"steps": 3, "rate": 0.25}}, "--out.rate is 0.25, and grid holds a grid with 0.5"),
    "new": ({"batch_size": 8}, "--batch-size is 8, and grid holds a grid with None"),
    "version": ({"version": 2}, "options.json: schema_version is 1, and this version of qnewton reads 2: open it with"),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_another_grid_is_refused_by_name(changes, words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    opened(Path("grid"))
    with pytest.raises(RunFileError) as error:
        opened(Path("grid"), **changes)
    assert words in str(error.value)


def test_a_grid_of_another_name_and_none_at_all(tmp_path: Path) -> None:
    def head(name: str) -> ReproductionHead:
        return ReproductionHead(schema_version=2, name=name, options={}, **provenance())

    Grid.open(tmp_path / "made", "grid", "head.json", head("keep-ratio"))
    with pytest.raises(RunFileError, match="made is a reproduction of keep-ratio, not of all: nothing is ever"):
        Grid.open(tmp_path / "made", "grid", "head.json", head("all"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not an empty directory"):
        opened(tmp_path / "mine")
    with pytest.raises(RunFileError, match=r"mine holds no head\.json"):
        Grid.read(tmp_path / "mine", "head.json", ReproductionHead, 2)
    (tmp_path / "made" / "head.json").write_text('{"schema_version": 2')
    with pytest.raises(RunFileError, match=r"head\.json: not JSON in UTF-8"):
        Grid.read(tmp_path / "made", "head.json", ReproductionHead, 2)


def test_a_cell_is_what_is_read_back(tmp_path: Path) -> None:
    grid = opened(tmp_path / "grid")
    assert grid.done("cells/a.json", CompareCell) is None
    added = grid.add("cells/a.json", CELL)
    # What is not finite is null in the file, and so it is here.
    assert added.lowest_test_loss is None
    grid.release()
    assert opened(tmp_path / "grid").done("cells/a.json", CompareCell, method="sgd", value=0.5, seed=0) == added


def test_a_cell_that_is_torn_or_altered_is_said(tmp_path: Path) -> None:
    grid = opened(tmp_path / "grid")
    grid.add("cells/a.json", CELL)
    file = tmp_path / "grid" / "cells" / "a.json"
    with pytest.raises(
        RunFileError, match=r"a\.json: its seed is 0, and this cell's is 1\. Nothing is overwritten: del"
    ):
        grid.done("cells/a.json", CompareCell, seed=1)
    whole = file.read_text()
    file.write_text(whole[:40])
    with pytest.raises(
        RunFileError, match=r"a\.json: not JSON in UTF-8: .*\. Nothing is overwritten: delete it to have"
    ):
        grid.done("cells/a.json", CompareCell)
    file.write_text(json.dumps(json.loads(whole) | {"steps": "two"}))
    with pytest.raises(RunFileError, match=r"the field 'steps' is the string 'two'; it must be an integer .*delete it"):
        grid.done("cells/a.json", CompareCell)


def test_a_directory_is_moved_to_its_place_when_it_is_whole(tmp_path: Path) -> None:
    grid = opened(tmp_path / "grid")
    place = tmp_path / "grid" / "cells" / "a"
    place.parent.mkdir()

    def stopped() -> None:
        with grid.building("cells/a") as directory:
            directory.write("half.json", CELL)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(place.parent.iterdir()) == []
    # What a killed process left is nobody's result.
    (place.parent / ".a.partial").mkdir()
    (place.parent / ".a.partial" / "half.json").write_text("{")
    with grid.building("cells/a") as directory:
        assert not place.exists()
        directory.write("cell.json", CELL)
    assert [path.name for path in place.iterdir()] == ["cell.json"]
    assert [path.name for path in place.parent.iterdir()] == ["a"]
    (place / "cell.json").unlink()
    with pytest.raises(RunFileError, match=r"cells/a is there and is not whole\. Nothing is overwritten: delete it"):
        stopped()
