"""A run's decisions taken once more: exactly its own, and those that other machines and policies would have taken."""

import json
import shutil

import numpy as np
import pytest

import qnewton.lab._experiments.replay
from qnewton.lab._experiments.replay import Question, replay
from qnewton.lab._experiments.saved import read_saved

QUANTUM = "QLSA(jennings2023v1)"


def choices_of(files, assumed="paper"):
    entries = [line["assumptions"][assumed] for line in files.blocks]
    return [None if entry["verdict"] == "nobody" else entry["choice"] for entry in entries]


def replayed(path, **question):
    run, found = replay(path, Question(**question))
    return run, found[0], [decision.choice for decision in found[0].decisions]


def seconds_of(one):
    """`[systems, candidates]`."""
    return np.asarray([list(decision.seconds.values()) for decision in one.decisions])


def test_with_nothing_changed_the_decisions_are_the_runs(mixed):
    run, one, names = replayed(mixed.path)
    assert len(set(names)) > 1, "a run that always chooses the same shows nothing"
    assert names == choices_of(mixed)
    assert (one.count("unchanged"), one.total, one.recorded) == (12, 12, True)
    assert run.notes == ()
    assert one.quantum_share == mixed.summary["quantum_share"]


def test_the_estimates_in_the_file_give_the_predictions_of_the_run(mixed):
    _, own, _ = replayed(mixed.path)
    _, slower, _ = replayed(mixed.path, gate_time_s=2 * 4e-8)
    assert not slower.recorded
    quantum = [name == QUANTUM for name in next(iter(own.decisions)).seconds]
    factors = np.where(quantum, 2.0, 1.0)
    # Twice the gate time is twice the quantum seconds; infinite stays infinite.
    np.testing.assert_allclose(seconds_of(slower), seconds_of(own) * factors, rtol=1e-6)


def test_another_gate_time_is_the_sweep_of_the_summary(mixed):
    for row in mixed.summary["by_gate_time"]:
        _, one, _ = replayed(mixed.path, gate_time_s=row["gate_time_s"])
        assert one.quantum_share == row["quantum_share"]
        assert one.solve_seconds == pytest.approx(row["predicted_solve_seconds"], rel=1e-5)


def test_other_policies_by_hand(mixed):
    run, own, _ = replayed(mixed.path)
    _, one, names = replayed(mixed.path, policy="fixed-candidate(lu)")
    assert set(names) == {"LU"}
    assert one.count("changed") == sum(name != "LU" for name in choices_of(mixed))
    _, _, names = replayed(mixed.path, policy="hysteresis(3.0)")
    last: dict[int, str] = {}
    expected = []
    for decision in own.decisions:
        seconds, before = decision.seconds, last.get(decision.line.block)
        best = min(seconds, key=lambda name: seconds[name])
        now = best if before is None or not seconds[before] <= 3.0 * seconds[best] else before
        last[decision.line.block] = now
        expected.append(now)
    assert names == expected
    found = [line.condition_number or np.inf for lines in run.decided for line in lines]
    limit = float(np.median(found))
    _, _, names = replayed(mixed.path, policy=f"kappa-threshold({limit!r})")
    above = [value > limit for value in found]
    assert not any(name == QUANTUM and high for name, high in zip(names, above, strict=True))


def test_other_assumptions_and_other_hardware(mixed):
    _, one, names = replayed(mixed.path, assumptions=("paper-sparse",), hardware="trapped-ion")
    assert not one.compared
    assert {decision.before for decision in one.decisions} == {None}
    assert len(names) == len(mixed.blocks)
    # A data sheet has no latency: what took a quarter of a millisecond by hand is then a matter of nanoseconds.
    _, one, names = replayed(mixed.path, classical="nvidia-h100-sxm")
    assert QUANTUM not in names
    assert seconds_of(one).min() < 1e-8


@pytest.mark.parametrize(
    "question",
    [{}, {"gate_time_s": 1e-7}, {"policy": "hysteresis(3.0)"}, {"policy": "makespan(vanish='quantum 0@2')"}],
    ids=str,
)
def test_a_run_that_is_decided_some_steps_at_a_time_is_decided_as_at_once(question, mixed, monkeypatch):
    whole, names = replayed(mixed.path, **question)[1:]
    lists = seconds_of(whole)
    for lines in (1, 7):
        monkeypatch.setattr(qnewton.lab._experiments.replay, "PIECE", lines)
        found, again = replayed(mixed.path, **question)[1:]
        assert again == names
        assert (found.outcomes, found.takers) == (whole.outcomes, whole.takers)
        assert found.first_changed == whole.first_changed
        np.testing.assert_array_equal(seconds_of(found), lists)
        np.testing.assert_allclose(
            [found.solve_seconds, found.classical_seconds], [whole.solve_seconds, whole.classical_seconds], rtol=1e-12
        )


@pytest.fixture(scope="module")
def dealt(run, options_of, tmp_path_factory):
    """A run whose blocks are dealt out, and whose quantum worker vanishes."""
    options = options_of(
        partition="per-tensor",
        adaptation="fixed",
        learning_rate=0.5,
        steps=3,
        gate_time_s=1e-9,
        gate_times_s=(1e-9,),
        policy=f"makespan(classical_workers=2, transfer_s={2.0**-13}, vanish='quantum 0@2')",
    )
    return run(options, tmp_path_factory.mktemp("dealt"))


def test_a_steps_seconds_are_its_makespan(dealt, made):
    for number, step in enumerate(dealt.steps):
        schedule = step["predicted_schedule"]["paper"]
        lines = [line["assumptions"]["paper"] for line in dealt.blocks if line["step"] == number]
        busy = {}
        for entry in lines:
            if entry["worker"] is not None:
                seconds = entry["predicted_seconds"][entry["choice"]]
                moved = 2.0**-13 if entry["machine"] == "quantum" else 0.0
                busy[entry["worker"]] = busy.get(entry["worker"], 0.0) + seconds + moved
        assert max(busy.values()) == pytest.approx(schedule["makespan_s"])
        assert schedule["lower_bound_s"] <= schedule["makespan_s"] * (1 + 1e-9)
        parts = step["predicted_seconds"]["paper"]
        stages = sum(parts[name] for name in ("gradient", "curvature", "conditioning", "estimation"))
        assert parts["total"] == pytest.approx(stages + schedule["makespan_s"])
    # All three blocks are fastest on the quantum worker, and wait for each other there; dealt out they do not.
    entries = [line["assumptions"]["paper"] for line in dealt.blocks]
    assert {entry["machine"] for entry in entries[:3]} == {"quantum"}
    spans = [step["predicted_schedule"]["paper"]["makespan_s"] for step in dealt.steps]
    assert spans[1] < 0.9 * spans[0]
    assert set(dealt.steps[1]["predicted_schedule"]["paper"]["finish_s"]) == {"classical 0", "classical 1", "quantum 0"}
    # Two workers are left for three blocks.
    assert set(dealt.steps[2]["predicted_schedule"]["paper"]["finish_s"]) == {"classical 0", "classical 1"}
    assert {entry["machine"] for entry in entries[6:]} == {"classical"}
    assert spans[2] == pytest.approx(2 * made.cholesky)


def test_a_dealt_run_is_replayed_exactly_and_without_its_worker(dealt):
    _, one, names = replayed(dealt.path)
    assert names == choices_of(dealt)
    spans = [step["predicted_schedule"]["paper"]["makespan_s"] for step in dealt.steps]
    assert one.solve_seconds == pytest.approx(sum(spans))
    policy = "makespan(quantum_workers=0)"
    with pytest.raises(ValueError, match="no worker"):
        replayed(dealt.path, policy="makespan(classical_workers=0, quantum_workers=0)")
    _, _, names = replayed(dealt.path, policy=policy)
    # The first step is the fastest's, before anything was predicted.
    assert set(names[3:]) == {"Cholesky"}


def broken(mixed, tmp_path, name, change):
    path = tmp_path / "run"
    shutil.copytree(mixed.path, path)
    (path / "manifest.json").unlink(missing_ok=True)
    change(path / name)
    return path


def rewrite(**fields):
    return lambda file: file.write_text(json.dumps(json.loads(file.read_text()) | fields))


BROKEN = {
    "of another version": (
        "config.json",
        rewrite(schema_version=3, digests={}),
        "schema_version is 3, and this version of qnewton reads 9",
    ),
    "of a complete optimizer": (
        "config.json",
        rewrite(optimizer="kfac", digests={}),
        "complete optimizer.*no decisions",
    ),
    "without a step": ("blocks.jsonl", lambda file: file.write_text(""), "no whole step"),
    "not a run": ("config.json", lambda file: file.unlink(), "no config.json"),
}


@pytest.mark.parametrize(("name", "change", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_runs_that_cannot_be_replayed_say_why(name, change, message, mixed, tmp_path):
    with pytest.raises((ValueError, OSError), match=message):
        read_saved(broken(mixed, tmp_path, name, change))


def test_a_step_that_was_cut_off_is_left_out(mixed, tmp_path):
    def cut(file):
        file.write_text(file.read_text()[:-200])

    run, one, names = replayed(broken(mixed, tmp_path, "blocks.jsonl", cut))
    assert len(run.decided) == 3
    assert len(run.notes) == 2
    assert names == choices_of(mixed)[: len(names)]
    assert one.count("unchanged") == one.total == 9


BAD = {
    "a classical machine": ({"hardware": "nvidia-h100-sxm"}, "classical machine"),
    "a quantum one": ({"classical": "superconducting"}, "quantum machine"),
    "an unknown one": ({"hardware": "supercondukting"}, "did you mean 'superconducting'"),
    "a policy without its option": ({"policy": "budget"}, "budget needs limit"),
    "no such candidate": ({"policy": "fixed-candidate(cg)"}, "unknown candidate 'cg'"),
    "everybody vanishes": (
        {"policy": "makespan(vanish=('quantum 0@1', 'classical 0@3'))"},
        "every worker",
    ),
    "nobody of that name": ({"policy": "makespan(vanish='qpu@1')"}, "unknown worker 'qpu'"),
    "no step": ({"policy": "makespan(vanish='quantum 0')"}, "first step"),
}


@pytest.mark.parametrize(("question", "message"), BAD.values(), ids=BAD.keys())
def test_questions_that_make_no_sense_say_why(question, message, mixed):
    with pytest.raises(ValueError, match=message):
        replay(mixed.path, Question(**question))
