"""A run directory is made once, and nothing in it is ever overwritten."""

import errno
import inspect
import json
import math
import os
import re
import shutil
import tempfile
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton.lab._runfile import Elsewhere, LostDirectory, Record, RunDirectory, encode, plain

CHECKSUM = r',"crc32":\d+'


class Line(Record, frozen=True):
    """A line of a file."""

    step: int
    text: str = ""


class Begun(Record, frozen=True):
    """What tells one run from others."""

    started: str
    seed: int


def test_makes_the_directory_and_those_above_it(tmp_path):
    path = tmp_path / "a" / "b"
    assert RunDirectory.create(path, "unused").path == path
    assert path.is_dir()
    # Empty, and nobody's, so it may be taken again.
    RunDirectory.create(path, "unused")


def test_no_directory_is_made_inside_of_a_run(tmp_path):
    run = tmp_path / "run"
    RunDirectory.create(run, "unused").write("config.json", Begun(started="now", seed=0))
    (tmp_path / "link").symlink_to(run / "checkpoints")
    for inside in (run / "checkpoints" / "3", run / "other", tmp_path / "link" / "3"):
        with pytest.raises(FileExistsError, match=r"lies inside of .*run, the directory of a run.*name one outside"):
            RunDirectory.create(inside, "unused")
    assert [path.name for path in run.iterdir()] == ["config.json"]
    (tmp_path / "astray").symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="astray exists and is not an empty directory"):
        RunDirectory.create(tmp_path / "astray", "unused")
    # A file of that name that another program wrote makes no run.
    (tmp_path / "config.json").write_text('{"seed": 1}')
    RunDirectory.create(tmp_path / "another", "unused")


def test_one_process_owns_a_directory_from_its_first_moment(tmp_path):
    first = RunDirectory.create(tmp_path / "run", "unused")
    with pytest.raises(ValueError, match=r"run belongs to a run that is going on: wait for it, or stop it"):
        RunDirectory.create(tmp_path / "run", "unused")
    RunDirectory(tmp_path / "run").discard()
    assert first.path.is_dir(), "who does not own it does not remove it"
    first.write("config.json", Line(step=0))
    first.release()
    with RunDirectory(first.path).owned(), pytest.raises(ValueError, match="going on"):
        first.take()
    first.take()


def remove(run: Path) -> None:
    shutil.rmtree(run)


def replace(run: Path) -> None:
    run.rename(run.with_name("old"))
    shutil.copytree(run.with_name("old"), run)


def purge(run: Path) -> None:
    (run / "steps.jsonl").unlink()


def shorten(run: Path) -> None:
    os.truncate(run / "steps.jsonl", 3)


def change(run: Path) -> None:
    (run / "config.json").write_text("{}")


LOST = {
    remove: "run was removed while the run went on",
    replace: "run was replaced by another directory",
    purge: r"steps\.jsonl was removed",
    shorten: r"steps\.jsonl was changed by another program \(3 bytes, 4[01] were written\)",
    change: r"config\.json was changed by another program",
}


@pytest.mark.parametrize(("damage", "words"), LOST.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_directory_that_is_no_longer_as_it_was_left_takes_no_more(damage, words, tmp_path):
    directory = RunDirectory.create(tmp_path / "run", "unused")
    directory.write("config.json", Line(step=0))
    directory.append("steps.jsonl", [Line(step=0)])
    damage(directory.path)
    before = sorted(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for write in (
        lambda: directory.append("steps.jsonl", [Line(step=2)]),
        lambda: directory.write("summary.json", Line(step=2)),
        directory.check,
    ):
        with pytest.raises(LostDirectory, match=words):
            write()
    assert sorted(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()) == before


def test_a_directory_that_holds_anything_is_refused_and_untouched(tmp_path):
    (tmp_path / ".hidden").write_text("keep")
    with pytest.raises(FileExistsError, match=r"not an empty directory.*--out"):
        RunDirectory.create(tmp_path, "unused")
    assert (tmp_path / ".hidden").read_text() == "keep"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_was_killed_before_it_began_is_begun_anew_and_kept(tmp_path):
    for number in (1, 2):
        (tmp_path / "calibration.json").write_text(f"{number}")
        (tmp_path / ".config.json.partial").write_text("{")
        RunDirectory.create(tmp_path, "unused").release()
        assert not (tmp_path / "calibration.json").exists()
        assert (tmp_path / f".calibration.json.unborn-{number}").read_text() == f"{number}"
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileExistsError, match="not an empty directory"):
        RunDirectory.create(tmp_path, "unused")


def test_a_file_at_the_path_is_refused_and_untouched(tmp_path):
    path = tmp_path / "file"
    path.write_text("keep")
    with pytest.raises(FileExistsError, match="not an empty directory"):
        RunDirectory.create(path, "unused")
    assert path.read_text() == "keep"
    with pytest.raises(OSError, match="Not a directory"):
        RunDirectory.create(path / "below", "unused")


def test_without_a_name_each_run_gets_the_next_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = (RunDirectory.create(None, "digits-paper").path for _ in range(2))
    other = RunDirectory.create(None, "digits-default").path
    assert [str(path) for path in (first, second, other)] == [
        str(Path("runs") / name) for name in ("digits-paper-001", "digits-paper-002", "digits-default-001")
    ]
    # A number that is taken is passed over, also by an empty directory and by a file.
    (tmp_path / "runs" / "digits-paper-003").write_text("taken")
    assert RunDirectory.create(None, "digits-paper").path.name == "digits-paper-004"


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.write("config.json", Line(step=1))
    with pytest.raises(TypeError):
        directory.write("config.json", Line(step=object()))  # pyright: ignore[reportArgumentType]
    assert json.loads((tmp_path / "config.json").read_text()) == {"step": 1, "text": ""}
    directory.write("config.json", Line(step=2))
    assert json.loads((tmp_path / "config.json").read_text()) == {"step": 2, "text": ""}
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"], "no scratch file stays"


def test_lines_are_added_one_by_one(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.append("steps.jsonl", [Line(step=0)])
    directory.append("steps.jsonl", [Line(step=1, text="zwei\nZeilen ü"), Line(step=2)])
    lines = (tmp_path / "steps.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2]
    assert json.loads(lines[1])["text"] == "zwei\nZeilen ü"


def test_lines_that_do_not_fit_are_not_begun(tmp_path):
    resource = pytest.importorskip("resource")
    directory = RunDirectory(tmp_path)
    directory.append("steps.jsonl", [Line(step=0)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Larger than a buffer, so that the first half of it is written before there is an error.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            directory.append("steps.jsonl", [Line(step=1, text="x" * 200_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert re.sub(CHECKSUM, "", (tmp_path / "steps.jsonl").read_text()) == '{"step":0,"text":""}\n'
    directory.append("steps.jsonl", [Line(step=1)])
    assert (
        re.sub(CHECKSUM, "", (tmp_path / "steps.jsonl").read_text()) == '{"step":0,"text":""}\n{"step":1,"text":""}\n'
    )


def test_a_directory_that_cannot_be_written_is_found_out_at_once(tmp_path, monkeypatch):
    # Root may write everywhere, so the refusal is made by hand.
    def refuse(**of):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match=r"run cannot be written \(Permission denied\): name another .*--out"):
        RunDirectory.create(tmp_path / "run", "unused")


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=5), st.floats())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=10,
)


def expected(value):
    if isinstance(value, dict):
        return {key: expected(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [expected(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@hypothesis.given(VALUES)
def test_any_value_survives_strict_json_but_for_what_is_not_finite(value):
    text = encode(value).decode()
    assert json.loads(text) == expected(value)


ODD = {
    "numpy scalar": (np.float32(0.5), 0.5),
    "numpy NaN": (np.float32("nan"), None),
    "numpy integer": (np.int64(3), 3),
    "numpy boolean": (np.bool_(True), True),
    "numpy array": (np.asarray([1.0, np.inf]), [1.0, None]),
    "jax array": (jnp.asarray([[1.5]]), [[1.5]]),
    "path": (Path("a") / "b", str(Path("a") / "b")),
    "key that is no string": ({1: 2}, {"1": 2}),
}


@pytest.mark.parametrize(("value", "wanted"), ODD.values(), ids=ODD.keys())
def test_numbers_of_libraries_become_numbers_of_json(value, wanted):
    assert plain(value) == wanted
    assert json.loads(encode(value)) == wanted


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system has no name for an open directory")
def test_what_is_written_never_gets_into_what_takes_the_place_of_the_run_or_of_a_file(tmp_path, monkeypatch):
    own = RunDirectory.create(tmp_path / "run", "unused")
    own.append("lines.jsonl", [Line(step=0)])
    looked = own.check

    def replaced() -> None:  # between the look and the write
        looked()
        monkeypatch.setattr(own, "check", looked)
        replace(own.path)

    monkeypatch.setattr(own, "check", replaced)
    own.append("lines.jsonl", [Line(step=1)])
    assert len((tmp_path / "old" / "lines.jsonl").read_bytes().splitlines()) == 2
    assert len((tmp_path / "run" / "lines.jsonl").read_bytes().splitlines()) == 1
    with pytest.raises(LostDirectory, match="replaced by another directory"):
        own.append("lines.jsonl", [Line(step=2)])
    own.release()

    taken = RunDirectory.create(tmp_path / "taken", "unused")
    taken.append("lines.jsonl", [Line(step=0)])
    monkeypatch.setattr(taken, "check", (tmp_path / "taken" / "lines.jsonl").unlink)
    with pytest.raises(FileNotFoundError):
        taken.append("lines.jsonl", [Line(step=1)])
    assert not list((tmp_path / "taken").iterdir()), "no file begins in the middle"


@pytest.mark.parametrize("name", sorted(name for name in vars(Elsewhere) if not name.startswith("_")))
def test_a_process_that_writes_nothing_is_asked_in_the_same_words(name):
    mine, theirs = (inspect.signature(getattr(kind, name)) for kind in (Elsewhere, RunDirectory))
    assert mine == theirs
