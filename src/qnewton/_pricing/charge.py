"""The record of one quantum solve's charge."""

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import equinox as eqx
import numpy as np

from .._core.conditions import Condition, broken, met
from .._core.records import QuantumWorkload


class Charge(eqx.Module):
    """One system's cost on one quantum solver under one set of assumptions. Arrays of one shape, from numpy or JAX.

    Attributes:
        seconds: modelled seconds of the whole solve; infinite where a condition is not met.
        fixed_seconds: the part of them that no quantum clock scales: loading, and classical products.
        encoding: index of the block encoding that takes the fewest seconds.
        queries: expected calls of it in one run, repetitions included where they are charged.
        repetitions: of one run until it succeeds.
        copies: runs that the read-out takes, its norm estimation included; 1 where it is free.
        rounds: read-outs that follow each other.
        t_count: T gates of the whole solve; 0 where no gates are charged.
        t_depth: layers of the whole solve.
        qubits: physical ones where errors are corrected, else logical ones.
        logical_qubits: of the algorithm.
        success_probability: of one repetition.
        clamped: whether the condition number was raised to the formula's lower end.
        extrapolated: whether a measured constant is used where nobody measured it.
        stretched: whether error correction is extrapolated beyond the distances and T factories that are listed.
        factors: what multiplies up to the seconds at a gate time: `queries`, layers per query (`encoding`), layers in
            all over those (`right-hand side`), `error correction`, `read-out`, and all over what is not loading.
        conditions: what the formulas demand, and where that is met.
        assumed: what was not given and stands at its worst case, in words.
    """

    seconds: Any
    fixed_seconds: Any
    encoding: Any
    queries: Any
    repetitions: Any
    copies: Any
    rounds: Any
    t_count: Any
    t_depth: Any
    qubits: Any
    logical_qubits: Any
    success_probability: Any
    clamped: Any
    extrapolated: Any
    stretched: Any
    factors: dict[str, Any]
    conditions: tuple[Condition, ...]
    assumed: tuple[str, ...] = eqx.field(static=True, default=())

    def demanding(self, condition: Condition) -> "Charge":
        """Return the charge where one more condition is met, which elsewhere is the one reason; on the host."""
        shape = np.shape(self.seconds)
        holds = np.broadcast_to(np.asarray(condition.holds), shape)
        others = [Condition(one.holds | ~holds, one.words) for one in self.conditions]
        seconds = np.where(holds, self.seconds, np.inf)
        return replace(self, seconds=seconds, conditions=(*others, Condition(holds, condition.words)))

    @property
    def valid(self) -> Any:
        """Whether every formula holds."""
        return met(self.conditions)

    def reason(self, index: tuple[int, ...] = ()) -> str:
        """Return why there is no number for one entry; empty if there is one. Not under jit."""
        return broken(self.conditions, index)

    @classmethod
    def cheapest(
        cls,
        xp: ModuleType,
        demands: Sequence[Condition],
        numbers: Mapping[str, Any],
        workload: QuantumWorkload,
        factors: Mapping[str, Any],
        stretched: Any,
    ) -> "Charge":
        """Return the charge by the encoding with the fewest seconds; by the first if none can be used.

        Args:
            xp: numpy or `jax.numpy`.
            demands: all arrays of this and of what follows have an axis for the encodings before all others.
            numbers: fields of the charge that are infinite where a demand is not met.
            workload: the query count.
            factors: as in the charge.
            stretched: as in the charge.
        """
        arrays = [*(condition.holds for condition in demands), *numbers.values(), *factors.values()]
        shape = np.broadcast_shapes(*(np.shape(array) for array in arrays))
        holds = [xp.broadcast_to(condition.holds, shape) for condition in demands]
        valid = functools.reduce(operator.and_, holds)
        best = xp.argmin(xp.where(valid, numbers["seconds"], xp.inf), axis=0)

        def chosen(value: Any) -> Any:
            return xp.take_along_axis(xp.broadcast_to(xp.asarray(value), shape), best[None], axis=0)[0]

        def number(value: Any, otherwise: float = np.inf) -> Any:
            return chosen(xp.where(valid, value, otherwise))

        return cls(
            encoding=best,
            **{name: number(value) for name, value in numbers.items()},
            success_probability=number(workload.success_probability, 0.0),
            clamped=chosen(workload.clamped),
            extrapolated=chosen(workload.extrapolated),
            stretched=chosen(stretched),
            factors={name: number(value, np.nan) for name, value in factors.items()},
            conditions=tuple(Condition(chosen(held), one.words) for held, one in zip(holds, demands, strict=True)),
            assumed=workload.assumed,
        )
