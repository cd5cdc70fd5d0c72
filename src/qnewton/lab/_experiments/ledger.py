"""Conversion of a step's diagnostics to the lines of the run files, and the totals."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from msgspec.structs import replace

from ..._core.operators import Path
from ..._core.status import Refusal, Status, Verdict
from ..._curvature import Block, Independence
from ..._optim.stages import BlockInfo
from ..._optim.state import StepInfo
from ..._pricing.fastest import fastest
from ..._pricing.gate_times import at_gate_time, break_even_gate_time
from ..._pricing.offers import Offers
from ..._scheduling import Hybrid, Plan
from ..._solvers.quantum.outcome import Outcome
from .._runfile import (
    AttemptLine,
    GateTime,
    OwnLine,
    PredictedSchedule,
    PredictedSeconds,
    SetDecision,
    StepLine,
    SystemLine,
    TimedSolve,
    VerdictName,
)
from .estimates import access_record, number_kinds, own_line
from .stages import StageSeconds
from .tallies import Rows, Steps, Systems, by_step, known
from .workers import Workers, decisions, solve_seconds

# Of a system; `fixed_seconds` is the part of the seconds that no quantum clock scales.
_SEEN = ("seconds", "feasible", "log_condition_number", "fixed_seconds")


class Ledger:
    """Builder of each step's records, with the totals; it holds no file.

    Attributes:
        steps: the newest record of `steps.jsonl`, and the sums over all.
        systems: the newest records of `blocks.jsonl`, and the counts over all.
    """

    def __init__(
        self,
        hybrid: Hybrid,
        blocks: Sequence[Block],
        stages: StageSeconds,
        gate_times_s: Sequence[float],
        workers: Workers | None = None,
    ):
        """Start the ledger of one run.

        Args:
            hybrid: the scheduler.
            blocks: the partition.
            stages: measured seconds of everything but the solves.
            gate_times_s: for which quantum seconds are reported, in seconds.
            workers: that share the blocks of a step; None where they are solved one after the other.
        """
        self._workers = workers
        self._hybrid = hybrid
        self._blocks = tuple(blocks)
        self._stages = stages
        self._gate_times = tuple(gate_times_s)
        self._quantum = {solver.name: solver.capabilities.quantum for solver in hybrid.solvers}
        self.steps, self.systems = Steps(), Systems(hybrid.assumptions[0].name)
        # Of every system, under the acting set and as the policy saw it.
        self._seen = tuple(Rows() for _ in _SEEN)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that totals need beyond the lines, for a checkpoint; each `[systems, ...]`."""
        found = {name: rows.values for name, rows in zip(_SEEN, self._seen, strict=True)}
        return {name: values for name, values in found.items() if values is not None}

    def restore(self, steps: Sequence[StepLine], blocks: Sequence[SystemLine], arrays: dict[str, np.ndarray]) -> None:
        """Continue after the steps of these lines, as read from their files, with the `arrays` of that moment."""
        for step in steps:
            self.steps.add(step)
        for lines in by_step(blocks):
            self.systems.add(lines)
        self._seen = tuple(Rows(arrays.get(name)) for name in _SEEN)

    def record(self, info: StepInfo, *, epoch: float, measured_seconds: float) -> tuple[StepLine, list[SystemLine]]:
        """The step's line and its blocks' lines; `timed` and `evaluated` complete them.

        Args:
            info: on the host.
            epoch: passes over the data before the step.
            measured_seconds: wall clock of the jitted step.
        """
        number = self.steps.count
        lines = [
            self._block_line(number, index, block, block_info)
            for index, (block, block_info) in enumerate(zip(self._blocks, info.blocks, strict=True))
        ]
        lines, schedules = self._scheduled(number, lines)
        step = StepLine(
            step=number,
            epoch=epoch,
            loss=float(info.loss),
            train_loss=None,
            test_loss=None,
            test_accuracy=None,
            learning_rate=float(info.learning_rate),
            damping_scale=float(info.damping_scale),
            reduction_ratio=float(info.reduction_ratio),
            accepted=bool(info.accepted),
            statuses=dict(Counter(line.status for line in lines)),
            measured_seconds=measured_seconds,
            measured_evaluation_seconds=0.0,
            predicted_seconds={
                a.name: self._predicted(a.name, lines, schedules.get(a.name)) for a in self._hybrid.assumptions
            },
            predicted_schedule=schedules,
        )
        self.steps.add(step)
        self.systems.add(lines)
        for block in info.blocks:
            plan = block.plan
            assert plan is not None, "the runner always schedules"
            offers = plan.offers
            seen = offers.seconds[0], offers.feasible[0], offers.log_condition_number, offers.fixed_seconds[0]
            for rows, part in zip(self._seen, seen, strict=True):
                rows.add(np.asarray(part))
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

    def _block_line(self, step: int, index: int, block: Block, info: BlockInfo) -> SystemLine:
        plan = info.plan
        assert plan is not None, "the runner always schedules"
        estimate = plan.estimate
        chosen = self._hybrid.solvers[int(plan.choice[0])]
        solved = int(info.status) == Status.OK
        log10_kappa = float(estimate.log_condition_number) / math.log(10)
        executed = info.executed if chosen.execution == "emulated" else None
        return SystemLine(
            step=step,
            block=index,
            name=block.name,
            n=block.n,
            status=Status(int(info.status)).label,
            curvature_path=Path(int(info.path)).name.lower(),
            independence=Independence(int(info.independence)).label,
            iterations=int(info.iterations),
            expected_iterations={
                name: float(steps)
                for name, steps in zip(self._hybrid.names, np.asarray(plan.offers.expected_steps), strict=True)
                if steps > 0
            },
            damping=float(info.damping),
            damping_scale=float(info.damping_scale),
            reduction_ratio=float(info.reduction_ratio),
            kept_fraction=float(info.kept_fraction),
            perturbation=float(info.perturbation),
            degree=int(estimate.degree),
            max_entry=float(estimate.max_entry),
            frobenius_norm=float(estimate.frobenius_norm),
            spectral_norm=float(estimate.spectral_norm),
            condition_number=10**log10_kappa if log10_kappa < 308 else math.inf,
            log10_condition_number=log10_kappa,
            log_condition_number=float(estimate.log_condition_number),
            condition_number_kind=estimate.kind.value,
            second_log10_condition_number=None
            if plan.second is None
            else float(plan.second.log_condition_number) / math.log(10),
            second_condition_number_kind=None if plan.second is None else plan.second.kind.value,
            kinds=number_kinds(estimate),
            failure_probability=estimate.failure_probability,
            matvecs=int(estimate.matvecs),
            definite=bool(estimate.definite),
            presumed_definite=bool(estimate.presumed_definite),
            formed=bool(estimate.formed),
            access=access_record(estimate.access),
            relative_residual=float(info.relative_residual),
            exact_residual=float(info.exact_residual),
            timed={},
            probe_seconds=None,
            acting=self._hybrid.assumptions[0].name,
            solver=chosen.name,
            ran=chosen.runs_as if solved else "gradient step",
            execution=chosen.execution if solved else None,
            executed_queries=None if executed is None else float(executed.queries),
            executed_success_probability=None if executed is None else float(executed.success_probability),
            executed_outcome=None if executed is None else Outcome(int(executed.outcome)).label,
            assumptions={a.name: self._assumed(row, plan) for row, a in enumerate(self._hybrid.assumptions)},
            own=self._own(plan),
        )

    def _own(self, plan: Plan) -> dict[str, OwnLine]:
        sets = [assumed.name for assumed in self._hybrid.assumptions]
        return {self._hybrid.names[one.place]: own_line(one, sets) for one in plan.own}

    def _assumed(self, row: int, plan: Plan) -> SetDecision:
        names = self._hybrid.names
        feasible, refusal = np.asarray(plan.offers.feasible[row]), np.asarray(plan.offers.refusal[row])
        # Scheduling is in the dtype of the system; the ledger works in float64 from there on.
        seconds = np.asarray(plan.offers.seconds[row], np.float64)
        queries = np.asarray(plan.offers.queries[row], np.float64)
        copies = np.asarray(plan.offers.copies[row], np.float64)
        success = np.asarray(plan.offers.success_probability[row], np.float64)
        quantum = [i for i, name in enumerate(names) if self._quantum[name]]
        classical = np.asarray([not self._quantum[name] for name in names])
        best, able = fastest(seconds, feasible & classical)
        unaided = float(seconds[best]) if able else math.inf
        choice = names[int(plan.choice[row])]
        # Seconds of a quantum solve are a part that no quantum clock scales, and gate times.
        fixed = np.where(np.isfinite(seconds), np.asarray(plan.offers.fixed_seconds[row], np.float64), 0.0)
        now = self._hybrid.quantum.gate_time_s
        return SetDecision(
            choice=choice,
            machine="quantum" if self._quantum[choice] else "classical",
            worker=None,
            verdict=cast(VerdictName, Verdict(int(plan.verdict[row])).label),
            predicted_seconds={name: float(seconds[i]) for i, name in enumerate(names)},
            refused={name: Refusal(int(code)).reason for name, code in zip(names, refusal, strict=True) if code},
            queries={names[i]: float(queries[i]) for i in quantum},
            copies={names[i]: float(copies[i]) for i in quantum},
            success_probability={names[i]: float(success[i]) for i in quantum},
            clamped={names[i]: bool(plan.offers.clamped[row, i]) for i in quantum},
            break_even_gate_time_s={
                names[i]: float(break_even_gate_time(unaided, seconds[i], fixed[i], now)) for i in quantum
            },
            predicted_quantum_seconds_by_gate_time={
                names[i]: tuple(
                    (gate, float(at_gate_time(seconds[i], fixed[i], now, gate))) for gate in self._gate_times
                )
                for i in quantum
            },
        )

    def _scheduled(self, number: int, lines: list[SystemLine]) -> tuple[list[SystemLine], dict[str, PredictedSchedule]]:
        """Return the lines with each block's worker, and per assumption set the workers' times in the step."""
        if self._workers is None:
            return lines, {}
        found = {}
        for assumed in self._hybrid.assumptions:
            entries = [line.assumptions[assumed.name] for line in lines]
            seconds = np.asarray([list(entry.predicted_seconds.values()) for entry in entries])
            names = list(self._hybrid.names)
            choices = [-1 if entry.nobody else names.index(entry.choice) for entry in entries]
            labels = [line.name for line in lines]
            dealt = self._workers.carried_out(number, seconds, np.asarray(choices), names, labels)
            schedule = dealt.schedule
            workers = [schedule.problem.workers[schedule.assignment[job]] if job >= 0 else None for job in dealt.blocks]
            lines = [
                replace(line, assumptions={**line.assumptions, assumed.name: replace(entry, worker=worker)})
                for line, entry, worker in zip(lines, entries, workers, strict=True)
            ]
            found[assumed.name] = PredictedSchedule(
                makespan_s=float(schedule.makespan_s),
                lower_bound_s=float(schedule.lower_bound_s),
                finish_s=dict(zip(schedule.problem.workers, map(float, schedule.finish_s), strict=True)),
                notes=tuple(schedule.notes),
            )
        return lines, found

    def _predicted(self, assumed: str, lines: list[SystemLine], schedule: PredictedSchedule | None) -> PredictedSeconds:
        parts = {
            "gradient": self._stages.gradient,
            "curvature": sum(b.curvature for b in self._stages.blocks),
            "conditioning": sum(b.conditioning for b in self._stages.blocks),
            "estimation": sum(b.estimation for b in self._stages.blocks),
            "solve_classical": 0.0,
            "solve_quantum": 0.0,
        }
        owned = 0.0
        for line in lines:
            entry = line.assumptions[assumed]
            if entry.nobody:
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

    def totals(self) -> dict[str, Any]:
        """The fields of `summary.json` that follow from the records."""
        return {
            "predicted_seconds": {a.name: self.steps.predicted_seconds(a.name) for a in self._hybrid.assumptions},
            # With one kind of solver there is nothing to choose, hence no condition number to find.
            "predicted_seconds_all_classical": self._fixed_seconds(estimation=False) + self._classical_seconds(),
            "acting": self._hybrid.assumptions[0].name,
            "gate_time_s": self._hybrid.quantum.gate_time_s,
            "quantum_share": self.systems.quantum_share,
            "by_gate_time": tuple(self._at_gate_time(gate) for gate in self._gate_times),
            "solved_by": dict(self.systems.solved_by),
            "execution": self.systems.execution,
            "statuses": self.steps.statuses,
        }

    def _fixed_seconds(self, *, estimation: bool = True) -> float:
        block = sum(b.curvature + b.conditioning + estimation * b.estimation for b in self._stages.blocks)
        return self.steps.count * (self._stages.gradient + block)

    def _classical_seconds(self) -> float:
        """Return the seconds of all solves on the fastest classical candidates; infinite if one has none."""
        if not self.steps.count:
            return 0.0
        seen = self.arrays()
        seconds, feasible = seen["seconds"], seen["feasible"]
        classical = np.asarray([not self._quantum[name] for name in self._hybrid.names])
        best, found = fastest(seconds, feasible & classical)
        if not np.all(found):
            return math.inf
        shape = self.steps.count, len(self._blocks)
        taken = seconds.astype(np.float64).reshape(*shape, -1), best.reshape(shape), found.reshape(shape)
        return float(np.sum(solve_seconds(self._workers, self._hybrid.names, *taken)))

    def _at_gate_time(self, gate_time_s: float) -> GateTime:
        """Return the policy's decisions if a query took `gate_time_s`."""
        if not self.steps.count:
            return GateTime(
                gate_time_s=gate_time_s, quantum_share=0.0, predicted_seconds=0.0, predicted_solve_seconds=0.0
            )
        names = self._hybrid.names
        quantum = np.asarray([self._quantum[name] for name in names])
        seen = self.arrays()
        seconds, feasible, log_condition_number, fixed = (seen[name] for name in _SEEN)
        fixed = np.where(quantum & np.isfinite(seconds), fixed.astype(np.float64), 0.0)
        wide = seconds.astype(np.float64)
        scaled = np.where(quantum, at_gate_time(wide, fixed, self._hybrid.quantum.gate_time_s, gate_time_s), wide)
        shape = self.steps.count, len(self._blocks)
        rows = sum(block.n for block in self._blocks)
        # In the dtype of the systems, in which the choices were made.
        with np.errstate(over="ignore"):
            as_seen = scaled.astype(seconds.dtype)
        offers = Offers(
            names,
            tuple(quantum.tolist()),
            jnp.asarray(as_seen.reshape(*shape, -1)),
            jnp.asarray(feasible.reshape(*shape, -1)),
            jnp.asarray(log_condition_number.reshape(*shape, *log_condition_number.shape[1:])),
        )
        shares = jnp.asarray([block.n / rows for block in self._blocks], seconds.dtype)
        choice, verdict = decisions(self._hybrid.policy, self._workers, offers, shares)
        solved = verdict != Verdict.NOBODY
        solves = float(np.sum(solve_seconds(self._workers, names, scaled.reshape(*shape, -1), choice, solved)))
        return GateTime(
            gate_time_s=gate_time_s,
            quantum_share=float(np.mean(quantum[choice] & solved)),
            predicted_seconds=self._fixed_seconds() + solves,
            predicted_solve_seconds=solves,
        )
