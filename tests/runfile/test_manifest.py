"""The manifest of a run that has ended: an altered file is named, a torn tail is normal, and either can be read."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qnewton.lab._runfile import AlteredError, Record, RunDirectory, unverified, verify

NAMES = ("config.json", "calibration.json", "steps.jsonl", "blocks.jsonl", "summary.json")


class Line(Record, frozen=True):
    """Of a file."""

    step: int


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    """A run that has ended, one of its checkpoints among its files."""
    directory = RunDirectory(tmp_path)
    for name in ("config.json", "summary.json"):
        directory.write(name, Line(step=1))
    directory.append("steps.jsonl", [Line(step=k) for k in range(5)])
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    (tmp_path / "checkpoints" / "4" / "about.json").write_text("{}")
    directory.seal()
    return tmp_path


def test_it_has_every_file_but_those_of_others(ended):
    (ended / "notes.txt").write_text("mine")
    content = json.loads((ended / "manifest.json").read_text())
    assert sorted(content["files"]) == ["checkpoints/4/about.json", "config.json", "steps.jsonl", "summary.json"]
    # Independent of our own digests: what `sha256sum` prints for {} is known.
    known = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert content["files"]["checkpoints/4/about.json"] == {"bytes": 2, "sha256": known}
    assert verify(ended, NAMES) == []


def flip(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


def longer(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n")


def shorter(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 3)


def gone(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("harm", [flip, longer, shorter, gone])
@pytest.mark.parametrize("name", ["config.json", "steps.jsonl", "summary.json"])
def test_an_altered_file_is_named(harm: Callable[[Path], None], name, ended):
    harm(ended / name)
    if (harm, name) == (gone, "summary.json"):
        assert verify(ended, NAMES) == [], "which is how a killed run looks; what reads it says so"
        return
    with pytest.raises(AlteredError, match=rf"{name} (was altered|is missing|has \d+ of \d+ bytes).*--unverified"):
        verify(ended, NAMES)
    with unverified() as found:
        (note,) = verify(ended, NAMES)
        verify(ended, NAMES)
    assert len(found) == 1
    assert found[0] in note


def test_without_a_summary_lines_may_be_missing_and_nothing_else(ended):
    (ended / "summary.json").unlink()
    shorter(ended / "steps.jsonl")
    size = (ended / "steps.jsonl").stat().st_size
    assert verify(ended, NAMES) == [f"steps.jsonl has {size} of {size + 3} bytes."]
    flip(ended / "config.json")
    with pytest.raises(AlteredError, match=r"config\.json was altered"):
        verify(ended, NAMES)


def test_a_file_that_was_not_there_and_a_damaged_manifest(ended):
    (ended / "blocks.jsonl").touch()
    assert verify(ended, NAMES) == []
    (ended / "blocks.jsonl").write_text("{}\n")
    with pytest.raises(AlteredError, match=r"blocks\.jsonl was not there when the run ended"):
        verify(ended, NAMES)
    (ended / "blocks.jsonl").unlink()
    # One of another run is whole by itself: the message names it beside the file that it does not fit.
    other = RunDirectory(ended / "other")
    other.path.mkdir()
    other.write("config.json", Line(step=1000))
    own = (ended / "manifest.json").read_bytes()
    other.seal()
    (ended / "manifest.json").write_bytes((other.path / "manifest.json").read_bytes())
    with pytest.raises(AlteredError, match=r"config\.json has \d+ of \d+ bytes, by manifest\.json"):
        verify(ended, NAMES)
    (ended / "manifest.json").write_bytes(own)
    manifest = (ended / "manifest.json").read_text()
    (ended / "manifest.json").write_text(manifest.replace('"bytes": 2', '"bytes": 3'))
    with pytest.raises(AlteredError, match=r"manifest\.json was altered"):
        verify(ended, NAMES)
    (ended / "manifest.json").write_text("{")
    with pytest.raises(AlteredError, match=r"manifest\.json: not JSON"):
        verify(ended, NAMES)


def test_a_run_without_one_is_read_as_it_is(ended):
    (ended / "manifest.json").unlink()
    flip(ended / "steps.jsonl")
    assert verify(ended, NAMES) == []
