"""What one solve asks of a quantum machine, before anybody says how fast that is."""

import functools
import operator
from typing import Any

import equinox as eqx
import numpy as np

from .._core.arrays import floating, quiet
from .._core.conditions import Condition, met
from .._core.gates import GateCost
from .._core.records import QuantumWorkload
from .._hardware import AbstractLayout, OverheadStatus, physical_cost
from .._hardware.distillation import MAX_DISTANCE
from .._solvers.quantum.readout import ReadoutCost
from .charge import Charge
from .clock import Clock

_OVERHEAD = {
    OverheadStatus.BAD_INPUT: "finite gate counts",
    OverheadStatus.TOO_LONG: f"a code distance of at most {MAX_DISTANCE}",
    OverheadStatus.TOO_MANY_T_GATES: "T states with no smaller error than four rounds of distillation reach",
}


class Task(eqx.Module):
    """One solve under one set of assumptions. Arrays with an axis for the encodings before all others.

    Attributes:
        workload: the query count.
        queries: of one run, as far as they are charged.
        circuit: the gates of one run.
        query_layers: the part of its layers of T gates that queries take.
        reading: how many runs there are.
        fixed_seconds: of what no quantum clock scales.
        layout: of the error-corrected machine; None: gates are taken for perfect.
        failure_probability: of error correction, over all runs.
        repetitions: of one run, as far as they are charged.
        conditions: what the query count demands.
    """

    workload: QuantumWorkload
    queries: Any
    circuit: GateCost
    query_layers: Any
    reading: ReadoutCost
    fixed_seconds: Any
    layout: AbstractLayout | None
    failure_probability: float
    repetitions: Any
    conditions: tuple[Condition, ...]

    @quiet
    def on(self, clock: Clock) -> Charge:
        """The charge at a pace, by the encoding that takes the fewest seconds; the first where none can be used.

        Without error correction a layer of T gates takes one physical operation. With it a run is never faster than
        that, whatever the profile says.
        """
        xp, gate_time_s, runs, layers = floating(clock.gate_time_s, self.reading.applications, self.circuit.t_depth)
        cycle_s, qubits, corrected = clock.logical_cycle_s, self.circuit.qubits, []
        run_s = layers * (gate_time_s if cycle_s is None else cycle_s)
        if self.layout is not None:
            assert clock.profile is not None, "AbstractAssumptions.check comes first"
            cost = physical_cost(
                clock.profile,
                qubits=qubits,
                t_count=self.circuit.t_count,
                t_depth=layers,
                cycles=xp.maximum(self.circuit.t_count, layers),
                failure_probability=self.failure_probability / xp.maximum(runs, 1.0),
                layout=self.layout,
                time_scale=clock.time_scale,
            )
            qubits = cost.qubits
            corrected = [Condition(cost.status != code, words) for code, words in _OVERHEAD.items()]
            run_s = xp.maximum(cost.seconds, run_s) if cycle_s is None else cost.logical_cycles * cycle_s
        seconds = runs * run_s + self.fixed_seconds
        finite = Condition(xp.isfinite(seconds), "seconds inside the floating-point range")
        # Where there is no count, what follows from it fails as well and is not the reason.
        counted = met(self.conditions)
        followed = [*self.circuit.conditions, *self.reading.conditions, *corrected, finite]
        demands = [*self.conditions, *(Condition(one.holds | ~counted, one.words) for one in followed)]
        numbers = {
            "seconds": seconds,
            "fixed_seconds": self.fixed_seconds,
            "queries": self.queries,
            "repetitions": self.repetitions,
            "copies": runs,
            "rounds": self.reading.rounds,
            "t_count": runs * self.circuit.t_count,
            "t_depth": runs * layers,
            "qubits": qubits,
            "logical_qubits": self.circuit.qubits,
        }
        factors = {
            "queries": self.queries,
            "encoding": self.query_layers / self.queries,
            "right-hand side": layers / self.query_layers,
            "error correction": run_s / (layers * gate_time_s),
            "read-out": runs,
            "loading": seconds / (runs * run_s),
        }
        return _cheapest(xp, demands, numbers, self.workload, factors)


def _cheapest(
    xp: Any,
    demands: list[Condition],
    numbers: dict[str, Any],
    workload: QuantumWorkload,
    factors: dict[str, Any],
) -> Charge:
    arrays = [*(condition.holds for condition in demands), *numbers.values(), *factors.values()]
    shape = np.broadcast_shapes(*(np.shape(array) for array in arrays))
    holds = [xp.broadcast_to(condition.holds, shape) for condition in demands]
    valid = functools.reduce(operator.and_, holds)
    best = xp.argmin(xp.where(valid, numbers["seconds"], xp.inf), axis=0)

    def chosen(value: Any) -> Any:
        return xp.take_along_axis(xp.broadcast_to(xp.asarray(value), shape), best[None], axis=0)[0]

    def number(value: Any, otherwise: float = np.inf) -> Any:
        return chosen(xp.where(valid, value, otherwise))

    return Charge(
        encoding=best,
        **{name: number(value) for name, value in numbers.items()},
        success_probability=number(workload.success_probability, 0.0),
        clamped=chosen(workload.clamped),
        extrapolated=chosen(workload.extrapolated),
        factors={name: number(value, np.nan) for name, value in factors.items()},
        conditions=tuple(Condition(chosen(held), one.words) for held, one in zip(holds, demands, strict=True)),
        assumed=workload.assumed,
    )
