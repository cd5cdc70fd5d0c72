"""A power failure between any two calls leaves the old file or the new one: all that may then be on disk is tried."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qnewton.lab._experiments import checkpoints
from qnewton.lab._experiments.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from qnewton.lab._runfile import Identity, Record, RunDirectory, move, write_whole
from qnewton.lab._runfile.params import write_params

TORN = b"torn"


class Line(Record, frozen=True):
    """Of a file."""

    step: int


class Disk:
    """What of a folder is on disk for sure, and what may be, at each call.

    A name or content that was not synced may be there or not; content that was not synced may be torn. Names of a
    folder become known in their order, contents in any.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch):
        self.root = root
        self.sure: dict[int, bytes] = {}
        self.names: list[dict[str, int]] = []
        self.states: list[dict[str, bytes]] = []
        self._sync_all()
        for name in ("replace", "rename", "fsync", "truncate"):
            patch.setattr(os, name, self._seen(getattr(os, name), name))

    def _seen(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def seen(*arguments: Any) -> Any:
            self.crash()
            result = call(*arguments)
            if name == "fsync":
                self._synced(os.fstat(arguments[0]))
            else:
                self.names.append(self._now())
            self.crash()
            return result

        return seen

    def _now(self) -> dict[str, int]:
        return {p.relative_to(self.root).as_posix(): p.stat().st_ino for p in self._files()}

    def _files(self) -> Iterator[Path]:
        return (path for path in self.root.rglob("*") if path.is_file())

    def _synced(self, what: os.stat_result) -> None:
        content = next((p.read_bytes() for p in self._files() if p.stat().st_ino == what.st_ino), None)
        if content is None:  # a folder: its names, and so all before them
            self.names = [self._now()]
        else:
            self.sure[what.st_ino] = content

    def _sync_all(self) -> None:
        self.sure = {path.stat().st_ino: path.read_bytes() for path in self._files()}
        self.names = [self._now()]

    def crash(self) -> None:
        """Add all states that a power failure could leave now."""
        present = {path.stat().st_ino: path.read_bytes() for path in self._files()}
        for names in [*self.names, self._now()]:
            contents = [
                {self.sure.get(inode, TORN), present.get(inode, self.sure.get(inode, TORN))}
                | (set() if self.sure.get(inode) == present.get(inode, self.sure.get(inode)) else {TORN})
                for inode in names.values()
            ]
            self.states += [dict(zip(names, choice, strict=True)) for choice in product(*contents)]


def test_the_shim_finds_what_a_plain_write_loses(tmp_path, monkeypatch):
    target = tmp_path / "a.json"
    target.write_bytes(b"old")
    disk = Disk(tmp_path, monkeypatch)
    scratch = tmp_path / "scratch"
    scratch.write_bytes(b"new")  # which nothing syncs
    os.replace(scratch, target)
    assert {state["a.json"] for state in disk.states} == {b"old", TORN, b"new"}


def replaced(folder: Path) -> None:
    write_whole(folder / "a.json", b"new")


def record(folder: Path) -> None:
    RunDirectory(folder).write("a.json", Line(step=1))


@pytest.mark.parametrize("write", [replaced, record])
def test_a_file_is_the_old_or_the_new_one_whatever_moment_the_power_fails(write, tmp_path, monkeypatch):
    target = tmp_path / "a.json"
    target.write_bytes(b"old")
    disk = Disk(tmp_path, monkeypatch)
    write(tmp_path)
    new = target.read_bytes()
    assert {state["a.json"] for state in disk.states} == {b"old", new}
    disk.states.clear()
    disk.crash()
    assert {state["a.json"] for state in disk.states} == {new}, "once it has returned, the new one is there for sure"


def test_a_run_that_says_it_has_ended_has_its_manifest_whatever_moment_the_power_fails(tmp_path, monkeypatch):
    directory = RunDirectory(tmp_path)
    directory.append("steps.jsonl", [Line(step=0)])
    disk = Disk(tmp_path, monkeypatch)
    # Lines of steps are not synced one by one.
    disk.sure.clear()
    directory.end(Line(step=1))
    ended = [state for state in disk.states if "summary.json" in state]
    assert ended, "at last"
    for state in ended:
        files = json.loads(state["manifest.json"])["files"]
        assert {name: hashlib.sha256(state[name]).hexdigest() for name in files} == {
            name: record["sha256"] for name, record in files.items()
        }


def test_final_parameters_are_there_for_sure_once_they_are_written(tmp_path, monkeypatch):
    disk = Disk(tmp_path, monkeypatch)
    write_params(tmp_path, {})
    disk.states.clear()
    disk.crash()
    assert [state["params.npz"] for state in disk.states] == [(tmp_path / "params.npz").read_bytes()] * 2


def test_what_is_moved_is_at_one_of_both_places(tmp_path, monkeypatch):
    (tmp_path / "summary.json").write_bytes(b"all")
    disk = Disk(tmp_path, monkeypatch)
    move(tmp_path / "summary.json", tmp_path / "aside" / "001" / "summary.json")
    assert all(b"all" in state.values() for state in disk.states)
    disk.states.clear()
    disk.crash()
    assert all(state == {"aside/001/summary.json": b"all"} for state in disk.states)


def test_without_room_the_old_file_stays(tmp_path, monkeypatch):
    write_whole(tmp_path / "a.json", b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"old"


def test_a_checkpoint_is_on_disk_with_all_its_folders_before_it_counts(tmp_path, monkeypatch):
    synced: set[int] = set()
    missing: list[list[str]] = []
    fsync, replace = os.fsync, os.replace

    def seen(handle: int) -> None:
        fsync(handle)
        synced.add(os.fstat(handle).st_ino)

    def renamed(source: Path, target: Path) -> None:
        if target.name == "about.json":
            folder = target.parent
            needed = [tmp_path, folder.parent, folder, *(path for path in folder.rglob("*") if path != source)]
            missing.append([path.name for path in needed if path.stat().st_ino not in synced])
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen)
    monkeypatch.setattr(os, "replace", renamed)
    own = Identity(task="tiny", schema_version=8, qnewton=None, started="", options={})
    write_checkpoint(tmp_path, Checkpoint(1, own, 0.0, {"params": {"weight": np.ones(3)}}))
    assert missing == [[]]
    assert read_checkpoint(tmp_path, 1).arrays["params"]["weight"].tolist() == [1, 1, 1]


def test_of_a_checkpoint_that_fails_one_error_is_raised_and_nothing_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "unraisablehook", lambda found: print(found.exc_value))
    with contextlib.suppress(OSError), checkpoints._unlogged():
        logging.getLogger("absl").error("said by a thread")
        raise OSError("full")
    for words in ("Event loop is closed", "another one"):
        found: Any = SimpleNamespace(exc_value=RuntimeError(words))
        sys.unraisablehook(found)
    assert capsys.readouterr() == ("another one\n", "")
    assert logging.getLogger("absl").isEnabledFor(logging.ERROR)

    own = Identity(task="tiny", schema_version=8, qnewton=None, started="", options={})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"1 could not be written: .*No space left"):
        write_checkpoint(tmp_path, Checkpoint(1, own, 0.0, {"params": {"weight": np.ones(3)}}))
    assert not list(tmp_path.rglob("*"))
