"""From options, which are words and numbers, to the objects that they stand for."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optax
from jaxtyping import PyTree

from ..._conditioning import AbstractConditioner, Damp, Prune, PruneRows
from ..._curvature import (
    AbstractCurvature,
    Batch,
    Block,
    EmpiricalFisher,
    GaussNewton,
    Hessian,
    Objective,
    Partition,
    per_layer,
    per_tensor,
    selected,
    whole,
)
from ..._estimation import (
    AbstractEstimator,
    Automatic,
    Bracket,
    Certified,
    DefiniteDeterminantNorm,
    DeterminantNorm,
    Exact,
    HagerHigham,
    InverseLanczos,
    Lanczos,
    ProbabilisticLanczos,
)
from ..._hardware import ClassicalMachine, QuantumMachine, QuantumProfile, load_profile
from ..._optim.adaptation import AbstractAdaptation, Fixed, LevenbergMarquardt
from ..._optim.dual import dual_newton
from ..._optim.families import family_for
from ..._optim.kfac import kfac
from ..._optim.newton import newton, newton_of
from ..._pricing.assumptions import ASSUMPTION_SETS
from ..._pricing.policies import AbstractPolicy, Assigned, Budget, Fastest, FixedCandidate, Hysteresis, KappaThreshold
from ..._scheduling import Hybrid
from ..._scheduling.conditioned import Conditioned
from ..._solvers import (
    CG,
    EKFAC,
    KFAC,
    LU,
    MINRES,
    QLSA,
    AbstractPreconditioner,
    AbstractSolver,
    Cholesky,
    Dual,
    Eigh,
    EmulatedQSVT,
    GaussJordan,
    Identity,
    Inverse,
    Jacobi,
)
from ..._solvers.quantum.emulated import Infinite, LineFit, Shots
from .baselines import RATES, baseline
from .options import (
    ConditioningOptions,
    PolicyOptions,
    SchedulingOptions,
    SolverName,
    StepOptions,
    TrainOptions,
)
from .presets import FAMILY_SCHEDULING, PRESETS
from .workers import Workers

CURVATURES: dict[str, AbstractCurvature] = {
    "gauss-newton": GaussNewton(),
    "hessian": Hessian(),
    "empirical-fisher": EmpiricalFisher(),
    "empirical-fisher-published": EmpiricalFisher(damping_floor=0.0),
}
PARTITIONS: dict[str, Partition] = {"whole": whole, "per-layer": per_layer, "per-tensor": per_tensor}
ESTIMATORS: dict[str, AbstractEstimator] = {
    "automatic": Automatic(),
    "exact": Exact(),
    "bracket": Bracket(),
    "certified": Certified(),
    "probabilistic": ProbabilisticLanczos(),
    "lanczos": Lanczos(),
    "inverse-lanczos": InverseLanczos(),
    "hager-higham": HagerHigham(),
    "determinant-norm": DeterminantNorm(),
    "definite-determinant-norm": DefiniteDeterminantNorm(),
}
PRECONDITIONERS: dict[str, AbstractPreconditioner] = {
    "none": Identity(),
    "jacobi": Jacobi(),
    "kfac": KFAC(),
    "ekfac": EKFAC(),
}
# Optimizers that set direction, length and damping themselves, and schedule systems of their own.
COMPLETE = ("recipe", "kfac", "dual-newton", "fisher-newton")
# A family of `newton` to the name of the optimizer in `config.json`.
NAMES = {"kfac": "kfac", "dual": "dual_newton", "fisher": "fisher_newton", "blocks": "block_newton"}
BASELINES = tuple(RATES)
# Linear layers inside the transformers of bert-tiny and gpt-tiny.
LINEAR = frozenset({"query", "key", "value", "out", "gate", "up", "down"})
# Of fisher-newton with a schedule and no rate of its own.
FISHER_RATE = 0.01
# Offset of the maximum entry in the published code's damping.
PUBLISHED_OFFSET = 1e-6


def make_conditioning(options: ConditioningOptions) -> tuple[AbstractConditioner, ...]:
    """The conditioners, in the order that the options ask for."""
    if options.order == "damp-prune-rows":
        return (Damp(options.damping, offset=PUBLISHED_OFFSET), PruneRows(options.keep))
    return (Prune(options.keep), Damp(options.damping))


def make_adaptation(options: ConditioningOptions) -> AbstractAdaptation:
    """The damping policy."""
    return LevenbergMarquardt(damping=options.damping_scale) if options.adapt_damping else Fixed()


def make_solvers(options: SchedulingOptions) -> tuple[AbstractSolver, ...]:
    """The scheduler's candidates."""
    known = _known_solvers(options)
    return tuple(known[name] for name in options.solvers)


def _known_solvers(options: SchedulingOptions) -> dict[SolverName, AbstractSolver]:
    preconditioner = PRECONDITIONERS[options.preconditioner]
    return {
        "cholesky": Cholesky(fallback=True),
        "lu": LU(),
        "inverse": Inverse(),
        "gauss-jordan": GaussJordan(),
        "eigh": Eigh(),
        "cg": CG(options.rtol, preconditioner=preconditioner),
        "minres": MINRES(options.rtol, preconditioner=preconditioner),
        "dual": Dual(),
        "qlsa": make_quantum(options),
    }


def make_policy(options: PolicyOptions, scheduling: SchedulingOptions) -> AbstractPolicy:
    """The scheduler's policy; the options must have been checked."""
    if options.policy == "fixed" and options.fixed_solver is not None:
        return FixedCandidate(_known_solvers(scheduling)[options.fixed_solver].name)
    if options.policy == "budget" and options.budget is not None:
        return Budget(options.budget, options.classical_rate, options.quantum_rate)
    without: dict[str, AbstractPolicy] = {
        "fastest": Fastest(),
        "kappa-threshold": KappaThreshold(options.kappa_threshold),
        "hysteresis": Hysteresis(options.hysteresis),
        # Between two steps the host deals the blocks out.
        "makespan": Assigned(),
    }
    return without[options.policy]


def make_quantum(options: SchedulingOptions) -> AbstractSolver:
    """The quantum candidate, at the fidelity and with the conditioning of its own that the options ask for."""
    if options.fidelity == "model":
        solver: AbstractSolver = QLSA(precision=options.precision)
    else:
        measurement = Infinite() if options.shots is None else Shots(options.shots)
        # By a fit even without shots, so that runs with and without them differ in the shots alone.
        solver = EmulatedQSVT(options.precision, measurement=measurement, length=LineFit(), seed=options.noise_seed)
    keep, damping = options.quantum_keep, options.quantum_damping
    own = ((Prune(keep),) if keep < 1 else ()) + ((Damp(damping),) if damping > 0 else ())
    # At some of the gate times that are reported it could win, and a replay may ask for any other.
    return Conditioned(solver, own, always=True) if own else solver


def residual_tolerance(options: SchedulingOptions) -> float:
    """Of a solve that counts. Read-out noise makes residuals that mean little: the fitted length always descends."""
    return 0.1 if options.fidelity == "model" else math.inf


def make_workers(options: PolicyOptions, hybrid: Hybrid) -> Workers | None:
    """Who works at once under `makespan`; None under every other policy."""
    if options.policy != "makespan":
        return None
    return Workers.of(options, hybrid.names, [solver.capabilities.quantum for solver in hybrid.solvers])


def make_hybrid(
    options: SchedulingOptions, policy: AbstractPolicy | None = None, classical: ClassicalMachine | None = None
) -> Hybrid:
    """The scheduler, by default with `Fastest()`.

    Without a machine it can say what it forms, and no more.
    """
    profile = load_profile(options.hardware)
    assert isinstance(profile, QuantumProfile), "its options name quantum profiles only"
    return Hybrid(
        make_solvers(options),
        estimator=ESTIMATORS[options.estimator],
        classical=classical,
        quantum=QuantumMachine(options.gate_time_s, profile),
        assumptions=tuple(ASSUMPTION_SETS[name] for name in options.assumptions),
        policy=Fastest() if policy is None else policy,
        second=None if options.second_estimator is None else ESTIMATORS[options.second_estimator],
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


def weight_decay(options: TrainOptions) -> float:
    """Of the scheduled optimizer."""
    asked = options.baseline.weight_decay
    return 0.0 if asked is None else asked


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
        settings=options.baseline,
        repeats=repeats,
    )


def has_system(options: TrainOptions) -> Callable[[Block], bool] | None:
    """Whether a block has a system; None: every block has."""
    asked = options.step.largest
    if asked is None:
        return None
    if asked != "published":
        return lambda block: block.n <= asked
    task: Any = options.task
    return published_systems(task.hidden, task.intermediate)


def published_systems(hidden: int, intermediate: int) -> Callable[[Block], bool]:
    """Q-Newton's choice among the parameters of a language model: linear layers inside the transformer, up to a size.

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
    blocks = PARTITIONS[partition](params)
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
    """The complete optimizer that the options name, and the scheduler that they name; None: the family's own.

    Args:
        options: checked.
        objective: what is minimised.
        params: the initial ones.
        batch: of the size of the training's.
        repeats: whether every step sees the same batch.
    """
    scheduler = named_scheduler(options.scheduling, options.policy)
    if options.optimizer == "kfac":
        return kfac(objective, example=batch[0], solver=scheduler), scheduler
    if options.optimizer == "dual-newton":
        return dual_newton(objective, solver=scheduler), scheduler
    family = "fisher" if options.optimizer == "fisher-newton" else options.family
    if family in ("automatic", "blocks"):
        chosen = family_for(objective, params, batch, not repeats)
        return newton_of(objective, *chosen, batch, not repeats, scheduler), scheduler
    rates: dict[str, Any] = {}
    if (rate := _fisher_rate(options.step, options.training.steps)) is not None:
        rates["learning_rate"] = rate
    made = newton(objective, family=family, example=batch, minibatch=not repeats, solver=scheduler, **rates)
    return made, scheduler


def named_scheduler(scheduling: SchedulingOptions, policy: PolicyOptions) -> Hybrid | None:
    """The scheduler of a complete optimizer; None where the presets stand: the family's own."""
    own = (FAMILY_SCHEDULING.solvers, PRESETS["fisher-newton"].scheduling.solvers)
    untouched = scheduling.solvers in own and replace(scheduling, solvers=own[0]) == FAMILY_SCHEDULING
    if untouched and policy == PolicyOptions():
        return None
    return make_hybrid(scheduling, make_policy(policy, scheduling))


def _fisher_rate(step: StepOptions, steps: int) -> optax.Schedule | None:
    """Of the family `fisher`, which alone reads one; None: its own."""
    if step.learning_rate is None and not (step.warmup_steps or step.decay):
        return None
    rate = FISHER_RATE if step.learning_rate is None else step.learning_rate
    return make_schedule(replace(step, learning_rate=rate), steps)


def keeps_unformed(options: TrainOptions) -> bool:
    """Whether blocks reach the scheduler as operators."""
    floor = CURVATURES[options.step.curvature].semidefinite
    return options.conditioning.keep == 1 and make_hybrid(options.scheduling).keeps_unformed(floor=floor)


def never_forms(options: TrainOptions) -> bool:
    """Whether no block is ever formed, so that it may be larger than memory."""
    floor = CURVATURES[options.step.curvature].semidefinite
    return keeps_unformed(options) and make_hybrid(options.scheduling).never_forms(floor=floor)
