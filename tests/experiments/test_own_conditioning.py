"""A candidate with conditioning of its own: what a run records of its system, and what is made of that."""

import json
import shutil

import numpy as np
import pytest

from qnewton.lab._cli import main
from qnewton.lab._experiments import checks
from qnewton.lab._experiments.replay import Question, replay
from qnewton.lab._runfile import read_run

BARE = "QLSA(jennings2023v1)"
NAME = f"Conditioned({BARE}, Prune(0.4), Damp(0.3))"
GATE = 4e-8
OWN = "conditioned(qlsa, prune(0.5), always=true)"


@pytest.fixture(scope="module")
def owned(run, options_of, tmp_path_factory):
    """A run in which the quantum candidate prunes and damps for itself."""
    options = options_of(
        conditioners=("damp(0.05)",),
        adaptation="fixed",
        learning_rate=0.5,
        gate_time_s=GATE,
        gate_times_s=(GATE, 1e-15),
        assumptions=("paper", "paper-sparse"),
        solvers=("cholesky", "lu", "conditioned(qlsa, (prune(0.4), damp(0.3)), always=true)"),
        calibration="profile",
        policy="fixed-candidate(conditioned)",
    )
    return run(options, tmp_path_factory.mktemp("owned"))


def test_the_record_has_its_numbers_and_what_they_cost(owned):
    for line in owned.blocks:
        own = line["own"][NAME]
        assert own["solver"] == BARE
        assert own["degree"] < line["degree"] == line["n"]
        # 0.05 of the largest entry are added for everybody, 0.3 more for this one.
        assert own["log10_condition_number"] < line["log10_condition_number"]
        paid = own["predicted_conditioning_seconds"] + own["predicted_estimation_seconds"]
        assert min(own[f"predicted_{what}_seconds"] for what in ("conditioning", "estimation")) > 0
        for entry, without in ((line["assumptions"][name], own["without"][name]) for name in ("paper", "paper-sparse")):
            assert entry["predicted_seconds"][NAME] == pytest.approx(entry["queries"][NAME] * GATE + paid, rel=1e-5)
            assert without["predicted_seconds"] == pytest.approx(without["queries"] * GATE, rel=1e-5)
            assert entry["queries"][NAME] < without["queries"]
            # The part that no gate time scales.
            (_, now), (_, never) = entry["predicted_quantum_seconds_by_gate_time"][NAME]
            assert now == entry["predicted_seconds"][NAME]
            assert never == pytest.approx(paid, rel=1e-3)
        assert {"Cholesky", "LU", NAME} == set(line["assumptions"]["paper"]["predicted_seconds"])


def test_what_it_paid_is_no_quantum_solve_of_the_step(owned, made):
    for step, line in zip(owned.steps, owned.blocks, strict=True):
        parts, entry, own = step["predicted_seconds"]["paper"], line["assumptions"]["paper"], line["own"][NAME]
        assert entry["choice"] == NAME
        assert parts["solve_quantum"] == pytest.approx(entry["queries"][NAME] * GATE, rel=1e-5)
        for what in ("conditioning", "estimation"):
            shared = getattr(made, what)
            assert parts[what] == pytest.approx(shared + own[f"predicted_{what}_seconds"], rel=1e-6)
        stages = made.gradient + made.curvature + made.conditioning + made.estimation
        assert parts["total"] == pytest.approx(stages + entry["predicted_seconds"][NAME], rel=1e-6)


def seconds_of(one):
    return np.asarray([decision.seconds[NAME] for decision in one.decisions])


def test_it_is_replayed_and_priced_anew(owned):
    _, found = replay(owned.path, Question())
    assert [one.count("unchanged") for one in found] == [len(owned.blocks)] * 2
    _, (slower, _) = replay(owned.path, Question(gate_time_s=2 * GATE))
    own = [line["own"][NAME] for line in owned.blocks]
    paid = [one["predicted_conditioning_seconds"] + one["predicted_estimation_seconds"] for one in own]
    expected = 2 * (seconds_of(found[0]) - paid) + paid
    np.testing.assert_allclose(seconds_of(slower), expected, rtol=1e-5)
    # On another classical machine other seconds are paid.
    _, (elsewhere, _) = replay(owned.path, Question(classical="nvidia-h100-sxm"))
    queries = [line["assumptions"]["paper"]["queries"][NAME] for line in owned.blocks]
    left = seconds_of(elsewhere) - np.asarray(queries) * GATE
    assert np.all(left < 0.5 * np.asarray(paid))


def test_explain_says_what_it_bought(owned, capsys):
    assert main(["explain", str(owned.path), "--step", "1"]) == 0
    said = capsys.readouterr().out
    line = owned.blocks[-1]
    own = line["own"][NAME]
    before, after = line["log10_condition_number"], own["log10_condition_number"]
    assert f"condition number 10^{before:.2f} -> 10^{after:.2f}, degree {line['degree']} -> {own['degree']}" in said
    assert f"paid {own['predicted_conditioning_seconds']:.3g} s for conditioning" in said
    assert "its solver alone -> it: " in said
    assert main(["explain", str(owned.path), "--json", "--set", "paper-sparse"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["systems"]
    (bought,) = found["bought"]
    entry = owned.blocks[0]["assumptions"]["paper-sparse"]
    without = owned.blocks[0]["own"][NAME]["without"]["paper-sparse"]
    assert bought["queries"] == [without["queries"], entry["queries"][NAME]]
    assert bought["predicted_seconds"] == [without["predicted_seconds"], entry["predicted_seconds"][NAME]]
    assert bought["bare"] is None


def test_a_run_that_was_written_before_there_were_such_candidates_is_read(mixed, tmp_path):
    path = shutil.copytree(mixed.path, tmp_path / "run")
    lines = [json.loads(line) for line in (path / "blocks.jsonl").read_text().splitlines()]
    assert all(line.pop("own") == {} and line.pop("crc32") for line in lines)
    (path / "blocks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path / "manifest.json").unlink()
    assert all(line.own == {} for line in read_run(path).blocks)
    assert replay(path, Question())[1][0].count("unchanged") == len(lines)


EXCLUDED = {
    "no floor": ({"estimator": "certified", "solvers": ("lu", OWN)}, "certified needs a system .* does not leave"),
    "a family": (
        {"preset": "default", "solvers": ("lu", OWN)},
        "--solvers names conditioned.*--family automatic, go to",
    ),
}


@pytest.mark.parametrize(("changes", "message"), EXCLUDED.values(), ids=EXCLUDED.keys())
def test_options_that_exclude_each_other_say_so(changes, message, options_of):
    with pytest.raises(ValueError, match=message):
        checks.check(options_of(**changes))


def test_a_shift_of_its_own_keeps_the_floor(options_of):
    checks.check(options_of(estimator="certified", solvers=("lu", "conditioned(qlsa, damp(0.5), always=true)")))
