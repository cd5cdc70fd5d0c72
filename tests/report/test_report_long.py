"""The report of a run of which not all lines are drawn, and one that cannot be written."""

import pytest

from qnewton.lab._report import derive, sweep, write_report
from qnewton.lab._report.page import run_page
from qnewton.lab._report.render import html
from qnewton.lab._runfile import lines, read_run, run

STEPS = 60


def test_of_a_long_run_some_steps_are_drawn_and_all_are_summed(make_run, write_run, monkeypatch):
    path = write_run(make_run(steps=STEPS))
    whole = read_run(path)
    for module in (lines, run):
        monkeypatch.setattr(module, "KEPT", 50)
    monkeypatch.setattr(run, "DRAWN", 50)
    thin = read_run(path).thinned()
    assert whole.thinned() is not whole, "the fixture has several blocks a step"
    every = -(-len(whole.blocks) // 50)
    assert [step.step for step in thin.steps] == list(range(0, STEPS, every))
    assert [lines[0].step for lines in thin.decided] == [step.step for step in thin.steps]
    assert f"has {STEPS} steps. Figures and tables rest on every {every}th" in thin.notes[-1]
    for name in derive.assumption_sets(whole):
        assert derive.predicted_stages(thin, name) == derive.predicted_stages(whole, name)
    assert sweep.sweeps(thin) == sweep.sweeps(whole)
    page = html(run_page(thin))
    assert f"rest on every {every}th of them" in page
    assert f"steps.jsonl ({STEPS} lines), blocks.jsonl ({len(whole.blocks)} lines)" in page


def test_a_page_that_cannot_be_written_says_what_to_do(make_run, write_run):
    path = write_run(make_run(steps=2))
    (path / "report.html").mkdir()
    with pytest.raises(OSError, match=r"report\.html cannot be written \(Is a directory\): make room, or .* a copy"):
        write_report(path)
    assert not list(path.glob(".report*"))


def test_a_sum_folds_its_terms_and_an_unknown_term_makes_it_unknown(monkeypatch):
    assert derive.total([1e16, 1.0, 1.0, -1e16]) == 2.0
    monkeypatch.setattr(derive, "_TERMS", 3)
    assert derive.total([0.1] * 1000) == pytest.approx(100, rel=1e-14)
    assert derive.total([1.0, None, 2.0]) is None
    assert derive.total([]) == 0.0
