"""From options, which are words and numbers, to the objects that they stand for."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import optax
from jaxtyping import PyTree

from ..conditioning import AbstractConditioner, Damp, Prune, PruneRows
from ..core.suggest import unknown
from ..curvature import (
    AbstractCurvature,
    Batch,
    Block,
    EmpiricalFisher,
    GaussNewton,
    Hessian,
    Objective,
    Partition,
    limited,
    per_layer,
    per_tensor,
    whole,
)
from ..estimation import (
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
from ..hardware import ClassicalMachine, QuantumMachine, QuantumProfile, load_profile
from ..optim import AbstractAdaptation, Fixed, KFACState, LevenbergMarquardt, dual_newton, fisher_newton, kfac, recipe
from ..planning.assumptions import ASSUMPTION_SETS
from ..scheduling import AbstractPolicy, Assigned, Budget, Fastest, FixedCandidate, Hybrid, Hysteresis, KappaThreshold
from ..solvers import (
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
    Identity,
    Jacobi,
)
from ..solvers.quantum.emulated import Infinite, LineFit, Shots
from ..solvers.quantum.queries import jennings2023v1
from .baselines import RATES, baseline
from .options import (
    BaselineOptions,
    ConditioningOptions,
    PolicyOptions,
    SchedulingOptions,
    SolverName,
    StepOptions,
    TrainOptions,
)
from .task_options import BertOptions, GptOptions
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
Complete = Callable[[Objective, PyTree, Batch], optax.GradientTransformationExtraArgs]
COMPLETE: dict[str, Complete] = {
    "recipe": recipe,
    "kfac": lambda objective, params, batch: kfac(objective, example=batch[0]),
    "dual-newton": lambda objective, params, batch: dual_newton(objective),
}
BASELINES = tuple(RATES)
# Of fisher-newton with a schedule and no rate of its own.
FISHER_RATE = 0.01
# Who reads which of the options of baselines.
_BASELINE_READS = {"momentum": "momentum", "weight_decay": "adamw", "memory": "lbfgs"}
# They rest on an eigenvalue floor.
_FLOORED = {"bracket", "certified", "probabilistic"}
# Offset of the maximum entry in the published code's damping.
PUBLISHED_OFFSET = 1e-6


def make_conditioning(options: ConditioningOptions) -> tuple[AbstractConditioner, ...]:
    """The conditioners, in the order that the options ask for."""
    if options.order == "damp-prune-rows":
        return (Damp(options.damping, offset=PUBLISHED_OFFSET), PruneRows(options.keep))
    return (Prune(options.keep), Damp(options.damping))


def make_adaptation(options: ConditioningOptions) -> AbstractAdaptation:
    """The damping policy."""
    return LevenbergMarquardt(start=options.damping_scale) if options.adapt_damping else Fixed()


def make_solvers(options: SchedulingOptions) -> tuple[AbstractSolver, ...]:
    """The scheduler's candidates."""
    known = _known_solvers(options)
    return tuple(known[name] for name in options.solvers)


def _known_solvers(options: SchedulingOptions) -> dict[SolverName, AbstractSolver]:
    preconditioner = PRECONDITIONERS[options.preconditioner]
    return {
        "cholesky": Cholesky(fallback=True),
        "lu": LU(),
        "eigh": Eigh(),
        "cg": CG(options.rtol, preconditioner=preconditioner),
        "minres": MINRES(options.rtol, preconditioner=preconditioner),
        "dual": Dual(),
        "qlsa": make_quantum(options),
    }


# What each policy reads, besides its name.
_READ = {
    "fastest": (),
    "kappa-threshold": ("kappa_threshold",),
    "fixed": ("fixed_solver",),
    "hysteresis": ("hysteresis",),
    "budget": ("budget", "classical_rate", "quantum_rate"),
    "makespan": ("classical_workers", "quantum_workers", "queue_s", "transfer_s", "vanish"),
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
    """The quantum candidate, at the fidelity that the options ask for."""
    if options.fidelity == "model":
        return QLSA(precision=options.precision)
    measurement = Infinite() if options.shots is None else Shots(options.shots)
    # By a fit even without shots, so that runs with and without them differ in the shots alone.
    return EmulatedQSVT(options.precision, measurement=measurement, length=LineFit(), seed=options.noise_seed)


def residual_tolerance(options: SchedulingOptions) -> float:
    """Of a solve that counts. Read-out noise makes residuals that mean little: the fitted length always descends."""
    return 0.1 if options.fidelity == "model" else math.inf


def make_workers(options: PolicyOptions, hybrid: Hybrid) -> Workers | None:
    """Who works at once under `makespan`; None under every other policy."""
    if options.policy != "makespan":
        return None
    return Workers.of(options, hybrid.names, [solver.fidelity is not None for solver in hybrid.solvers])


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
        schedule = make_schedule(dataclasses.replace(step, learning_rate=1.0), options.training.steps)
    return baseline(
        options.optimizer,
        objective,
        step.learning_rate,
        schedule=schedule,
        settings=options.baseline,
        repeats=repeats,
    )


def largest_system(options: TrainOptions) -> int | None:
    """Most parameters of a system; None: no limit."""
    asked = options.step.largest
    if asked != "published":
        return asked
    task: Any = options.task
    return 4 * task.hidden * task.intermediate + 4 * task.hidden


def systems(options: TrainOptions, params: PyTree) -> tuple[Block, ...]:
    """The blocks that systems are solved for."""
    return limited(PARTITIONS[options.step.partition](params), largest_system(options))


def make_fisher_newton(options: TrainOptions, objective: Objective) -> optax.GradientTransformationExtraArgs:
    """`fisher_newton` with the options' learning rate and schedule."""
    step = options.step
    if step.learning_rate is None and not (step.warmup_steps or step.decay):
        return fisher_newton(objective)
    rate = FISHER_RATE if step.learning_rate is None else step.learning_rate
    schedule = make_schedule(dataclasses.replace(step, learning_rate=rate), options.training.steps)
    return fisher_newton(objective, schedule)


def keeps_unformed(options: TrainOptions) -> bool:
    """Whether blocks reach the scheduler as operators."""
    floor = CURVATURES[options.step.curvature].semidefinite
    return options.conditioning.keep == 1 and make_hybrid(options.scheduling).keeps_unformed(floor=floor)


def never_forms(options: TrainOptions) -> bool:
    """Whether no block is ever formed, so that it may be larger than memory."""
    floor = CURVATURES[options.step.curvature].semidefinite
    return keeps_unformed(options) and make_hybrid(options.scheduling).never_forms(floor=floor)


def name_of(optimizer: optax.GradientTransformationExtraArgs, params: PyTree) -> str:
    """Which complete optimizer it is, `kfac` or `dual_newton`: `recipe` picks one of them."""
    return "kfac" if isinstance(jax.eval_shape(optimizer.init, params), KFACState) else "dual_newton"


def check(options: TrainOptions) -> None:
    """Refuse options that exclude each other, before anything is computed.

    Raises:
        ValueError: with what to change.
    """
    _check_baseline(options)
    if options.optimizer != "newton":
        _check_complete(options)
        return
    _check_scheduled(options)
    check_policy(options.policy, options.scheduling)
    _check_unformed(options)


def _check_baseline(options: TrainOptions) -> None:
    """What one baseline has is nothing to any other optimizer."""
    for field in dataclasses.fields(BaselineOptions):
        value, reader = getattr(options.baseline, field.name), _BASELINE_READS[field.name]
        if value != field.default and options.optimizer != reader:
            raise ValueError(
                f"--{field.name.replace('_', '-')} is {value}, and --optimizer {options.optimizer} does not read it: "
                f"leave it away, or use --optimizer {reader}"
            )


def _check_complete(options: TrainOptions) -> None:
    """A complete optimizer reads none of the groups below: whoever sets one of them expects what does not happen."""
    scheduled = options.optimizer in BASELINES or options.optimizer == "fisher-newton"
    read = ("learning_rate", "warmup_steps", "decay") if scheduled else ()
    for group in (options.step, options.conditioning, options.scheduling, options.policy):
        for field in dataclasses.fields(group):
            value = getattr(group, field.name)
            if value != field.default and field.name not in read:
                shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
                why = "sets direction, length and damping itself and schedules nothing"
                if options.optimizer in BASELINES:
                    why = "solves no systems"
                raise ValueError(
                    f"--{field.name.replace('_', '-')} is {shown}, and --optimizer {options.optimizer} does not read "
                    f"it: it {why}. Leave the option (or the preset that sets it) away, or use --optimizer newton"
                )


def check_policy(chosen: PolicyOptions, scheduling: SchedulingOptions) -> None:
    """Refuse options that the chosen policy does not read, or needs and has not got.

    Raises:
        ValueError: with what to change.
    """
    readers = {name: policy for policy, names in _READ.items() for name in names}
    for field in dataclasses.fields(chosen):
        value = getattr(chosen, field.name)
        if field.name in readers and field.name not in _READ[chosen.policy] and value != field.default:
            shown = " ".join(value) if isinstance(value, tuple) else value
            raise ValueError(
                f"--{field.name.replace('_', '-')} is {shown}, and --policy {chosen.policy} does not read it: leave it "
                f"away, or use --policy {readers[field.name]}"
            )
    candidates = scheduling.solvers
    if chosen.policy == "fixed" and chosen.fixed_solver is None:
        raise ValueError(
            f"--policy fixed needs --fixed-solver: which of --solvers {' '.join(candidates)} takes every system"
        )
    if chosen.fixed_solver is not None and chosen.fixed_solver not in candidates:
        raise ValueError(f"--fixed-solver: {unknown('candidate', chosen.fixed_solver, candidates)} (of --solvers)")
    if chosen.policy == "budget" and chosen.budget is None:
        raise ValueError("--policy budget needs --budget: what a step may spend, in the unit of the two rates")
    if chosen.policy == "makespan":
        _check_workers(chosen, scheduling)


def _check_workers(chosen: PolicyOptions, scheduling: SchedulingOptions) -> None:
    """A step needs somebody who works, whoever has vanished by then."""
    workers = make_workers(chosen, make_hybrid(scheduling))
    assert workers is not None, "the policy is makespan"
    names = [machine.name for machine in workers.machines]
    if not names:
        raise ValueError(
            f"--policy makespan has no worker for --solvers {' '.join(scheduling.solvers)}: --classical-workers is "
            f"{chosen.classical_workers} and --quantum-workers {chosen.quantum_workers}; one of them must be at least 1"
        )
    for name in workers.gone:
        if name not in names:
            raise ValueError(f"--vanish: {unknown('worker', name, names)}")
    if set(workers.gone) == set(names):
        raise ValueError(f"--vanish names every worker ({', '.join(names)}): nobody would be left")


def _check_unformed(options: TrainOptions) -> None:
    """Solvers and preconditioners that could take no system at all, since every block is formed before they see it."""
    scheduling = options.scheduling
    iterative = [name for name in scheduling.solvers if name in ("cg", "minres")]
    if scheduling.preconditioner != "none" and not iterative:
        raise ValueError(
            f"--preconditioner is {scheduling.preconditioner}, and --solvers {' '.join(scheduling.solvers)} names "
            "nobody who takes one: add cg or minres, or leave it away"
        )
    if "dual" in scheduling.solvers and options.step.curvature == "hessian":
        raise ValueError(
            "--solvers names dual, and the exact Hessian has no square root: use --curvature gauss-newton, or leave "
            "dual away"
        )
    wanting = ["--solvers dual"] if "dual" in scheduling.solvers else []
    if iterative and scheduling.preconditioner in ("kfac", "ekfac"):
        wanting.append(f"--preconditioner {scheduling.preconditioner}")
    if not wanting or keeps_unformed(options):
        return
    keep = options.conditioning.keep
    formed = f"--keep {keep} prunes" if keep < 1 else f"--estimator {scheduling.estimator} needs"
    instead = "use --keep 1" if keep < 1 else "use --estimator lanczos (or, with --curvature gauss-newton, automatic)"
    raise ValueError(
        f"{' and '.join(wanting)}: only for blocks that are not formed, and {formed} the matrix: {instead}, or leave "
        "it away"
    )


def _check_largest(options: TrainOptions) -> None:
    largest = options.step.largest
    if largest == "published" and not isinstance(options.task, (BertOptions, GptOptions)):
        raise ValueError(
            "--largest is published, which is a limit on the blocks of bert-tiny and gpt-tiny: give a number here"
        )
    if largest is not None and options.conditioning.adapt_damping:
        raise ValueError(
            f"--largest is {largest}, and the damping follows the decrease that a step predicts: blocks without a "
            "system predict none. Add --no-adapt-damping"
        )


def _check_scheduled(options: TrainOptions) -> None:
    _check_largest(options)
    if options.conditioning.damping_scale != 1 and not options.conditioning.adapt_damping:
        raise ValueError(
            f"--damping-scale is {options.conditioning.damping_scale}, and --no-adapt-damping keeps the damping as it "
            "is: leave one of them away"
        )
    scheduling = options.scheduling
    precision, largest = scheduling.precision, jennings2023v1.largest_precision
    modelled = scheduling.fidelity == "model"
    if not modelled and "qlsa" not in scheduling.solvers:
        raise ValueError(
            f"--fidelity is {scheduling.fidelity}, and --solvers {' '.join(scheduling.solvers)} names no quantum "
            "solver: add qlsa, or leave it away"
        )
    if modelled and scheduling.shots is not None:
        raise ValueError(
            f"--shots is {scheduling.shots}, and at --fidelity model there is no state to measure: use --fidelity "
            "emulated, or leave it away"
        )
    if "qlsa" in scheduling.solvers and modelled and precision > largest:
        raise ValueError(
            f"--precision is {precision}, and the query count of qlsa holds up to {largest}: ask for that or less"
        )
    rows = options.conditioning.order == "damp-prune-rows" and options.conditioning.keep < 1
    pruned = options.conditioning.keep < 1
    symmetric_only = {"lanczos", "definite-determinant-norm"}
    estimator = options.scheduling.estimator
    symmetric = [name for name in options.scheduling.solvers if name not in ("lu", "qlsa")]
    if rows and symmetric:
        raise ValueError(
            f"--solvers names {', '.join(symmetric)}, and --order damp-prune-rows makes the systems unsymmetric: use "
            "--solvers lu qlsa"
        )
    if rows and estimator in symmetric_only:
        raise ValueError(f"--estimator {estimator} needs symmetric systems: use automatic or inverse-lanczos")
    if estimator in _FLOORED and (pruned or options.step.curvature == "hessian"):
        raise ValueError(
            f"--estimator {estimator} needs blocks that are semidefinite by construction: use it with --curvature "
            "gauss-newton and --keep 1, or choose automatic"
        )
