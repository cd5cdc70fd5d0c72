"""What a complete optimizer's run files say of its systems: who solves them, what each candidate would take, totals."""

import dataclasses
import math
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qnewton as q
from qnewton._core.status import Refusal, Verdict
from qnewton._optim.kfac_state import KFACInfo
from qnewton._pricing.assumptions import end_to_end, paper
from qnewton._pricing.group import Group
from qnewton._pricing.need import NEED
from qnewton._pricing.offers import Offers
from qnewton._scheduling.contests import contests
from qnewton._scheduling.families import default_scheduler
from qnewton._scheduling.group_plan import GroupPlan, PackedPlans
from qnewton.lab._experiments.ledger import Ledger
from qnewton.lab._experiments.replay import Question, replay
from qnewton.lab._experiments.replay_prices import quantum_bounds
from qnewton.lab._experiments.system_lines import group_lines
from qnewton.lab._experiments.task_options import TASKS, Registered
from qnewton.lab._runfile import plain, set_totals
from qnewton.lab._runfile import read_run as read_records

from .conftest import tiny

SETS = ["end_to_end", "paper"]


@pytest.fixture(scope="module")
def files(run, options_of, tmp_path_factory):
    """Three steps of K-FAC, whose refreshes serve several steps."""
    return run(options_of("kfac", steps=3), tmp_path_factory.mktemp("kfac"))


def outcomes(path: Any, **question: Any) -> tuple[dict[str, Any], set[str]]:
    """A replay's decisions by set, and their outcomes."""
    found = {one.assumed: one.decisions for one in replay(path, Question(**question))[1]}
    return found, {decision.outcome for own in found.values() for decision in own}


class TestRun:
    def test_a_line_has_the_seconds_that_the_contest_has(self, files) -> None:
        # Of the hidden layer four inputs and the bias, of the last one three inputs.
        shapes = {"layers of 5 x 3": (5, 3), "layers of 3 x 3": (3, 3)}
        scheduler, lines = default_scheduler(), files.blocks
        assert {line["name"] for line in lines} == set(shapes)
        for line in lines:
            group = Group(line["name"], shapes[line["name"]], 1, serves=line["serves"])
            least: Any = contests(scheduler, [group])[0].least
            assert (line["n"], line["count"], line["vectors"]) == (math.prod(group.factors), 1, 1)
            assert list(line["assumptions"]) == SETS
            for row, name in enumerate(SETS):
                entry = line["assumptions"][name]
                seconds = entry["predicted_seconds"]
                assert list(seconds) == list(least.names)
                assert list(seconds.values()) == pytest.approx(least.seconds[row], rel=1e-6)
                assert list(entry["queries"]) == entry["at_least"] == ["QLSA(jennings2023v1)"]
                assert entry["choice"] == least.names[int(np.argmin(least.seconds[row]))]

    def test_settled_groups_are_written_once_and_read_for_every_step(self, files) -> None:
        assert [step["systems"] for step in files.steps] == [2, 0, 0]
        run = read_records(files.path)
        assert (list(run.decided), run.held) == ([run.blocks], (3,))
        assert [plain(line) for line in run.blocks] == files.blocks
        assert {line.group for line in run.blocks} == {True}

    def test_the_totals_are_the_sums_over_the_steps(self, files) -> None:
        lines = files.blocks
        for name in SETS:
            entries = [line["assumptions"][name] for line in lines]
            taken = sum(entry["predicted_seconds"][entry["choice"]] for entry in entries)
            counts = Counter(entry["choice"] for entry in entries)
            total = files.summary["systems"][name]
            assert total["predicted_seconds"] == pytest.approx(3 * taken)
            assert total["solved_by"] == {choice: 3 * count for choice, count in counts.items()}
            assert (total["modelled_seconds"], total["open"]) == (0, 0)

    def test_the_family_stands_in_the_config(self, files) -> None:
        assert files.config["family"] == {
            "name": "kfac",
            "because": "",
            "acting": "end_to_end",
            "gate_time_s": 50e-9,
            "relative_error": NEED,
            "layers": {"matrix product": 1.0},
            "outside": {},
        }

    def test_recipe_says_why_and_may_find_no_layers(self, run, options_of, tmp_path, monkeypatch) -> None:
        small = tiny("float32")

        def predict(params: Any, x: Any) -> jax.Array:
            return jnp.tanh(x @ params["weight"]) * jnp.sum(jnp.sin(params["gains"]))

        def init(key: jax.Array) -> Any:
            return {"weight": jax.random.normal(key, (4, 3)) / 2, "gains": jnp.linspace(0.1, 0.2, 120)}

        objective = q.Objective(predict, small.objective.loss)
        odd = dataclasses.replace(small, init=init, objective=objective, accuracy=None)
        monkeypatch.setitem(TASKS, "tiny", Registered(lambda dtype: odd))
        files = run(options_of("default"), tmp_path / "run")
        assert files.config["optimizer"] == "block_newton"
        assert files.config["family"]["name"] == "blocks"
        assert "layers hold only 9% of the parameters" in files.config["family"]["because"]
        assert files.config["family"]["acting"] == "end_to_end"
        (line,) = files.blocks
        assert line["name"].startswith("block of ")
        assert list(line["assumptions"]["end_to_end"]["predicted_seconds"]) == [
            "CG",
            "Cholesky",
            "LU",
            "QLSA(jennings2023v1)",
        ]
        # What is expected of many iterations is no bound.
        assert line["assumptions"]["end_to_end"]["at_least"] == ["QLSA(jennings2023v1)"]
        assert files.steps[1]["systems"] == 0
        assert sum(files.summary["systems"]["end_to_end"]["solved_by"].values()) == 2
        assert outcomes(files.path)[1] == {"unchanged", "open"}
        assert files.summary["statuses"] == {"ok": 2}


class TestReplay:
    def test_with_nothing_changed_everything_is_as_it_was(self, files) -> None:
        found, _ = outcomes(files.path)
        assert [(name, one.outcome, one.steps) for name in found for one in found[name]] == [
            (name, "unchanged", 3) for name in SETS for _ in range(2)
        ]

    def test_the_bounds_that_it_finds_are_those_of_the_run(self, files) -> None:
        run, _ = replay(files.path, Question())
        for line in run.decided[0]:
            for name in SETS:
                made = quantum_bounds(
                    line, name, default_scheduler(), default_scheduler().quantum, "float32", dual=False
                )
                assert made == {
                    one: pytest.approx(line.assumptions[name].predicted_seconds[one], rel=1e-5)
                    for one in line.assumptions[name].queries
                }

    def test_a_fast_machine_leaves_it_open_and_an_ordinary_one_does_not(self, files) -> None:
        fast = outcomes(files.path, gate_time_s=1e-18, assumptions=("paper",))[0]["paper"]
        assert {(one.outcome, one.choice, one.rivals[-1]) for one in fast} == {("open", None, "QLSA(jennings2023v1)")}
        slow, _ = outcomes(files.path, gate_time_s=1e-6, assumptions=("logical", "paper"))
        assert {name: [one.outcome for one in own] for name, own in slow.items()} == {
            "logical": ["new"] * 2,
            "paper": ["unchanged"] * 2,
        }

    def test_another_policy_decides_otherwise(self, files) -> None:
        _, (found, _) = replay(files.path, Question(policy="fixed-candidate(lu)"))
        assert {(one.choice, one.rivals) for one in found.decisions} == {("LU", ())}
        assert {one.outcome for one in found.decisions} == {"changed"}
        assert (found.count("changed"), found.total, found.quantum_share) == (6, 6, 0)
        expected = [
            3 * (one.line.assumptions["end_to_end"].predicted_seconds["LU"] or math.nan) for one in found.decisions
        ]
        assert found.solve_seconds == pytest.approx(sum(expected))
        # As much as nothing costs nobody can keep inside of, and then the cheapest is taken.
        broke = outcomes(files.path, policy="budget(1e-30)")[0]["end_to_end"]
        assert [one.choice for one in broke] == [one.before and one.before.choice for one in found.decisions]

    @pytest.mark.parametrize(
        ("question", "message"),
        [
            (Question(classical="nvidia-h100-sxm"), "--classical is nvidia-h100-sxm"),
            (Question(policy="makespan"), "--policy is makespan"),
            (Question(hardware="nvidia-h100-sxm"), "a classical machine"),
        ],
        ids=["classical", "policy", "hardware"],
    )
    def test_what_bounds_cannot_answer_is_refused(self, files, question, message) -> None:
        with pytest.raises(ValueError, match=message):
            replay(files.path, question)


SCHEDULER = q.Hybrid(
    [q.solvers.Cholesky(), q.solvers.CG(), q.solvers.QLSA()],
    quantum=default_scheduler().quantum,
    assumptions=[end_to_end(), paper()],
)


def plan(seconds: Any, refusal: Any, choice: Any, *, estimated: Any, log_kappa: float = math.nan) -> GroupPlan:
    """Of three systems; what is not said is nothing to the lines."""
    refused: Any = np.asarray(refusal, np.int32)
    size: Any = np.asarray([7, 3, 2, 5], np.int32)
    verdict: Any = np.full(2, Verdict.CHOSEN, np.int32)
    kappa: Any = np.float32(log_kappa)
    quantum, feasible = (False, False, True), refused == Refusal.NONE
    found: Any = np.asarray(seconds, np.float32)
    none: Any = np.zeros_like(found)
    no: Any = np.zeros(found.shape, bool)
    rest: Any = dict.fromkeys(("fixed_seconds", "queries", "copies", "success_probability"), none)
    offers = Offers(
        SCHEDULER.names,
        quantum,
        found,
        feasible,
        kappa,
        refusal=refused,
        clamped=no,
        expected_steps=none[0],
        **rest,  # pyright: ignore[reportArgumentType]
    )
    estimated = np.asarray(estimated)
    owners, second = np.full((1, 3), -1, np.int32), np.asarray(np.nan)
    return GroupPlan("things", size, offers, np.asarray(choice), verdict, estimated, owners, second)  # pyright: ignore[reportArgumentType]


def entries(made: GroupPlan) -> dict[str, Any]:
    (line,) = group_lines(5, [made], SCHEDULER)
    assert (line.n, line.count, line.vectors, line.serves) == (7, 3, 2, 5)
    return line.assumptions


OUT = int(Refusal.UNDERCUT)


class TestBounds:
    def test_a_bound_below_the_sure_candidate_leaves_the_choice_open(self) -> None:
        found = entries(
            plan([[1.0, 2.0, 9.0], [1.0, 2.0, 0.5]], [[0, OUT, OUT], [0, OUT, 0]], [0, -1], estimated=False)
        )
        assert (found["end_to_end"].choice, found["end_to_end"].verdict) == ("Cholesky", "chosen")
        assert (found["paper"].choice, found["paper"].verdict) == (None, "open")
        assert found["paper"].at_least == ("CG", "QLSA(jennings2023v1)")
        # Undercut by what is sure, under each set by its own bounds.
        assert set(found["end_to_end"].refused) == {"CG", "QLSA(jennings2023v1)"}
        assert set(found["paper"].refused) == {"CG"}

    def test_what_was_estimated_has_no_bounds_and_a_choice_under_every_set(self) -> None:
        seconds = [[1.0, 0.8, 9.0], [1.0, 0.8, 0.5]]
        made = plan(seconds, [[0, 0, OUT], [0, 0, 0]], [1, 2], estimated=True, log_kappa=math.log(1e4))
        found = entries(made)
        assert (found["end_to_end"].choice, found["end_to_end"].verdict) == ("CG", "chosen")
        assert (found["paper"].choice, found["paper"].verdict) == ("QLSA(jennings2023v1)", "chosen")
        assert found["paper"].at_least == found["end_to_end"].at_least == ()
        (line,) = group_lines(0, [made], SCHEDULER)
        assert line.estimated
        assert line.log10_condition_number == pytest.approx(4)

    def test_infinite_seconds_are_null_and_the_reason_is_said(self) -> None:
        refusal = [[0, int(Refusal.NOT_DEFINITE), int(Refusal.OUT_OF_RANGE)]] * 2
        found = entries(plan([[1.0, math.inf, math.inf]] * 2, refusal, [0, 0], estimated=True))
        assert found["paper"].predicted_seconds == {"Cholesky": 1.0, "CG": None, "QLSA(jennings2023v1)": None}
        assert found["paper"].refused["CG"] == "needs a positive definite matrix"
        assert found["paper"].at_least == ()

    def test_nobody_is_no_choice(self) -> None:
        made = plan([[math.inf] * 3] * 2, [[int(Refusal.NOT_FINITE)] * 3] * 2, [0, 0], estimated=True)
        made = dataclasses.replace(made, verdict=np.full(2, Verdict.NOBODY, np.int32))  # pyright: ignore[reportArgumentType]
        assert {(one.choice, one.verdict) for one in entries(made).values()} == {(None, "nobody")}

    def test_a_group_of_no_systems_is_none(self) -> None:
        blank = PackedPlans.blank(SCHEDULER, ["things"], jnp.dtype("float32"), [(1, 3)])
        assert group_lines(0, blank.plans, SCHEDULER) == []


def recorded(ledger: Ledger, made: GroupPlan) -> Any:
    zero, no, status = np.zeros(()), np.zeros((), bool), np.zeros(1, int)
    numbers: Any = (
        *[zero] * 8,
        no,
        zero,
        no,
        no,
        zero,
        status,
        PackedPlans.of(SCHEDULER, [made], jnp.dtype("float32")),
    )
    info: Any = KFACInfo(*numbers)
    return ledger.record(info, epoch=0.0, measured_seconds=1.0)


class TestLedger:
    sure = plan([[1.0, 2.0, 9.0], [1.0, 2.0, 0.5]], [[0, OUT, OUT]] * 2, [0, -1], estimated=False)
    quantum = plan([[1.0, 2.0, 0.25]] * 2, [[0, OUT, 0]] * 2, [2, 2], estimated=True)

    def test_it_writes_what_changed_and_the_reader_fills_in(self) -> None:
        ledger = Ledger(SCHEDULER)
        found = [recorded(ledger, made) for made in (self.sure, self.sure, self.quantum, self.sure)]
        assert [step.systems for step, _ in found] == [len(lines) for _, lines in found] == [1, 0, 1, 1]
        assert [line.step for _, lines in found for line in lines] == [0, 2, 3]
        assert ledger.totals()["quantum_share"] == 1 / 4

    def test_one_that_goes_on_writes_nothing_that_stands_there(self) -> None:
        first = Ledger(SCHEDULER)
        found = [recorded(first, made) for made in (self.sure, self.sure)]
        second = Ledger(SCHEDULER)
        second.restore([step for step, _ in found], [line for _, lines in found for line in lines], {})
        step, lines = recorded(second, self.sure)
        assert (step.step, step.systems, lines) == (2, 0, [])
        assert second.totals()["systems"]["end_to_end"].solved_by == {"Cholesky": 9}

    def test_predicted_and_modelled_seconds_are_summed_apart(self) -> None:
        ledger = Ledger(SCHEDULER)
        lines = [recorded(ledger, made)[1] for made in (self.sure, self.quantum, self.quantum)]
        found = set_totals(lines[:2], [1, 2])
        assert found == ledger.totals()["systems"]
        assert (found["end_to_end"].predicted_seconds, found["end_to_end"].modelled_seconds) == (1.0, 0.5)
        assert found["end_to_end"].solved_by == {"Cholesky": 3, "QLSA(jennings2023v1)": 6}
        assert (found["paper"].predicted_seconds, found["paper"].modelled_seconds) == (0.0, 0.5)
        assert found["paper"].open == 3


class TestNamedCandidates:
    """What a user says of the scheduler acts on the systems of a family."""

    def test_a_fast_quantum_machine_takes_every_layer_and_replay_agrees(self, run, options_of, tmp_path) -> None:
        options = options_of("default", solvers=("lu", "qlsa"), assumptions=("paper",), gate_time_s=1e-18)
        files = run(options, tmp_path / "run")
        assert files.config["options"]["family"] == "automatic"
        assert (files.config["optimizer"], files.config["family"]["acting"]) == ("kfac", "paper")
        assert {line["assumptions"]["paper"]["choice"] for line in files.blocks} == {"QLSA(jennings2023v1)"}
        assert files.summary["quantum_share"] == 1
        assert outcomes(files.path)[1] == {"unchanged"}

    def test_one_solver_is_the_only_candidate(self, run, options_of, tmp_path) -> None:
        files = run(options_of("default", solvers=("cholesky",)), tmp_path / "run")
        assert files.summary["systems"]["end_to_end"]["solved_by"] == {"Cholesky": 4}
        assert set(files.summary["systems"]) == {"end_to_end", "paper"}

    def test_a_family_is_named(self, run, options_of, tmp_path) -> None:
        options = dataclasses.replace(options_of("default", learning_rate=0.02), family="fisher")
        files = run(options, tmp_path / "run")
        assert files.config["family"]["name"] == "fisher"
        assert files.steps[0]["learning_rate"] == pytest.approx(0.02)
