"""The main job, as `make train` runs it: it must train."""

from collections.abc import Sequence

from qnewton.lab._experiments.presets import PRESETS
from qnewton.lab._experiments.runner import train
from qnewton.lab._runfile import RunDirectory, StepLine, SystemLine


class Silent:
    def stage(self, what: str) -> None:
        pass

    def step(self, step: StepLine, blocks: Sequence[SystemLine]) -> None:
        pass


def test_the_default_preset_reads_the_digits(tmp_path) -> None:
    directory = RunDirectory.create(tmp_path / "run", "digits")
    summary = train("digits-mlp", PRESETS["default"], directory, Silent())
    assert (summary.test_accuracy or 0.0) >= 0.95
    assert summary.final_loss is not None
    assert summary.final_loss < 0.05
    assert set(summary.statuses) == {"ok"}
    assert summary.optimizer == "kfac"
    # Three layers in each of 30 steps, all of them scheduled.
    assert sum(summary.systems["end_to_end"].solved_by.values()) == 90
