"""Training time of the language models: SGD and AdamW trained, the published Newton step timed once and predicted.

A step of the empirical Fisher matrix per tensor is the same work from first to last, so it is not run a thousand times:
one block of each size is formed, conditioned and estimated, and timed doing so. LU is predicted from the calibration.
"""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg  # noqa: F401  # threadpoolctl sees only libraries that are loaded
import threadpoolctl
from jaxtyping import Array, PyTree

from ...._conditioning import Damp, condition
from ...._core.memory import check_block_fits
from ...._curvature import Block, EmpiricalFisher, Point, per_tensor, selected
from ...._estimation import Automatic
from ...._hardware import ClassicalMachine
from ...._pricing.classical import rival_named
from ...._pricing.problem import MatrixNumbers, Problem
from ..._runfile import BlockSize, MeasuredSize, MeasuredTask, NewtonStep
from ..build import published_systems
from ..options import StepOptions, TrainingOptions, TrainOptions
from ..stages import measure_stages
from ..task_options import BertOptions, GptOptions, TextOptions
from ..tasks import make_task
from ..tasks.base import Task, batches
from .base import Evaluation, Finished, Measurement, Result
from .decisions import Systems, totals
from .options import LanguageOptions, Reproduction
from .trainings import Training

_DTYPE = "float32"
_DAMPING = 5e-3
_POINTS = 20
"""Evaluations on all data during a training."""
_KINDS = {"bert-tiny": BertOptions, "gpt-tiny": GptOptions}
_SHORT = {"bert-tiny": "bert", "gpt-tiny": "gpt"}
Trial = tuple[str, float, Result]
"""Of a rate: the optimizer's name in tables, the rate, and what came of it."""


def task_options(task: str, chosen: LanguageOptions) -> BertOptions | GptOptions:
    """Sizes and text of the model, its embeddings frozen as in the paper."""
    text = TextOptions(data=chosen.text, hub=chosen.text_hub, vocabulary=chosen.vocabulary, length=chosen.length)
    sizes = {name: getattr(chosen, name) for name in ("layers", "hidden", "heads", "intermediate")}
    return _KINDS[task](**sizes, embeddings="frozen", text=text)


def first_order(optimizer: Literal["sgd", "adamw"], task: str, options: Reproduction, rate: float) -> Training:
    """Return the training of the language model by SGD or AdamW."""
    trained = TrainOptions(optimizer=optimizer, step=StepOptions(learning_rate=rate))
    return _training(f"{optimizer}-{rate:g}", task, options, trained)


def newton_default(task: str, options: Reproduction) -> Training:
    """Return the untuned training by qnewton's own empirical-Fisher Newton, to compare with the published one."""
    return _training("fisher-newton", task, options, TrainOptions(optimizer="fisher-newton"))


def _training(name: str, task: str, options: Reproduction, trained: TrainOptions) -> Training:
    chosen = options.language
    training = TrainingOptions(
        steps=chosen.steps,
        batch_size=chosen.batch_size,
        evaluate_every=max(1, chosen.steps // _POINTS),
        seed=options.seed,
    )
    made = dataclasses.replace(trained, task=task_options(task, chosen), training=training)
    return Training(f"{_SHORT[task]}-{name}", task, made)


def solved_blocks(params: PyTree, chosen: LanguageOptions) -> list[Block]:
    """Return the blocks with a Newton step in the paper: parameters of linear layers up to its size limit.

    The others, embeddings, gains and the head, keep their raw gradient.
    """
    return list(selected(per_tensor(params), published_systems(chosen.hidden, chosen.intermediate)))


def check_fits(task: str, options: Reproduction) -> None:
    """Refuse blocks that do not fit, before anything is computed.

    Raises:
        MemoryError: with the first of them.
    """
    made = make_task(task, _DTYPE, task_options(task, options.language))
    for block in solved_blocks(jax.eval_shape(made.init, jax.random.key(0)), options.language):
        check_block_fits(block.name, block.n, jnp.dtype(_DTYPE).itemsize)


def measure(task: str, options: Reproduction, machine: ClassicalMachine) -> NewtonStep:
    """Measure one block of each size: stages timed, numbers estimated, LU predicted.

    Args:
        task: bert-tiny or gpt-tiny.
        options: of the reproduction.
        machine: calibrated.
    """
    # jax factorises through scipy's BLAS, whose threads spin for each other on cores that are few or shared.
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        return _measure(make_task(task, _DTYPE, task_options(task, options.language)), options, machine)


def _measure(task: Task, options: Reproduction, machine: ClassicalMachine) -> NewtonStep:
    chosen = options.language
    params = task.init(jax.random.key(options.seed))
    batch = next(batches(task.train, chosen.batch_size, options.seed))
    blocks = solved_blocks(params, chosen)
    by_size: dict[int, list[Block]] = {}
    for block in blocks:
        by_size.setdefault(block.n, []).append(block)
    samples = [own[0] for own in by_size.values()]
    curvature, estimator = EmpiricalFisher(), Automatic()
    conditioning = (Damp(_DAMPING),)
    stages = measure_stages(
        task.objective, curvature, conditioning, estimator, samples, params, batch, tries=False, unformed=frozenset()
    )
    lu = rival_named("LU")
    rows = []
    for block, seconds in zip(samples, stages.blocks, strict=True):

        @jax.jit
        def numbers(params: PyTree, batch: Any, block: Block = block) -> dict[str, Array]:
            system = curvature.system(Point.of(task.objective, params, batch), block).formed()
            found = estimator(condition(conditioning, system, jnp.ones((), _DTYPE)))
            names = ("degree", "max_entry", "frobenius_norm", "spectral_norm", "log_condition_number")
            return {name: getattr(found, name) for name in names}

        workload = lu.method.workload(Problem(float(block.n), 1.0), jnp.dtype(_DTYPE).itemsize)
        rows.append(
            MeasuredSize(
                name=block.name,
                rows=block.n,
                blocks=len(by_size[block.n]),
                **{name: float(value) for name, value in numbers(params, batch).items()},
                measured_forming_seconds=seconds.curvature,
                measured_conditioning_seconds=seconds.conditioning,
                measured_estimation_seconds=seconds.estimation,
                predicted_lu_seconds=float(machine.seconds(workload)),
            )
        )
    return NewtonStep(
        task=MeasuredTask(
            name=task.name,
            model=task.model,
            parameters=sum(leaf.size for leaf in jax.tree.leaves(params)),
            data=task.source,
            blocks=tuple(BlockSize(name=block.name, n=block.n) for block in blocks),
            batch=chosen.batch_size,
        ),
        measured_gradient_seconds=stages.gradient,
        sizes=tuple(rows),
    )


def _systems(found: NewtonStep, steps: int) -> Systems:
    """Return `steps` equal steps, every block like the measured one of its size."""
    rows = [row for row in found.sizes for _ in range(row.blocks)]

    def repeated(name: str) -> np.ndarray:
        return np.tile(np.asarray([getattr(row, name) for row in rows], float), (steps, 1))

    def numbers(name: str) -> np.ndarray:
        return repeated(name).ravel()

    around = found.measured_gradient_seconds + sum(
        row.measured_forming_seconds + row.measured_conditioning_seconds for row in rows
    )
    estimation = sum(row.measured_estimation_seconds for row in rows)
    return Systems(
        names=tuple(row.name for row in rows),
        rows=np.asarray([row.rows for row in rows]),
        log10_kappa=repeated("log_condition_number") / np.log(10),
        lu_s=repeated("predicted_lu_seconds"),
        around_s=np.full(steps, around),
        estimation_s=np.full(steps, estimation),
        numbers=MatrixNumbers(
            n=numbers("rows"),
            degree=numbers("degree"),
            max_entry=numbers("max_entry"),
            frobenius_norm=numbers("frobenius_norm"),
            spectral_norm=numbers("spectral_norm"),
            log_condition_number=numbers("log_condition_number"),
            definite=True,
        ),
    )


def derive(found: Finished, task: str) -> dict[str, Any]:
    """Return seconds of equally many steps: SGD, AdamW and qnewton's Newton measured, the published one predicted."""
    options, chosen = found.options, found.options.language
    sgd = [("SGD", rate, found.result(first_order("sgd", task, options, rate))) for rate in chosen.rates]
    by_adamw = [("AdamW", rate, found.result(first_order("adamw", task, options, rate))) for rate in chosen.adamw_rates]
    step = found.measured(_measurement(task))
    # One step's arithmetic, times the steps: a thousand rows of the same numbers would say no more.
    systems = _systems(step, 1)
    rows = totals(systems, options)
    best = [_best(sgd), _best(by_adamw)]
    target = None if best[0] is None else _loss(best[0][2])
    measured = [(f"{label}, rate {rate:g}", one) for label, rate, one in filter(None, best)]
    measured.append(("Newton, our default", found.result(newton_default(task, options))))
    return {
        "task": step.task,
        "steps": chosen.steps,
        "target": target,
        "measured": [{"label": label, **one.record(), **_to_target(one, target)} for label, one in measured],
        "rates": [{"optimizer": label, "rate": rate, **one.record()} for label, rate, one in [*sgd, *by_adamw]],
        "newton": [
            row | {name: row[name] * chosen.steps for name in ("predicted_seconds", "predicted_solve_seconds")}
            for row in rows
        ],
        "sizes": step.sizes,
        "gate_time_s": options.gate_time_s,
    }


def _best(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial with the lowest held-out loss at its end; None if each left the floating-point range."""
    return min((trial for trial in trials if trial[2].summary is not None), key=lambda t: _loss(t[2]), default=None)


def _loss(result: Result) -> float:
    summary = result.summary
    assert summary is not None, "the caller leaves out what diverged"
    return math.inf if summary.test_loss is None else summary.test_loss


def _to_target(result: Result, target: float | None) -> dict[str, Any]:
    """Return the steps and seconds after which an evaluation first reached the final held-out loss of tuned SGD."""
    seconds = 0.0
    for count, step in enumerate(result.steps, start=1):
        seconds += step.measured_seconds
        if target is not None and step.test_loss is not None and step.test_loss <= target:
            return {"steps_to_target": count, "measured_seconds_to_target": seconds}
    return {"steps_to_target": None, "measured_seconds_to_target": None}


def _measurement(task: str) -> Measurement:
    return Measurement(f"newton-step-{_SHORT[task]}", partial(measure, task), partial(check_fits, task))


def _trainings(options: Reproduction, task: str) -> list[Training]:
    chosen = options.language
    sgd = [first_order("sgd", task, options, rate) for rate in chosen.rates]
    return [
        *sgd,
        *(first_order("adamw", task, options, rate) for rate in chosen.adamw_rates),
        newton_default(task, options),
    ]


def _evaluation(task: str, question: str) -> Evaluation:
    return Evaluation(
        name=f"training-time-{_SHORT[task]}",
        question=question,
        reads=("language",),
        trainings=partial(_trainings, task=task),
        derive=partial(derive, task=task),
        measurements=(_measurement(task),),
    )


BERT = _evaluation("bert-tiny", "How long does training BERT take?")
GPT = _evaluation("gpt-tiny", "How long does training GPT take?")
