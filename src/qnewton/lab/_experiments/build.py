"""Conversion of options, which are words and numbers, to objects."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jaxtyping import PyTree

from ..._conditioning import AbstractConditioner, condition
from ..._core.layout import Layout, Piece
from ..._core.records import System
from ..._core.suggest import unknown
from ..._curvature import (
    AbstractCurvature,
    Batch,
    Block,
    Objective,
    Partition,
    selected,
)
from ..._hardware import ClassicalMachine, QuantumMachine, QuantumProfile, load_profile
from ..._optim.adaptation import AbstractAdaptation
from ..._optim.dual import dual_newton
from ..._optim.families import family_for
from ..._optim.kfac import kfac
from ..._optim.newton import newton, newton_of
from ..._pricing.assumptions import ASSUMPTION_SETS
from ..._pricing.policies import AbstractPolicy, FixedCandidate
from ..._scheduling import Hybrid
from ..._solvers import AbstractSolver
from .._runfile import WorkerRecord
from .baselines import RATES, baseline
from .options import (
    ConditioningOptions,
    SchedulingOptions,
    StepOptions,
    TrainOptions,
)
from .parts import make, part
from .presets import FAMILY_SCHEDULING, PRESETS
from .workers import Makespan, Workers

if TYPE_CHECKING:
    from ..._scheduling.sent import Crew

# Optimizers that set direction, length and damping themselves, and schedule systems of their own.
COMPLETE = ("kfac", "dual-newton", "fisher-newton")
# A family of `newton` to the name of the optimizer in `config.json`.
NAMES = {"kfac": "kfac", "dual": "dual_newton", "fisher": "fisher_newton", "blocks": "block_newton"}
BASELINES = tuple(RATES)
# Linear layers inside the transformers of bert-tiny and gpt-tiny.
LINEAR = frozenset({"query", "key", "value", "out", "gate", "up", "down"})
# Of fisher-newton with a schedule and no rate of its own.
FISHER_RATE = 0.01


def make_conditioning(options: ConditioningOptions) -> tuple[AbstractConditioner, ...]:
    """Return the conditioners, from first to last."""
    return tuple(make("conditioner", text, "conditioners") for text in options.conditioners)


def make_adaptation(options: ConditioningOptions) -> AbstractAdaptation:
    """The damping policy."""
    return make("adaptation", options.adaptation, "adaptation")


def make_solvers(options: SchedulingOptions) -> tuple[AbstractSolver, ...]:
    """The scheduler's candidates."""
    return tuple(make("solver", text, "solvers") for text in options.solvers)


def make_policy(options: SchedulingOptions) -> AbstractPolicy:
    """The scheduler's policy.

    Raises:
        ValueError: for a candidate that is none of the solvers.
    """
    policy = make("policy", options.policy, "policy")
    if not isinstance(policy, FixedCandidate):
        return policy
    # Of the names of candidates, which hold their parameters, nobody need know more than the word.
    names = {part("solver", text, "solvers").word: text for text in reversed(options.solvers)}
    if policy.name not in names:
        raise ValueError(f"--policy {options.policy}: {unknown('candidate', policy.name, names)} (of --solvers)")
    return FixedCandidate(make_solvers(replace(options, solvers=(names[policy.name],)))[0].name)


def make_partition(options: StepOptions) -> Partition:
    """Return the function that maps parameters to blocks."""
    return make("partition", options.partition, "partition")


def make_curvature(options: StepOptions) -> AbstractCurvature:
    """The curvature matrix."""
    return make("curvature", options.curvature, "curvature")


def residual_tolerance(solvers: Sequence[AbstractSolver]) -> float:
    """Return the residual up to which a solve counts.

    With read-out noise residuals mean little: the fitted length always descends.
    """
    return 0.1 if all(solver.execution in (None, "modelled") for solver in solvers) else math.inf


def make_workers(hybrid: Hybrid, hired: Sequence[WorkerRecord] = ()) -> Workers | None:
    """Return the workers that `Makespan` deals blocks out to; None under every other policy.

    Args:
        hybrid: the scheduler.
        hired: those of `--workers`, which take the place of the policy's.
    """
    if not isinstance(hybrid.policy, Makespan):
        return None
    return Workers.of(hybrid.policy, hybrid.names, [solver.capabilities.quantum for solver in hybrid.solvers], hired)


def make_hybrid(
    options: SchedulingOptions, classical: ClassicalMachine | None = None, workers: "Crew | None" = None
) -> Hybrid:
    """The scheduler. Without a machine it can say what it forms, and no more."""
    profile, second = load_profile(options.hardware), options.second_estimator
    assert isinstance(profile, QuantumProfile), "its options name quantum profiles only"
    return Hybrid(
        make_solvers(options),
        estimator=make("estimator", options.estimator, "estimator"),
        classical=classical,
        quantum=QuantumMachine(options.gate_time_s, profile),
        assumptions=tuple(ASSUMPTION_SETS[name] for name in options.assumptions),
        policy=make_policy(options),
        second=None if second is None else make("estimator", second, "second-estimator"),
        workers=workers,
    )


def make_schedule(options: StepOptions, steps: int) -> optax.Schedule:
    """Learning rate by step: linear warm-up, then constant or linear decay to 0 after the last step."""
    rate = 1.0 if options.learning_rate is None else options.learning_rate
    warmup = min(options.warmup_steps, steps)
    after = optax.linear_schedule(rate, 0.0 if options.decay else rate, max(1, steps - warmup))
    if warmup == 0:
        return after
    # The first step of a warm-up from 0 would do nothing: the ramp reaches 1/warmup there.
    return optax.join_schedules([optax.linear_schedule(rate / warmup, rate, max(1, warmup - 1)), after], [warmup])


def make_baseline(
    options: TrainOptions, objective: Objective, *, repeats: bool
) -> optax.GradientTransformationExtraArgs:
    """The baseline that the options name.

    Args:
        options: checked.
        objective: what is minimised.
        repeats: whether every step sees the same batch.
    """
    step, schedule = options.step, None
    if step.warmup_steps or step.decay:
        schedule = make_schedule(replace(step, learning_rate=1.0), options.training.steps)
    return baseline(
        options.optimizer,
        objective,
        step.learning_rate,
        schedule=schedule,
        repeats=repeats,
    )


def has_system(options: TrainOptions) -> Callable[[Block], bool] | None:
    """Return the predicate of blocks with a system; None if every block has one."""
    asked = options.step.largest
    if asked is None:
        return None
    if asked != "published":
        return lambda block: block.n <= asked
    task: Any = options.task
    return published_systems(task.hidden, task.intermediate)


def published_systems(hidden: int, intermediate: int) -> Callable[[Block], bool]:
    """Return Q-Newton's choice of a language model's parameters: linear layers in the transformer, up to a size.

    Embeddings, norms and the head, which its vocabulary makes larger, keep their raw gradient.
    """
    most = 4 * hidden * intermediate + 4 * hidden
    return lambda block: block.n <= most and not LINEAR.isdisjoint(block.name.split("."))


def systems(options: TrainOptions, params: PyTree) -> tuple[Block, ...]:
    """The blocks that systems are solved for.

    Raises:
        ValueError: if there are none.
    """
    asked, partition = options.step.largest, options.step.partition
    blocks = make_partition(options.step)(params)
    least = min(block.n for block in blocks)
    if isinstance(asked, int) and asked < least:
        finer = "" if partition == "per-tensor" else ", or a finer --partition"
        raise ValueError(
            f"--largest is {asked}, and the smallest block of --partition {partition} has {least} parameters, so that "
            f"none would have a system: give {least} or more{finer}"
        )
    return selected(blocks, has_system(options))


def make_complete(
    options: TrainOptions, objective: Objective, params: PyTree, batch: Batch, *, repeats: bool
) -> tuple[optax.GradientTransformationExtraArgs, Hybrid | None]:
    """Return the complete optimizer of the options, and their scheduler; None: the family's own.

    Args:
        options: checked.
        objective: what is minimised.
        params: the initial ones.
        batch: of the size of the training's.
        repeats: whether every step sees the same batch.
    """
    scheduler = named_scheduler(options.scheduling)
    if options.optimizer_word == "kfac":
        return kfac(objective, example=batch[0], solver=scheduler), scheduler
    if options.optimizer_word == "dual-newton":
        return dual_newton(objective, solver=scheduler), scheduler
    family = "fisher" if options.optimizer_word == "fisher-newton" else options.family
    if family in ("automatic", "blocks"):
        chosen = family_for(objective, params, batch, not repeats)
        return newton_of(objective, *chosen, batch, not repeats, scheduler), scheduler
    rates: dict[str, Any] = {}
    if (rate := _fisher_rate(options.step, options.training.steps)) is not None:
        rates["learning_rate"] = rate
    made = newton(objective, family=family, example=batch, minibatch=not repeats, solver=scheduler, **rates)
    return made, scheduler


def named_scheduler(scheduling: SchedulingOptions) -> Hybrid | None:
    """Return a complete optimizer's scheduler; None if its options are the presets', which mean the family's own."""
    own = (FAMILY_SCHEDULING.solvers, PRESETS["fisher-newton"].scheduling.solvers)
    if scheduling.solvers in own and replace(scheduling, solvers=own[0]) == FAMILY_SCHEDULING:
        return None
    return make_hybrid(scheduling)


def _fisher_rate(step: StepOptions, steps: int) -> optax.Schedule | None:
    """Return the learning rate of the family `fisher`, the only one that reads it; None: its own."""
    if step.learning_rate is None and not (step.warmup_steps or step.decay):
        return None
    rate = FISHER_RATE if step.learning_rate is None else step.learning_rate
    return make_schedule(replace(step, learning_rate=rate), steps)


@functools.cache
def left_by(conditioners: tuple[AbstractConditioner, ...], *, semidefinite: bool) -> System:
    """Return a system of one small layer as the conditioners leave it, without numbers.

    Whether it is formed and symmetric, and has a floor, holds for all systems of a training.

    Args:
        conditioners: from first to last.
        semidefinite: whether the curvature is, by construction.

    Raises:
        ValueError: for conditioners that cannot follow each other, in their words.
    """
    layout = Layout(4, ((Piece(0, 2, 2),),))
    like = jax.ShapeDtypeStruct((layout.n,), jnp.float32)

    def left() -> System:
        operator = lx.FunctionLinearOperator(lambda vector: vector, like, lx.symmetric_tag)
        floor = jnp.zeros((), like.dtype) if semidefinite else None
        system = System.over(operator, symmetric=True, eigenvalue_floor=floor, layout=layout)
        return condition(conditioners, system, jnp.ones((), like.dtype))

    return eqx.filter_eval_shape(left)


def keeps_unformed(options: TrainOptions) -> bool:
    """Whether blocks reach the scheduler as operators."""
    semidefinite = make_curvature(options.step).semidefinite
    system = left_by(make_conditioning(options.conditioning), semidefinite=semidefinite)
    if options.crew.workers is not None or system.is_formed:
        return False
    return make_hybrid(options.scheduling).keeps_unformed(floor=system.eigenvalue_floor is not None)


def never_forms(options: TrainOptions) -> bool:
    """Whether no block is ever formed, so that it may be larger than memory."""
    floor = make_curvature(options.step).semidefinite
    return keeps_unformed(options) and make_hybrid(options.scheduling).never_forms(floor=floor)
