"""Refuses options that exclude each other, before anything is computed."""

import dataclasses

from ..._core.suggest import unknown
from ..._solvers.quantum.queries import jennings2023v1
from .build import BASELINES, COMPLETE, keeps_unformed, make_hybrid, make_workers
from .options import BaselineOptions, PolicyOptions, SchedulingOptions, TrainOptions
from .presets import PRESETS
from .task_options import BertOptions, GptOptions

# Who reads which of the options of single optimizers.
_BASELINE_READS = {"momentum": ("momentum",), "weight_decay": ("adamw", "newton"), "memory": ("lbfgs",)}
_RATES = ("learning_rate", "warmup_steps", "decay")
# What acts on the systems of complete optimizers.
_SCHEDULED = (
    *("solvers", "assumptions", "hardware", "gate_time_s"),
    *("fidelity", "precision", "shots", "noise_seed", "rtol"),
    *("policy", "kappa_threshold", "fixed_solver", "hysteresis", "budget", "classical_rate", "quantum_rate"),
)
# They rest on an eigenvalue floor.
_FLOORED = {"bracket", "certified", "probabilistic"}
# What each policy reads, besides its name.
_READ = {
    "fastest": (),
    "kappa-threshold": ("kappa_threshold",),
    "fixed": ("fixed_solver",),
    "hysteresis": ("hysteresis",),
    "budget": ("budget", "classical_rate", "quantum_rate"),
    "makespan": ("classical_workers", "quantum_workers", "queue_s", "transfer_s", "vanish"),
}


def check(options: TrainOptions) -> None:
    """Refuse options that exclude each other, before anything is computed.

    Raises:
        ValueError: with what to change.
    """
    _check_baseline(options)
    if options.optimizer != "newton" or options.family != "blocks":
        _check_complete(options)
        return
    _check_scheduled(options)
    check_policy(options.policy, options.scheduling)
    _check_unformed(options)


def _check_baseline(options: TrainOptions) -> None:
    """What single optimizers have is nothing to any other."""
    for field in dataclasses.fields(BaselineOptions):
        value, readers = getattr(options.baseline, field.name), _BASELINE_READS[field.name]
        if value != field.default and options.optimizer not in readers:
            raise ValueError(
                f"--{field.name.replace('_', '-')} is {value}, and --optimizer {options.optimizer} does not read it: "
                f"leave the option (or the preset that sets it) away, or use --optimizer {' or '.join(readers)}"
            )


def _check_complete(options: TrainOptions) -> None:
    """Whoever sets an option that a complete optimizer does not read expects what does not happen."""
    if options.optimizer != "newton" and options.family != "blocks":
        _check_family(options)
    read, why, instead = _read_by(options)
    usual = PRESETS["default"].scheduling if options.optimizer in BASELINES else SchedulingOptions()
    for group in (options.step, options.conditioning, options.scheduling, options.policy):
        for field in dataclasses.fields(group):
            value = getattr(group, field.name)
            if value in (field.default, getattr(usual, field.name, field.default)) or field.name in read:
                continue
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise ValueError(
                f"--{field.name.replace('_', '-')} is {shown}, and {_chosen(options)} does not read it: it {why}. "
                f"Leave the option (or the preset that sets it) away, or use {instead}"
            )
    if options.optimizer in BASELINES:
        return
    if "dual" in options.scheduling.solvers:
        raise ValueError(
            f"--solvers names dual, which solves blocks through their root, and the systems of {_chosen(options)} have "
            "none: leave it away, or use --preset blocks"
        )
    _check_fidelity(options.scheduling)
    if options.policy.policy == "makespan":
        raise ValueError(
            f"--policy is makespan, which deals out blocks, and {_chosen(options)} chooses for groups of systems: "
            "leave it away, or use --preset blocks"
        )
    check_policy(options.policy, options.scheduling)


def _check_family(options: TrainOptions) -> None:
    if options.family != PRESETS["default"].family or options.optimizer in COMPLETE:
        raise ValueError(
            f"--family is {options.family}, and --optimizer {options.optimizer} has its own: leave one of them away"
        )


def _chosen(options: TrainOptions) -> str:
    if options.optimizer == "newton":
        return f"--family {options.family}"
    return f"--optimizer {options.optimizer}"


def _read_by(options: TrainOptions) -> tuple[tuple[str, ...], str, str]:
    """What a complete optimizer reads of the groups below, why no more, and who would read the rest."""
    if options.optimizer in BASELINES:
        return _RATES, "solves no systems", "--preset blocks"
    rates = _RATES if "fisher" in (options.family, options.optimizer.removesuffix("-newton")) else ()
    why = "sets direction, length and damping itself, and schedules its systems in groups"
    return (*rates, *_SCHEDULED), why, "--preset blocks"


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
            "nobody who takes one: add cg or minres, or omit it"
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
    keep, second = options.conditioning.keep, scheduling.second_estimator
    alone = dataclasses.replace(options, scheduling=dataclasses.replace(scheduling, second_estimator=None))
    formed = f"--estimator {scheduling.estimator} needs"
    instead = "use --estimator lanczos (or, with --curvature gauss-newton, automatic)"
    if keep < 1:
        formed, instead = f"--keep {keep} prunes", "use --keep 1"
    elif keeps_unformed(alone):
        formed, instead = f"--second-estimator {second} needs", "use --second-estimator lanczos, or None"
    raise ValueError(
        f"{' and '.join(wanting)}: only for blocks that are not formed, and {formed} the matrix: {instead}, or leave "
        "it away"
    )


def _check_largest(options: TrainOptions) -> None:
    largest = options.step.largest
    if largest == "published" and not isinstance(options.task, (BertOptions, GptOptions)):
        raise ValueError(
            "--largest is published, which selects the linear layers inside the transformers of bert-tiny and "
            "gpt-tiny, and this task is neither: give a number of parameters, or omit it"
        )
    if largest == "published" and options.step.partition == "whole":
        raise ValueError(
            "--largest is published, which selects linear layers by their names, and --partition whole has them all in "
            "one block: use --partition per-tensor (as published) or per-layer, or --largest None"
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
    _check_fidelity(options.scheduling)
    _check_own(options.scheduling)
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
    for option, name in (("estimator", estimator), ("second-estimator", options.scheduling.second_estimator)):
        if rows and name in symmetric_only:
            raise ValueError(f"--{option} {name} needs symmetric systems: use automatic or inverse-lanczos")
        if name in _FLOORED and (pruned or options.step.curvature == "hessian"):
            raise ValueError(
                f"--{option} {name} needs blocks that are semidefinite by construction: use it with --curvature "
                "gauss-newton and --keep 1, or choose automatic"
            )


def _check_own(scheduling: SchedulingOptions) -> None:
    """Conditioning of its own is for a quantum candidate, whose estimator needs no floor where it prunes."""
    keep, damping = scheduling.quantum_keep, scheduling.quantum_damping
    given = [f"--quantum-keep is {keep}"] * (keep < 1) + [f"--quantum-damping is {damping}"] * (damping > 0)
    if given and "qlsa" not in scheduling.solvers:
        raise ValueError(
            f"{given[0]}, and --solvers {' '.join(scheduling.solvers)} names no quantum solver: add qlsa, or omit it"
        )
    if keep < 1 and scheduling.estimator in _FLOORED:
        raise ValueError(
            f"{given[0]}, and --estimator {scheduling.estimator} needs a system that is semidefinite by construction, "
            "which pruning does not leave: choose automatic, or omit it"
        )


def _check_fidelity(scheduling: SchedulingOptions) -> None:
    precision, largest = scheduling.precision, jennings2023v1.largest_precision
    modelled = scheduling.fidelity == "model"
    if not modelled and "qlsa" not in scheduling.solvers:
        raise ValueError(
            f"--fidelity is {scheduling.fidelity}, and --solvers {' '.join(scheduling.solvers)} names no quantum "
            "solver: add qlsa, or omit it"
        )
    if modelled and scheduling.shots is not None:
        raise ValueError(
            f"--shots is {scheduling.shots}, and at --fidelity model there is no state to measure: use --fidelity "
            "emulated, or omit it"
        )
    if "qlsa" in scheduling.solvers and modelled and precision > largest:
        raise ValueError(
            f"--precision is {precision}, and the query count of qlsa holds up to {largest}: ask for that or less"
        )
