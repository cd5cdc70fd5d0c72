"""Conversion of a complete optimizer's diagnostics to lines of the run files: systems in groups, and no blocks."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ..._core.arrays import NumberArray
from ..._core.status import Status
from ..._optim.dual import DualNewtonInfo
from ..._optim.fisher_newton import FisherNewtonInfo
from ..._optim.kfac_state import KFACInfo
from ..._optim.state import StepInfo
from ..._scheduling import Hybrid
from .._runfile import GroupLine, GroupSums, StepLine, SystemLine
from .baselines import BaselineInfo
from .group_lines import group_lines
from .tallies import Steps, Systems

CompleteInfo: TypeAlias = KFACInfo | DualNewtonInfo | FisherNewtonInfo | StepInfo | BaselineInfo


class CompleteLedger:
    """Builder of each step's record, with the totals; it holds no file and has the methods of `Ledger`.

    Attributes:
        steps: the newest record of `steps.jsonl`, and the sums over all.
        systems: always empty, since no block has a line of its own.
    """

    def __init__(self, scheduler: Hybrid | None = None):
        """Start an empty ledger.

        Args:
            scheduler: of the optimizer's systems; None where they are not priced.
        """
        self._scheduler = scheduler
        self._groups: tuple[GroupLine, ...] | None = None
        self.steps, self.systems, self._sums = Steps(), Systems(""), GroupSums()

    def record(
        self,
        info: CompleteInfo,
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
        untried = isinstance(info, BaselineInfo | FisherNewtonInfo)
        step = StepLine(
            step=self.steps.count,
            epoch=epoch,
            loss=float(info.loss),
            train_loss=None,
            test_loss=None,
            test_accuracy=None,
            # Levenberg-Marquardt takes its step whole.
            learning_rate=1.0 if isinstance(info, DualNewtonInfo) else float(info.learning_rate),
            damping_scale=_damping(info),
            reduction_ratio=None if untried else float(info.reduction_ratio),
            accepted=first_order or bool(info.accepted),
            statuses=_statuses(info),
            measured_seconds=measured_seconds,
            measured_evaluation_seconds=0.0,
            predicted_seconds={},
            predicted_schedule={},
            systems=self._systems(info),
        )
        self.steps.add(step)
        self._sums.add(step)
        return step, []

    def _systems(self, info: CompleteInfo) -> tuple[GroupLine, ...] | None:
        """Return the groups of the step; None if they equal those before, as settled ones always do."""
        if self._scheduler is None:
            return ()
        found, before = group_lines(getattr(info, "systems", ()), self._scheduler), self._groups
        self._groups = found
        return None if found == before else found

    def evaluated(self, values: dict[str, float | None]) -> StepLine:
        """Add an evaluation's results to the newest step's line, and return the line."""
        return self.steps.complete(values)

    def arrays(self) -> dict[str, np.ndarray]:
        """Nothing: all totals follow from the lines."""
        return {}

    def restore(self, steps: Sequence[StepLine], blocks: Sequence[SystemLine], arrays: dict[str, np.ndarray]) -> None:
        """Continue after the steps of these lines, as read from their file."""
        for step in steps:
            self.steps.add(step)
            self._sums.add(step)
            self._groups = self._groups if step.systems is None else step.systems

    def totals(self) -> dict[str, Any]:
        """The fields of `summary.json` that follow from the records."""
        return {
            "predicted_seconds": {},
            "predicted_seconds_all_classical": None,
            "acting": None,
            "gate_time_s": None,
            "quantum_share": None,
            "by_gate_time": (),
            "solved_by": {},
            "execution": None,
            "statuses": self.steps.statuses,
            "systems": self._sums.totals(),
        }


def _damping(info: CompleteInfo) -> float | None:
    if isinstance(info, BaselineInfo):
        return None
    return float(info.damping_scale if isinstance(info, StepInfo) else info.damping)


def _statuses(info: CompleteInfo) -> dict[str, int]:
    if isinstance(info, BaselineInfo):
        return {}
    return _counted(np.stack([block.status for block in info.blocks]) if isinstance(info, StepInfo) else info.status)


def _counted(status: NumberArray) -> dict[str, int]:
    return dict(Counter(Status(int(code)).label for code in np.ravel(status)))
