"""One block's computation from its system to its part of the step."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from .._conditioning import condition
from .._core.kinds import known, typed
from .._core.operators import Path
from .._core.records import System, SystemEstimate
from .._core.status import Status
from .blocks import Given, SolvedBlock
from .correction import Correction
from .known_solver import KnownSolver
from .metrics import Damping, measure
from .solution import Send
from .stages import BlockInfo, begin_block, gradient_rate, leaves_unformed, quadratic_decrease

if TYPE_CHECKING:
    from .._estimation import Remembered


@dataclass(frozen=True)
class BlockSolve:
    """Settings for the solution of every block of a step.

    Attributes:
        known: solver of the systems.
        residual_tolerance: largest relative residual that counts as solved.
        correction: of what conditioning left out, if any.
        clip: largest entry of a direction; None: any.
        weight_decay: multiple of the parameters that is added to a direction.
        shifted: whether a multiple of the identity is part of the curvature.
        follows: whether the damping follows the steps, so that it bounds a gradient that stands in for a solution.
        predicts: whether the decrease of the loss is predicted of each block alone.
    """

    known: KnownSolver
    residual_tolerance: float
    correction: Correction | None
    clip: float | None
    weight_decay: float
    shifted: bool
    follows: bool
    predicts: bool

    @property
    def traced(self) -> bool:
        """Whether a number of it is being traced, as `optax.inject_hyperparams` has them."""
        return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((vars(self), self.known.solver)))

    def solve(
        self, damping: Damping, rate: Float[Array, ""], system: System, path: Path | Int[Array, ""], given: Given
    ) -> SolvedBlock:
        """Condition and solve one block; arguments as of `begin`."""
        return self.begin(damping, rate, system, path, given)()

    def begin(
        self,
        damping: Damping,
        rate: Float[Array, ""],
        system: System,
        path: Path | Int[Array, ""],
        given: Given,
        send: Send | None = None,
    ) -> Callable[[], SolvedBlock]:
        """Condition one block, and begin to solve it; what is returned completes that.

        Args:
            damping: of the step.
            rate: learning rate of the step.
            system: as curvature leaves it.
            path: how it is computed.
            given: what else is known of the block.
            send: takes its system to a worker; None: it is solved here.
        """
        solver, packed = self.known.for_system(system)
        system = system if leaves_unformed(solver, system) else system.formed()
        measured, fallback, memory = self._measured(damping, system, given)
        conditioned = condition(damping.conditioning, measured, given.scale)
        estimate, remembered = self._estimated(conditioned, given)
        begun = begin_block(
            solver,
            conditioned,
            given.gradient,
            self.residual_tolerance,
            path,
            given.start,
            estimate,
            self.correction,
            given.turn,
            fallback,
            send,
        )

        def complete() -> SolvedBlock:
            value, info = begun()
            info = info if packed is None else replace(info, packed=packed)
            value = self._bounded(value, info, fallback, given)
            direction = self._direction(value, given)
            predicted = jnp.zeros_like(rate)
            if self.predicts:
                predicted = quadratic_decrease(system, given.gradient, -rate * direction)
            # The gradient that stands in for a solution is no guess at one.
            start = None if given.start is None else jnp.where(info.status == Status.OK, value, 0)
            return SolvedBlock(direction, start, remembered, predicted, info, memory)

        return complete

    def _measured(
        self, damping: Damping, system: System, given: Given
    ) -> tuple[System, Float[Array, " n"], Float[Array, "k n"] | None]:
        """Return the system in the metric's units, the fallback direction of the block, and the metric's memory."""
        if given.metric is None:
            return system, given.gradient, None
        memory, roots, measured = measure(damping.metric, given.metric, system, given.params, self.shifted)
        return measured, given.gradient / roots / roots, memory

    def _estimated(self, conditioned: System, given: Given) -> "tuple[SystemEstimate | None, Remembered | None]":
        """Return estimate and memory of an estimator that remembers; any other is left to the scheduler."""
        if self.known.reuse is None or given.remembered is None:
            return None, None
        return self.known.reuse.after(conditioned, given.remembered)

    def _bounded(
        self, value: Float[Array, " n"], info: BlockInfo, fallback: Float[Array, " n"], given: Given
    ) -> Float[Array, " n"]:
        """Return the solution; a fallback is shortened if a larger damping would shorten it further."""
        if not self.follows:
            return value
        shorter = gradient_rate(info.damping, given.scale, fallback, given.params)
        return jnp.where(info.status == Status.OK, value, shorter * value)

    def _direction(self, value: Float[Array, " n"], given: Given) -> Float[Array, " n"]:
        """The solution, clipped and with weight decay."""
        clip = None if self.clip is None else typed(self.clip, value.dtype)
        direction = value if clip is None else jnp.clip(value, -clip, clip)
        if not known(self.weight_decay) or self.weight_decay:
            # A block whose gradient is not finite stays where it is.
            decay = jnp.where(jnp.all(jnp.isfinite(given.gradient)), typed(self.weight_decay, value.dtype), 0)
            direction = direction + decay * given.params
        return direction
