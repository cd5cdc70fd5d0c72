"""The training loop's state and its compiled functions."""

import time
from collections.abc import Callable
from typing import Any

import jax
import optax
from jaxtyping import PyTree

from ..._curvature import Batch
from .._runfile import StepLine, SystemLine
from .held import Held
from .hired import attempt_lines
from .options import TrainOptions
from .prepare import Prepared
from .tasks.base import Task, batches
from .tasks.evaluation import mean
from .together import Together, fetched


class Loop:
    """State of a training, with the functions that advance it.

    Attributes:
        done: steps that it has taken, those before a resume among them.
        params, state: present parameters, and state of the optimizer.
    """

    def __init__(
        self,
        task: Task,
        prepared: Prepared,
        options: TrainOptions,
        params: PyTree,
        state: PyTree,
        held: Held,
        together: Together,
    ):
        """Compile the functions that are not held already, at the initial parameters and the optimizer's state."""
        optimizer: Any = prepared.optimizer
        self._task, self._options, self._deal, self._timer = task, options, prepared.deal, prepared.timer
        self._size = min(options.training.batch_size, len(task.train))
        self._batches = batches(task.train, self._size, options.training.seed)
        self.params, self.state, self._together = params, state, together
        self.done, self._spent, self._evaluated = 0, 0.0, 0.0

        def step(params: PyTree, state: PyTree, batch: Batch) -> tuple[PyTree, PyTree]:
            batch = together.divided(batch)
            # First-order methods and `fisher_newton` need the loss for their records alone. Newton steps compare it
            # with that of a trial, and find both alike.
            value, gradients = jax.value_and_grad(task.objective)(params, batch)
            updates, state = optimizer.update(gradients, state, params, batch=batch, value=value)
            return optax.apply_updates(params, updates), state

        def evaluate(params: PyTree, train: Batch, test: Batch) -> tuple:
            losses = (mean(task.objective, params, data, together.divided) for data in (train, test))
            return *losses, None if task.accuracy is None else mean(task.accuracy, params, test, together.divided)

        first = together.placed(next(batches(task.train, self._size, options.training.seed)))
        jitted = jax.jit(step, out_shardings=together.laid_as((params, state)))
        self._workers = held.workers
        self._step = held.alike("step", options, lambda: jitted.lower(self.params, self.state, first).compile())
        self._evaluate: Callable = held.of_task(
            "evaluation",
            task.name,
            options,
            lambda: jax.jit(evaluate).lower(self.params, task.train.batch, task.test.batch).compile(),
        )

    @property
    def planned_bytes(self) -> float:
        """Step's memory by the compiler's plan, parameters and batch apart; 0 if the backend states none."""
        plan = self._step.memory_analysis()
        return 0.0 if plan is None else plan.temp_size_in_bytes

    @property
    def over(self) -> bool:
        """Whether no further step may begin."""
        training = self._options.training
        if self.done >= training.steps:
            return True
        return training.seconds is not None and self._spent >= training.seconds and self.done >= training.least_steps

    def go_on(self, params: PyTree, state: PyTree, done: int, spent: float) -> None:
        """Continue after `done` steps, which took `spent` seconds, as a training that had just taken them.

        Compiled is what the initial state led to, so the program is the one that took them.
        """
        self.params, self.state = self._together.put_as((params, state), (self.params, self.state))
        self.done, self._spent, self._evaluated = done, spent, spent
        if self._workers is not None:
            self._workers.begin_at(done)
        self._batches = batches(self._task.train, self._size, self._options.training.seed, start=done)

    def advance(self, ledger: Any) -> tuple[StepLine, list[SystemLine]]:
        """Take one step, record it and, when due, evaluate."""
        # Where the data come from is no part of a step.
        batch, before = jax.block_until_ready(self._together.placed(next(self._batches))), self.params
        start = time.perf_counter()
        self.params, self.state = jax.block_until_ready(self._step(self.params, self.state, batch))
        (seconds,) = self._together.decided(time.perf_counter() - start)
        info = fetched(self.state.info)
        epoch = self.done * self._size / len(self._task.train)
        step, blocks = ledger.record(info, epoch=epoch, measured_seconds=seconds)
        if self._workers is not None:
            step = ledger.attempted(attempt_lines(self._workers))
        if self._timer is not None and self.done % self._options.training.time_solves == 0:
            blocks = ledger.timed(*self._timer(before, batch, info.blocks))
        self.done += 1
        self._spent += seconds
        if self._deal is not None and not self.over:
            self.state = self._together.put_as(self._deal(self.state, self.done), self.state)
        if self.over or self._due():
            step = ledger.evaluated(self.evaluate())
        return step, blocks

    def _due(self) -> bool:
        training = self._options.training
        if training.evaluate_seconds is None:
            return self.done % training.evaluate_every == 0
        due = self._spent - self._evaluated >= training.evaluate_seconds
        if due:
            self._evaluated = self._spent
        return due

    def evaluate(self) -> dict[str, Any]:
        """Return loss and accuracy over all data at the present parameters, and the time of the evaluation."""
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
