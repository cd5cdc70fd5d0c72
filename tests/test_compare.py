"""`benchmarks/compare.py`: what it makes of figures that were written down by hand."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "compare.py"
BASELINE = SCRIPT.parent / "baseline.json"


@pytest.fixture(scope="module")
def compare() -> Any:
    spec = importlib.util.spec_from_file_location("compare_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


def test_rounds_belong_together_where_trees_were_measured_in_turn(compare: Any) -> None:
    old, new = ({"kfac": {"step": numbers}} for numbers in ([1.0, 2.0, 4.0], [2.0, 2.0, 12.0]))
    found = compare.ratios(old, new, paired=True)["kfac"]["step"]
    assert (found["ratio"], found["spread"], found["ratio_of_least"]) == (2.0, [1.0, 3.0], 2.0)
    assert compare.ratios(old, new, paired=False)["kfac"]["step"]["spread"] == [1.0, 6.0]


def test_a_machine_that_is_three_times_as_slow_is_no_change(compare: Any) -> None:
    here = {"adam": {"step": [1.0, 2.0]}, "kfac": {"step": [10.0, 22.0]}}
    there = {way: {"step": [3 * one for one in of_way["step"]]} for way, of_way in here.items()}
    found = compare.ratios(*map(compare.in_yardsticks, (here, there)), paired=False)
    assert list(found) == ["kfac"]
    assert found["kfac"]["step"]["ratio"] == pytest.approx(1)


def test_two_results_of_any_benchmark_are_compared_number_by_number(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text('a line before it\n{"a": {"s": 2.0, "same": 1}, "list": [1, 5], "gone": 1, "flag": true}\n')
    new.write_text(json.dumps({"a": {"s": 3.0, "same": 1}, "list": [1, 4], "flag": False}, indent=1))
    done = ran(str(old), str(new))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["differ"] == {
        "a.s": {"old": 2.0, "new": 3.0, "ratio": 1.5},
        "list[1]": {"old": 5.0, "new": 4.0, "ratio": 0.8},
    }


def test_the_kept_baseline_says_what_it_was_measured_on(compare: Any) -> None:
    kept = compare.last_object(BASELINE)
    assert {"commit", "load", "machine", "cores", "python", "versions", "date"} <= set(kept)
    assert set(kept["figures"]) <= set(compare.WAYS)
    assert all(set(of_way) == set(compare.MEASURES) for of_way in kept["figures"].values())
    assert compare.in_yardsticks(kept["figures"])
    assert compare.ratios(*[compare.in_yardsticks(kept["figures"])] * 2, paired=True)["kfac"]["lines"]["ratio"] == 1


def test_what_is_neither_file_nor_tree_nor_commit_is_named() -> None:
    done = ran("no-such-commit", "no-such-file.json")
    assert done.returncode == 1
    assert done.stderr.startswith("no-such-commit is no file, no checkout and no commit")
    assert "Give OLD and NEW" in ran(".").stderr
