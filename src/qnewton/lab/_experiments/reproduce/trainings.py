"""Trainings behind the figures, each with a name of its own; figures that need the same one share it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from ..options import (
    ConditioningOptions,
    StepOptions,
    TaskOptions,
    TrainingOptions,
    TrainOptions,
)
from ..presets import PRESETS
from ..task_options import ImageOptions, MnistOptions, kind_of
from .options import Reproduction

_POINTS = 60
"""Evaluations on all data during a training; finding a target takes no more."""


@dataclass(frozen=True)
class Training:
    """One run directory of a reproduction.

    Attributes:
        name: of the directory.
        task: that is trained.
        options: of the run.
    """

    name: str
    task: str
    options: TrainOptions


def newton(options: Reproduction) -> Training:
    """Return the perceptron's training by Newton's method as published, predicted for LU and the quantum solver."""
    return Training("newton", options.mlp.task, _solved(options, published(options, steps=options.mlp.steps)))


def newton_with_lu(options: Reproduction) -> Training:
    """Return the same steps with LU alone: the measured time of a classical Newton training."""
    trained = published(options, steps=options.mlp.steps)
    return Training("newton-lu", options.mlp.task, _with(trained, scheduling={"solvers": ("lu",)}))


def newton_default(options: Reproduction) -> Training:
    """Return qnewton's default: one joint Gauss-Newton system, Levenberg-Marquardt damping."""
    ours = PRESETS["blocks"]
    steps = min(options.mlp.steps, 30)
    scheduling = dataclasses.replace(
        ours.scheduling,
        solvers=("cholesky",),
        gate_time_s=options.gate_time_s,
        hardware=options.hardware,
    )
    if options.mlp.solve == "cg":
        scheduling = dataclasses.replace(scheduling, solvers=("cg",))
    return Training(
        "newton-default",
        options.mlp.task,
        dataclasses.replace(
            ours, task=_mlp(options), training=_training(options, steps, options.mlp.batch_size), scheduling=scheduling
        ),
    )


def published(options: Reproduction, *, steps: int, conditioning: ConditioningOptions | None = None) -> TrainOptions:
    """Q-Newton's training of the perceptron: exact Hessian per tensor, its schedule, LU against QLSA.

    Not by the preset's three components at once: pruning and regularisation have a figure each, and here one is changed
    at a time; and by the determinant-norm bound every system would go to LU under every set and at every gate time,
    which leaves nothing to draw. So blocks are whole unless told otherwise, and the condition number is the true one.
    """
    paper = PRESETS["paper"]
    _, damp = paper.conditioning.conditioners
    whole = ConditioningOptions((damp,), "fixed")
    return dataclasses.replace(
        paper,
        task=_mlp(options),
        training=_training(options, steps, options.mlp.batch_size),
        # The warm-up is 20 of 600 steps, and all of a training that is no longer than it.
        step=dataclasses.replace(paper.step, warmup_steps=min(paper.step.warmup_steps, steps // 2)),
        conditioning=whole if conditioning is None else conditioning,
        scheduling=dataclasses.replace(
            paper.scheduling,
            estimator="automatic",
            second_estimator=None,
            gate_time_s=options.gate_time_s,
            hardware=options.hardware,
            solvers=("lu", f"qlsa(precision={options.precision!r})"),
        ),
    )


def pruned(options: Reproduction, keep: float) -> Training:
    """Return the perceptron's training with the share `keep` of the entries, in the order of the published code."""
    damp, _ = PRESETS["paper-code"].conditioning.conditioners
    conditioning = ConditioningOptions((damp, f"prune-rows(keep={keep!r})"), "fixed")
    trained = published(options, steps=options.sweeps.steps, conditioning=conditioning)
    return Training(f"keep-{keep:g}", options.mlp.task, trained)


def damped(options: Reproduction, damping: float) -> Training:
    """Return the perceptron's training with that regularisation, without pruning."""
    conditioning = ConditioningOptions((f"damp(relative={damping!r})",), "fixed")
    trained = published(options, steps=options.sweeps.steps, conditioning=conditioning)
    return Training(f"damping-{damping:g}", options.mlp.task, trained)


def first_order(options: Reproduction, rate: float) -> Training:
    """Return the perceptron's training by SGD."""
    training = _training(options, options.first_order.steps, options.mlp.batch_size)
    trained = TrainOptions(optimizer="sgd", task=_mlp(options), training=training, step=StepOptions(learning_rate=rate))
    return Training(f"sgd-{rate:g}", options.mlp.task, trained)


def _solved(options: Reproduction, trained: TrainOptions) -> TrainOptions:
    """Return the options with systems solved by LU as published, or with the same steps on unformed blocks."""
    if options.mlp.solve == "lu":
        return trained
    # Of a network of ReLU and convex loss, the exact Hessian of one tensor is its Gauss-Newton matrix, which has a
    # floor, so that no factor is needed for its condition number.
    return _with(
        trained,
        step={"curvature": "gauss-newton"},
        scheduling={"solvers": ("cg(rtol=1e-6)", *trained.scheduling.solvers), "policy": "fixed-candidate(cg)"},
    )


def _with(trained: TrainOptions, **groups: dict) -> TrainOptions:
    changed = {name: dataclasses.replace(getattr(trained, name), **values) for name, values in groups.items()}
    return dataclasses.replace(trained, **changed)


def _training(options: Reproduction, steps: int, batch_size: int) -> TrainingOptions:
    return TrainingOptions(
        steps=steps, batch_size=batch_size, evaluate_every=max(1, steps // _POINTS), seed=options.seed
    )


def _mlp(options: Reproduction) -> TaskOptions:
    chosen, kind = options.mlp, kind_of(options.mlp.task)
    if kind is MnistOptions:
        return MnistOptions(width=chosen.width, images=ImageOptions(chosen.data, chosen.hub))
    if chosen.data is not None or chosen.hub is not None:
        given = "--mlp.data" if chosen.data is not None else "--mlp.hub"
        raise ValueError(f"{given} is for mnist-mlp, and --mlp.task is {chosen.task}: add --mlp.task mnist-mlp")
    named = {field.name for field in dataclasses.fields(kind)}
    return kind(**({"width": chosen.width} if "width" in named else {}))


def rests_on(trained: TrainOptions, calibration: Path) -> TrainOptions:
    """Return the options with predictions from a calibration; a first-order method predicts nothing."""
    if trained.optimizer_word != "newton":
        return trained
    return _with(trained, scheduling={"calibration": str(calibration)})
