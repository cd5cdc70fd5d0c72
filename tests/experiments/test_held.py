"""A budget in seconds, and what trainings of one process share."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qnewton.lab._experiments.held import Held
from qnewton.lab._experiments.options import StepOptions, TrainingOptions, TrainOptions
from qnewton.lab._experiments.runner import train
from qnewton.lab._runfile import RunDirectory, StepLine, Summary, SystemLine


class _Silent:
    def stage(self, what: str) -> None: ...

    def step(self, step: StepLine, blocks: Sequence[SystemLine]) -> None: ...


def sgd(**training: Any) -> TrainOptions:
    return TrainOptions(optimizer="sgd", training=TrainingOptions(**{"steps": 50, **training}))


def run(options: TrainOptions, path: Path, held: Held | None = None) -> tuple[Summary, list[dict[str, Any]]]:
    summary = train("tiny", options, RunDirectory.create(path, ""), _Silent(), held)
    return summary, [json.loads(line) for line in (path / "steps.jsonl").read_text().splitlines()]


def test_seconds_end_a_training_but_never_before_its_least_steps(tmp_path: Path) -> None:
    options = sgd(seconds=1e-9, least_steps=3, evaluate_seconds=1e9)
    summary, steps = run(options, tmp_path / "run")
    assert (summary.status, summary.steps, len(steps)) == ("finished", 3, 3)
    # The last one is evaluated, whenever it comes.
    assert [step["test_loss"] is None for step in steps] == [True, True, False]
    assert steps[-1]["test_loss"] == summary.test_loss
    assert run(sgd(seconds=1e9, steps=2), tmp_path / "long")[0].steps == 2


def test_evaluations_by_seconds_come_after_as_many(tmp_path: Path) -> None:
    _, steps = run(sgd(steps=40, evaluate_seconds=1e-3), tmp_path / "run")
    since = 0.0
    for step in steps[:-1]:
        since += step["measured_seconds"]
        assert (step["test_loss"] is not None) == (since >= 1e-3)
        since = 0.0 if since >= 1e-3 else since


def test_trainings_that_differ_in_seed_and_rate_compile_once(tmp_path: Path) -> None:
    held, options = Held(), sgd(steps=2)
    first, _ = run(options, tmp_path / "first", held)
    kept = dict(held._kept)
    other = replace(
        options, training=replace(options.training, seed=1, evaluate_every=2), step=StepOptions(learning_rate=0.5)
    )
    shared, steps = run(other, tmp_path / "shared", held)
    assert held._kept == kept
    assert steps[0]["learning_rate"] == 0.5
    # And nothing of the first is left in it.
    alone, _ = run(other, tmp_path / "alone")
    assert shared.test_loss == alone.test_loss != first.test_loss
    run(replace(options, optimizer="adam"), tmp_path / "adam", held)
    assert len(held._kept) == len(kept) + 1


@pytest.mark.parametrize(
    ("field", "value"), [("seconds", 0.0), ("seconds", float("nan")), ("evaluate_seconds", -1.0), ("least_steps", 0)]
)
def test_budgets_out_of_range_name_themselves(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^--{field.replace('_', '-')} is {value}: "):
        TrainingOptions(**{field: value})
