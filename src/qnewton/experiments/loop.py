"""The training loop's state and its compiled functions."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from ..curvature import Batch
from .options import TrainOptions
from .prepare import Prepared
from .tasks.base import Task, batches
from .tasks.evaluation import mean


class Loop:
    """The state of a training, and what advances it.

    Attributes:
        done: steps that it has taken, those before a resume among them.
        params, state: present parameters, and state of the optimizer.
    """

    def __init__(self, task: Task, prepared: Prepared, options: TrainOptions, params: PyTree, state: Any):
        """Compile, at the initial parameters and the optimizer's state for them."""
        optimizer: Any = prepared.optimizer
        self._task, self._options, self._deal, self._timer = task, options, prepared.deal, prepared.timer
        self._size = min(options.training.batch_size, len(task.train))
        self._batches = batches(task.train, self._size, options.training.seed)
        self.params, self.state = params, state
        self.done = 0

        def step(params: PyTree, state: Any, batch: Batch) -> tuple[PyTree, Any]:
            gradients = jax.grad(task.objective)(params, batch)
            updates, state = optimizer.update(gradients, state, params, batch=batch)
            return optax.apply_updates(params, updates), state

        def evaluate(params: PyTree, train: Batch, test: Batch) -> tuple:
            losses = (mean(task.objective, params, data) for data in (train, test))
            return *losses, None if task.accuracy is None else mean(task.accuracy, params, test)

        first = next(batches(task.train, self._size, options.training.seed))
        self._step: Callable = jax.jit(step).lower(self.params, self.state, first).compile()
        self._evaluate: Callable = jax.jit(evaluate).lower(self.params, task.train.batch, task.test.batch).compile()

    def go_on(self, params: PyTree, state: Any, done: int) -> None:
        """Go on after `done` steps, as a training would that had just taken them.

        Compiled is what the initial state led to, so the program is the one that took them.
        """
        self.params, self.state = jax.tree.map(jnp.asarray, (params, state))
        self.done = done
        self._batches = batches(self._task.train, self._size, self._options.training.seed, start=done)

    def advance(self, ledger: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """One step, recorded and, when its turn has come, evaluated."""
        batch, before = next(self._batches), self.params
        start = time.perf_counter()
        self.params, self.state = jax.block_until_ready(self._step(self.params, self.state, batch))
        seconds = time.perf_counter() - start
        info = jax.device_get(self.state.info)
        epoch = self.done * self._size / len(self._task.train)
        step, blocks = ledger.record(info, epoch=epoch, measured_seconds=seconds)
        if self._timer is not None and self.done % self._options.training.time_solves == 0:
            timed, probe = self._timer(before, batch, info.blocks)
            for line, own in zip(blocks, timed, strict=True):
                line.update(timed=own, probe_seconds=probe)
        self.done += 1
        if self._deal is not None and self.done < self._options.training.steps:
            self.state = self._deal(self.state, self.done)
        if self.done % self._options.training.evaluate_every == 0 or self.done == self._options.training.steps:
            step.update(self.evaluate())
        return step, blocks

    def evaluate(self) -> dict[str, Any]:
        """Loss and accuracy over all data at the present parameters, and what finding them took."""
        start = time.perf_counter()
        values = jax.block_until_ready(self._evaluate(self.params, self._task.train.batch, self._task.test.batch))
        seconds = time.perf_counter() - start
        train_loss, test_loss, accuracy = values
        return {
            "train_loss": float(train_loss),
            "test_loss": float(test_loss),
            "test_accuracy": None if accuracy is None else float(accuracy),
            "measured_evaluation_seconds": seconds,
        }
