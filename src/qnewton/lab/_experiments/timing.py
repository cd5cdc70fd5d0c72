"""Solve times, measured by running a solve once more outside of the jitted step.

A step cannot be timed from inside. From time to time its systems are therefore built again from the parameters that it
started from. Every classical candidate that can take one solves it, in turns. A matrix product before each turn
measures the present speed of the machine.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from ..._conditioning import AbstractConditioner, condition
from ..._core.powers_of_two import unit_of
from ..._core.records import System
from ..._curvature import AbstractCurvature, Batch, Block, Objective, Point
from ..._hardware import gemm_probe, interleaved_seconds
from ..._optim.stages import BlockInfo
from ..._scheduling import Hybrid
from ..._solvers import AbstractSolver
from ..._solvers.base import solve_trusting
from .._runfile import TimedSolve


class SolveTimer:
    """Timer of the classical candidates on the systems of a step; compiles each once."""

    def __init__(
        self,
        objective: Objective,
        curvature: AbstractCurvature,
        conditioning: Sequence[AbstractConditioner],
        blocks: Sequence[Block],
        hybrid: Hybrid,
        dtype: str,
        *,
        unformed: frozenset[str],
    ):
        """Start the timer of one run with these options; `unformed` names the blocks that are operators."""
        self._objective, self._curvature, self._conditioning = objective, curvature, tuple(conditioning)
        self._blocks, self._hybrid, self._unformed = tuple(blocks), hybrid, unformed
        self._probe = gemm_probe(dtype)
        self._compiled: dict[tuple[int, int], Callable] = {}

    def __call__(
        self, params: PyTree, batch: Batch, infos: Sequence[BlockInfo]
    ) -> tuple[list[dict[str, TimedSolve]], float]:
        """Return, per block, each candidate's time, and the seconds of the probe meanwhile.

        For a block that is not formed, the seconds are those of a solve with its operator's set-up, less those of the
        set-up; a candidate that needs the matrix forms it.

        Args:
            params: that the step started from.
            batch: that it saw.
            infos: what it reported.
        """
        runs: list[Callable[[], PyTree]] = []
        places: list[tuple[int, str, int | None, Any]] = []
        for k, info in enumerate(infos):
            assert info.plan is not None, "the runner always schedules"
            able = [
                i
                for i, solver in enumerate(self._hybrid.solvers)
                if not solver.capabilities.quantum and bool(info.plan.offers.feasible[0, i])
            ]
            scale = jnp.asarray(info.damping_scale)
            base = None
            unformed = self._blocks[k].name in self._unformed
            if unformed and able:
                base = len(runs)
                runs.append(partial(self._function(k, -1), params, batch, scale))
            operands = (params, batch, scale) if unformed else self._function(k, -1)(params, batch, scale)
            for i in able:
                run = partial(self._function(k, i), *operands)
                places.append((k, self._hybrid.names[i], base, run()))
                runs.append(run)
        seconds, probe = interleaved_seconds(runs, self._probe, repeats=5, budget_seconds=0.3)
        found: list[dict[str, TimedSolve]] = [{} for _ in infos]
        bases = {base for _, _, base, _ in places if base is not None}
        timed = [second for position, second in enumerate(seconds) if position not in bases]
        for (k, name, base, (_, steps)), second in zip(places, timed, strict=True):
            alone = second - (0.0 if base is None else seconds[base])
            found[k][name] = TimedSolve(measured_seconds=max(alone, 0.0), iterations=int(steps))
        return found, probe

    def _function(self, k: int, i: int) -> Callable:
        """Return the function of block `k`: candidate `i` on it, or its system alone with -1."""
        if (k, i) not in self._compiled:
            self._compiled[k, i] = jax.jit(self._traced(k, i))
        return self._compiled[k, i]

    def _traced(self, k: int, i: int) -> Callable:
        block = self._blocks[k]
        unformed = block.name in self._unformed

        def system_of(params: PyTree, batch: Batch, scale: Float[Array, ""]) -> tuple[System, Float[Array, " n"]]:
            system = self._curvature.system(Point.of(self._objective, params, batch), block)
            if not unformed:
                system = system.formed()
            system = condition(self._conditioning, system, scale)
            gradient = block.take(jax.grad(self._objective)(params, batch))
            return system, gradient / unit_of(gradient)

        def arrays(params: PyTree, batch: Batch, scale: Float[Array, ""]) -> PyTree:
            system, gradient = system_of(params, batch, scale)
            if unformed:
                return jax.tree.leaves(eqx.filter(system, eqx.is_array)), gradient
            return system.matrix, gradient

        if i < 0:
            return arrays
        solver = self._hybrid.solvers[i]
        if not unformed:
            return lambda matrix, gradient: solve_trusting(
                solver, lx.MatrixLinearOperator(matrix, _tag(solver)), gradient
            )

        def whole(params: PyTree, batch: Batch, scale: Float[Array, ""]) -> PyTree:
            system, gradient = system_of(params, batch, scale)
            if solver.capabilities.matrix_free:
                return solve_trusting(solver, lx.TaggedLinearOperator(system.operator, _tag(solver)), gradient)
            return solve_trusting(solver, lx.MatrixLinearOperator(system.matrix, _tag(solver)), gradient)

        return whole


def _tag(solver: AbstractSolver) -> object:
    if solver.capabilities.needs_definite:
        return lx.positive_semidefinite_tag
    return lx.symmetric_tag if solver.capabilities.needs_symmetric else ()
