"""Objects shared by trainings of one process that differ only in what no compiled step contains."""

import dataclasses
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

import jax

from .build import BASELINES, keeps_unformed, make_adaptation, make_conditioning
from .options import TrainingOptions, TrainOptions
from .parts import part

if TYPE_CHECKING:
    from ..._workers import Workers

T = TypeVar("T")


class Held:
    """Data, measured stages and compiled functions, kept as long as this object exists."""

    def __init__(self, stages: dict[Hashable, Any] | None = None):
        """Start empty, except for measured stages.

        Args:
            stages: what `measured` kept for other objects of this kind, and is to keep for them; None: nothing.
        """
        self._kept: dict[Hashable, Any] = {}
        self._stages = {} if stages is None else stages
        self.workers: Workers | None = None
        """Of the training under way."""

    def of_task(self, what: str, name: str, options: TrainOptions, make: Callable[[], T]) -> T:
        """Return an object that all trainings of a task share.

        Args:
            what: is shared.
            name: of the task.
            options: of this training.
            make: makes it.
        """
        return self._once((what, name, options.training.dtype, options.task), make)

    def alike(self, what: str, options: TrainOptions, make: Callable[[], T]) -> T:
        """Return an object that all trainings with alike options share.

        Args:
            what: is shared.
            options: of this training, of one and the same task for all.
            make: makes it.
        """
        if self.workers is not None:
            return make()  # it calls them, and no others
        return self._once((what, options.optimizer, _without_what_is_traced(options)), make)

    def measured(self, name: str, options: TrainOptions, make: Callable[[], T]) -> tuple[T, bool]:
        """Return measured stages, shared by trainings whose stages do the same work.

        The work depends on sizes, not on numbers, so that r does not matter.

        Args:
            name: of the task.
            options: of this training.
            make: measures.

        Returns:
            What was measured, and whether that was for an earlier training.
        """
        training, step, conditioning = options.training, options.step, options.conditioning
        key = (
            *(name, options.task, training.dtype, training.batch_size, training.blas_threads),
            *(step.curvature, step.partition, step.largest),
            # The structure has what is fixed, such as a keep ratio, and leaves out the numbers that may vary.
            *(jax.tree.structure(make_conditioning(conditioning)), make_adaptation(conditioning).tries),
            *(options.scheduling.estimator, keeps_unformed(options), options.crew.workers is None),
        )
        before = key in self._stages
        if not before:
            self._stages[key] = make()
        return self._stages[key], before

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def _without_what_is_traced(options: TrainOptions) -> TrainOptions:
    """Return the options on which a compiled step depends: without seed, place, evaluation and values in the state."""
    defaults = TrainingOptions()
    training = dataclasses.replace(
        options.training,
        seed=defaults.seed,
        evaluate_every=defaults.evaluate_every,
        evaluate_seconds=defaults.evaluate_seconds,
        seconds=defaults.seconds,
        least_steps=defaults.least_steps,
        time_solves=defaults.time_solves,
        checkpoint_every=defaults.checkpoint_every,
        log=defaults.log,
    )
    step = options.step
    if options.optimizer_word in BASELINES:
        step = dataclasses.replace(step, learning_rate=None)
    adaptation = part("adaptation", options.conditioning.adaptation, "adaptation")
    adaptation = dataclasses.replace(adaptation, given=tuple(one for one in adaptation.given if one[0] != "damping"))
    conditioning = dataclasses.replace(options.conditioning, adaptation=str(adaptation))
    return dataclasses.replace(
        options, preset="blocks", out=None, training=training, step=step, conditioning=conditioning
    )
