"""Conversion of a step's diagnostics to the lines of the run files, and the totals."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from msgspec.structs import replace

from ..._core.status import Status
from ..._curvature import Block
from ..._optim.dual import DualNewtonInfo
from ..._optim.fisher_newton import FisherNewtonInfo
from ..._optim.kfac_state import KFACInfo
from ..._optim.state import StepInfo
from ..._scheduling import Hybrid
from .._runfile import AttemptLine, GateTime, PredictedSchedule, PredictedSeconds, StepLine, SystemLine, TimedSolve
from .baselines import BaselineInfo
from .estimates import seconds_of
from .seen import Seen
from .stages import StageSeconds
from .system_lines import block_line, group_lines
from .tallies import Steps, Systems, by_step, known
from .workers import Workers

AnyInfo: TypeAlias = KFACInfo | DualNewtonInfo | FisherNewtonInfo | StepInfo | BaselineInfo


class Ledger:
    """Builder of each step's records, with the totals; it holds no file.

    Attributes:
        steps: the newest record of `steps.jsonl`, and the sums over all.
        systems: the newest records of `blocks.jsonl`, and the counts over all.
    """

    def __init__(
        self,
        hybrid: Hybrid | None = None,
        blocks: Sequence[Block] = (),
        stages: StageSeconds | None = None,
        gate_times_s: Sequence[float] = (),
        workers: Workers | None = None,
    ):
        """Start the ledger of one run.

        Args:
            hybrid: the scheduler; None where systems are not priced.
            blocks: the partition; empty of a complete optimizer, whose systems are in groups.
            stages: measured seconds of everything but the solves; None of a complete optimizer.
            gate_times_s: for which quantum seconds are reported, in seconds.
            workers: that share the blocks of a step; None where they are solved one after the other.
        """
        self._workers, self._hybrid, self._stages = workers, hybrid, stages
        self._blocks, self._gate_times = tuple(blocks), tuple(gate_times_s)
        self._sets: tuple[str, ...] = () if hybrid is None else tuple(assumed.name for assumed in hybrid.assumptions)
        self._seen = None if hybrid is None or stages is None else Seen(hybrid, blocks, workers)
        self.steps, self.systems = Steps(), Systems()

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that totals need beyond the lines, for a checkpoint; each `[systems, ...]`."""
        return {} if self._seen is None else self._seen.arrays()

    def restore(self, steps: Sequence[StepLine], blocks: Sequence[SystemLine], arrays: dict[str, np.ndarray]) -> None:
        """Continue after the steps of these lines, as read from their files, with the `arrays` of that moment."""
        lines = by_step(blocks)
        for step in steps:
            self.steps.add(step)
            self.systems.add(next(lines) if step.systems else [])
        if self._seen is not None:
            self._seen.restore(arrays)

    def record(self, info: AnyInfo, *, epoch: float, measured_seconds: float) -> tuple[StepLine, list[SystemLine]]:
        """The step's line and those of its systems that are not as before; `timed` and `evaluated` complete them.

        Args:
            info: on the host.
            epoch: passes over the data before the step.
            measured_seconds: wall clock of the jitted step.
        """
        lines, schedules = self._scheduled(self.steps.count, self._lines(self.steps.count, info))
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
            accepted=isinstance(info, BaselineInfo) or bool(info.accepted),
            statuses=_statuses(info),
            measured_seconds=measured_seconds,
            measured_evaluation_seconds=0.0,
            predicted_seconds={}
            if self._stages is None
            else {name: _predicted(self._stages, name, lines, schedules.get(name)) for name in self._sets},
            predicted_schedule=schedules,
            systems=len(lines),
        )
        self.steps.add(step)
        self.systems.add(lines)
        return step, lines

    def timed(self, timed: Sequence[dict[str, TimedSolve]], probe_seconds: float) -> list[SystemLine]:
        """Add the seconds of the newest step's solves to its blocks' lines, and return these."""
        self.systems.newest = [
            replace(line, timed=own, probe_seconds=probe_seconds)
            for line, own in zip(self.systems.newest, timed, strict=True)
        ]
        return self.systems.newest

    def attempted(self, attempts: Sequence[AttemptLine]) -> StepLine:
        """Add to the newest step's line who got which block."""
        return self.steps.complete({"attempts": tuple(attempts)})

    def evaluated(self, values: dict[str, float | None]) -> StepLine:
        """Add an evaluation's results to the newest step's line, and return the line."""
        return self.steps.complete(values)

    def _lines(self, number: int, info: AnyInfo) -> list[SystemLine]:
        """Return the lines of a step: of every block, or of the groups, where one of these has changed."""
        if self._hybrid is None:
            return []
        if self._seen is None:
            return self.systems.changed(group_lines(number, getattr(info, "systems", ()), self._hybrid))
        assert isinstance(info, StepInfo), "blocks are those of `newton`"
        found = []
        for index, (block, own) in enumerate(zip(self._blocks, info.blocks, strict=True)):
            assert own.plan is not None, "the runner always schedules"
            self._seen.add(own.plan.offers)
            found.append(block_line(number, index, block, own, self._hybrid, self._gate_times))
        return found

    def _scheduled(self, number: int, lines: list[SystemLine]) -> tuple[list[SystemLine], dict[str, PredictedSchedule]]:
        """Return the lines with each block's worker, and per assumption set the workers' times in the step."""
        if self._workers is None or self._hybrid is None:
            return lines, {}
        found, names = {}, list(self._hybrid.names)
        for assumed in self._sets:
            entries = [line.assumptions[assumed] for line in lines]
            seconds = np.asarray([seconds_of(entry, names) for entry in entries])
            choices = [-1 if entry.choice is None else names.index(entry.choice) for entry in entries]
            labels = [line.name for line in lines]
            dealt = self._workers.carried_out(number, seconds, np.asarray(choices), names, labels)
            schedule = dealt.schedule
            workers = [schedule.problem.workers[schedule.assignment[job]] if job >= 0 else None for job in dealt.blocks]
            lines = [
                replace(line, assumptions={**line.assumptions, assumed: replace(entry, worker=worker)})
                for line, entry, worker in zip(lines, entries, workers, strict=True)
            ]
            found[assumed] = PredictedSchedule(
                makespan_s=float(schedule.makespan_s),
                lower_bound_s=float(schedule.lower_bound_s),
                finish_s=dict(zip(schedule.problem.workers, map(float, schedule.finish_s), strict=True)),
                notes=tuple(schedule.notes),
            )
        return lines, found

    def totals(self) -> dict[str, Any]:
        """The fields of `summary.json` that follow from the records."""
        seen, stages = self._seen, self._stages
        acting = next(iter(self.systems.totals), None) if stages is None else self._sets[0]
        return {
            "predicted_seconds": {}
            if stages is None
            else {one: self.steps.predicted_seconds(one) for one in self._sets},
            # With one kind of solver there is nothing to choose, hence no condition number to find.
            "predicted_seconds_all_classical": None
            if seen is None
            else self._fixed_seconds(estimation=False) + seen.classical_seconds(),
            "acting": acting,
            "gate_time_s": None if acting is None or self._hybrid is None else self._hybrid.quantum.gate_time_s,
            "quantum_share": None if acting is None else self.systems.quantum_share,
            "by_gate_time": tuple(self._at_gate_time(gate) for gate in self._gate_times),
            "solved_by": dict(self.systems.solved_by),
            "execution": self.systems.execution,
            "statuses": self.steps.statuses,
            "systems": self.systems.totals,
        }

    def _fixed_seconds(self, *, estimation: bool = True) -> float:
        assert self._stages is not None, "of blocks"
        block = sum(b.curvature + b.conditioning + estimation * b.estimation for b in self._stages.blocks)
        return self.steps.count * (self._stages.gradient + block)

    def _at_gate_time(self, gate_time_s: float) -> GateTime:
        """Return the policy's decisions if a gate took `gate_time_s`."""
        assert self._seen is not None, "gate times are reported of blocks"
        share, solves = self._seen.at_gate_time(gate_time_s)
        around = self._fixed_seconds()
        return GateTime(
            gate_time_s=gate_time_s,
            quantum_share=share,
            predicted_seconds=around + solves,
            predicted_solve_seconds=solves,
        )


def _predicted(
    stages: StageSeconds, assumed: str, lines: Sequence[SystemLine], schedule: PredictedSchedule | None
) -> PredictedSeconds:
    parts = {
        "gradient": stages.gradient,
        "curvature": sum(b.curvature for b in stages.blocks),
        "conditioning": sum(b.conditioning for b in stages.blocks),
        "estimation": sum(b.estimation for b in stages.blocks),
        "solve_classical": 0.0,
        "solve_quantum": 0.0,
    }
    owned = 0.0
    for line in lines:
        entry = line.assumptions[assumed]
        if entry.choice is None:
            continue
        parts[f"solve_{entry.machine}"] += known(entry.predicted_seconds[entry.choice])
        if own := line.own.get(entry.choice):
            # Classical, whatever solves.
            conditioning, estimation = own.predicted_conditioning_seconds, own.predicted_estimation_seconds
            parts["conditioning"] += conditioning
            parts["estimation"] += estimation
            parts[f"solve_{entry.machine}"] -= conditioning + estimation
            owned += conditioning + estimation
    total = sum(parts.values())
    if schedule is not None:
        # The workers are at it at the same time.
        total += known(schedule.makespan_s) - parts["solve_classical"] - parts["solve_quantum"] - owned
    return PredictedSeconds(**parts, total=total)


def _damping(info: AnyInfo) -> float | None:
    if isinstance(info, BaselineInfo):
        return None
    return float(info.damping_scale if isinstance(info, StepInfo) else info.damping)


def _statuses(info: AnyInfo) -> dict[str, int]:
    if isinstance(info, BaselineInfo):
        return {}
    found = np.stack([block.status for block in info.blocks]) if isinstance(info, StepInfo) else info.status
    return dict(Counter(Status(int(code)).label for code in np.ravel(found)))
