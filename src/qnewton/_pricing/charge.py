"""The record of what one quantum solve is charged."""

from typing import Any

import equinox as eqx

from .._core.conditions import Condition, broken, met


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
    factors: dict[str, Any]
    conditions: tuple[Condition, ...]
    assumed: tuple[str, ...] = eqx.field(static=True, default=())

    @property
    def valid(self) -> Any:
        """Whether every formula holds."""
        return met(self.conditions)

    def reason(self, index: tuple[int, ...] = ()) -> str:
        """Why there is no number for one entry; empty where there is. Not under jit."""
        return broken(self.conditions, index)
