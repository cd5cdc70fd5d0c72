"""`qnewton train my_task.py:task`: a task of the user's own in one file."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from qnewton.lab._experiments import own_task

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_task.py"
QUICK = ("--preset", "blocks", "--steps", "2", "--batch-size", "16", "--solvers", "qlsa")


def test_a_task_in_a_file_trains_and_the_run_says_where_it_came_from(call, tmp_path):
    shutil.copy(EXAMPLE, tmp_path / "mine.py")
    outcome = call("train", "mine.py:sines", *QUICK)
    assert outcome.status == 0, outcome.said
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name == "mine-blocks-001"
    config = json.loads((run / "config.json").read_text())
    assert config["task"] == f"{(tmp_path / 'mine.py').resolve()}:sines"
    assert config["task_digest"] == hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest()
    assert config["data"]["train"] == 256
    assert json.loads((run / "summary.json").read_text())["test_accuracy"] is None
    # The task itself is needed by those alone that compute with it.
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text() + "\n# changed\n")
    assert call("replay", str(run)).status == 0
    outcome = call("spectrum", str(run))
    assert outcome.status == 2
    assert "that file is not what it was (SHA-256" in outcome.said
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"status": "interrupted"}))
    (run / "manifest.json").unlink()
    outcome = call("train", "--resume", str(run))
    assert outcome.status == 2
    assert "bring it back as it was, or train anew" in outcome.said
    (tmp_path / "mine.py").unlink()
    assert "that file is gone" in call("train", "--resume", str(run)).said


WRONG = {
    "no file": ("nowhere.py:task", ["there is no file", "nowhere.py"]),
    "no name": ("mine.py", ["mine.py names a file and nothing in it", "mine.py:task"]),
    "misspelt": ("mine.py:tsak", ["unknown function 'tsak'", "did you mean 'task'"]),
    "a number": ("mine.py:NUMBER", ["NUMBER is 3: it must be a function that takes the dtype"]),
    "another kind": ("mine.py:nothing", ["nothing returned None: it must return a qnewton.lab.Task"]),
}


@pytest.mark.parametrize(("name", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_task_is_said(name, words, call, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from qnewton.lab import Task\nNUMBER = 3\n\n\ndef task(dtype):\n    ...\n\n\ndef nothing(dtype):\n    ...\n"
    )
    outcome = call("train", name, *QUICK, "--out", "run")
    assert outcome.status == 2
    for word in words:
        assert word in outcome.said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("where", ["import", "call", "step"])
def test_the_users_own_exception_passes_unchanged(where, call, tmp_path):
    text = EXAMPLE.read_text().replace("def sines(", "def mine(")
    raises = 'raise ValueError("my own words")'
    text = {
        "import": f"{text}\n\n{raises}\n",
        "call": text.replace("    x = np.random", f"    {raises}\n    x = np.random"),
        "step": text.replace("        return jnp.sum(", f"        {raises}\n        return jnp.sum("),
    }[where]
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ValueError, match=r"my own words") as caught:
        call("train", "mine.py:mine", *QUICK)
    assert caught.value.args == ("my own words",)
    assert not list((tmp_path / "runs").glob("*")), "a run that cannot start leaves no directory"


def test_a_task_imports_its_neighbours(tmp_path, monkeypatch):
    (tmp_path / "neighbour_of_mine.py").write_text("POINTS = 3\n")
    (tmp_path / "mine.py").write_text("from neighbour_of_mine import POINTS\n\n\ndef task(dtype):\n    return POINTS\n")
    monkeypatch.chdir(tmp_path)
    assert own_task.load("mine.py:task")("float32") == 3
