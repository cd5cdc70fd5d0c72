"""The numbers that the report computes, against the generator's own and by their defining properties."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnewton.lab._report import derive, units
from qnewton.lab._report.labels import block_labels, spread_out
from qnewton.lab._report.sweep import from_blocks, sweeps
from qnewton.lab._runfile import read_run


def test_the_sweep_from_the_blocks_is_the_one_of_the_summary(make_run, write_run):
    run = read_run(write_run(make_run(steps=7)))
    assert run.summary is not None
    found = from_blocks(run, "paper").rows
    assert [row.gate_time_s for row in found] == [row.gate_time_s for row in run.summary.by_gate_time]
    for ours, theirs in zip(found, run.summary.by_gate_time, strict=True):
        assert ours.quantum_share == theirs.quantum_share
        assert ours.predicted_seconds == pytest.approx(theirs.predicted_seconds, rel=1e-12)


def test_the_sweep_at_the_gate_time_of_the_run_is_the_run(make_run, write_run):
    run = read_run(write_run(make_run(steps=7, gate_time_s=1e-12)))
    for name in derive.assumption_sets(run):
        row = next(row for row in from_blocks(run, name).rows if row.gate_time_s == 1e-12)
        assert row.predicted_seconds == pytest.approx(derive.predicted_total(run, name), rel=1e-12)
        assert row.quantum_share == derive.quantum_share(run, name)


def test_without_any_quantum_solver_the_solves_are_what_is_left_of_the_total(make_run, write_run):
    run = read_run(write_run(make_run(steps=7)))
    assert run.summary is not None
    slow = sweeps(run)["paper"]
    whole, solves = slow.rows[-1].predicted_seconds, slow.rows[-1].solve_seconds
    assert whole is not None
    assert solves is not None
    assert slow.reported
    assert whole - solves + slow.classical_solve_seconds == pytest.approx(run.summary.predicted_seconds_all_classical)


def test_a_system_that_nobody_takes_adds_nothing(make_run, write_run):
    files = make_run(steps=2, blocks=2, gate_time_s=1e-18)
    entry = files["blocks"][0]["assumptions"]["paper"]
    everyone = list(entry["predicted_seconds"])
    assert entry["machine"] == "quantum"
    entry.update(predicted_seconds=dict.fromkeys(everyone), refused=dict.fromkeys(everyone, "not finite"))
    entry.update(choice=None, machine=None, verdict="nobody")
    entry["predicted_quantum_seconds_by_gate_time"] = {
        name: [[time, None] for time, _ in rows]
        for name, rows in entry["predicted_quantum_seconds_by_gate_time"].items()
    }
    run = read_run(write_run(files))
    assert derive.quantum_share(run, "paper") == 0.75
    others = [block.assumptions["paper"].predicted_quantum_seconds_by_gate_time for block in run.blocks[1:]]
    first = from_blocks(run, "paper").rows[0]
    assert first.quantum_share == 0.75
    assert first.solve_seconds == pytest.approx(sum(next(iter(rows.values()))[0][1] or 0.0 for rows in others))


def test_a_sum_with_an_unknown_term_is_unknown(make_run, write_run):
    files = make_run(steps=3)
    files["steps"][1]["predicted_seconds"]["end_to_end"].update(solve_quantum=None, total=None)
    run = read_run(write_run(files))
    assert derive.predicted_total(run, "end_to_end") is None
    assert all(row.predicted_seconds is None for row in from_blocks(run, "end_to_end").rows)
    assert derive.predicted_total(run, "paper") == pytest.approx(files["summary"]["predicted_seconds"]["paper"])


def test_break_even_counts_the_systems_without_one(make_run, write_run):
    files = make_run(steps=5, blocks=2)
    own = [line["assumptions"]["paper"]["break_even_gate_time_s"] for line in files["blocks"] if line["block"] == 1]
    (candidate,) = own[0]
    own[0][candidate], own[3][candidate] = None, 0.0
    values = [own[index][candidate] for index in (1, 2, 4)]
    row = next(row for row in derive.break_even(read_run(write_run(files)), "paper") if row.block == 1)
    assert (row.systems, row.never) == (5, 2)
    assert row.gate_time_s == derive.Spread(sorted(values)[1], min(values), max(values))


def test_the_most_favourable_candidate_comes_first(make_run, write_run):
    run = read_run(write_run(make_run(steps=2, blocks=1)))
    rows = derive.break_even(run, "end_to_end")
    assert [row.candidate for row in rows] == ["QLSA(dalzell2024)", "QLSA(jennings2023v1)"]


def test_sets_and_choices_have_one_order(make_run, write_run):
    run = read_run(write_run(make_run(steps=4)))
    assert derive.assumption_sets(run) == ["paper", "end_to_end"]
    machines = [choice.machine for choice in derive.choices(run)]
    assert machines == sorted(machines)


@given(st.integers(1, 400), st.integers(1, 50))
def test_columns_are_all_items_in_order(size, limit):
    groups = derive.columns(range(size), limit)
    assert list(itertools.chain(*groups)) == list(range(size))
    assert len(groups) == min(size, limit)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10).map(sorted), st.floats(0.01, 0.09))
def test_labels_are_apart_inside_and_in_order(heights, gap):
    found = spread_out(heights, gap)
    assert all(second - first >= gap - 1e-9 for first, second in itertools.pairwise(found))
    assert found[0] >= -1e-9
    assert found[-1] <= 1 + 1e-9


def test_labels_that_are_apart_stay():
    assert spread_out([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0 s"),
        (1e-18, "1.00 as"),
        (5e-8, "50.0 ns"),
        (0.0009999, "1.00 ms"),
        (0.99999, "1.00 s"),
        (1234.4, "1234 s"),
        (3.456e7, "3.46×10⁷ s"),
        (2.9e-19, "2.90×10⁻¹⁹ s"),
    ],
)
def test_seconds_as_text(value, text):
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "1.0"),
        (2.5, "316"),
        (4.0, "1.0×10⁴"),
        (3.9999, "1.0×10⁴"),
        (5.5, "3.2×10⁵"),
        (412.6, "10⁴¹³"),
    ],
)
def test_numbers_from_their_logarithm(value, text):
    assert units.from_log10(value) == text


@given(st.floats(1e-300, 1e300))
def test_no_positive_number_is_without_text(value):
    assert units.seconds(value)
    assert units.short_seconds(value)
    assert units.significant(value)
    assert units.from_log10(math.log10(value))


def test_long_names_lose_what_they_share():
    names = {index: f"encoder.layers.{index}.attention.query.kernel" for index in range(12)}
    labels = block_labels(names)
    assert len(set(labels.values())) == 12
    assert labels[11] == "11 …11.attention…"
    assert block_labels({0: "layers.0.weight"}) == {0: "0 layers.0.weight"}
    assert max(map(len, block_labels({0: "x" * 99, 1: "y" * 99}).values())) <= 20
