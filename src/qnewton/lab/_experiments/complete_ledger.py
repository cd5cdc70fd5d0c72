"""From what a complete optimizer reports to the lines of the run files: nothing was scheduled, nothing predicted."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from ..._core.arrays import NumberArray
from ..._core.status import Status
from ..._optim.dual import DualNewtonInfo
from ..._optim.fisher_newton import FisherNewtonInfo
from ..._optim.kfac_state import KFACInfo
from .._runfile import StepLine, SystemLine
from .baselines import BaselineInfo


class CompleteLedger:
    """Builds each step's record and keeps the totals; holds no file. Has the methods of `Ledger`.

    Attributes:
        steps: records of `steps.jsonl` so far.
        blocks: always empty, since there are no systems to schedule.
    """

    def __init__(self):
        self.steps: list[StepLine] = []
        self.blocks: list[SystemLine] = []

    def record(
        self,
        info: KFACInfo | DualNewtonInfo | FisherNewtonInfo | BaselineInfo,
        *,
        epoch: float,
        measured_seconds: float,
    ) -> tuple[StepLine, list[SystemLine]]:
        """The step's line, and no others; `evaluated` completes it.

        Args:
            info: on the host.
            epoch: passes over the data before the step.
            measured_seconds: wall clock of the jitted step.
        """
        first_order = isinstance(info, BaselineInfo)
        step = StepLine(
            step=len(self.steps),
            epoch=epoch,
            loss=float(info.loss),
            train_loss=None,
            test_loss=None,
            test_accuracy=None,
            # Levenberg-Marquardt takes its step whole.
            learning_rate=1.0 if isinstance(info, DualNewtonInfo) else float(info.learning_rate),
            damping_scale=None if first_order else float(info.damping),
            reduction_ratio=None if first_order or isinstance(info, FisherNewtonInfo) else float(info.reduction_ratio),
            accepted=first_order or bool(info.accepted),
            statuses={} if first_order else _counted(info.status),
            measured_seconds=measured_seconds,
            measured_evaluation_seconds=0.0,
            predicted_seconds={},
            predicted_schedule={},
        )
        self.steps.append(step)
        return step, []

    def evaluated(self, values: dict[str, float | None]) -> StepLine:
        """Put what an evaluation found into the newest step's line, and return that."""
        self.steps[-1] = replace(self.steps[-1], **values)
        return self.steps[-1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Nothing: all totals follow from the lines."""
        return {}

    def restore(self, steps: Sequence[StepLine], blocks: Sequence[SystemLine], arrays: dict[str, np.ndarray]) -> None:
        """Go on after the steps of these lines, as read back from their file."""
        self.steps, self.blocks = list(steps), list(blocks)

    def totals(self) -> dict[str, Any]:
        """The fields of `summary.json` that follow from the records."""
        statuses = sum((Counter(step.statuses) for step in self.steps), Counter())
        return {
            "predicted_seconds": {},
            "predicted_seconds_all_classical": None,
            "acting": None,
            "gate_time_s": None,
            "quantum_share": None,
            "by_gate_time": (),
            "solved_by": {},
            "fidelity": None,
            "statuses": dict(statuses),
        }


def _counted(status: NumberArray) -> dict[str, int]:
    return dict(Counter(Status(int(code)).label for code in np.ravel(status)))
