"""Timing of a training's checkpoints, and their cost."""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import PyTree

from .._runfile import CheckpointLine, Identity, RunDirectory, StepLine, SystemLine
from .checkpoints import Checkpoint, about_digest, write_checkpoint
from .loop import Loop
from .packing import named, packed, unnamed, unpacked
from .together import several

SECONDS = 30.0
"""Between two checkpoints, where no number of steps is asked for."""
SHARE = 0.05
"""Of the time, at most, that saving takes then: it becomes rarer where a checkpoint takes longer than 1.5 s."""


class Saver:
    """Saver of a training between its steps, never inside one, so that measured seconds do not contain it.

    The step after is about a millisecond slower, as after any pause.
    """

    def __init__(
        self, directory: RunDirectory, identity: Identity, every: int, compilation_seconds: float, last: int = 0
    ):
        """Start the saver of one process that works on a run.

        Args:
            directory: of the run.
            identity: of the run.
            every: steps between checkpoints; 0: by the clock.
            compilation_seconds: measured, of all processes so far.
            last: step that needs no checkpoint any more: the one that was resumed from.
        """
        self._directory, self._identity, self._every = directory, identity, every
        self._compilation_seconds = compilation_seconds
        self._last, self._since, self._took = last, time.perf_counter(), 0.0

    def due(self, done: int) -> bool:
        """Return whether a checkpoint is due after `done` steps."""
        if self._every:
            return done % self._every == 0
        return time.perf_counter() - self._since >= max(SECONDS, self._took / SHARE)

    def save(self, loop: Loop, ledger: Any) -> None:
        """Save the present training, unless it is on disk already or has left the floating-point range.

        Raises:
            OSError: if it cannot be written.
        """
        if loop.done == self._last or not math.isfinite(ledger.steps.newest.loss):
            return
        start = time.perf_counter()
        self._directory.check()
        # A checkpoint counts on the lines before it.
        self._directory.sync("blocks.jsonl", "steps.jsonl")
        arrays = {"params": named(loop.params), "state": packed(loop.state), "ledger": ledger.arrays()}
        checkpoint = Checkpoint(loop.done, self._identity, self._compilation_seconds, arrays)
        # Several processes have one name for it.
        place = self._directory.path if several() else self._directory.place
        size = write_checkpoint(place, checkpoint)
        self._last, self._since = loop.done, time.perf_counter()
        self._took = self._since - start
        about = about_digest(place, loop.done)
        line = CheckpointLine(step=loop.done, bytes=size, measured_seconds=self._took, about=about)
        self._directory.append("checkpoints.jsonl", [line])


def restore(
    checkpoint: Checkpoint,
    loop: Loop,
    ledger: Any,
    steps: Sequence[StepLine],
    blocks: Sequence[SystemLine],
) -> None:
    """Restore a training to the moment of the checkpoint.

    Args:
        checkpoint: of this run.
        loop: compiled, at its beginning.
        ledger: empty.
        steps: the lines up to the checkpoint.
        blocks: those of its systems.

    Raises:
        ValueError: if it does not fit the training.
    """
    groups: dict[str, dict[str, np.ndarray]] = checkpoint.arrays
    try:
        params: PyTree = unnamed(groups["params"], loop.params)
        state: PyTree = unpacked(groups.get("state", {}), loop.state)
    except ValueError as error:
        raise ValueError(
            f"the checkpoint of step {checkpoint.step} does not fit what its options build now: {error}. The code is "
            "not the one that wrote it: use that again, or train anew"
        ) from error
    loop.go_on(params, state, checkpoint.step, sum(step.measured_seconds for step in steps))
    ledger.restore(steps, blocks, groups.get("ledger", {}))
