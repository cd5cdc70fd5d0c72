"""What a comparison decides: grids and their extension, modelled seconds, targets; all by hand."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from qnewton.lab._experiments import build, checks
from qnewton.lab._experiments.compare import answer, tuning
from qnewton.lab._experiments.compare.methods import (
    LARGEST_DENSE,
    LARGEST_PREDICTED,
    METHODS,
    Grid,
    check_methods,
    missing,
)
from qnewton.lab._experiments.compare.tuning import TuningTrial, next_round
from qnewton.lab._runfile import PredictedSeconds, StepLine, SystemLine, read_run

RUN = Path(__file__).parents[1] / "runfile" / "schema6" / "last"


def trials(scores: dict[float, float | None]) -> list[TuningTrial]:
    return [
        TuningTrial(value, score, "diverged" if score is None else "finished", 5, 0) for value, score in scores.items()
    ]


def test_a_grid_goes_around_its_centre_and_reads_well() -> None:
    assert Grid(0.3, 10**0.5).first(5) == (0.03, 0.0949, 0.3, 0.949, 3.0)
    assert Grid(20, 2, low=1, whole=True).first(3) == (10, 20, 40)
    assert Grid(1.0, 10.0).first(1) == (1.0,)
    grid = Grid(20, 2, low=1, high=40, whole=True)
    assert grid.beyond(40, above=True) is None
    assert grid.beyond(10, above=False) == 5
    assert grid.between(1, 2) is None
    assert grid.between(5, 20) == 10


def test_a_best_value_inside_every_grid_ends_the_tuning() -> None:
    sgd = METHODS["sgd"]
    assert next_round({"sgd": (sgd, trials({0.1: 2.0, 0.3: 1.0, 1.0: 3.0}))}, 1) == {}


def test_a_best_value_on_an_edge_gives_everyone_one_more_trial() -> None:
    sgd, adam = METHODS["sgd"], METHODS["adam"]
    given = {
        "sgd": (sgd, trials({0.1: 2.0, 0.3: 1.5, 1.0: 1.0})),
        # Inside: it looks between its best value and the better one beside it.
        "adam": (adam, trials({0.001: 3.0, 0.01: 1.0, 0.1: 2.0})),
    }
    assert next_round(given, 1) == {"sgd": [3.16], "adam": [0.0316]}
    assert next_round(given, tuning.MOST_ROUNDS + 1) == {}
    given["sgd"] = (sgd, trials({0.1: 1.0, 0.3: 1.5, 1.0: None}))
    assert next_round(given, 1)["sgd"] == [0.0316]


def test_where_all_diverged_rates_fall_and_damping_rises() -> None:
    lost = trials({1.0: None, 10.0: None})
    assert tuning.beyond_the_edge(lost, METHODS["sgd"]) == pytest.approx(0.316)
    assert tuning.beyond_the_edge(lost, METHODS["newton-classical"]) == 100.0


def step() -> StepLine:
    parts = PredictedSeconds(
        gradient=1.0,
        curvature=2.0,
        conditioning=4.0,
        estimation=8.0,
        solve_classical=99.0,
        solve_quantum=0.0,
        total=999.0,
    )
    found = read_run(RUN).steps[0]
    return replace(found, predicted_seconds={"paper": parts, "end_to_end": parts})


def line(paper: Mapping[str, float | None], end_to_end: Mapping[str, float | None], **changes: Any) -> SystemLine:
    """A line of a real run with these predictions."""
    found = read_run(RUN).blocks[0]
    entry = found.assumptions["paper"]
    sets = {"paper": dict(paper), "end_to_end": dict(end_to_end)}
    assumptions = {
        name: replace(
            entry, predicted_seconds=seconds, queries={one: 1e4 for one in seconds if one.startswith("quantum")}
        )
        for name, seconds in sets.items()
    }
    return replace(
        found, assumptions=assumptions, solver="CG(KFAC)", **{"iterations": 0, "expected_iterations": {}, **changes}
    )


def test_every_method_is_charged_for_its_own_candidates() -> None:
    classical = {"CG(KFAC)": 100.0, "LU": 1000.0}
    blocks = [line(classical | {"quantum one": 10.0}, classical | {"quantum one": 1e9})]
    assert answer._modelled(METHODS["hybrid"], step(), blocks, "paper") == (25.0, 1)
    assert answer._modelled(METHODS["hybrid"], step(), blocks, "end_to_end") == (115.0, 0)
    assert answer._modelled(METHODS["newton-classical"], step(), blocks, "paper") == (115.0, 0)
    # Alone, nothing is chosen: no condition number has to be found.
    assert answer._modelled(METHODS["newton-lu"], step(), blocks, "paper") == (1007.0, 0)
    # What ran is charged for the iterations that it took.
    blocks = [line(classical, classical, iterations=5, expected_iterations={"CG(KFAC)": 50.0})]
    assert answer._modelled(METHODS["newton-classical"], step(), blocks, "paper") == (25.0, 0)
    # Nobody could take it, and nothing was recorded for the set of a method without a quantum candidate.
    assert answer._modelled(METHODS["newton-lu"], step(), [line({"LU": None}, {})], "paper") == (7.0, 0)
    assert answer._modelled(METHODS["adam"], step(), [], "paper") == (None, 0)


def of(**fields: Any) -> Any:
    """The fields of a record that are read."""
    return SimpleNamespace(**fields)


def curve(*points: tuple[int, float]) -> Any:
    return of(
        curve=[
            of(
                step=at,
                measured_seconds=at / 10,
                modelled_seconds={"paper": 2.0 * at, "end_to_end": 3.0 * at},
                test_loss=loss,
                test_accuracy=1 - loss,
            )
            for at, loss in points
        ]
    )


def test_a_target_is_met_by_the_median_seed() -> None:
    runs = [curve((1, 0.5), (2, 0.2)), curve((1, 0.2), (2, 0.1)), curve((1, 0.9), (2, 0.8))]
    found = answer._to_target(of(name="sgd", runs=runs, measured=True), "test_loss", 0.2)
    assert (found.reached, found.of, found.steps, found.measured_seconds) == (2, 3, 2, 0.2)
    assert found.modelled_seconds == {"paper": 4.0, "end_to_end": 6.0}
    found = answer._to_target(of(name="sgd", runs=runs, measured=False), "test_accuracy", 0.85)
    assert (found.reached, found.steps, found.measured_seconds) == (1, None, None)


def test_targets_of_the_reference_are_what_half_of_its_seeds_reach() -> None:
    runs = [of(test_accuracy=a, lowest_test_loss=low, test_loss=low) for a, low in ((0.9123, 0.2001), (0.95, 0.3))]
    found = answer._of_reference(of(label="SGD", runs=runs), judged=True)
    assert [(field, value) for field, value, _ in found] == [
        ("test_accuracy", pytest.approx(0.912)),
        ("test_loss", pytest.approx(0.3)),
    ]
    runs[0].test_loss = None
    with pytest.raises(ValueError, match="SGD sets the targets, and one of its seeds diverged"):
        answer._of_reference(of(label="SGD", runs=runs), judged=False)


def test_what_is_too_large_is_predicted_and_then_left_out() -> None:
    lu, hybrid = METHODS["newton-lu"], METHODS["hybrid"]
    assert lu.trained(LARGEST_DENSE)
    assert not lu.trained(LARGEST_DENSE + 1)
    assert hybrid.trained(LARGEST_DENSE + 1)
    assert missing("hybrid", LARGEST_PREDICTED) is None
    assert "20,001 rows" in (missing("hybrid", LARGEST_PREDICTED + 1) or "")
    assert missing("newton-classical", 10**6) is None
    # Large systems have one program for all of Newton's methods.
    assert hybrid.options(13_000, 1e-9) == METHODS["newton-classical"].options(13_000, 1e-9)
    assert hybrid.options(100, 1e-9).scheduling.solvers == ("cholesky", "lu", "qlsa")


def test_every_method_has_options_that_may_be_used() -> None:
    from qnewton.lab._experiments import checks

    check_methods(tuple(METHODS))
    for method in METHODS.values():
        for largest in (100, 13_000, 10**6):
            if missing(method.name, largest) is None:
                options = method.options(largest, 1e-9)
                for value in method.grid.first(5):
                    checks.check(method.with_value(options, value))


def test_the_recipe_has_the_scheduler_of_its_family_and_not_that_of_blocks():
    options = METHODS["recipe"].options(13_000, 5e-8)
    checks.check(options)
    assert build.named_scheduler(options.scheduling) is None
