"""`benchmarks/mutants.py`: what it changes, which tests it finds for a line, and what its lists hold."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
SMALL = '''
LIMIT = 0.5


def far(x, *, scale=3):
    """Texts stay: 7 < 8."""
    if x < LIMIT:
        raise ValueError("no")
    return xp.where(x > 0, xp.sqrt(x) * scale, call(x, axis=1, dtype=2))
'''


@pytest.fixture(scope="module")
def parts() -> Iterator[SimpleNamespace]:
    """The benchmark's modules, as its script imports them."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import mutants  # pyright: ignore[reportMissingImports]
        from mutants_parts import changes, covering  # pyright: ignore[reportMissingImports]

        yield SimpleNamespace(mutants=mutants, changes=changes, covering=covering)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_each_kind_of_change_is_made_once_and_in_its_place(parts, tmp_path):
    file = tmp_path / "small.py"
    file.write_text(SMALL, encoding="utf-8")
    found = list(parts.changes.mutants_of(file))
    texts = [mutant.text() for mutant in found]
    assert len(set(texts)) == len(texts)
    assert found[0].unchanged() not in texts
    kinds = (
        "0.5 doubled, 0.5 + 1, 3 doubled, 3 + 1, 0 + 1, 1 + 1, 2 doubled, 2 + 1, Lt -> LtE, Gt -> GtE, Mult -> Div, "
        "sqrt -> square, condition holds, condition never holds, raise left out, where takes the first, "
        "where takes the second, axis= dropped"
    )
    assert sorted({mutant.what for mutant in found}) == sorted(kinds.split(", "))
    changed = {(mutant.line, mutant.what): text for mutant, text in zip(found, texts, strict=True)}
    assert "if x <= LIMIT:" in changed[7, "Lt -> LtE"]
    assert "return call(x, axis=1, dtype=2)" in changed[9, "where takes the second"]
    assert "call(x, dtype=2)" in changed[9, "axis= dropped"]
    spans = {mutant.what: mutant.span for mutant in found}
    # A number of the file is seen by whatever runs in it, a default by what runs in the function, the others by a line.
    assert (spans["0.5 doubled"], spans["3 doubled"], spans["Lt -> LtE"]) == ((1, 9), (5, 9), (7, 7))


def test_tests_are_found_by_the_lines_that_they_ran_though_lines_have_moved(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(parts.covering, "ROOT", tmp_path)
    (tmp_path / "code.py").write_text("new\na\nb\n", encoding="utf-8")
    kept = tmp_path / "map"
    covered = parts.covering.Map(kept, ("solvers",))
    texts = {"dear": ("x", 5.0), "cheap": ("y", 1.0)}
    for file, (own, seconds) in texts.items():
        (tmp_path / file).write_text(own, encoding="utf-8")
        (kept / "sources" / "then").write_text("a\nb\n", encoding="utf-8")
        tests = {f"{file}::{name}": seconds for name in ("before", "at", "after")}
        record = {
            "digest": parts.covering._digest(own),
            "packages": ["solvers"],
            "tests": tests,
            "lines": {"code.py": {"1": ["", f"{file}::at"], "2": [""]}},
            "sources": {"code.py": "then"},
        }
        (kept / f"{file}.json").write_text(json.dumps(record), encoding="utf-8")
    covered.make(tmp_path, ["dear", "cheap"], print)
    direct, later = covered.covering("code.py", (2, 2))
    assert list(direct.items()) == [("cheap::at", 1.0), ("dear::at", 5.0)]
    assert list(later) == ["cheap::after", "dear::after"]
    # What is run by an import alone, or was not there, has no tests.
    assert covered.covering("code.py", (3, 3)) == covered.covering("code.py", (1, 1)) == ({}, {})


def test_the_lists_name_files_and_reasons(parts):
    """Whether they still fit the source is for the script to say: it refuses, or runs a mutant again."""
    for one in json.loads(parts.mutants.NAMED.read_text(encoding="utf-8")):
        assert set(one) == {"name", "file", "old", "new", "tests"}
        assert one["old"] != one["new"]
        assert all((ROOT / "tests" / test).exists() for test in one["tests"])
    for one in json.loads(parts.mutants.EQUIVALENT.read_text(encoding="utf-8")):
        assert set(one) == {"file", "source", "column", "what", "why"}
        assert len(one["why"]) > 20
