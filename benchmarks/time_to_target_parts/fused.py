"""Programs whose steps are fused into one compiled loop: everything that is a pure function of its state."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .contestants import Configuration, Program, Training
from .problems import Params, Problem

# Decay of the running average of the parameters that every contestant is given with mini-batches.
AVERAGE = 0.98
EPOCHS = 2000

Hyper = dict[str, jax.Array]
Batch = tuple[Any, Any]


@dataclass(frozen=True)
class Rule:
    """An optimizer as two pure functions.

    Attributes:
        init: `(params, batch, hyper) -> state`.
        step: `(params, state, batch, hyper) -> (params, state)`.
    """

    init: Callable[[Params, Batch, Hyper], Any]
    step: Callable[[Params, Any, Batch, Hyper], tuple[Params, Any]]


def orders(problem: Problem, seed: int) -> np.ndarray | None:
    """Indices `[steps, batch]` of the mini-batches of many epochs, or None for the full batch."""
    if problem.batch_size is None:
        return None
    examples = len(jax.tree.leaves(problem.batch)[0])
    per_epoch = examples // problem.batch_size
    rng = np.random.default_rng(seed)
    epochs = [rng.permutation(examples)[: per_epoch * problem.batch_size] for _ in range(EPOCHS)]
    return np.concatenate(epochs).reshape(-1, problem.batch_size).astype(np.int32)


class Fused(Program):
    """A rule, compiled once: hyperparameters and the number of steps are arguments of the loop."""

    def __init__(self, problem: Problem, rule: Rule, first: Configuration):
        self.problem = problem

        def init(params: Params, batch: Batch, hyper: Hyper) -> Any:
            start = batch if problem.batch_size is None else jax.tree.map(lambda a: a[: problem.batch_size], batch)
            average = None if problem.batch_size is None else jax.tree.map(jnp.zeros_like, params)
            return params, rule.init(params, start, hyper), average, jnp.zeros((), jnp.int32)

        def advance(carry: Any, batch: Batch, order: Any, hyper: Hyper, steps: jax.Array) -> Any:
            def body(_: Any, carry: Any) -> Any:
                params, state, average, count = carry
                chosen = batch
                if order is not None:
                    indices = order[count % len(order)]
                    chosen = jax.tree.map(lambda a: a[indices], batch)
                params, state = rule.step(params, state, chosen, hyper)
                if average is not None:
                    average = jax.tree.map(lambda m, p: AVERAGE * m + (1 - AVERAGE) * p, average, params)
                return params, state, average, count + 1

            return jax.lax.fori_loop(0, steps, body, carry)

        params, order, hyper = problem.init(0), _device(orders(problem, 0)), numbers(problem, first)
        began = time.perf_counter()
        self.init = jax.jit(init).lower(params, problem.batch, hyper).compile()
        shapes = jax.eval_shape(init, params, problem.batch, hyper)
        self.advance = jax.jit(advance).lower(shapes, problem.batch, order, hyper, np.int32(1)).compile()
        self.compile_seconds = time.perf_counter() - began
        self.steps_per_chunk = self._calibrate(self.init(params, problem.batch, hyper), order, hyper)

    def _calibrate(self, carry: Any, order: Any, hyper: Hyper) -> int:
        """Steps that take about the problem's granularity."""

        def seconds(steps: int) -> float:
            start = time.perf_counter()
            jax.block_until_ready(self.advance(carry, self.problem.batch, order, hyper, np.int32(steps)))
            return time.perf_counter() - start

        granularity = self.problem.granularity_seconds
        # The least of several: a busy moment must not make a fast contestant pay for many short calls.
        one = min(seconds(1), seconds(1))
        for _ in range(0 if one > 2 * granularity else 5):
            one = min(one, seconds(5) / 5)
        return max(1, round(granularity / one))

    def begin(self, seed: int, configuration: Configuration, limit_seconds: float) -> Training:
        del limit_seconds
        return _FusedTraining(self, seed, numbers(self.problem, configuration))


class _FusedTraining(Training):
    def __init__(self, program: Fused, seed: int, hyper: Hyper):
        self._program, self._hyper = program, hyper
        self._params, self._order = jax.block_until_ready((program.problem.init(seed), orders_on_device(program, seed)))
        self._carry = None

    def advance(self) -> None:
        program, batch = self._program, self._program.problem.batch
        steps = np.int32(program.steps_per_chunk)
        start = time.perf_counter()
        carry = program.init(self._params, batch, self._hyper) if self._carry is None else self._carry
        carry = program.advance(carry, batch, self._order, self._hyper, steps)
        self._carry = jax.block_until_ready(carry)
        self.seconds += time.perf_counter() - start
        self.steps += program.steps_per_chunk

    def candidates(self) -> list[Params]:
        params, _, average, count = self._carry
        return [params] if average is None else [params, unbiased(average, int(count))]


def orders_on_device(program: Fused, seed: int) -> jax.Array | None:
    return _device(orders(program.problem, seed))


def unbiased(average: Params, count: int) -> Params:
    """The running average without the zeros it began with."""
    return jax.tree.map(lambda m: m / (1 - AVERAGE**count), average)


def numbers(problem: Problem, configuration: Configuration) -> Hyper:
    dtype = jnp.float64 if problem.x64 else jnp.float32
    return {name: jnp.asarray(value, dtype) for name, value in configuration.traced.items()}


def _device(order: np.ndarray | None) -> jax.Array | None:
    return None if order is None else jnp.asarray(order)
